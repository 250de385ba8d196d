//! `subrosa tail`: lines of a conversation as they come.

use super::{Client, Failure, end, passphrase};
use crate::app::history;
use crate::chat::timeline::Author;
use crate::config::Config;
use crate::effect::Happened;
use crate::rpc::place::Place;
use crate::rpc::{event, wire};
use crate::stop::Stop;
use crate::ui::text;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::time::Millis;

/// Prints lines of a conversation as they come, after the newest `last` that are there; `moved` says where the
/// relay is by now.
pub async fn tail(
    dir: &Path,
    config: Config,
    moved: Option<RelayLink>,
    with: &Place,
    last: usize,
    form: Form,
) -> ExitCode {
    end(try_tail(dir, config, moved, with, last, form).await)
}

/// How `tail` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `time name: text`, harmless to show.
    Plain,
    /// JSON, the parameters of the `message` notification of [`crate::rpc`].
    Json,
}

async fn try_tail(
    dir: &Path,
    config: Config,
    moved: Option<RelayLink>,
    with: &Place,
    last: usize,
    form: Form,
) -> Result<(), Failure> {
    let mut stop = Stop::listen().map_err(|error| error.to_string())?;
    let passphrase = passphrase(dir).await?;
    let mut client = Client::open(dir, config, moved, passphrase).await?;
    let done = tokio::select! {
        biased;
        () = stop.asked() => Ok(()),
        done = client.tail(with, last, form) => done,
    };
    client.leave(&mut stop).await?;
    done
}

impl Client {
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
        if let Place::Person(name) = with
            && tailed.is_none()
        {
            if *name == printer.own {
                return Err(Failure(4, "that is your own name".into()));
            }
            eprintln!("subrosa: no conversation with '{name}' yet; waiting for one (check the spelling)");
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
        let Happened::Line { with, by, author, at, body, more, .. } = line else { return true };
        let line = match self.form {
            Form::Json => wire::to_line(&event::told(line).1),
            Form::Plain => {
                let who = match author {
                    Author::Me => self.own.as_str(),
                    Author::Them => by.as_ref().map_or(with.as_str(), AccountName::as_str),
                    Author::Note | Author::Alarm => "*",
                };
                let (marks, body) = (more.marks(), text::harmless(body).replace('\n', "\n    "));
                format!("{} {who}{marks}: {body}", date(*at))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::timeline::More;
    use crate::effect::Whose;
    use subrosa_shared::id::{MessageId, RoomId};

    fn name(text: &str) -> AccountName {
        AccountName::parse(text).expect("valid")
    }

    fn print(form: Form, more: More) -> String {
        let mut printer = Printer { own: name("ada"), form, out: Vec::new() };
        let line = Happened::Line {
            room: RoomId([2; 16]),
            with: Whose::Person(name("ben")),
            by: None,
            id: MessageId([1; 16]),
            author: Author::Them,
            at: Millis(0),
            body: "a\u{1b}[2J\nb\u{202e}c".into(),
            more: Box::new(more),
        };
        assert!(printer.print(&line));
        String::from_utf8(printer.out).expect("text")
    }

    #[test]
    fn a_line_that_was_told_says_so() {
        let more = More { told: Some(name("cyd")), ..More::default() };
        let plain = print(Form::Plain, more);
        assert!(plain.contains(" ben (told by cyd): a"), "{plain:?}");
    }

    #[test]
    fn printed_lines_are_harmless_in_either_form() {
        let plain = print(Form::Plain, More::default());
        assert!(plain.ends_with(" ben: a\u{fffd}[2J\n    bc\n"), "{plain:?}");
        let json = print(Form::Json, More::default());
        assert!(!json.trim_end().contains(|c: char| c.is_control() || c == '\u{202e}'));
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(value["text"], "a\u{1b}[2J\nb\u{202e}c");
        assert_eq!(value["with"], "ben");
    }
}
