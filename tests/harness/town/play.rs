//! A plan, played: the town with all that is known of it from outside.

use super::plan::{Act, Club, Deed, NAMES, Plan, Step, What, Who};
use super::{check, secrets};
use crate::network::Weather;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use subrosa::chat::timeline::{Author, Line, LineState};
use subrosa::config::Config;
use subrosa::ui::act::LineCommand;
use subrosa::ui::command::{self, Command};
use subrosa::ui::rooms::RoomCommand;
use subrosa_shared::id::{AccountName, MessageId, RoomId};
use subrosa_shared::session::roomlog::{Op, Role};

/// What a town did, to be compared and counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Lines that were written.
    pub lines: usize,
    /// Simulated milliseconds.
    pub millis: u64,
    /// A digest of everything that arrived anywhere, and when.
    pub digest: u64,
}

/// What went wrong.
#[derive(Clone, Debug)]
pub struct Wrong {
    /// The number of the step after which it showed.
    pub after: usize,
    /// A sentence.
    pub what: String,
    /// Who did what and when, up to there.
    pub told: Vec<String>,
}

/// A line that is known to be on its author's disk.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// Who wrote it.
    pub who: Who,
    /// What it is.
    pub id: MessageId,
    /// When: the number of its step.
    pub at: usize,
}

/// The town.
pub struct Town {
    /// Its people and their relay.
    pub world: World,
    /// Who lives there.
    pub names: Vec<&'static str>,
    /// Lines between two that must arrive, by author and reader.
    pub direct: BTreeMap<(Who, Who), Vec<Said>>,
    /// Lines in rooms that must arrive.
    pub spoken: BTreeMap<Club, Vec<Said>>,
    /// Since which step somebody has been in a room without a word about that.
    pub steady: BTreeMap<(Club, Who), usize>,
    /// What the rooms are.
    pub clubs: BTreeMap<Club, RoomId>,
    /// Pairs whose lines disappear at some time.
    pub fading: BTreeSet<(Who, Who)>,
    /// Bytes of the files that were sent, by what they are called.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Whose disk is full.
    full: BTreeSet<Who>,
    /// How many lines were written.
    count: usize,
    dir: tempfile::TempDir,
}

/// Plays a plan.
///
/// # Errors
/// What went wrong.
pub fn play(plan: &Plan) -> Result<Figures, Wrong> {
    let mut told = Vec::new();
    let mut after = 0;
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut town = Town::new(plan);
        for step in &plan.steps {
            after = step.number;
            told.push(format!("{}  {}", clock(town.world.now().mono.0), step.what));
            town.takes(step)?;
        }
        let (millis, digest) = (town.world.now().mono.0, town.world.digest());
        Ok(Figures { lines: town.count, millis, digest })
    }));
    let what = match played {
        Ok(Ok(figures)) => return Ok(figures),
        Ok(Err(what)) => what,
        Err(panic) => format!("a panic: {}", said_of(&*panic)),
    };
    Err(Wrong { after, what, told })
}

fn said_of(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without words")
}

fn clock(millis: u64) -> String {
    let (day, rest) = (millis / 86_400_000 + 1, millis % 86_400_000);
    let (hours, minutes, seconds) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    format!("day {day:>2} {hours:02}:{minutes:02}:{seconds:02}.{:03}", rest % 1000)
}

impl Town {
    fn new(plan: &Plan) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mut world = World::new(plan.seed);
        let limits = &mut world.relay_config().limits;
        limits.registrations.burst = 1_000;
        world.relay_crashes();
        world.start_relay();
        let names = NAMES[..plan.people].to_vec();
        for name in &names {
            let mut config = Config::default();
            config.vault.idle_lock = "off".into();
            config.files.auto_mb = 5;
            config.files.folder = dir.path().join(name).to_string_lossy().into_owned();
            (config.video.width, config.video.height, config.video.fps) = (80, 48, 10);
            world.joins_with(name, config);
        }
        world.settle();
        Self {
            world,
            names,
            direct: BTreeMap::new(),
            spoken: BTreeMap::new(),
            steady: BTreeMap::new(),
            clubs: BTreeMap::new(),
            fading: BTreeSet::new(),
            files: BTreeMap::new(),
            full: BTreeSet::new(),
            count: 0,
            dir,
        }
    }

    /// One step, what passes after it, and a look at everything.
    fn takes(&mut self, step: &Step) -> Result<(), String> {
        self.does(step)?;
        self.world.passes(step.then);
        if let What::Night(hours) = step.what {
            self.heals();
            check::quiet(self, step.number)?;
            self.world.passes(hours * 3_600_000);
            secrets::are_gone(self)?;
        }
        check::always(self, &step.what)
    }

    /// Where somebody's downloads lie.
    pub fn folder(&self, who: Who) -> std::path::PathBuf {
        self.dir.path().join(self.names[who])
    }

    fn does(&mut self, step: &Step) -> Result<(), String> {
        let names = self.names.clone();
        let name = |who: Who| names[who];
        match step.what.clone() {
            What::Says(who, to, lines) => {
                for _ in 0..lines {
                    self.says(who, to, step.number)?;
                }
            }
            What::Founds(who, club, with) => {
                let with: Vec<&str> = with.iter().map(|who| name(*who)).collect();
                let typed = format!("/room new club{club} {}", with.join(" "));
                if self.world.alive(name(who)) && !self.clubs.contains_key(&club) {
                    self.world.commands(name(who), command::parse(&typed).expect("a command"));
                }
            }
            What::Speaks(who, club) => self.speaks(who, club, step.number),
            What::Does(who, club, deed) => self.deed(who, club, deed),
            What::Acts(who, to, act) => self.acts(who, to, act),
            What::Expires(who, to, seconds) => {
                if self.opens(who, to) {
                    self.fading.extend([(who, to), (to, who)]);
                    self.world.commands(name(who), Command::Expire(Some(seconds)));
                }
            }
            What::Reads(who, with) => {
                self.opens(who, with);
            }
            What::Sends(who, to, size) => self.sends(who, to, size),
            What::Rings(who, to) => {
                if self.opens(who, to) {
                    self.world.commands(name(who), Command::Video(Some("test".into())));
                }
            }
            What::Answers(who) if self.world.alive(name(who)) => {
                self.world.commands(name(who), Command::Answer(Some("test".into())));
            }
            What::HangsUp(who) if self.world.alive(name(who)) => {
                self.world.commands(name(who), Command::Hangup);
            }
            What::Answers(_) | What::HangsUp(_) => {}
            What::Films(pictures) => {
                for _ in 0..pictures {
                    for name in &names {
                        self.world.films(name);
                    }
                    self.world.passes(100);
                }
            }
            What::Restarts(who) => {
                self.has_space(who);
                self.world.restarts(name(who));
            }
            What::DiesAfter(who, effects) => self.world.kill_after(name(who), effects),
            What::Starts(who) => {
                self.world.is_spared(name(who));
                if !self.world.alive(name(who)) {
                    self.has_space(who);
                    self.world.starts(name(who));
                }
            }
            What::Breaks(who) => self.world.cut(name(who)),
            What::CutOff(who, lost) => self.world.cuts_off(name(who), lost),
            What::Back(who) => self.world.is_back(name(who)),
            What::Fills(who) => {
                self.full.insert(who);
                self.world.disk_fills(name(who));
            }
            What::Empties(who) => self.has_space(who),
            What::Clock(who, off) => self.world.clock_off(name(who), off),
            What::Slow(who, millis) => self.world.reads_slowly(name(who), millis),
            What::Weather(delay, jitter, loss, twice, cut) => {
                self.world.weather(Weather { delay, jitter, loss, twice, cut });
            }
            What::RelayDies => self.world.relay_crashes(),
            What::RelayDiesAfter(writes) => self.world.relay_crashes_after(writes),
            What::RelayStarts => self.relay_runs(),
            What::RelayFull(full) => self.world.relay_disk_full(full),
            What::Night(_) => {}
        }
        self.finds_clubs();
        Ok(())
    }

    fn relay_runs(&mut self) {
        self.world.relay_is_spared();
        if !self.world.relay_runs() {
            self.world.start_relay();
        }
    }

    /// A client that starts on a full disk cannot even read; it starts when there is space.
    fn has_space(&mut self, who: Who) {
        if self.full.remove(&who) {
            self.world.disk_empties(self.names[who]);
        }
    }

    /// All trouble ends, and what is under way arrives.
    fn heals(&mut self) {
        self.world.weather(Weather::default());
        self.world.relay_disk_full(false);
        self.relay_runs();
        for who in 0..self.names.len() {
            let name = self.names[who];
            self.has_space(who);
            self.world.is_spared(name);
            self.world.reads_slowly(name, 0);
            self.world.is_back(name);
            if !self.world.alive(name) {
                self.world.starts(name);
            }
            self.world.commands(name, Command::Hangup);
        }
        self.world.settle();
        // Who was refused for a while tries again by themselves.
        self.world.passes(5 * 60_000);
        self.finds_clubs();
    }

    /// The person's text, which is like no other.
    fn words(&mut self, who: Who) -> String {
        self.count += 1;
        format!("{} {}", self.names[who], self.count)
    }

    fn says(&mut self, who: Who, to: Who, at: usize) -> Result<(), String> {
        let (name, other) = (self.names[who], self.names[to]);
        if !self.world.alive(name) {
            return Ok(());
        }
        let (well, text) = (self.world.is_well(name), self.words(who));
        self.world.says(name, other, &text);
        if well && self.world.is_well(name) {
            match self.newest(name, other).filter(|line| line.body == text) {
                Some(line) => self.direct.entry((who, to)).or_default().push(Said { who, id: line.id, at }),
                None => return Err(format!("“{text}” is not on {name}'s disk")),
            }
        }
        Ok(())
    }

    fn speaks(&mut self, who: Who, club: Club, at: usize) {
        let (name, room) = (self.names[who], format!("#club{club}"));
        let Some(id) = self.inside(who, club) else { return };
        let (well, text) = (self.world.is_well(name), self.words(who));
        self.world.commands(name, Command::Open(id));
        self.world.commands(name, Command::Say(text.clone()));
        if well && self.world.is_well(name) {
            // Who is silenced is refused.
            if let Some(line) = self.newest(name, &room).filter(|line| line.body == text) {
                self.spoken.entry(club).or_default().push(Said { who, id: line.id, at });
            }
        }
    }

    fn newest(&mut self, name: &str, with: &str) -> Option<Line> {
        self.world.lines(name, with).into_iter().rev().find(|line| line.author == Author::Me)
    }

    /// The room, if somebody whose client runs is in.
    fn inside(&mut self, who: Who, club: Club) -> Option<RoomId> {
        let (name, id) = (self.names[who], *self.clubs.get(&club)?);
        let alive = self.world.alive(name);
        let group = self.world.alive(name).then(|| self.world.app(name).chat().group(id)).flatten();
        group.filter(|group| alive && group.is_open()).map(|_| id)
    }

    fn deed(&mut self, who: Who, club: Club, deed: Deed) {
        let Some(id) = self.inside(who, club) else { return };
        let names = self.names.clone();
        let account = |who: Who| AccountName::parse(names[who]).expect("a name");
        let (about, command) = match deed {
            Deed::Topic => (None, RoomCommand::Topic(self.words(who))),
            Deed::Open => (None, RoomCommand::Policy(Some(Role::Member), None, None)),
            Deed::Invite(whom) => (Some(whom), RoomCommand::Invite(account(whom))),
            Deed::Promote(whom) => (None, RoomCommand::Role(account(whom), Role::Moderator)),
            Deed::Silence(whom) => (Some(whom), RoomCommand::Silence(account(whom), None)),
            Deed::Unsilence(whom) => (Some(whom), RoomCommand::Unsilence(account(whom))),
            Deed::Kick(whom) => {
                (Some(whom), RoomCommand::Sure(Box::new(Op::Remove { account: account(whom) })))
            }
            Deed::Leave => (Some(who), RoomCommand::Sure(Box::new(Op::Remove { account: account(who) }))),
        };
        if let Some(whom) = about {
            self.steady.remove(&(club, whom));
        }
        self.world.commands(names[who], Command::Room(Some(id), command));
    }

    fn acts(&mut self, who: Who, to: Who, act: Act) {
        let (name, other) = (self.names[who], self.names[to]);
        if !self.opens(who, to) {
            return;
        }
        let author = if matches!(act, Act::React) { Author::Them } else { Author::Me };
        let lines = self.world.lines(name, other);
        // Who takes back what was never sent tells somebody of it who may not know them.
        let sent = |line: &Line| author == Author::Them || line.state >= LineState::Sent;
        let line = lines.into_iter().rev().find(|line| line.author == author && line.is_said() && sent(line));
        let Some(line) = line else { return };
        let act = match act {
            Act::Edit => LineCommand::Edit(Some(format!("{} in other words", self.words(who)))),
            Act::Delete => LineCommand::Delete,
            Act::React => LineCommand::React(Some("+1".into()), Some(true)),
        };
        self.world.commands(name, Command::Line(Some(line.id), act));
    }

    fn sends(&mut self, who: Who, to: Who, size: usize) {
        let (name, other) = (self.names[who], AccountName::parse(self.names[to]).expect("a name"));
        if !self.world.alive(name) {
            return;
        }
        let called = format!("{}.bin", self.words(who).replace(' ', "-"));
        let bytes: Vec<u8> = (0..size).map(|at| (at * 31 % 251) as u8 ^ self.count as u8).collect();
        let path = self.dir.path().join(&called);
        std::fs::write(&path, &bytes).expect("written");
        self.files.insert(called, bytes);
        let path = path.to_string_lossy().into_owned();
        self.world.commands(name, Command::Attach { to: Some(other), path, caption: String::new() });
    }

    /// Opens somebody's conversation with another, if there is one.
    fn opens(&mut self, who: Who, with: Who) -> bool {
        let (name, other) = (self.names[who], self.names[with]);
        if !self.world.alive(name) {
            return false;
        }
        let mut rooms = self.world.app(name).chat().rooms.iter();
        let room = rooms.find(|room| room.with().is_some_and(|with| with.as_str() == other));
        let Some(room) = room.map(|room| room.id) else { return false };
        self.world.commands(name, Command::Open(room));
        self.world.alive(name)
    }

    /// Rooms that were founded by now.
    fn finds_clubs(&mut self) {
        for who in 0..self.names.len() {
            let name = self.names[who];
            if !self.world.alive(name) {
                continue;
            }
            let groups = self.world.app(name).chat().groups();
            let found = groups.filter_map(|(room, group)| {
                Some((group.title().strip_prefix("#club")?.parse().ok()?, room.id))
            });
            for (club, id) in found.collect::<Vec<(Club, RoomId)>>() {
                self.clubs.entry(club).or_insert(id);
            }
        }
    }
}
