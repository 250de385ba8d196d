//! From a closed profile to the first drawn screen, and scrolling back from there, with a long
//! history. The files are in the system's cache, as after the first start of a day.

use crate::figure::{MEDIAN, Table, Times, shown};
use crate::people::{name, parts};
use anyhow::Context;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::path::Path;
use std::time::{Duration, Instant};
use subrosa::app::App;
use subrosa::chat::room::{Kept, ROOMS};
use subrosa::chat::timeline::{Author, Line, LineState, Timeline};
use subrosa::event::Event;
use subrosa::ui::view::{Pictures, draw};
use subrosa_shared::id::{MessageId, RoomId};
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::Identity;
use subrosa_shared::session::vault::Cost;
use subrosa_shared::store::Batch;
use subrosa_shared::store::profile::Profile;
use subrosa_shared::time::{Millis, Now};

const LINES: u64 = 100_000;
/// Lines in one durable write while filling.
const AT_ONCE: u64 = 2_000;
/// Starts that are measured.
const STARTS: usize = 15;
/// Times that Page Up is pressed.
const PAGES: usize = 400;

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (long, empty) = (dir.path().join("long"), dir.path().join("empty"));
    let begun = Instant::now();
    fill(&long, LINES)?;
    let filling = begun.elapsed();
    fill(&empty, 0)?;

    let [mut with, mut without] = [(); 2].map(|()| Times::default());
    for _ in 0..STARTS {
        without.add(Screen::open(&empty)?.1);
        with.add(Screen::open(&long)?.1);
    }
    table.times("start to first screen, 100,000 messages stored", &with, "an empty profile", &without);

    let (mut screen, _) = Screen::open(&long)?;
    let [mut within, mut beyond] = [(); 2].map(|()| Times::default());
    for _ in 0..PAGES {
        let (time, loaded) = screen.page_up()?;
        if loaded { &mut beyond } else { &mut within }.add(time);
    }
    table.times("page up that reads older lines, and drawing", &beyond, "one that does not", &within);

    let mut stretch = Times::default();
    for _ in 0..3 {
        stretch.of(|| Cost::DEFAULT.spend()).context("Argon2 refused")?;
    }
    let argon = format!("{} of Argon2, by intent", shown(stretch.at(MEDIAN)));
    table.value("the passphrase at start, not counted above", &argon, "", "");
    let rate = LINES as f64 / filling.as_secs_f64();
    let took = format!("{} ({rate:.0} lines/s)", shown(filling));
    table.value("filling that profile", &took, "", "");
    Ok(())
}

/// A client and its screen.
struct Screen {
    app: App,
    terminal: Terminal<TestBackend>,
    _profile: Profile,
}

impl Screen {
    /// Opens, loads and draws; says how long that took.
    fn open(dir: &Path) -> anyhow::Result<(Self, Duration)> {
        let link = RelayLink { host: "127.0.0.1".into(), port: 4433, fingerprint: [0; 32], invite: None };
        let identity = Identity::generate(&mut rand_core::OsRng);
        let begun = Instant::now();
        let profile = Profile::open(dir, "")?;
        let (app, _) = App::load(parts("ada", &link, identity, profile.store.clone())?, now())?;
        let terminal = Terminal::new(TestBackend::new(120, 36))?;
        let mut screen = Self { app, terminal, _profile: profile };
        screen.app.update(Event::Resize(120, 36), now());
        screen.draw()?;
        Ok((screen, begun.elapsed()))
    }

    fn draw(&mut self) -> anyhow::Result<()> {
        let (chat, ui) = (self.app.chat(), self.app.ui());
        self.terminal.draw(|frame| draw(chat, ui, &Pictures::default(), now(), frame))?;
        Ok(())
    }

    /// Presses Page Up and draws; says how long that took and whether it read older lines.
    fn page_up(&mut self) -> anyhow::Result<(Duration, bool)> {
        let first = self.first();
        let begun = Instant::now();
        self.app.update(Event::Key(KeyEvent::new(KeyCode::PageUp, KeyModifiers::NONE)), now());
        self.draw()?;
        Ok((begun.elapsed(), self.first() < first))
    }

    fn first(&self) -> u64 {
        self.app.chat().current().map_or(0, |room| room.timeline.first())
    }
}

/// Makes a profile with one conversation of so many lines, or with none.
pub fn fill(dir: &Path, lines: u64) -> anyhow::Result<()> {
    let profile = Profile::create(dir, "", Cost::TINY, &mut rand_core::OsRng)?;
    let room = RoomId([1; 16]);
    let mut timeline = Timeline::closed(room, 0);
    let mut batch = Batch::default();
    for n in 0..lines {
        timeline.push(line(n), &mut batch);
        if timeline.end().is_multiple_of(AT_ONCE) || timeline.end() == lines {
            profile.store.commit(&std::mem::take(&mut batch))?;
            timeline.shrink(0);
        }
    }
    if lines > 0 {
        let peer = Identity::generate(&mut rand_core::OsRng).peer();
        let kept = Kept {
            with: Some(name("ben")?),
            peer: Some(peer),
            changed: None,
            lines,
            read: lines,
            unread: 0,
            muted: false,
            last: now().wall,
        };
        batch.put(ROOMS, room.0, postcard::to_stdvec(&kept)?);
        profile.store.commit(&batch)?;
    }
    Ok(())
}

fn line(n: u64) -> Line {
    let mut id = [0; 16];
    // Scattered as random ids are.
    id[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let mine = n.is_multiple_of(3);
    let words = ["yes", "see you at the station", "that is what I wrote yesterday as well", "no"];
    let (author, state) =
        if mine { (Author::Me, LineState::Read) } else { (Author::Them, LineState::Received) };
    let body = format!("{} ({n})", words[(n % 4) as usize]);
    Line::new(MessageId(id), author, Millis(1_700_000_000_000 + n * 60_000), body, state)
}

fn now() -> Now {
    Now { wall: Millis(1_710_000_000_000), mono: Millis(1_000) }
}
