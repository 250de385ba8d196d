//! The client on a terminal: keys in, cells out.

use crate::effect::{Effect, Happened};
use crate::event::Event;
use crate::runtime::{Next, Runtime};
use crate::term::{self, Alert, Caps, Term};
use crate::ui::command::Command;
use crate::ui::view::{self, Pictures};
use crossterm::event::{Event as Input, EventStream, KeyEventKind};
use crossterm::execute;
use crossterm::terminal::{Clear, ClearType};
use futures_util::StreamExt;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use std::io::{self, Stdout, Write};
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Drawing more often than this is not seen, and over ssh it is felt.
const FRAME: Duration = Duration::from_millis(33);
/// The longest text that is read back from an editor; a message is shorter.
const EDITED_MAX: u64 = 256 * 1024;

/// What a front end adds to what people do: the demo's usher.
pub type Follow = Box<dyn FnMut(&Happened, &Runtime) -> Vec<Command>>;

/// How the client runs on the terminal.
pub struct Setting {
    /// What the terminal can do.
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

/// Runs until the person leaves. Gives the terminal back in any case.
///
/// # Errors
/// Those of the terminal.
pub async fn run(runtime: Runtime, effects: Vec<Effect>, setting: Setting) -> io::Result<Runtime> {
    let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
    let term = Term::enter(setting.mouse)?;
    let mut front = Front {
        runtime,
        terminal,
        term: Some(term),
        keys: EventStream::new(),
        caps: setting.caps,
        alert: setting.alert,
        follow: setting.follow,
        dirty: true,
        drawn: None,
        leaving: false,
    };
    let (width, height) = crossterm::terminal::size().unwrap_or((80, 24));
    front.carry_out(effects)?;
    front.event(Event::Resize(width, height))?;
    front.event(Event::Focus(true))?;
    front.turn(setting.limit.map(|limit| Instant::now() + limit)).await?;
    drop(front.term.take());
    Ok(front.runtime)
}

struct Front {
    runtime: Runtime,
    terminal: Terminal<CrosstermBackend<Stdout>>,
    term: Option<Term>,
    keys: EventStream,
    caps: Caps,
    alert: Alert,
    follow: Option<Follow>,
    dirty: bool,
    drawn: Option<Instant>,
    leaving: bool,
}

impl Front {
    async fn turn(&mut self, limit: Option<Instant>) -> io::Result<()> {
        let mut ends = [signal(SignalKind::terminate())?, signal(SignalKind::hangup())?];
        let pictures = self.runtime.studio().changed();
        while !self.leaving {
            let frame = self.dirty.then(|| self.drawn.map_or_else(Instant::now, |drawn| drawn + FRAME));
            tokio::select! {
                biased;
                // The person and the system come first,
                () = any(&mut ends) => self.command(Command::Quit)?,
                input = self.keys.next() => match input {
                    Some(Ok(input)) => self.input(input)?,
                    // The terminal is gone, and with it whoever could be told.
                    Some(Err(_)) | None => return self.left_alone().await,
                },
                () = at(limit) => self.command(Command::Quit)?,
                // then what is drawn, which catches up with everything before it,
                () = at(frame) => self.draw()?,
                // then what comes in.
                next = self.runtime.next() => match next {
                    Next::Event(event) => self.event(event)?,
                    Next::Done(Effect::Quit) => return Ok(()),
                    Next::Done(Effect::Tell(happened)) => self.happened(&happened)?,
                    Next::Done(_) => {}
                },
                () = pictures.notified() => self.dirty = true,
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
            Input::Key(key) if key.kind != KeyEventKind::Release => self.event(Event::Key(key)),
            Input::Key(_) => Ok(()),
            Input::Paste(text) => self.event(Event::Paste(text)),
            Input::Mouse(mouse) => self.event(Event::Mouse(mouse)),
            Input::Resize(width, height) => self.event(Event::Resize(width, height)),
            Input::FocusGained => self.event(Event::Focus(true)),
            Input::FocusLost => self.event(Event::Focus(false)),
        }
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
                    self.write(&term::notify(&title, &body, self.alert, self.caps.mux))?;
                }
                Effect::Title(text) => self.write(&term::title(&text))?,
                Effect::Copy(text) => match term::copy(&text, self.caps.mux) {
                    Some(bytes) => self.write(&bytes)?,
                    None => self.say("too long for the clipboard: /export writes a file", true)?,
                },
                Effect::Mouse(on) => {
                    if let Some(term) = &mut self.term {
                        term.mouse(on)?;
                    }
                }
                Effect::Edit(text) => {
                    let edited = self.away(|| edit(&text))?;
                    self.event(Event::Edited(edited))?;
                }
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

    /// Gives the terminal to somebody else for a while.
    fn away<T>(&mut self, work: impl FnOnce() -> T) -> io::Result<T> {
        let mouse = self.runtime.app().config().screen.mouse;
        // The stream's own thread would read the other one's keys.
        self.keys = EventStream::new();
        drop(self.term.take());
        let done = work();
        self.term = Some(Term::enter(mouse)?);
        self.keys = EventStream::new();
        self.fresh()?;
        let (width, height) = crossterm::terminal::size().unwrap_or((80, 24));
        self.event(Event::Resize(width, height))?;
        Ok(done)
    }

    fn draw(&mut self) -> io::Result<()> {
        if self.runtime.take_redraw() {
            self.fresh()?;
        }
        let studio = self.runtime.studio();
        let (theirs, own) = (studio.theirs(), studio.own());
        let pictures = Pictures { theirs: theirs.as_deref(), own: own.as_deref() };
        let (app, now) = (self.runtime.app(), self.runtime.now());
        let mut links = Vec::new();
        self.terminal.draw(|frame| links = view::draw_links(app.chat(), app.ui(), &pictures, now, frame))?;
        self.write(&term::hyperlinks(&links, self.caps.mux))?;
        (self.dirty, self.drawn) = (false, Some(Instant::now()));
        Ok(())
    }

    /// Forgets what is on the screen, so that the next frame draws all of it. The drawing library's own
    /// way asks the terminal for its cursor first, whose answer the keys' reader would take.
    fn fresh(&mut self) -> io::Result<()> {
        self.terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        execute!(io::stdout(), Clear(ClearType::All))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut out = io::stdout();
        out.write_all(bytes)?;
        out.flush()
    }
}

async fn any(signals: &mut [Signal; 2]) {
    let [first, second] = signals;
    tokio::select! {
        _ = first.recv() => {}
        _ = second.recv() => {}
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// Composes in the person's editor, in a file that only they can read and that is gone afterwards.
fn edit(text: &str) -> Result<String, String> {
    let editor = std::env::var("VISUAL").or_else(|_| std::env::var("EDITOR")).unwrap_or_else(|_| "vi".into());
    let failed = |error: io::Error| format!("no file to edit: {error}");
    let mut builder = tempfile::Builder::new();
    builder.prefix("subrosa-").suffix(".txt");
    // In memory where the system has such a place.
    let mut file = match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(dir) => builder.tempfile_in(dir).or_else(|_| builder.tempfile()),
        None => builder.tempfile(),
    }
    .map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.flush()).map_err(failed)?;
    // Through the shell, since people put arguments into $EDITOR.
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &format!("{editor} \"$1\""), "subrosa"]).arg(file.path());
    // Standard input may be a pipe with video; the editor wants the keys.
    if let Ok(keys) = std::fs::File::open("/dev/tty") {
        command.stdin(keys);
    }
    let status =
        command.status().map_err(|error| format!("{editor} could not be started ({error}): set $EDITOR"))?;
    if !status.success() {
        return Err(format!(
            "{editor} ended with {status}: the text is as it was; set $EDITOR to another one"
        ));
    }
    let length = std::fs::metadata(file.path()).map_err(failed)?.len();
    if length > EDITED_MAX {
        return Err("that is too long for a message".into());
    }
    let edited = std::fs::read_to_string(file.path()).map_err(failed)?;
    Ok(edited.trim_end().to_string())
}

/// Stops this process as Ctrl+Z does; returns when the shell brings it back.
fn suspend() {
    // When the system says no, nothing happened.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TSTP);
}
