//! The command line.

use crate::burn;
use crate::config::Config;
use crate::demo::{Demo, Usher};
use crate::demo_crypto::{self, Page, WIDEST};
use crate::event::Event;
use crate::export;
use crate::linking::{By, Joined, Said};
use crate::lock::{self, Closed, Leaving};
use crate::locked;
use crate::oneshot::{self, Form, Wait};
use crate::rpc::place::Place;
use crate::runtime::Runtime;
use crate::start::{self, Opened};
use crate::stop::Stop;
use crate::term::input::Input;
use crate::term::keys::Keys;
use crate::term::{self, Alert, Caps, Depth, Term};
use crate::tui::{self, Setting};
use crate::ui::command::{Command as Do, Secret};
use crate::ui::devices::qr;
use crate::ui::setup::{self, RelayChoice, Setup, SetupStep, draw_setup};
use crate::ui::theme::Theme;
use crate::video_tool;
use clap::{Parser, Subcommand};
use crossterm::event::{Event as Did, KeyEventKind};
use crossterm::execute;
use crossterm::terminal::{Clear, ClearType};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use std::io::{IsTerminal, Stdout, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::pair::Code;
use subrosa_shared::store::profile::Presence;
use tokio::sync::mpsc;

/// Private chat and live video calls in a terminal, end-to-end encrypted.
#[derive(Parser)]
#[command(version, about, after_help = AFTER)]
struct Args {
    /// The profile: a name, or a folder (anything with a slash)
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// Settings; config/client.toml lists them all with their defaults
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Relay link (or here) that the first run proposes; later, the same relay's link since it has moved, also
    /// before rpc, send and tail
    #[arg(long, value_name = "LINK", value_parser = setup::relay)]
    relay: Option<RelayChoice>,
    #[command(subcommand)]
    command: Option<Command>,
}

impl Args {
    /// Where the relay of a profile that is there is by now: `here`, typed once more, says nothing of that.
    fn moved(&self) -> Option<RelayLink> {
        match &self.relay {
            Some(RelayChoice::Link(link)) => Some(link.clone()),
            Some(RelayChoice::Here) | None => None,
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// A live conversation at once: relay and two residents on this machine, nothing to configure
    Demo {
        /// End by itself after that many seconds
        #[arg(long, value_name = "N")]
        seconds: Option<u64>,
        #[command(subcommand)]
        walk: Option<Walk>,
    },
    /// Sign in with a password on a machine that has no profile yet
    Login {
        /// Your name at the relay
        #[arg(value_name = "NAME", value_parser = AccountName::parse)]
        name: Option<AccountName>,
        /// Link of your relay
        #[arg(long, value_name = "LINK")]
        relay: Option<String>,
    },
    /// JSON-RPC 2.0 lines on standard input and output, for scripts and bots
    Rpc,
    /// Make this machine a device of your account: by the code that your other device shows (/devices
    /// link), or by one that is shown here (--show LINK) and typed there (/devices link CODE)
    Link {
        /// The three words
        #[arg(value_name = "CODE", required_unless_present = "show", conflicts_with = "show", value_parser = Code::parse)]
        code: Option<Code>,
        /// The relay's link
        #[arg(value_name = "LINK", required_unless_present = "show")]
        relay: Option<RelayLink>,
        /// Show a code here, at the relay of this link
        #[arg(long, value_name = "LINK", conflicts_with = "relay")]
        show: Option<RelayLink>,
        /// What this device is called
        #[arg(long, value_name = "NAME", default_value = "")]
        name: String,
    },
    /// Send standard input or a file to a person or into a room
    #[command(after_help = SEND)]
    Send {
        /// A person's name, or a room's '#name' or '#number' (in quotes: shells take # for a comment)
        #[arg(value_name = "NAME", value_parser = Place::parse)]
        to: Place,
        /// This file instead of standard input
        #[arg(long, value_name = "PATH")]
        file: Option<PathBuf>,
        /// What to wait for
        #[arg(long, value_enum, default_value_t)]
        wait: Wait,
        /// How long to wait
        #[arg(long, value_name = "SECONDS", default_value_t = 30)]
        timeout: u32,
    },
    /// Print lines of a conversation or of a room as they come
    Tail {
        /// A person's name, or a room's '#name' or '#number' (in quotes: shells take # for a comment)
        #[arg(value_name = "NAME", value_parser = Place::parse)]
        with: Place,
        /// As JSON, one object a line, as `subrosa rpc` tells a `message`
        #[arg(long)]
        json: bool,
        /// Begin with that many lines that are there already
        #[arg(long, value_name = "N", default_value_t = 0)]
        last: usize,
    },
    /// Take keys or conversations out of the profile
    #[command(subcommand)]
    Export(export::cli::Export),
    /// Make a profile from a key file, to go on with on this machine
    Import {
        /// What `subrosa export keys` or /export keys wrote
        file: PathBuf,
        /// The old machine does not go on: do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Destroy a profile for good, without its passphrase; asks twice
    Burn,
    /// Encode, decode and measure video files with the codec of calls
    #[command(subcommand)]
    Video(video_tool::Tool),
}

#[derive(Subcommand)]
enum Walk {
    /// One message through the whole path: real bytes, who sees what, one bit changed at each step
    Crypto {
        /// As JSON, one object a step
        #[arg(long)]
        json: bool,
    },
}

const AFTER: &str = "\
Without a command: the client. The first run asks for a name, a passphrase and a relay. `subrosa login`
brings an account with a login password to a machine that has no profile yet.
Inside, F1 or ? shows all keys and commands.
Environment: SUBROSA_PASSPHRASE unlocks the profile of scripts, SUBROSA_EXPORT_PASSPHRASE key files; NO_COLOR;
EDITOR.";

const SEND: &str = "\
Ends with 0 when it is done, 3 when the time was too short, 4 when nobody has that name or you are in no such
room, 5 when their key has changed or the safety numbers differed, 6 when the profile could not be opened, 2
when the command line is not right, 1 for anything else.";

/// Runs the program.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let tokio = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(tokio) => tokio,
        Err(error) => return failed(&format!("no threads to run on: {error}")),
    };
    let done = tokio.block_on(run(args));
    // Threads that still read a terminal or a pipe must not keep the program.
    tokio.shutdown_background();
    match done {
        Ok(code) => code,
        Err(why) => failed(&why),
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("subrosa: {why}");
    ExitCode::FAILURE
}

async fn run(args: Args) -> Result<ExitCode, String> {
    let config = settings(args.config.as_deref())?;
    let dir = || start::folder(args.profile.as_deref());
    let moved = args.moved();
    let proposed = args.relay.map(|relay| relay.to_string());
    match args.command {
        Some(
            Command::Demo { .. }
            | Command::Link { .. }
            | Command::Export(_)
            | Command::Import { .. }
            | Command::Burn
            | Command::Video(_),
        ) if proposed.is_some() => {
            return Err("--relay goes with the client itself, login, rpc, send and tail: leave it out".into());
        }
        Some(Command::Demo { walk: Some(Walk::Crypto { json }), .. }) => demo_crypto(&config, json)?,
        Some(Command::Demo { seconds, walk: None }) => demo(config, seconds).await?,
        Some(Command::Rpc) => crate::rpc::run(&dir()?, config, moved).await?,
        Some(Command::Link { code, relay, show, name }) => {
            let by = match code {
                Some(code) => By::Typing(code),
                None => By::Showing(Box::new(tell_code)),
            };
            let relay = relay.or(show).ok_or("the link of your relay is missing (subrosa://…)")?;
            let passphrase = crate::passphrase::new().await?;
            let Joined { account, sure } =
                crate::linking::run(&dir()?, by, &relay, &name, passphrase).await?;
            match sure {
                true => println!(
                    "this machine is a device of '{account}' now: start subrosa, and the history comes by itself"
                ),
                false => println!(
                    "this machine has all of a device of '{account}', but the connection broke before the other device said \
                     that it is in the list: start subrosa, which shows it"
                ),
            }
        }
        Some(Command::Send { to, file, wait, timeout }) => {
            let timeout = Duration::from_secs(timeout.into());
            return Ok(oneshot::send(&dir()?, config, moved, &to, file.as_deref(), wait, timeout).await);
        }
        Some(Command::Tail { with, json, last }) => {
            let form = if json { Form::Json } else { Form::Plain };
            return Ok(oneshot::tail(&dir()?, config, moved, &with, last, form).await);
        }
        Some(Command::Export(what)) => export::cli::export(&dir()?, what).await?,
        Some(Command::Import { file, yes }) => export::cli::import(&dir()?, &file, yes).await?,
        Some(Command::Burn) => burn::run(&dir()?)?,
        Some(Command::Video(tool)) => video_tool::run(tool, config).await?,
        Some(Command::Login { name, relay }) => {
            let relay = relay.or(proposed).unwrap_or_default();
            client(&dir()?, config, None, || Setup::sign_in(name.as_ref(), relay)).await?;
        }
        None => client(&dir()?, config, moved, || Setup::first_run(proposed)).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What a machine that shows a code says: for a person, and with a QR where that fits.
fn tell_code(said: Said<'_>) {
    match said {
        Said::Code(code) => {
            let command = format!("/devices link {code}");
            println!("on a device of yours, type: {command}");
            println!("It is good for one try. Show it to nobody else.");
            let size = crossterm::terminal::size().ok().filter(|_| stdout().is_terminal());
            let fits = |drawn: &String| {
                let wide = drawn.lines().map(|line| line.chars().count()).max().unwrap_or(0);
                size.is_some_and(|(width, height)| {
                    wide <= usize::from(width) && drawn.lines().count() + 3 <= usize::from(height)
                })
            };
            if let Some(drawn) = qr(&command).filter(fits) {
                print!("{drawn}");
            }
        }
        Said::Minutes(1) => eprintln!("waiting; the code is good for another minute"),
        Said::Minutes(minutes) => eprintln!("waiting; the code is good for {minutes} minutes"),
        Said::Account(account) => eprintln!("it was typed on a device of '{account}'; linking…"),
    }
}

/// The settings: a named file must be there, the usual one may be.
fn settings(named: Option<&Path>) -> Result<Config, String> {
    let from_file = |config| Config { from_file: true, ..config };
    if let Some(path) = named {
        return Config::read(path).map(from_file);
    }
    let usual =
        directories::ProjectDirs::from("", "", "subrosa").map(|dirs| dirs.config_dir().join("client.toml"));
    match usual.filter(|path| path.exists()) {
        Some(path) => Config::read(&path).map(from_file),
        None => Ok(Config::default()),
    }
}

async fn demo(config: Config, seconds: Option<u64>) -> Result<(), String> {
    if !on_terminal() {
        return crate::demo::headless(seconds).await;
    }
    let demo = Demo::start().await?;
    let caps = Caps::detect(environment, &config);
    let link = demo.link().clone();
    let (runtime, effects) =
        Runtime::start(demo.guest(config.clone(), caps), link).map_err(|error| error.to_string())?;
    let mut usher = Usher::default();
    let setting = Setting {
        limit: seconds.map(Duration::from_secs),
        follow: Some(Box::new(move |happened, runtime| usher.follow(happened, runtime))),
        ..setting(&config, caps)
    };
    let mut stop = Stop::on_screen().map_err(no_terminal)?;
    let runtime = tui::run(runtime, effects, setting, &mut stop).await.map_err(no_terminal)?;
    runtime.finish(stop.asked()).await;
    demo.end().await;
    Ok(())
}

fn demo_crypto(config: &Config, json: bool) -> Result<(), String> {
    let caps = Caps::detect(environment, config);
    let on_screen = stdout().is_terminal();
    let width = crossterm::terminal::size().ok().filter(|_| on_screen);
    let page = Page {
        width: width.map_or(WIDEST, |(width, _)| usize::from(width)),
        colour: on_screen && caps.depth != Depth::None,
        unicode: caps.unicode,
    };
    let form = if json { demo_crypto::Form::Json } else { demo_crypto::Form::Page(page) };
    demo_crypto::run(form, &mut stdout().lock())
}

/// `first` is the screen of a folder without a profile; one that is there goes on at `moved`.
async fn client(
    dir: &Path,
    mut config: Config,
    moved: Option<RelayLink>,
    first: impl FnOnce() -> Setup,
) -> Result<(), String> {
    if !on_terminal() {
        return Err("this needs a terminal; `subrosa demo` and `subrosa rpc` work without one".into());
    }
    if subrosa_shared::store::burn::is_unfinished(dir).unwrap_or(false) {
        eprintln!("subrosa: a burn of {} was cut off; it is finished now", dir.display());
    }
    let presence = start::look(dir)?;
    let mut caps = Caps::detect(environment, &config);
    // One for all of it: what is sent between two parts is heard by the next.
    let mut stop = Stop::on_screen().map_err(no_terminal)?;
    // Each part in a box that is wiped when it is over: nothing of an open client stays on the stack of
    // a locked one.
    let entered = Box::pin(enter(dir, &presence, &config, caps, moved, first, &mut stop)).await?;
    let Some((open, mut password)) = entered else { return Ok(()) };
    config = start::settings_of(&open.profile.store, config);
    caps = Caps::detect(environment, &config);
    let mut opened = Some(open);
    while let Some(open) = opened.take() {
        lock::scrub();
        let closed = Box::pin(session(open, password.take(), &config, caps, &mut stop)).await?;
        lock::scrub();
        if let Some(closed) = closed {
            let theme = Theme::named(&config.screen.theme, caps.depth).unwrap_or_else(Theme::plain);
            opened = Box::pin(locked::unlock(closed, &theme, &mut stop)).await?;
        }
    }
    Ok(())
}

/// After that a person who leaves is told what is waited for.
const SLOW: Duration = Duration::from_secs(3);

/// From an open profile to the end; what is left when it was locked. `password` is a login password to
/// be set first.
async fn session(
    opened: Box<Opened>,
    password: Option<Do>,
    config: &Config,
    caps: Caps,
    stop: &mut Stop,
) -> Result<Option<Closed>, String> {
    let (parts, link, held) = opened.into_parts(config.clone(), caps);
    let (mut runtime, mut effects) = Runtime::start(parts, link).map_err(|error| error.to_string())?;
    if let Some(set) = password {
        effects.extend(runtime.step(Event::Run(set)));
    }
    let runtime = tui::run(runtime, effects, setting(config, caps), stop).await.map_err(no_terminal)?;
    let (leaving, halves) = (runtime.app().leaving(), runtime.app().halves());
    let saved = {
        let finishing = runtime.finish(stop.asked());
        tokio::pin!(finishing);
        match tokio::time::timeout(SLOW, &mut finishing).await {
            Ok(saved) => saved,
            Err(_) => {
                eprintln!("The disk is slow: the last changes are being written. Ctrl+C ends without them.");
                finishing.await
            }
        }
    };
    match leaving {
        Some(Leaving::Burn) => {
            burn::halves(&halves);
            held.lock().burn().await.map_err(|error| burn::unfinished(&error))?;
            println!("{}", burn::GOODBYE);
            return Ok(None);
        }
        // What could not be written keeps the store and its keys in memory: then the program ends.
        Some(Leaving::Lock) if saved => return Ok(Some(held.lock())),
        _ => held.close().await,
    }
    if saved {
        Ok(None)
    } else {
        Err("the last changes could not be written: the disk is full or broken".into())
    }
}

/// First run or unlocking; `None` when the person leaves.
async fn enter(
    dir: &Path,
    presence: &Presence,
    config: &Config,
    caps: Caps,
    moved: Option<RelayLink>,
    first: impl FnOnce() -> Setup,
    stop: &mut Stop,
) -> Result<Option<(Box<Opened>, Option<Do>)>, String> {
    let theme = Theme::named(&config.screen.theme, caps.depth).unwrap_or_else(Theme::plain);
    let mut setup = match presence {
        Presence::Present => Setup::unlock(
            dir.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        ),
        _ => first(),
    };
    let mut terminal = whole_screen().map_err(no_terminal)?;
    let mut keys = Keys::open().map_err(no_terminal)?;
    let _term = Term::enter(false).map_err(no_terminal)?;
    // Until then nobody is let in by password.
    let mut waits: Option<Instant> = None;
    loop {
        if let Some(until) = waits {
            let left = until.saturating_duration_since(Instant::now());
            setup.waits(left);
            waits = waits.filter(|_| !left.is_zero());
        }
        terminal.draw(|frame| draw_setup(&setup, &theme, frame)).map_err(no_terminal)?;
        let input = tokio::select! {
            biased;
            () = stop.asked() => return Ok(None),
            input = keys.next() => input,
            () = next_second(waits) => continue,
        };
        let step = match input {
            Some(Ok(Input::Event(Did::Key(key)))) if key.kind != KeyEventKind::Release => setup.key(key),
            Some(Ok(Input::Event(Did::Paste(text)))) => {
                setup.paste(&text);
                SetupStep::Stay
            }
            Some(Ok(Input::Event(Did::Resize(..)))) => {
                terminal = whole_screen().map_err(no_terminal)?;
                execute!(stdout(), Clear(ClearType::All)).map_err(no_terminal)?;
                SetupStep::Stay
            }
            Some(Ok(_)) => SetupStep::Stay,
            Some(Err(_)) | None => return Ok(None),
        };
        let mut password = None;
        let opened = match step {
            SetupStep::Stay => continue,
            SetupStep::Quit => return Ok(None),
            SetupStep::SignIn { name, password, passphrase, relay } => {
                setup.busy("signing in; the password is stretched for a moment…");
                let proving = start::prove(name, password, relay);
                let mut silent = mpsc::unbounded_channel().1;
                let proved =
                    unless_left(&mut setup, &theme, &mut terminal, &mut keys, stop, &mut silent, proving);
                let opened = match proved.await? {
                    None => return Ok(None),
                    Some(Ok(let_in)) => let_in.keep(dir, passphrase).await,
                    Some(Err(why)) => Err(why),
                };
                opened.map_err(|why| {
                    waits = why.wait.map(|wait| Instant::now() + wait);
                    why.said
                })
            }
            SetupStep::Link { code, passphrase, relay } => {
                let (say, mut said) = mpsc::unbounded_channel();
                let by = match code {
                    Some(code) => By::Typing(code),
                    None => By::Showing(crate::linking::in_sentences(say)),
                };
                setup.busy("meeting the other device…");
                let linking = crate::linking::run(dir, by, &relay, "", passphrase.clone());
                let linked =
                    unless_left(&mut setup, &theme, &mut terminal, &mut keys, stop, &mut said, linking);
                let Some(linked) = linked.await? else { return Ok(None) };
                match linked {
                    Ok(Joined { account, sure }) => {
                        setup.busy(match sure {
                            true => format!("this machine is a device of '{account}' now; opening…"),
                            false => format!(
                                "this machine has all of a device of '{account}'; opening shows whether it is in the list…"
                            ),
                        });
                        terminal.draw(|frame| draw_setup(&setup, &theme, frame)).map_err(no_terminal)?;
                        start::open(dir, passphrase, None).await
                    }
                    Err(why) => Err(why),
                }
            }
            SetupStep::Create { name, passphrase, relay, login } => {
                password = login.map(|password| Do::SetPassword {
                    passphrase: Secret(passphrase.clone()),
                    password: Secret(password),
                });
                setup.busy("making keys; the passphrase is stretched for about a second…");
                terminal.draw(|frame| draw_setup(&setup, &theme, frame)).map_err(no_terminal)?;
                start::create(dir, name, passphrase, relay).await
            }
            SetupStep::Unlock { passphrase } => {
                setup.busy("unlocking…");
                terminal.draw(|frame| draw_setup(&setup, &theme, frame)).map_err(no_terminal)?;
                start::open(dir, passphrase, moved.clone()).await
            }
        };
        match opened {
            Ok(opened) => return Ok(Some((Box::new(opened), password))),
            Err(why) => setup.problem(why),
        }
    }
}

/// Waits for that, with what it says on the screen; `None` when the person leaves first.
async fn unless_left<T>(
    setup: &mut Setup,
    theme: &Theme,
    terminal: &mut Terminal<CrosstermBackend<Stdout>>,
    keys: &mut Keys,
    stop: &mut Stop,
    said: &mut mpsc::UnboundedReceiver<String>,
    work: impl Future<Output = T>,
) -> Result<Option<T>, String> {
    let mut work = Box::pin(work);
    loop {
        terminal.draw(|frame| draw_setup(setup, theme, frame)).map_err(no_terminal)?;
        let input = tokio::select! {
            biased;
            () = stop.asked() => return Ok(None),
            done = &mut work => return Ok(Some(done)),
            Some(said) = said.recv() => {
                setup.busy(said);
                continue;
            }
            input = keys.next() => input,
        };
        match input {
            Some(Ok(Input::Event(Did::Key(key)))) if key.kind != KeyEventKind::Release => {
                if matches!(setup.key(key), SetupStep::Quit) {
                    return Ok(None);
                }
            }
            Some(Ok(Input::Event(Did::Resize(..)))) => {
                *terminal = whole_screen().map_err(no_terminal)?;
                execute!(stdout(), Clear(ClearType::All)).map_err(no_terminal)?;
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Ok(None),
        }
    }
}

/// When the time until then is a whole number of seconds again.
async fn next_second(until: Option<Instant>) {
    let Some(until) = until else { return std::future::pending().await };
    let left = until.saturating_duration_since(Instant::now());
    let part = Duration::from_millis(left.subsec_millis().into());
    tokio::time::sleep(if part.is_zero() { Duration::from_secs(1) } else { part }).await;
}

/// A terminal of the screen's size that shows nothing. The drawing library's own way to notice another
/// size asks the terminal for its cursor, whose answer the keys' reader would take.
pub(crate) fn whole_screen() -> std::io::Result<Terminal<CrosstermBackend<Stdout>>> {
    let (width, height) = term::size();
    let viewport = Viewport::Fixed(Rect::new(0, 0, width, height));
    Terminal::with_options(CrosstermBackend::new(stdout()), TerminalOptions { viewport })
}

fn setting(config: &Config, caps: Caps) -> Setting {
    let alert = Alert::detect(environment, &config.notify.how);
    Setting { caps, alert, mouse: config.screen.mouse, limit: None, follow: None }
}

/// Whether there is a screen and keys. Standard input may be a pipe with video: then the keys come
/// from the controlling terminal.
pub(crate) fn on_terminal() -> bool {
    stdout().is_terminal() && (stdin().is_terminal() || std::fs::File::open("/dev/tty").is_ok())
}

pub(crate) fn environment(key: &str) -> Option<String> {
    std::env::var(key).ok()
}

pub(crate) fn no_terminal(error: std::io::Error) -> String {
    format!("the terminal cannot be used: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_runs_own_here_kept_a_later_start_from_opening() {
        let args = Args::try_parse_from(["subrosa", "--relay", "here"]).map_err(|why| why.to_string());
        assert_eq!(args.map(|args| (args.moved(), args.relay)), Ok((None, Some(RelayChoice::Here))));
        let link = format!("subrosa://relay.invalid:4433/#{}", "a".repeat(52));
        let args = Args::try_parse_from(["subrosa", "--relay", &link, "rpc"]).map_err(|why| why.to_string());
        assert_eq!(args.map(|args| args.moved()), Ok(link.parse::<RelayLink>().ok()));
        assert!(Args::try_parse_from(["subrosa", "--relay", "nonsense"]).is_err());
    }
}
