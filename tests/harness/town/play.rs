//! A plan, played: the town with all that is known of it from outside.

use super::check::Bounds;
use super::plan::{Act, Club, Deed, NAMES, Plan, SECOND, Step, Thought, What, Who, device, person};
use super::{check, secrets};
use crate::network::Weather;
use crate::world::{Mischief, World};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use subrosa::chat::timeline::{Author, LINES, Line, LineState};
use subrosa::chat::transfer::Phase;
use subrosa::config::Config;
use subrosa::ui::act::LineCommand;
use subrosa::ui::command::{self, Command};
use subrosa::ui::devices::DevicesCommand;
use subrosa::ui::files::{FilesCommand, Which};
use subrosa::ui::rooms::RoomCommand;
use subrosa_shared::id::{AccountName, MessageId, RoomId};
use subrosa_shared::session::roomlog::{Op, Role};
use subrosa_shared::store::{Order, Store};

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

/// Where somebody writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To that person.
    To(Who),
    /// In that room.
    In(Club),
}

/// A text as it was typed. It begins like no other: `ada 7.`.
pub(super) struct Typed {
    pub(super) text: String,
    pub(super) by: Who,
    pub(super) place: Place,
}

/// Minutes that may pass until nothing is under way.
const HELD_UP: usize = 60;

/// A line that is known to be on its author's disk, or what was done to one.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// Who wrote it, or did that.
    pub who: Who,
    /// On which device.
    pub by: Who,
    /// Which line.
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
    /// What was done to lines in rooms.
    pub done: BTreeMap<Club, Vec<Said>>,
    /// Lines in rooms that somebody took back: who did not have them gets them no more.
    pub taken_back: BTreeSet<MessageId>,
    /// Since which step a device has been in a room without a word about that.
    pub steady: BTreeMap<(Club, Who), usize>,
    /// Lines of rooms that were there when everything had arrived last.
    pub known: BTreeMap<Club, BTreeSet<MessageId>>,
    /// What the rooms are.
    pub clubs: BTreeMap<Club, RoomId>,
    /// Pairs whose lines disappear at some time.
    pub fading: BTreeSet<(Who, Who)>,
    /// Rooms whose lines do.
    pub fading_in: BTreeSet<Club>,
    /// Bytes of the files that were sent, by what they are called.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What may be at a time.
    pub bounds: Bounds,
    /// Who has a second device.
    pub linked: BTreeSet<Who>,
    /// Whose second device was removed, and what it had then.
    pub unlinked: BTreeMap<Who, BTreeSet<MessageId>>,
    /// What was typed, by its number.
    pub(super) typed: BTreeMap<usize, Typed>,
    /// Since the last night the relay let deliveries overtake each other.
    pub(super) overtaken: bool,
    /// Lines whose words were gone at their author's then.
    pub(super) void: BTreeSet<MessageId>,
    /// Lines of which a device that was removed may alone have known how far they got.
    pub(super) unmarked: BTreeSet<MessageId>,
    /// Which disks are full.
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

/// The town after all of a plan, which nothing went wrong in.
///
/// # Errors
/// What went wrong.
pub fn lived(plan: &Plan) -> Result<Town, String> {
    let mut town = Town::new(plan);
    plan.steps.iter().try_for_each(|step| town.takes(step))?;
    Ok(town)
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
            done: BTreeMap::new(),
            taken_back: BTreeSet::new(),
            steady: BTreeMap::new(),
            known: BTreeMap::new(),
            clubs: BTreeMap::new(),
            fading: BTreeSet::new(),
            fading_in: BTreeSet::new(),
            files: BTreeMap::new(),
            bounds: Bounds::default(),
            linked: BTreeSet::new(),
            unlinked: BTreeMap::new(),
            typed: BTreeMap::new(),
            overtaken: false,
            void: BTreeSet::new(),
            unmarked: BTreeSet::new(),
            full: BTreeSet::new(),
            count: 0,
            dir,
        }
    }

    /// One step, what passes after it, and a look at everything.
    ///
    /// # Errors
    /// What is not as it must be.
    pub fn takes(&mut self, step: &Step) -> Result<(), String> {
        self.does(step)?;
        self.world.passes(step.then);
        if let What::Night(hours) = step.what {
            self.heals();
            self.fetches();
            self.rests(step.number)?;
            self.second_marks();
            self.overtaken = false;
            self.world.passes(hours * 3_600_000);
            secrets::are_gone(self)?;
        }
        check::always(self, &step.what)
    }

    /// Whether all is as it must be now that everything has arrived, at that step.
    ///
    /// # Errors
    /// What is not.
    pub fn rests(&mut self, at: usize) -> Result<(), String> {
        check::quiet(self, at)
    }

    /// The same of what must hold at any time.
    ///
    /// # Errors
    /// What is not.
    pub fn holds(&mut self) -> Result<(), String> {
        check::always(self, &What::Films(0))?;
        secrets::are_gone(self)
    }

    /// What a device is called, if it is there.
    pub(super) fn called(&self, who: Who) -> Option<String> {
        (who < SECOND || self.linked.contains(&person(who))).then(|| device(who))
    }

    /// A device that is there and runs.
    fn runs(&mut self, who: Who) -> Option<String> {
        self.called(who).filter(|name| self.world.alive(name))
    }

    /// All devices that are there.
    pub(super) fn devices(&self) -> Vec<Who> {
        let seconds = self.linked.iter().map(|who| who + SECOND);
        (0..self.names.len()).chain(seconds).collect()
    }

    /// Where a device's downloads lie.
    pub fn folder(&self, who: Who) -> std::path::PathBuf {
        self.dir.path().join(device(who))
    }

    fn does(&mut self, step: &Step) -> Result<(), String> {
        match step.what.clone() {
            What::Says(who, to, lines) => {
                for _ in 0..lines {
                    self.says(who, to, step.number)?;
                }
            }
            What::Links(who) => self.links(who),
            What::Unlinks(who) => self.unlinks(who),
            What::Founds(who, club, with) => {
                let with: Vec<&str> = with.iter().map(|who| self.names[*who]).collect();
                let typed = format!("/room new club{club} {}", with.join(" "));
                if let Some(name) = self.runs(who).filter(|_| !self.clubs.contains_key(&club)) {
                    self.world.commands(&name, command::parse(&typed).expect("a command"));
                }
            }
            What::Speaks(who, club) => self.speaks(who, club, step.number)?,
            What::Does(who, club, deed) => self.deed(who, club, deed),
            What::Acts(who, to, act) => {
                if let Some(name) = self.opens(who, to) {
                    self.acts(who, &name, Place::To(to), act, step.number)?;
                }
            }
            What::ActsIn(who, club, act) => {
                if let Some((name, id)) = self.inside(who, club) {
                    self.world.commands(&name, Command::Open(id));
                    self.acts(who, &name, Place::In(club), act, step.number)?;
                }
            }
            What::Thinks(who, of, thought) => self.thinks(who, of, thought),
            What::Expires(who, to, seconds) => {
                if let Some(name) = self.opens(who, to) {
                    self.fading.extend([(person(who), to), (to, person(who))]);
                    self.world.commands(&name, Command::Expire(Some(seconds)));
                }
            }
            What::Reads(who, with) => drop(self.opens(who, with)),
            What::Sends(who, to, size) => self.sends(who, to, size),
            What::Rings(who, to) => {
                if let Some(name) = self.opens(who, to) {
                    self.world.commands(&name, Command::Video(Some("test".into())));
                }
            }
            What::Answers(who) => self.commands(who, Command::Answer(Some("test".into()))),
            What::HangsUp(who) => self.commands(who, Command::Hangup),
            What::Films(pictures) => {
                for _ in 0..pictures {
                    for who in self.devices() {
                        self.world.films(&device(who));
                    }
                    self.world.passes(100);
                }
            }
            What::Weather(delay, jitter, loss, twice, cut) => {
                self.world.weather(Weather { delay, jitter, loss, twice, cut });
                self.world.mischief.repeat = twice;
            }
            What::Overtakes(late) => (self.world.mischief.late, self.overtaken) = (late, true),
            What::RelayDies => self.world.relay_crashes(),
            What::RelayDiesAfter(halves) => self.world.relay_crashes_after(halves),
            What::RelayStarts => self.relay_runs(),
            What::RelayFull(full) => self.world.relay_disk_full(full),
            What::Part(some) => some.into_iter().for_each(|who| self.world.cuts_off(&device(who), false)),
            What::Meet(some) => some.into_iter().for_each(|who| self.world.is_back(&device(who))),
            What::Night(_) => {}
            What::Restarts(who)
            | What::DiesAfter(who, _)
            | What::Starts(who)
            | What::Breaks(who)
            | What::CutOff(who, _)
            | What::Back(who)
            | What::Fills(who)
            | What::Empties(who)
            | What::Clock(who, _)
            | What::Slow(who, _) => {
                if let Some(name) = self.called(who) {
                    self.befalls(who, &name, &step.what);
                }
            }
        }
        self.finds_clubs();
        Ok(())
    }

    /// What happens to a machine.
    fn befalls(&mut self, who: Who, name: &str, what: &What) {
        match *what {
            What::Restarts(_) => {
                self.has_space(who);
                self.world.restarts(name);
            }
            What::DiesAfter(_, effects) => self.world.kill_after(name, effects),
            What::Starts(_) => {
                self.world.is_spared(name);
                if !self.world.alive(name) {
                    self.has_space(who);
                    self.world.starts(name);
                }
            }
            What::Breaks(_) => self.world.cut(name),
            What::CutOff(_, lost) => self.world.cuts_off(name, lost),
            What::Back(_) => self.world.is_back(name),
            What::Fills(_) => {
                self.full.insert(who);
                self.world.disk_fills(name);
            }
            What::Empties(_) => self.has_space(who),
            What::Clock(_, off) => self.world.clock_off(name, off),
            What::Slow(_, millis) => self.world.reads_slowly(name, millis),
            _ => {}
        }
    }

    fn commands(&mut self, who: Who, command: Command) {
        if let Some(name) = self.runs(who) {
            self.world.commands(&name, command);
        }
    }

    /// Somebody gets a second device, when nothing is in its way.
    fn links(&mut self, who: Who) {
        if self.linked.contains(&who) || self.unlinked.contains_key(&who) {
            return;
        }
        self.heals();
        // Codes and dates depend on clocks.
        self.world.clock_off(self.names[who], 0);
        let second = device(who + SECOND);
        self.world.adds_device(self.names[who], &second);
        self.linked.insert(who);
        self.world.settle();
    }

    /// Somebody's second device is one of theirs no more, with everything of it where it was to go.
    fn unlinks(&mut self, who: Who) {
        if !self.linked.contains(&who) {
            return;
        }
        self.heals();
        self.fetches();
        let (first, second) = (self.names[who], device(who + SECOND));
        self.second_marks();
        let gone = self.world.app(&second).device();
        self.world.commands(first, Command::Devices(DevicesCommand::Removed(gone)));
        self.world.settle();
        if self.world.app(first).chat().devices.iter().any(|own| own.device == gone) {
            return;
        }
        self.linked.remove(&who);
        self.steady.retain(|(_, device), _| *device != who + SECOND);
        let had = lines_on(&self.world.disk(&second)).into_iter().map(|line| line.id).collect();
        self.unlinked.insert(who, had);
    }

    /// Receipts that a first device could not open may have been opened by the second alone, which may go.
    fn second_marks(&mut self) {
        for who in self.linked.iter().filter(|_| self.overtaken) {
            let lines = lines_on(&self.world.disk(&device(who + SECOND)));
            self.unmarked.extend(lines.into_iter().map(|line| line.id));
        }
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
            self.world.disk_empties(&device(who));
        }
    }

    /// All trouble ends, and what is under way arrives.
    fn heals(&mut self) {
        self.world.weather(Weather::default());
        self.world.mischief = Mischief::default();
        self.world.relay_disk_full(false);
        self.relay_runs();
        for who in self.devices() {
            let name = device(who);
            self.has_space(who);
            self.world.is_spared(&name);
            self.world.reads_slowly(&name, 0);
            self.world.is_back(&name);
            if !self.world.alive(&name) {
                self.world.starts(&name);
            }
        }
        for who in self.unlinked.keys() {
            // It tries to come in.
            self.world.restarts(&device(who + SECOND));
        }
        self.hangs_up();
        self.world.settle();
        // What was held up by somebody who reads slowly still comes one after the other.
        for _ in 0..HELD_UP {
            if self.world.under_way() == 0 {
                break;
            }
            self.world.passes(60_000);
        }
        // Who was refused for a while tries again by themselves, and who is in a call alone leaves it.
        self.world.passes(5 * 60_000);
        self.finds_clubs();
    }

    /// Who rings gives up, and of two in a call one leaves it.
    fn hangs_up(&mut self) {
        let mut ends = Vec::new();
        for name in self.devices().into_iter().map(device) {
            let app = self.world.app(&name);
            if let Some(call) = &app.chat().call {
                ends.push((app.device(), call.id, call.device, name));
            }
        }
        for (here, id, with, name) in &ends {
            let leaves = with.is_none_or(|there| {
                let both = ends.iter().any(|(at, of, to, _)| (*at, of, *to) == (there, id, Some(*here)));
                // One of the two, by lot: the call's number is drawn.
                both && (*here < there) == (id.0[0] < 0x80)
            });
            if leaves {
                self.world.commands(name, Command::Hangup);
            }
        }
    }

    /// Each device fetches what it was offered and did not fetch by itself.
    fn fetches(&mut self) {
        for who in self.devices() {
            let (name, folder) = (device(who), self.folder(who).to_string_lossy().into_owned());
            let transfers = self.world.app(&name).chat().transfers.iter();
            let offered = transfers.filter(|transfer| transfer.kept.phase == Phase::Offered);
            for id in offered.map(|transfer| transfer.id).collect::<Vec<MessageId>>() {
                let save = FilesCommand::Save(Which::Of(id), Some(folder.clone()));
                self.world.commands(&name, Command::Files(save));
            }
        }
        self.world.passes(60_000);
    }

    /// Something with the person's name that is like nothing else.
    fn numbered(&mut self, who: Who) -> String {
        self.count += 1;
        format!("{} {}", self.names[person(who)], self.count)
    }

    /// The person's text for that place.
    fn words(&mut self, who: Who, place: Place, rest: &str) -> String {
        let mut text = format!("{}.{rest}", self.numbered(who));
        if self.count.is_multiple_of(8) {
            // A long one is sealed once, beside the heads of all who get it.
            text.push(' ');
            text.push_str(&"x".repeat(5_000 + self.count * 997 % 11_000));
        }
        self.typed.insert(self.count, Typed { text: text.clone(), by: person(who), place });
        text
    }

    fn says(&mut self, who: Who, to: Who, at: usize) -> Result<(), String> {
        let Some(name) = self.runs(who) else { return Ok(()) };
        let place = Place::To(to);
        let (other, text) = (account(self.names[to]), self.words(who, place, ""));
        self.writes(who, &name, place, (Command::Tell(other, text.clone()), &text), at)
    }

    fn speaks(&mut self, who: Who, club: Club, at: usize) -> Result<(), String> {
        let Some((name, id)) = self.inside(who, club) else { return Ok(()) };
        let place = Place::In(club);
        let text = self.words(who, place, "");
        self.world.commands(&name, Command::Open(id));
        self.writes(who, &name, place, (Command::Say(text.clone()), &text), at)
    }

    /// A text is written by that command: on its author's disk it stands below all that they had there.
    fn writes(
        &mut self,
        who: Who,
        name: &str,
        place: Place,
        (command, text): (Command, &str),
        at: usize,
    ) -> Result<(), String> {
        let well = self.world.is_well(name);
        self.world.commands(name, command);
        if !well || !self.world.is_well(name) {
            return Ok(());
        }
        let mut lines = self.lines(name, place).into_iter().rev();
        let newest = lines.find(|line| matches!(line.author, Author::Me | Author::Them));
        let Some(line) = newest.filter(|line| line.body == text) else {
            return match self.is_silenced(name, place) {
                true => Ok(()),
                false => Err(format!("“{text:.40}” is not on {name}'s disk, or not as the last one")),
            };
        };
        let said = Said { who: person(who), by: who, id: line.id, at };
        match place {
            Place::To(to) => self.direct.entry((said.who, to)).or_default().push(said),
            Place::In(club) => self.spoken.entry(club).or_default().push(said),
        }
        Ok(())
    }

    fn lines(&mut self, name: &str, place: Place) -> Vec<Line> {
        match place {
            Place::To(to) => self.world.lines(name, self.names[to]),
            Place::In(club) => self.world.lines_of(name, self.clubs[&club]),
        }
    }

    /// Who is silenced in a room is refused there.
    fn is_silenced(&mut self, name: &str, place: Place) -> bool {
        let Place::In(club) = place else { return false };
        let now = self.world.now_of(name);
        self.world.app(name).chat().silent_in(self.clubs[&club], now).is_some()
    }

    /// The room, if somebody whose client runs is in.
    fn inside(&mut self, who: Who, club: Club) -> Option<(String, RoomId)> {
        let (name, id) = (self.runs(who)?, *self.clubs.get(&club)?);
        let open = self.world.app(&name).chat().group(id).is_some_and(|group| group.is_open());
        open.then_some((name, id))
    }

    fn deed(&mut self, who: Who, club: Club, deed: Deed) {
        let Some((name, id)) = self.inside(who, club) else { return };
        let names = self.names.clone();
        let account = |who: Who| account(names[who]);
        // Of many long ones a newcomer gets the log in pieces.
        let topic = |words: String, times: usize| match times {
            1 => RoomCommand::Topic(words),
            _ => RoomCommand::Topic(format!("{words} {}", "x".repeat(400))),
        };
        let (about, commands) = match deed {
            Deed::Topics(times) => (None, (0..times).map(|_| topic(self.numbered(who), times)).collect()),
            Deed::Open => (None, vec![RoomCommand::Policy(Some(Role::Member), None, None)]),
            Deed::Invite(whom) => (Some(whom), vec![RoomCommand::Invite(account(whom))]),
            Deed::Promote(whom) => (None, vec![RoomCommand::Role(account(whom), Role::Moderator)]),
            // What they did as a moderator counts where it came before.
            Deed::Demote(whom) => (Some(whom), vec![RoomCommand::Role(account(whom), Role::Member)]),
            Deed::Ban(whom) => {
                let group = self.world.app(&name).chat().group(id);
                let root = group.and_then(|group| Some(group.log.state().members.get(&account(whom))?.root));
                let ban = root.map(|root| Op::Ban { account: account(whom), root });
                (Some(whom), ban.map(|ban| RoomCommand::Sure(Box::new(ban))).into_iter().collect())
            }
            Deed::Expires(seconds) => {
                self.fading_in.insert(club);
                self.world.commands(&name, Command::Open(id));
                return self.world.commands(&name, Command::Expire(Some(seconds)));
            }
            Deed::Silence(whom) => (Some(whom), vec![RoomCommand::Silence(account(whom), None)]),
            Deed::Unsilence(whom) => (Some(whom), vec![RoomCommand::Unsilence(account(whom))]),
            Deed::Kick(whom) => {
                (Some(whom), vec![RoomCommand::Sure(Box::new(Op::Remove { account: account(whom) }))])
            }
            Deed::Leave => {
                let who = person(who);
                (Some(who), vec![RoomCommand::Sure(Box::new(Op::Remove { account: account(who) }))])
            }
        };
        if let Some(whom) = about {
            self.steady.remove(&(club, whom));
            self.steady.remove(&(club, whom + SECOND));
        }
        for command in commands {
            self.world.commands(&name, Command::Room(Some(id), command));
        }
    }

    /// Something is done to the newest line that it makes sense for, of a conversation that is open.
    fn acts(&mut self, who: Who, name: &str, place: Place, act: Act, at: usize) -> Result<(), String> {
        let own = matches!(act, Act::Edit | Act::Delete);
        // Who takes back what was never sent tells somebody of it who may not know them.
        let fits = |line: &Line| match line.author {
            Author::Me => own && line.state >= LineState::Sent,
            Author::Them => !own,
            Author::Note | Author::Alarm => false,
        };
        let mut lines = self.lines(name, place).into_iter().rev();
        let Some(id) = lines.find(|line| line.is_said() && fits(line)).map(|line| line.id) else {
            return Ok(());
        };
        let does = |act: LineCommand| Command::Line(Some(id), act);
        let command = match act {
            Act::Edit => LineCommand::Edit(Some(self.words(who, place, " in other words"))),
            Act::Delete => LineCommand::Delete,
            Act::React => LineCommand::React(Some("+1".into()), None),
            Act::Pin => LineCommand::Pin(None),
            Act::Reply => {
                let text = self.words(who, place, "");
                let reply = does(LineCommand::Reply(Some(text.clone())));
                return self.writes(who, name, place, (reply, &text), at);
            }
        };
        if let Place::In(club) = place {
            let done = Said { who: person(who), by: who, id, at };
            self.done.entry(club).or_default().push(done);
            if matches!(act, Act::Delete) {
                self.taken_back.insert(id);
            }
        }
        self.world.commands(name, does(command));
        Ok(())
    }

    fn thinks(&mut self, who: Who, of: Who, thought: Thought) {
        let Some(name) = self.opens(who, of) else { return };
        self.count += 1;
        let command = match thought {
            Thought::Petname => {
                Command::Petname(account(self.names[of]), Some(format!("friend {}", self.count)))
            }
            Thought::Mute => Command::Rings(None, None),
        };
        self.world.commands(&name, command);
    }

    fn sends(&mut self, who: Who, to: Who, size: usize) {
        let Some(name) = self.runs(who) else { return };
        let other = account(self.names[to]);
        let called = format!("{}.bin", self.numbered(who).replace(' ', "-"));
        let bytes: Vec<u8> = (0..size).map(|at| (at * 31 % 251) as u8 ^ self.count as u8).collect();
        let path = self.dir.path().join(&called);
        std::fs::write(&path, &bytes).expect("written");
        self.files.insert(called, bytes);
        let path = path.to_string_lossy().into_owned();
        self.world.commands(&name, Command::Attach { to: Some(other), path, caption: String::new() });
    }

    /// Opens somebody's conversation with another, if there is one; gives the device.
    fn opens(&mut self, who: Who, with: Who) -> Option<String> {
        let (name, other) = (self.runs(who)?, self.names[with]);
        let mut rooms = self.world.app(&name).chat().rooms.iter();
        let room = rooms.find(|room| room.with().is_some_and(|with| with.as_str() == other))?.id;
        self.world.commands(&name, Command::Open(room));
        self.runs(who)
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

/// An account of that name.
pub(super) fn account(name: &str) -> AccountName {
    AccountName::parse(name).expect("a name")
}

/// Lines of people on a disk.
pub(super) fn lines_on(disk: &Store) -> Vec<Line> {
    let rows = disk.records.scan(LINES, &[], &[], Order::Forward, usize::MAX).expect("a memory store reads");
    let lines = rows.into_iter().filter_map(|(_, value)| Line::read(&value));
    lines.filter(|line| matches!(line.author, Author::Me | Author::Them)).collect()
}
