//! `subrosa send` and `subrosa tail`: one thing each, for shells.
//!
//! `send` ends with
//!
//! | code | means |
//! |---|---|
//! | 0 | the relay has it on its disk (or they, in a room all others, have it on theirs, with `--wait delivered`) |
//! | 1 | something else went wrong |
//! | 2 | the command line is not right |
//! | 3 | not within the time: what was written stays in the profile and goes out when subrosa next runs |
//! | 4 | nobody has that name at the relay, or this account is in no such room, or in several called so |
//! | 5 | their key has changed, or the safety numbers differed; nothing was sent |
//! | 6 | the profile could not be opened (there is none, another program has it open, wrong passphrase) |
//!
//! `tail` ends with 0 when it is asked to (SIGINT, SIGTERM) or when nobody reads any more, otherwise as
//! above. Both say on standard error what went wrong.
//!
//! A room is written to once the relay has handed over what waited: who is in it may be another than when
//! this profile was last open.

use crate::app::history;
use crate::chat::Link;
use crate::chat::groups::{Group, Tally};
use crate::chat::person::Trouble;
use crate::chat::timeline::{Author, LineState};
use crate::config::Config;
use crate::effect::{Effect, Happened};
use crate::event::{Event, LinkEvent};
use crate::rpc::place::Place;
use crate::rpc::{event, rooms, wire};
use crate::runtime::{Next, Runtime};
use crate::start::{self, Held};
use crate::stop::Stop;
use crate::term::Caps;
use crate::ui::command::Command;
use crate::ui::files::{FilesCommand, Which};
use crate::ui::text;
use crossterm::event::{Event as Input, KeyCode, KeyEventKind, KeyModifiers};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use subrosa_shared::content::TEXT_MAX;
use subrosa_shared::id::{AccountName, MessageId, RoomId};
use subrosa_shared::protocol::frame::ToDevice;
use subrosa_shared::store::profile::Presence;
use subrosa_shared::time::Millis;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// What `send` waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Wait {
    /// The relay has it on its disk.
    #[default]
    Accepted,
    /// The other person's client has it on its disk; in a room, a client of each other member.
    Delivered,
}

/// Sends standard input to a person or into a room, or a file.
pub async fn send(
    dir: &Path,
    config: Config,
    to: &Place,
    file: Option<&Path>,
    wait: Wait,
    timeout: Duration,
) -> ExitCode {
    end(try_send(dir, config, to, file, wait, timeout).await)
}

/// Prints lines of a conversation as they come, after the newest `last` that are there.
pub async fn tail(dir: &Path, config: Config, with: &Place, last: usize, form: Form) -> ExitCode {
    end(try_tail(dir, config, with, last, form).await)
}

/// How `tail` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `time name: text`, harmless to show.
    Plain,
    /// JSON, the parameters of the `message` notification of [`crate::rpc`].
    Json,
}

/// The most that `send` takes, in bytes.
const INPUT_MAX: u64 = 1 << 20;
/// How long leaving waits for the relay.
const LINGER: Duration = Duration::from_secs(1);

/// Why it did not work: exit code and sentence.
#[derive(Debug)]
struct Failure(u8, String);

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self(1, why)
    }
}

fn end(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(code, why)) => {
            eprintln!("subrosa: {}", text::line(&why));
            ExitCode::from(code)
        }
    }
}

async fn try_send(
    dir: &Path,
    config: Config,
    to: &Place,
    file: Option<&Path>,
    wait: Wait,
    timeout: Duration,
) -> Result<(), Failure> {
    let mut stop = Stop::listen().map_err(|error| error.to_string())?;
    let passphrase = passphrase(dir).await?;
    let parts = match file {
        None => split(&input().await?)?,
        Some(_) => Vec::new(),
    };
    let mut client = Client::open(dir, config, passphrase).await?;
    let until = Instant::now() + timeout;
    let done = tokio::select! {
        biased;
        () = stop.asked() => Err(Failure(3, "stopped before it was done; what was written stays in the profile".into())),
        sent = tokio::time::timeout_at(until, client.send(to, parts, file, wait)) => match sent {
            Ok(sent) => sent,
            Err(_) => Err(client.late(to, wait)),
        },
    };
    client.leave().await?;
    done
}

async fn try_tail(dir: &Path, config: Config, with: &Place, last: usize, form: Form) -> Result<(), Failure> {
    let mut stop = Stop::listen().map_err(|error| error.to_string())?;
    let passphrase = passphrase(dir).await?;
    let mut client = Client::open(dir, config, passphrase).await?;
    let done = tokio::select! {
        biased;
        () = stop.asked() => Ok(()),
        done = client.tail(with, last, form) => done,
    };
    client.leave().await?;
    done
}

/// A running client, without anybody who looks.
struct Client {
    runtime: Runtime,
    held: Held,
    /// The relay has handed over what waited, or the first of it.
    caught_up: bool,
    /// What was written last.
    said: Option<(RoomId, MessageId)>,
}

impl Client {
    async fn open(dir: &Path, config: Config, passphrase: Zeroizing<String>) -> Result<Self, Failure> {
        let opened = start::open(dir, passphrase).await.map_err(|why| Failure(6, why))?;
        let config = start::settings_of(&opened.profile.store, config);
        let caps = Caps::detect(|_| None, &config);
        let (parts, relay, held) = opened.into_parts(config, caps);
        let (mut runtime, _) = Runtime::start(parts, relay)
            .map_err(|error| Failure(6, format!("the profile cannot be used: {error}")))?;
        runtime.step(Event::Focus(false));
        Ok(Self { runtime, held, caught_up: false, said: None })
    }

    /// Finds the conversation, writes all parts, waits for their marks.
    async fn send(
        &mut self,
        to: &Place,
        parts: Vec<String>,
        file: Option<&Path>,
        wait: Wait,
    ) -> Result<(), Failure> {
        let room = match to {
            Place::Person(name) => self.person(name).await?,
            Place::Room(_) => self.room(to).await?,
        };
        self.unchanged(room)?;
        self.allowed(room, wait)?;
        if let Some(file) = file {
            return self.send_file(room, to, file, wait).await;
        }
        // Whether each got as far as it should.
        let mut open: HashMap<MessageId, bool> = HashMap::new();
        for part in parts {
            let id =
                rooms::say(&mut self.runtime, room, part, None).map_err(|fault| Failure(1, fault.message))?;
            self.said = Some((room, id));
            open.insert(id, false);
        }
        while !open.is_empty() {
            if let Some(Happened::Mark { id, state, .. }) = self.wait().await?
                && let Some(far) = open.get_mut(&id)
            {
                if let LineState::Waiting(why) = &state {
                    eprintln!("subrosa: {}", text::line(why));
                }
                *far |= wait.is_met(&state);
            }
            open.retain(|id, far| !self.is_done(room, id, wait, *far));
            self.unchanged(room)?;
        }
        Ok(())
    }

    /// The conversation with somebody, once it is known who that is.
    async fn person(&mut self, to: &AccountName) -> Result<RoomId, Failure> {
        if self.runtime.app().chat().name == *to {
            return Err(Failure(4, "that is your own name".into()));
        }
        let mut asked = false;
        loop {
            let chat = self.runtime.app().chat();
            let there = chat.with(to);
            if let Some(room) = there.filter(|room| room.kept.peer.is_some()) {
                return Ok(room.id);
            }
            if chat.link == Link::Online {
                if asked && there.is_none() {
                    return Err(Failure(
                        4,
                        format!("nobody is called '{to}' at this relay: check the spelling"),
                    ));
                }
                if !asked {
                    asked = true;
                    self.runtime.step(Event::Run(Command::Add(to.clone())));
                }
            }
            self.wait().await?;
        }
    }

    /// A room, once it is known who is in it now.
    async fn room(&mut self, to: &Place) -> Result<RoomId, Failure> {
        loop {
            if self.caught_up
                && let Some(room) = self.find(to)?
            {
                return Ok(room);
            }
            self.wait().await?;
        }
    }

    /// A conversation that there is by now; an error when none can come by waiting.
    fn find(&self, place: &Place) -> Result<Option<RoomId>, Failure> {
        match place.find(self.runtime.app().chat()) {
            Ok(room) => Ok(Some(room)),
            Err(fault) if fault.code == wire::PARAMS => Err(Failure(4, fault.message)),
            Err(_) if self.caught_up && matches!(place, Place::Room(_)) => {
                let why = format!(
                    "you are in no room '{place}': check the spelling; Ctrl+k in subrosa finds those that you are in"
                );
                Err(Failure(4, why))
            }
            Err(_) => Ok(None),
        }
    }

    /// An error where a room's rules or its emptiness stand against it.
    fn allowed(&self, room: RoomId, wait: Wait) -> Result<(), Failure> {
        let group = self.runtime.app().chat().group(room);
        let code = if group.is_none_or(Group::is_open) { 1 } else { 4 };
        rooms::sayable(&self.runtime, room).map_err(|fault| Failure(code, fault.message))?;
        match group.filter(|group| wait == Wait::Delivered && group.people() == 1) {
            Some(group) => {
                let why = format!(
                    "nobody else is in {}: leave out --wait delivered, or invite somebody; nothing was sent",
                    group.title()
                );
                Err(Failure(1, why))
            }
            None => Ok(()),
        }
    }

    /// Sends a file, and waits until the relay has all of it, and for the mark of its message.
    async fn send_file(&mut self, room: RoomId, to: &Place, file: &Path, wait: Wait) -> Result<(), Failure> {
        // Quoted, since the shell has read it already.
        let path = format!("\"{}\"", file.display());
        self.runtime.step(Event::Run(Command::Open(room)));
        self.runtime.step(Event::Run(Command::Attach { to: None, path, caption: String::new() }));
        let Some(id) = self.runtime.app().chat().attaching.last().copied() else {
            return Err(Failure(1, format!("nothing can be sent to '{to}' now: subrosa says why")));
        };
        self.said = Some((room, id));
        let (mut there, mut marked) = (false, false);
        while !(there && self.is_done(room, &id, wait, marked)) {
            match self.wait().await? {
                Some(Happened::File { id: of, state: "done", .. }) if of == id => there = true,
                Some(Happened::File { id: of, state: "failed", why, .. }) if of == id => {
                    return Err(Failure(1, why));
                }
                // A file that cannot be read is no message yet.
                Some(Happened::Notice { text, error: true })
                    if self.runtime.app().chat().transfer(&id).is_none()
                        && !self.runtime.app().chat().attaching.contains(&id) =>
                {
                    return Err(Failure(1, text));
                }
                Some(Happened::Mark { id: of, state, .. }) if of == id => marked |= wait.is_met(&state),
                _ => {}
            }
            self.unchanged(room)?;
        }
        Ok(())
    }

    /// Prints lines until nobody reads any more.
    async fn tail(&mut self, with: &Place, last: usize, form: Form) -> Result<(), Failure> {
        let chat = self.runtime.app().chat();
        let mut printer = Printer { own: chat.name.clone(), form, out: std::io::stdout() };
        let mut tailed = self.find(with)?;
        if let Some(room) = tailed.filter(|_| last > 0).and_then(|room| chat.room(room)) {
            let old = history(self.runtime.app().store(), room.id, u64::MAX, last)
                .map_err(|error| format!("the store cannot be read: {error}"))?;
            for (_, line) in old.lines {
                if !printer.print(&room.told(&line)) {
                    return Ok(());
                }
            }
        }
        loop {
            let told = self.wait().await?;
            if tailed.is_none() {
                tailed = self.find(with)?;
            }
            let line = told
                .as_ref()
                .filter(|told| matches!(told, Happened::Line { room, .. } if tailed == Some(*room)));
            if line.is_some_and(|line| !printer.print(line)) {
                return Ok(());
            }
            if let Some(Happened::Link { online: false, why }) = told {
                eprintln!("subrosa: not connected: {}; it is tried again", text::line(&why));
            }
        }
    }

    /// One step; what it told.
    async fn wait(&mut self) -> Result<Option<Happened>, Failure> {
        match self.runtime.next().await {
            Next::Event(event) => {
                // The relay hands over what waits before it answers the first question behind a login.
                self.caught_up |= matches!(
                    event,
                    Event::Link(LinkEvent::Frame(
                        ToDevice::Devices { .. } | ToDevice::Refused { ask: Some(_), .. }
                    ))
                );
                self.runtime.step(event);
                self.refused()?;
                Ok(None)
            }
            Next::Done(Effect::Tell(happened)) => Ok(Some(happened)),
            Next::Done(_) => Ok(None),
        }
    }

    /// To how many members a line got; `None` outside of rooms.
    fn tally(&self, room: RoomId, id: &MessageId) -> Option<Tally> {
        // A store that cannot be read says so elsewhere.
        self.runtime.app().tally(room, id).ok().flatten()
    }

    /// Whether a line got as far as it should for all whom it goes to: a mark tells of the first of them only.
    fn is_done(&self, room: RoomId, id: &MessageId, wait: Wait, marked: bool) -> bool {
        let all = |tally: Tally| wait == Wait::Delivered && tally.delivered == tally.of;
        (marked || self.tally(room, id).is_some_and(all)) && !self.runtime.app().on_its_way(id)
    }

    /// An error once the relay will not have us.
    fn refused(&self) -> Result<(), Failure> {
        match &self.runtime.app().chat().link {
            Link::Refused { why } => Err(Failure(1, why.clone())),
            _ => Ok(()),
        }
    }

    /// An error once the key of somebody is another one, or nothing may go out to them.
    fn unchanged(&self, room: RoomId) -> Result<(), Failure> {
        let chat = self.runtime.app().chat();
        let Some((room, to)) = chat.room(room).and_then(|room| Some((room, room.with()?))) else {
            return Ok(());
        };
        if room.person.blocked {
            let why = format!("'{to}' is blocked here: unblock them in subrosa first; nothing was sent");
            return Err(Failure(1, why));
        }
        if room.trouble() == Some(Trouble::Doubted) {
            let why = format!(
                "the safety number with '{to}' was not the same on both ends: compare it again in subrosa; nothing was sent"
            );
            return Err(Failure(5, why));
        }
        if room.kept.changed.is_some() {
            let why = format!(
                "the key of '{to}' has changed: ask them another way whether that is true, then accept it in subrosa"
            );
            return Err(Failure(5, why));
        }
        Ok(())
    }

    /// Why the time was too short.
    fn late(&self, to: &Place, wait: Wait) -> Failure {
        let chat = self.runtime.app().chat();
        let tally =
            self.said.filter(|_| wait == Wait::Delivered).and_then(|(room, id)| self.tally(room, &id));
        let why = match (&chat.link, tally) {
            (Link::Offline { why }, _) => format!("no connection to the relay: {why}"),
            (Link::Connecting | Link::LoggingIn, _) => "no connection to the relay".to_string(),
            (Link::Online | Link::Refused { .. }, Some(Tally { delivered, of, .. })) => {
                format!("{delivered} of {of} others have it")
            }
            (Link::Online | Link::Refused { .. }, None) => "no answer".to_string(),
        };
        let kept = match (self.said, to) {
            (Some((_, id)), _) if chat.attaching.contains(&id) => {
                "nothing was written: the file was still being read"
            }
            (Some(_), _) => "what was written stays in the profile and goes out when subrosa next runs",
            (None, Place::Person(_)) => "nothing was written: it is not known yet who that is",
            (None, Place::Room(_)) => "nothing was written: it is not known yet who is in that room now",
        };
        Failure(3, format!("not within the time ({why}); {kept}"))
    }

    /// Gives receipts a moment, then writes the rest.
    async fn leave(mut self) -> Result<(), Failure> {
        let until = Instant::now() + LINGER;
        // What is still being read is no message yet, and does not become one.
        for id in self.runtime.app().chat().attaching.clone() {
            self.runtime.step(Event::Run(Command::Files(FilesCommand::Cancel(Which::Of(id)))));
        }
        self.runtime.step(Event::Run(Command::Quit));
        let mut written = false;
        loop {
            let chat = self.runtime.app().chat();
            if written && (chat.waiting == 0 || chat.link != Link::Online) {
                break;
            }
            match tokio::time::timeout_at(until, self.runtime.next()).await {
                Ok(Next::Event(event)) => drop(self.runtime.step(event)),
                Ok(Next::Done(Effect::Quit)) => written = true,
                Ok(Next::Done(_)) => {}
                Err(_) => break,
            }
        }
        let saved = self.runtime.finish().await;
        self.held.close().await;
        if saved {
            Ok(())
        } else {
            Err(Failure(1, "the last changes could not be written: the disk is full or broken".into()))
        }
    }
}

impl Wait {
    /// Whether a line that got so far got far enough. In a room, it is delivered to all.
    fn is_met(self, state: &LineState) -> bool {
        match self {
            Self::Accepted => *state >= LineState::Sent,
            Self::Delivered => *state >= LineState::Delivered,
        }
    }
}

/// Prints lines of one conversation.
struct Printer<W> {
    own: AccountName,
    form: Form,
    out: W,
}

impl<W: Write> Printer<W> {
    /// False when nobody reads any more.
    fn print(&mut self, line: &Happened) -> bool {
        let Happened::Line { with, by, author, at, body, .. } = line else { return true };
        let line = match self.form {
            Form::Json => wire::to_line(&event::told(line).1),
            Form::Plain => {
                let who = match author {
                    Author::Me => self.own.as_str(),
                    Author::Them => by.as_ref().map_or(with.as_str(), AccountName::as_str),
                    Author::Note | Author::Alarm => "*",
                };
                format!("{} {who}: {}", date(*at), text::harmless(body).replace('\n', "\n    "))
            }
        };
        self.out.write_all((line + "\n").as_bytes()).and_then(|()| self.out.flush()).is_ok()
    }
}

/// Date and time where the reader is.
fn date(at: Millis) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).map_or_else(
        |_| "????-??-?? ??:??:??".into(),
        |at| at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

/// Standard input as text.
async fn input() -> Result<String, Failure> {
    let read = tokio::task::spawn_blocking(|| {
        let mut bytes = Vec::new();
        std::io::stdin().lock().take(INPUT_MAX + 1).read_to_end(&mut bytes).map(|_| bytes)
    });
    let bytes = read
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| format!("standard input cannot be read: {error}"))?;
    if bytes.len() as u64 > INPUT_MAX {
        return Err(Failure(1, format!("that is more than {INPUT_MAX} bytes; nothing was sent")));
    }
    String::from_utf8(bytes)
        .map_err(|_| Failure(1, "standard input is not UTF-8 text; nothing was sent".into()))
}

/// Text as messages of at most [`TEXT_MAX`] bytes, broken at line ends only.
fn split(text: &str) -> Result<Vec<String>, Failure> {
    let text = text.trim_end();
    if text.trim().is_empty() {
        return Err(Failure(1, "there is nothing to send on standard input".into()));
    }
    let mut parts: Vec<String> = Vec::new();
    for line in text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)) {
        if line.len() > TEXT_MAX {
            let why = format!("a line has more than {TEXT_MAX} bytes: break it; nothing was sent");
            return Err(Failure(1, why));
        }
        match parts.last_mut() {
            Some(part) if part.len() + 1 + line.len() <= TEXT_MAX => {
                part.push('\n');
                part.push_str(line);
            }
            _ => parts.push(line.to_owned()),
        }
    }
    // A part of empty lines only says nothing.
    parts.retain(|part| !part.trim().is_empty());
    Ok(parts)
}

/// The passphrase of a profile that is there: from the environment, or asked on the terminal.
async fn passphrase(dir: &Path) -> Result<Zeroizing<String>, Failure> {
    if start::look(dir).map_err(|why| Failure(6, why))? == Presence::Absent {
        return Err(Failure(6, "there is no profile yet: start `subrosa` once, or `subrosa rpc`".into()));
    }
    if let Ok(passphrase) = std::env::var("SUBROSA_PASSPHRASE") {
        return Ok(Zeroizing::new(passphrase));
    }
    let asked =
        tokio::task::spawn_blocking(|| ask("passphrase: ")).await.map_err(|error| error.to_string())?;
    asked
        .map_err(|_| {
            Failure(6, "there is no terminal to ask for the passphrase: set SUBROSA_PASSPHRASE".into())
        })?
        .ok_or_else(|| Failure(6, "no passphrase was given".into()))
}

/// The passphrase of a profile that is made now: from the environment, or asked twice on the terminal.
///
/// # Errors
/// A sentence with the next step.
pub(crate) async fn new_passphrase() -> Result<Zeroizing<String>, String> {
    if let Ok(passphrase) = std::env::var("SUBROSA_PASSPHRASE") {
        return Ok(Zeroizing::new(passphrase));
    }
    eprintln!("a passphrase protects the profile on this machine; it is asked twice");
    let asked =
        tokio::task::spawn_blocking(|| Ok::<_, std::io::Error>((ask("passphrase: ")?, ask("again: ")?)));
    match asked.await.map_err(|error| error.to_string())? {
        Ok((Some(first), Some(second))) if first.is_empty() || first != second => {
            Err("the passphrases are empty or not the same: try again".into())
        }
        Ok((Some(passphrase), Some(_))) => Ok(passphrase),
        Ok(_) => Err("no passphrase was given".into()),
        Err(_) => Err("there is no terminal to ask for a passphrase: set SUBROSA_PASSPHRASE".into()),
    }
}

/// Asks on the terminal, whatever standard input is, without echo. `None` when the person leaves.
pub(crate) fn ask(prompt: &str) -> std::io::Result<Option<Zeroizing<String>>> {
    let quiet = Quiet::enter()?;
    eprint!("{prompt}");
    let mut typed = Zeroizing::new(String::new());
    let given = loop {
        let key = match crossterm::event::read()? {
            Input::Key(key) if key.kind != KeyEventKind::Release => key,
            _ => continue,
        };
        let held = key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
        match key.code {
            KeyCode::Enter => break true,
            KeyCode::Esc => break false,
            KeyCode::Char('c' | 'd') if held => break false,
            KeyCode::Char('u') if held => typed.clear(),
            KeyCode::Char(c) if !held => typed.push(c),
            KeyCode::Backspace => drop(typed.pop()),
            _ => {}
        }
    };
    drop(quiet);
    eprintln!();
    Ok(given.then_some(typed))
}

/// A terminal that does not echo, until dropped.
struct Quiet;

impl Quiet {
    fn enter() -> std::io::Result<Self> {
        crossterm::terminal::enable_raw_mode()?;
        Ok(Self)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = crossterm::terminal::disable_raw_mode();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::timeline::More;
    use crate::effect::Whose;

    #[test]
    fn long_text_is_broken_at_line_ends_and_nothing_is_lost() {
        assert_eq!(split("hello\nthere\n\n").expect("short"), ["hello\nthere"]);
        let text = format!("{}\n{}\r\nend", "a".repeat(TEXT_MAX - 3), "b".repeat(10));
        let parts = split(&text).expect("lines fit");
        assert_eq!(parts.len(), 2);
        assert!(parts.iter().all(|part| part.len() <= TEXT_MAX));
        assert_eq!(parts.join("\n"), text.replace('\r', ""));
        assert!(split(&"x".repeat(TEXT_MAX + 1)).is_err());
        assert!(split(" \n\n").is_err());
        let gap = format!("a{}b", "\n".repeat(2 * TEXT_MAX));
        assert_eq!(split(&gap).expect("lines fit").len(), 2);
    }

    #[test]
    fn printed_lines_are_harmless_in_either_form() {
        let name = |text| AccountName::parse(text).expect("valid");
        let print = |form| {
            let mut printer = Printer { own: name("ada"), form, out: Vec::new() };
            let line = Happened::Line {
                room: RoomId([2; 16]),
                with: Whose::Person(name("ben")),
                by: None,
                id: MessageId([1; 16]),
                author: Author::Them,
                at: Millis(0),
                body: "a\u{1b}[2J\nb\u{202e}c".into(),
                more: Box::new(More::default()),
            };
            assert!(printer.print(&line));
            String::from_utf8(printer.out).expect("text")
        };
        let plain = print(Form::Plain);
        assert!(plain.ends_with(" ben: a\u{fffd}[2J\n    bc\n"), "{plain:?}");
        let json = print(Form::Json);
        assert!(!json.trim_end().contains(|c: char| c.is_control() || c == '\u{202e}'));
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(value["text"], "a\u{1b}[2J\nb\u{202e}c");
        assert_eq!(value["with"], "ben");
    }
}
