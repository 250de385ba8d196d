//! The client on a terminal: keys in, cells and pictures out.

use crate::chat::call::CallState;
use crate::easel::Easel;
use crate::effect::{Effect, Happened};
use crate::event::{Event, MediaEvent};
use crate::lock::Leaving;
use crate::media::{drain, source};
use crate::runtime::{Next, Runtime};
use crate::stop::Stop;
use crate::term::answer::{self, Answer};
use crate::term::input::Input;
use crate::term::keys::Keys;
use crate::term::out::Out;
use crate::term::{self, Alert, Answers, Caps, Hyperlink, Term, say};
use crate::ui::command::Command;
use crate::ui::view::{self, Beside, Pictures};
use crossterm::event::{Event as Did, KeyEventKind};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;

/// Drawing more often than this is not seen, and over ssh it is felt.
const FRAME: Duration = Duration::from_millis(33);
/// How often it is looked at how pictures do.
const JUDGE: Duration = Duration::from_millis(500);
/// How long answers that are owed are waited for before somebody else gets the terminal.
const SETTLE: Duration = Duration::from_millis(300);
/// How long a camera that is being closed is waited for before the client stops.
const CLOSES: Duration = Duration::from_secs(2);
/// As much of a text is read back from an editor; a message is shorter.
const EDITED_MAX: u64 = 256 * 1024;

/// What a front end adds to what people do: the demo's usher.
pub type Follow = Box<dyn FnMut(&Happened, &Runtime) -> Vec<Command>>;

/// How the client runs on the terminal.
pub struct Setting {
    /// What the terminal can do, as far as the environment says.
    pub caps: Caps,
    /// How a person who looks elsewhere is told.
    pub alert: Alert,
    /// Mouse reporting from the start.
    pub mouse: bool,
    /// Leaves by itself after this.
    pub limit: Option<Duration>,
    /// Commands that follow from what happens.
    pub follow: Option<Follow>,
}

/// Runs until the person leaves, or the terminal is gone. Gives the terminal back in any case.
///
/// # Errors
/// When there is no terminal to begin with.
pub async fn run(
    runtime: Runtime,
    effects: Vec<Effect>,
    setting: Setting,
    stop: &mut Stop,
) -> io::Result<Runtime> {
    let (mut keys, out) = (Keys::open()?, Out::open().await?);
    let term = Term::enter(setting.mouse)?;
    // What was typed while the profile opened was meant for no conversation.
    keys.forget();
    let (width, height) = term::size();
    let page = Page::default();
    let app = runtime.app();
    let easel = Easel::new(&app.config().video, setting.caps, app.ui().theme());
    let mut front = Front {
        terminal: page.terminal(width, height)?,
        page,
        frame: Vec::new(),
        links: Vec::new(),
        easel,
        runtime,
        term: Some(term),
        keys: Some(keys),
        stop,
        owed: Owed::default(),
        out,
        caps: setting.caps,
        answers: Answers::default(),
        alert: setting.alert,
        follow: setting.follow,
        dirty: true,
        drawn: None,
        judged: None,
        leaving: false,
    };
    let lived = match front.begin(effects, width, height) {
        Ok(()) => front.turn(setting.limit.map(|limit| Instant::now() + limit)).await,
        Err(error) => Err(error),
    };
    match lived {
        Ok(()) => {
            front.settle();
            drop(front.term.take());
        }
        // The terminal is gone, or as good as that: the client ends as if it had been left.
        Err(error) => {
            front.left_alone().await?;
            drop(front.term.take());
            // Who could hear it may be gone too.
            let _ = writeln!(io::stderr(), "subrosa: the terminal cannot be used any more: {error}");
        }
    }
    Ok(front.runtime)
}

struct Front<'a> {
    runtime: Runtime,
    terminal: Terminal<CrosstermBackend<Page>>,
    /// What the drawing library writes.
    page: Page,
    /// The last of it: the same bytes once more would change nothing.
    frame: Vec<u8>,
    /// The links that are on the screen.
    links: Vec<Hyperlink>,
    easel: Easel,
    term: Option<Term>,
    /// None while somebody else has the terminal.
    keys: Option<Keys>,
    stop: &'a mut Stop,
    /// Answers that did not come yet.
    owed: Owed,
    out: Out,
    caps: Caps,
    answers: Answers,
    alert: Alert,
    follow: Option<Follow>,
    dirty: bool,
    drawn: Option<Instant>,
    judged: Option<Instant>,
    leaving: bool,
}

impl Front<'_> {
    fn begin(&mut self, effects: Vec<Effect>, width: u16, height: u16) -> io::Result<()> {
        let questions = answer::questions(&std::env::var("TERM").unwrap_or_default());
        self.owed.kind = true;
        self.write(&questions)?;
        self.carry_out(effects)?;
        self.event(Event::Resize(width, height))?;
        self.event(Event::Focus(true))
    }

    async fn turn(&mut self, mut limit: Option<Instant>) -> io::Result<()> {
        let pictures = self.runtime.studio().changed();
        while !self.leaving {
            // What the terminal has not taken yet comes before anything new for it.
            let clear = self.out.is_clear();
            // An editor may have hidden what is being locked: it is not shown once more.
            let draws = self.dirty && clear && self.runtime.app().leaving() != Some(Leaving::Lock);
            let frame = draws.then(|| self.drawn.map_or_else(Instant::now, |drawn| drawn + FRAME));
            let now = self.runtime.now();
            let paint = if clear { self.easel.next(now) } else { None };
            let paint = paint.map(|at| Instant::now() + at.since(now.mono));
            let judge = self.is_shown().then(|| self.judged.map_or_else(Instant::now, |at| at + JUDGE));
            tokio::select! {
                biased;
                // The person and the system come first,
                () = self.stop.asked() => self.command(Command::Quit)?,
                input = read(&mut self.keys) => match input {
                    Some(Ok(input)) => self.input(input)?,
                    // The terminal is gone, and with it whoever could be told.
                    Some(Err(_)) | None => return self.left_alone().await,
                },
                () = at(limit) => {
                    // Once: it stays due, and what leaving waits for comes further down.
                    limit = None;
                    self.command(Command::Quit)?;
                }
                // then what is written and drawn, which catches up with everything before it,
                flowed = self.out.flow() => flowed?,
                () = at(frame) => self.draw()?,
                // then what comes in,
                next = self.runtime.next() => match next {
                    Next::Event(event) => self.event(event)?,
                    Next::Done(Effect::Quit) => return Ok(()),
                    Next::Done(Effect::Tell(happened)) => self.happened(&happened)?,
                    Next::Done(_) => {}
                },
                () = pictures.notified() => self.pictures(),
                // and pictures with what is left.
                () = at(paint) => self.paint()?,
                () = at(judge) => self.judge()?,
            }
        }
        Ok(())
    }

    /// Leaves as if asked to, without a screen: what was typed and owed is written.
    async fn left_alone(&mut self) -> io::Result<()> {
        self.runtime.step(Event::Run(Command::Quit));
        loop {
            match self.runtime.next().await {
                Next::Event(event) => drop(self.runtime.step(event)),
                Next::Done(Effect::Quit) => return Ok(()),
                Next::Done(_) => {}
            }
        }
    }

    fn input(&mut self, input: Input) -> io::Result<()> {
        match input {
            Input::Answer(answer) => self.answered(answer),
            Input::Event(Did::Key(key)) if key.kind != KeyEventKind::Release => self.event(Event::Key(key)),
            Input::Event(Did::Key(_)) => Ok(()),
            Input::Event(Did::Paste(text)) => self.event(Event::Paste(text)),
            Input::Event(Did::Mouse(mouse)) => self.event(Event::Mouse(mouse)),
            Input::Event(Did::Resize(width, height)) => {
                self.fresh()?;
                self.event(Event::Resize(width, height))
            }
            Input::Event(Did::FocusGained) => self.event(Event::Focus(true)),
            Input::Event(Did::FocusLost) => self.event(Event::Focus(false)),
        }
    }

    /// The terminal said something about itself.
    fn answered(&mut self, answer: Answer) -> io::Result<()> {
        self.owed.heard(&answer);
        if answer == Answer::Status {
            self.easel.heard(self.runtime.now());
            return Ok(());
        }
        self.easel.speaks();
        if !self.answers.take(answer) {
            return Ok(());
        }
        self.caps = Caps::learn(|key| std::env::var(key).ok(), self.runtime.app().config(), &self.answers);
        self.event(Event::Terminal { caps: self.caps, said: self.answers.said() })?;
        self.look()
    }

    /// Pictures are made of what the terminal can do, beside text in these colours.
    fn look(&mut self) -> io::Result<()> {
        let mut bytes = Vec::new();
        self.easel.look(self.caps, self.runtime.app().ui().theme(), &mut bytes);
        self.write(&bytes)
    }

    fn command(&mut self, command: Command) -> io::Result<()> {
        self.event(Event::Run(command))
    }

    fn event(&mut self, event: Event) -> io::Result<()> {
        let effects = self.runtime.step(event);
        self.carry_out(effects)
    }

    fn happened(&mut self, happened: &Happened) -> io::Result<()> {
        let Some(follow) = &mut self.follow else { return Ok(()) };
        for command in follow(happened, &self.runtime) {
            self.command(command)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, effects: Vec<Effect>) -> io::Result<()> {
        for effect in effects {
            match effect {
                Effect::Draw => self.dirty = true,
                Effect::Notify { title, body } => {
                    self.write(&say::notify(&title, &body, self.alert, self.caps.mux))?;
                }
                Effect::Title(text) => self.write(&say::title(&text))?,
                Effect::Copy(text) => match say::copy(&text, self.caps.mux) {
                    Some(bytes) => self.write(&bytes)?,
                    None => self.say("too long for the clipboard: /export writes a file", true)?,
                },
                Effect::Mouse(on) => self.write(&term::mouse(on))?,
                Effect::Edit { text, fleeting } => self.away(|| Event::Edited(edit(&text, fleeting)))?,
                Effect::Suspend => self.away(suspend)?,
                // The rest is the runtime's.
                _ => {}
            }
        }
        Ok(())
    }

    fn say(&mut self, text: &str, error: bool) -> io::Result<()> {
        self.event(Event::Notice { text: text.into(), error })
    }

    /// Takes the answers that are still owed, before somebody else has the terminal.
    fn settle(&mut self) {
        if let Some(keys) = &mut self.keys {
            self.owed.settle(keys);
        }
        self.owed = Owed::default();
        self.easel.settled();
    }

    /// Gives the terminal to somebody else for a while.
    fn away(&mut self, work: impl FnOnce() -> Event) -> io::Result<()> {
        let mouse = self.runtime.app().config().screen.mouse;
        let mut bytes = Vec::new();
        self.easel.release(&mut bytes);
        self.write(&bytes)?;
        // What the terminal does not take now would be in the other one's way.
        self.out.forget();
        self.settle();
        self.keys = None;
        drop(self.term.take());
        // First of all: the terminal may be gone, and it may be time to lock.
        let event = work();
        let effects = self.runtime.step(event);
        self.term = Some(Term::enter(mouse)?);
        self.keys = Some(Keys::open()?);
        self.stop.forget_breaks()?;
        self.look()?;
        self.fresh()?;
        let (width, height) = term::size();
        self.carry_out(effects)?;
        self.event(Event::Resize(width, height))
    }

    fn draw(&mut self) -> io::Result<()> {
        if term::failed() {
            self.say("a part of this client failed: leave it and start it again; why is printed then", true)?;
        }
        if self.runtime.take_redraw() {
            self.fresh()?;
        }
        let studio = self.runtime.studio();
        let (theirs, own) = (studio.theirs(), studio.own());
        self.easel.show(theirs.clone(), own.clone());
        let pictures = Pictures {
            theirs: theirs.as_deref(),
            own: own.as_deref(),
            beside: true,
            stills: self.easel.shows_stills(),
        };
        self.easel.sized(dots());
        let (app, now) = (self.runtime.app(), self.runtime.now());
        let mut beside = Beside::default();
        self.terminal
            .draw(|frame| beside = view::draw_beside(app.chat(), app.ui(), &pictures, now, frame))?;
        let mut bytes = self.page.take();
        if bytes == self.frame {
            bytes.clear();
        } else {
            self.frame.clone_from(&bytes);
        }
        if beside.links != self.links {
            bytes.extend(say::hyperlinks(&beside.links, self.caps.mux));
            self.links.clone_from(&beside.links);
        }
        self.easel.place(&beside, &mut bytes);
        if app.chat().call.is_none() {
            self.easel.over();
        }
        (self.dirty, self.drawn) = (false, Some(Instant::now()));
        self.write(&bytes)
    }

    /// There are other pictures: the text around them is drawn again only when their shape changed.
    fn pictures(&mut self) {
        let studio = self.runtime.studio();
        self.dirty |= self.easel.show(studio.theirs(), studio.own());
    }

    fn paint(&mut self) -> io::Result<()> {
        let (now, begun) = (self.runtime.now(), Instant::now());
        let mut bytes = Vec::new();
        if self.easel.paint(now, &mut bytes).bytes > 0 {
            self.easel.worked(begun.elapsed());
        }
        self.owed.asked(&bytes);
        self.out.write(&bytes)?;
        if !self.out.is_clear() {
            self.easel.blocked(now);
        }
        Ok(())
    }

    /// Tells the person when pictures have to be less, or can be more.
    fn judge(&mut self) -> io::Result<()> {
        self.judged = Some(Instant::now());
        let loss = self.runtime.app().chat().call.as_ref().map_or(0.0, |call| call.stats.loss);
        if let Some(made) = self.easel.made(self.runtime.now()) {
            self.event(Event::Media(MediaEvent::Made(made)))?;
        }
        match self.easel.judge(loss, self.runtime.now()) {
            Some(level) => self.event(Event::Media(MediaEvent::Shown(level))),
            None => Ok(()),
        }
    }

    fn is_shown(&self) -> bool {
        self.runtime.app().chat().call.as_ref().is_some_and(|call| call.state == CallState::Active)
    }

    /// Forgets what is on the screen, so that the next frame draws all of it. The drawing library's own
    /// way asks the terminal for its cursor first, and waits for the answer.
    fn fresh(&mut self) -> io::Result<()> {
        let (width, height) = term::size();
        self.terminal = self.page.terminal(width, height)?;
        self.frame.clear();
        self.links.clear();
        self.easel.forget();
        self.dirty = true;
        self.write(b"\x1b[0m\x1b[2J")
    }

    /// Writes what is not a picture.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let now = self.runtime.now();
        self.easel.wrote(bytes.len(), now);
        self.out.write(bytes)?;
        if !self.out.is_clear() {
            self.easel.blocked(now);
        }
        Ok(())
    }
}

/// What the terminal was asked and has not answered.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    /// What it is. The answer to that comes behind all others of the start.
    pub(crate) kind: bool,
    /// How it is, so many times.
    well: usize,
}

impl Owed {
    /// Notes what a picture asks: in front of it and behind it.
    pub(crate) fn asked(&mut self, picture: &[u8]) {
        self.well += usize::from(picture.starts_with(drain::ASK));
        self.well += usize::from(picture.len() > drain::ASK.len() && picture.ends_with(drain::ASK));
    }

    pub(crate) fn heard(&mut self, answer: &Answer) {
        match answer {
            Answer::Status => self.well = self.well.saturating_sub(1),
            Answer::Attributes { .. } => self.kind = false,
            _ => {}
        }
    }

    fn is_nothing(&self) -> bool {
        !self.kind && self.well == 0
    }

    /// Takes what is still owed: whoever has the terminal next would take it for keys. Whoever calls it waits.
    pub(crate) fn settle(&mut self, keys: &mut Keys) {
        if !self.is_nothing() {
            keys.settle(SETTLE, |answer| {
                self.heard(answer);
                self.is_nothing()
            });
        }
    }
}

/// Where the drawing library writes.
#[derive(Clone, Default)]
struct Page(Rc<RefCell<Vec<u8>>>);

impl Page {
    /// A terminal of this size that shows nothing yet. Its size is changed only by making another
    /// one.
    fn terminal(&self, width: u16, height: u16) -> io::Result<Terminal<CrosstermBackend<Self>>> {
        let viewport = Viewport::Fixed(Rect::new(0, 0, width, height));
        Terminal::with_options(CrosstermBackend::new(self.clone()), TerminalOptions { viewport })
    }

    fn take(&self) -> Vec<u8> {
        self.0.take()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Dots of a cell, across and down; nothing where the terminal does not say.
fn dots() -> (u16, u16) {
    match crossterm::terminal::window_size() {
        Ok(size) if size.columns > 0 && size.rows > 0 => (size.width / size.columns, size.height / size.rows),
        _ => (0, 0),
    }
}

async fn read(keys: &mut Option<Keys>) -> Option<io::Result<Input>> {
    match keys {
        Some(keys) => keys.next().await,
        // They come back before the next turn.
        None => std::future::pending().await,
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// Composes in the person's editor, in a file that only they can read and that is gone afterwards.
fn edit(text: &str, fleeting: bool) -> Result<String, String> {
    let mut file = sheet(std::env::var_os("XDG_RUNTIME_DIR"), fleeting)?;
    let edited = edit_in(&mut file, text);
    // What cannot be overwritten is removed all the same.
    let _ = blacken(file.as_file());
    // An editor may have put another file in its place.
    let _ = File::options().write(true).open(file.path()).and_then(|left| blacken(&left));
    edited
}

/// A file to edit in: in memory, where the system names such a folder. What disappears is nowhere else.
fn sheet(memory: Option<OsString>, fleeting: bool) -> Result<NamedTempFile, String> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("subrosa-").suffix(".txt");
    let memory = memory.filter(|folder| Path::new(folder).is_absolute());
    match memory.and_then(|folder| builder.tempfile_in(folder).ok()) {
        Some(file) => Ok(file),
        None if fleeting => Err(
            "messages disappear here, and an editor would leave the text on the disk: write it here, or start with \
             $XDG_RUNTIME_DIR set to a folder in memory"
                .into(),
        ),
        None => builder.tempfile().map_err(no_file),
    }
}

fn no_file(error: io::Error) -> String {
    format!("no file to edit: {error}")
}

/// Overwrites a file, so that the disk does not keep its words.
fn blacken(mut file: &File) -> io::Result<()> {
    let length = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    io::copy(&mut io::repeat(0).take(length), &mut file)?;
    file.sync_data()
}

fn edit_in(file: &mut NamedTempFile, text: &str) -> Result<String, String> {
    let editor = std::env::var("VISUAL").or_else(|_| std::env::var("EDITOR")).unwrap_or_else(|_| "vi".into());
    file.write_all(text.as_bytes()).and_then(|()| file.flush()).map_err(no_file)?;
    // Through the shell, since people put arguments into $EDITOR.
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &format!("{editor} \"$1\""), "subrosa"]).arg(file.path());
    // Standard input may be a pipe with video; the editor wants the keys.
    if let Ok(keys) = File::open("/dev/tty") {
        command.stdin(keys);
    }
    let status =
        command.status().map_err(|error| format!("{editor} could not be started ({error}): set $EDITOR"))?;
    if !status.success() {
        return Err(format!(
            "{editor} ended with {status}: the text is as it was; set $EDITOR to another one"
        ));
    }
    File::open(file.path()).and_then(saved).map_err(no_file)
}

/// What an editor saved: where it is too long or no UTF-8, what can be had of it, since the file goes.
fn saved(file: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(EDITED_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

/// Stops this process as Ctrl+Z does; returns when the shell brings it back.
fn suspend() -> Event {
    // It is turned off by now, and stays open where nothing runs any more that closes it.
    source::cameras_close(CLOSES);
    // When the system says no, nothing happened.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TSTP);
    Event::Resumed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_editor_saved_was_lost_when_it_was_no_utf8_or_too_long() {
        assert_eq!(saved(&b"a caf\xe9 \n\n"[..]).expect("reads"), "a caf\u{fffd}");
        let long = "x".repeat(EDITED_MAX as usize + 1);
        assert_eq!(saved(long.as_bytes()).expect("reads").len(), EDITED_MAX as usize);
    }

    #[test]
    fn what_disappears_is_edited_in_memory_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let memory = || Some(folder.path().as_os_str().to_owned());
        for fleeting in [false, true] {
            let file = sheet(memory(), fleeting).expect("made");
            assert!(file.path().starts_with(folder.path()));
        }
        let named = ["", "no/folder", "/no/folder"].map(|folder| Some(OsString::from(folder)));
        for none in named.into_iter().chain([None]) {
            assert!(sheet(none.clone(), true).is_err_and(|why| why.contains("disappear")), "{none:?}");
            assert!(sheet(none, false).is_ok());
        }
    }

    #[test]
    fn of_what_was_edited_no_word_is_left_in_the_file() {
        let mut file = NamedTempFile::new().expect("made");
        file.write_all(b"soon gone").expect("written");
        blacken(file.as_file()).expect("overwritten");
        assert_eq!(std::fs::read(file.path()).expect("there"), [0; 9]);
    }

    #[test]
    fn answers_are_owed_until_each_of_them_came() {
        let mut owed = Owed { kind: true, well: 0 };
        owed.asked(b"\x1b[5n");
        owed.asked(b"\x1b[5n a picture \x1b[5n");
        owed.asked(b"another one");
        assert_eq!(owed.well, 3);
        owed.heard(&Answer::Name("xterm".into()));
        owed.heard(&Answer::Attributes { sixel: false });
        for _ in 0..3 {
            assert!(!owed.is_nothing());
            owed.heard(&Answer::Status);
        }
        assert!(owed.is_nothing());
        owed.heard(&Answer::Status);
        assert!(owed.is_nothing(), "one that nobody asked for");
    }
}
