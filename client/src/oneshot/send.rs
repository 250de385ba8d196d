//! `subrosa send`: standard input or a file, to a person or into a room.

use super::{Client, Failure, end, passphrase};
use crate::chat::Link;
use crate::chat::groups::{Group, Tally};
use crate::chat::person::Trouble;
use crate::chat::timeline::LineState;
use crate::config::Config;
use crate::effect::Happened;
use crate::event::Event;
use crate::rpc::place::Place;
use crate::rpc::rooms;
use crate::stop::Stop;
use crate::ui::command::Command;
use crate::ui::text;
use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use subrosa_shared::content::TEXT_MAX;
use subrosa_shared::id::{AccountName, MessageId, RoomId};
use subrosa_shared::protocol::link::RelayLink;
use tokio::time::Instant;

/// What `send` waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Wait {
    /// The relay has it on its disk.
    #[default]
    Accepted,
    /// The other person's client has it on its disk; in a room, a client of each other member.
    Delivered,
}

/// Sends standard input to a person or into a room, or a file; `moved` says where the relay is by now.
pub async fn send(
    dir: &Path,
    config: Config,
    moved: Option<RelayLink>,
    to: &Place,
    file: Option<&Path>,
    wait: Wait,
    timeout: Duration,
) -> ExitCode {
    end(try_send(dir, config, moved, to, file, wait, timeout).await)
}

/// The most that `send` takes, in bytes.
const INPUT_MAX: u64 = 1 << 20;

async fn try_send(
    dir: &Path,
    config: Config,
    moved: Option<RelayLink>,
    to: &Place,
    file: Option<&Path>,
    wait: Wait,
    timeout: Duration,
) -> Result<(), Failure> {
    let file = file.map(named).transpose()?;
    let mut stop = Stop::listen().map_err(|error| error.to_string())?;
    let passphrase = passphrase(dir).await?;
    let parts = match file {
        None => split(&input().await?)?,
        Some(_) => Vec::new(),
    };
    let mut client = Client::open(dir, config, moved, passphrase).await?;
    let until = Instant::now() + timeout;
    let done = tokio::select! {
        biased;
        () = stop.asked() => Err(Failure(3, "stopped before it was done; what was written stays in the profile".into())),
        sent = tokio::time::timeout_at(until, client.send(to, parts, file, wait)) => match sent {
            Ok(sent) => sent,
            Err(_) => Err(client.late(to, wait)),
        },
    };
    client.leave(&mut stop).await?;
    done
}

impl Client {
    /// Finds the conversation, writes all parts, waits for their marks.
    async fn send(
        &mut self,
        to: &Place,
        parts: Vec<String>,
        file: Option<&str>,
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
    async fn send_file(&mut self, room: RoomId, to: &Place, file: &str, wait: Wait) -> Result<(), Failure> {
        // Quoted, since the shell has read it already.
        let path = format!("\"{file}\"");
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
        if room.trouble() == Some(Trouble::Forked) {
            let why = format!(
                "the relay shows another list of the devices of '{to}' than before: ask them another way which they have, then decide in subrosa"
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

/// A file's name as text: others read it.
fn named(file: &Path) -> Result<&str, Failure> {
    let at = file.display();
    let why = || format!("the name '{at}' is not UTF-8: rename the file first; nothing was sent");
    file.to_str().ok_or_else(|| Failure(1, why()))
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
