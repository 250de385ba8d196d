//! Conversations as a readable file: text, Markdown or JSON, written page by page.
//!
//! Memory stays bounded by a page of lines, however long the history is. What others wrote is made
//! harmless for a terminal in text and Markdown; in Markdown it stands in quotations, so that it
//! formats nothing. Messages that disappear are left out. JSON has it as it was written, with escapes.

use super::{Existing, put};
use crate::app::{Lasting, count};
use crate::chat::Chat;
use crate::chat::groups;
use crate::chat::person::{PEOPLE, Person};
use crate::chat::room::{Kept, Room};
use crate::chat::timeline::{Author, Line, LineState};
use crate::rpc::{event, wire};
use crate::ui::text;
use jiff::Timestamp;
use serde_json::json;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use subrosa_shared::id::RoomId;
use subrosa_shared::store::Store;

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// A line each: time, name, text.
    Txt,
    /// Markdown, days as headings.
    Md,
    /// One JSON document.
    Json,
}

impl Form {
    /// What a file's name asks for.
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(|end| end.to_str()).map(str::to_lowercase).as_deref() {
            Some("md" | "markdown") => Self::Md,
            Some("json") => Self::Json,
            _ => Self::Txt,
        }
    }
}

/// What to write, and where.
#[derive(Clone, Debug)]
pub struct Job {
    /// Target.
    pub path: PathBuf,
    /// How.
    pub form: Form,
    /// What happens to a file that is there.
    pub existing: Existing,
    /// The own name.
    pub me: String,
    /// The conversations, in this order.
    pub rooms: Vec<Told>,
}

/// One conversation of a [`Job`].
#[derive(Clone, Debug)]
pub struct Told {
    id: RoomId,
    with: String,
    name: String,
    lines: u64,
}

impl Told {
    /// Of this room, as far as it goes now.
    pub fn of(room: &Room) -> Self {
        let name = text::line(room.name());
        let with = room.with().map_or_else(|| name.clone(), ToString::to_string);
        Self { id: room.id, with, name, lines: room.kept.lines }
    }

    /// Of what is stored of a room.
    ///
    /// # Errors
    /// A sentence, when the store cannot be read.
    pub fn kept(store: &Store, id: RoomId, kept: &Kept) -> Result<Self, String> {
        let unreadable = || "the store cannot be read: a person is damaged".to_owned();
        let person = store.records.get(PEOPLE, &id.0).map_err(|error| error.to_string())?;
        let person = person.map(|bytes| Person::read(&bytes).ok_or_else(unreadable)).transpose()?;
        let with = kept.with.as_ref().map_or_else(String::new, ToString::to_string);
        let name = match person.and_then(|person| person.petname) {
            Some(petname) => text::line(&petname),
            None if kept.with.is_some() => text::line(&with),
            None => groups::title(store, id).map_err(|error| error.to_string())?.unwrap_or("#room".into()),
        };
        let with = if kept.with.is_some() { with } else { name.clone() };
        Ok(Self { id, with, name, lines: kept.lines })
    }

    /// Whether a room's name or number is this, without its `#`.
    pub fn is_called(&self, room: &str) -> bool {
        let title = self.name.strip_prefix('#').unwrap_or(&self.name);
        self.id.to_string() == room || title.to_lowercase() == room.trim().to_lowercase()
    }

    /// A room's number, as a person writes it.
    pub fn number(&self) -> String {
        format!("#{}", self.id)
    }
}

impl Job {
    /// One conversation, or all.
    pub fn new(chat: &Chat, only: Option<&Room>, path: impl Into<PathBuf>) -> Self {
        let rooms = match only {
            Some(room) => vec![Told::of(room)],
            None => chat.rooms.iter().map(Told::of).collect(),
        };
        let path = path.into();
        let (form, existing) = (Form::of(&path), Existing::Keep);
        Self { path, form, existing, me: chat.name.to_string(), rooms }
    }
}

/// Writes it; `on` hears how many lines of how many are done, and says whether to go on. Gives the
/// number of lines.
///
/// # Errors
/// A sentence with the next step; there is no file then, or the one before.
pub fn write(store: &Store, job: &Job, on: &mut dyn FnMut(u64, u64) -> bool) -> Result<u64, String> {
    let unread = |error| format!("the store cannot be read: {error}; nothing was written");
    let mut all = 0;
    for room in &job.rooms {
        all += count(store, room.id, room.lines).map_err(unread)?;
    }
    let (mut done, mut written, mut broken) = (0, 0, None);
    put(&job.path, job.existing, &mut |out| {
        let mut pen = Pen { out, form: job.form, me: &job.me, day: String::new(), first: true };
        pen.begin()?;
        for (i, room) in job.rooms.iter().enumerate() {
            pen.room(room, i == 0)?;
            let mut lasting = Lasting::new(store, room.id, room.lines);
            while let Some((read, lines)) = lasting.page().map_err(|error| {
                broken = Some(unread(error));
                io::Error::other("the store")
            })? {
                for line in lines.iter().filter(|line| !line.body.is_empty()) {
                    pen.line(room, line)?;
                    written += 1;
                }
                done += read;
                if !on(done, all) {
                    return Err(io::ErrorKind::Interrupted.into());
                }
            }
            pen.room_ends()?;
        }
        pen.end()
    })
    .map_err(|why| broken.take().unwrap_or(why))?;
    Ok(written)
}

struct Pen<'a> {
    out: &'a mut dyn Write,
    form: Form,
    me: &'a str,
    /// Of the line before.
    day: String,
    first: bool,
}

impl Pen<'_> {
    fn begin(&mut self) -> io::Result<()> {
        match self.form {
            Form::Json => {
                let me = wire::to_line(&json!(self.me));
                write!(self.out, "{{\"subrosa\":1,\"account\":{me},\"conversations\":[")
            }
            Form::Md => writeln!(self.out, "# Conversations of {}\n", self.me),
            Form::Txt => Ok(()),
        }
    }

    fn room(&mut self, room: &Told, first: bool) -> io::Result<()> {
        (self.day, self.first) = (String::new(), true);
        let name =
            if room.name == room.with { room.with.clone() } else { format!("{} ({})", room.name, room.with) };
        match self.form {
            Form::Json => {
                let comma = if first { "" } else { "," };
                let (with, name) = (wire::to_line(&json!(room.with)), wire::to_line(&json!(room.name)));
                write!(self.out, "{comma}\n{{\"with\":{with},\"name\":{name},\"lines\":[")
            }
            Form::Md => writeln!(self.out, "## With {}\n", escaped(&name)),
            Form::Txt => writeln!(self.out, "subrosa: conversation of {} with {name}", self.me),
        }
    }

    fn line(&mut self, room: &Told, line: &Line) -> io::Result<()> {
        // Any number may stand in a line from elsewhere.
        let at = i64::try_from(line.at.0).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
        // In a room of several each line says whose it is.
        let by = line.more.by.as_ref().map(|by| by.as_str());
        let who = match line.author {
            Author::Me => self.me,
            Author::Them => by.unwrap_or(&room.name),
            Author::Note | Author::Alarm => "*",
        };
        let marks = line.more.marks();
        match self.form {
            Form::Txt => {
                let body = text::harmless(&line.body).replace('\n', "\n    ");
                writeln!(self.out, "{} {who}{marks}: {body}", at.map_or(String::new(), |at| at.to_string()))
            }
            Form::Md => {
                let at = at.map_or(String::new(), |at| at.strftime("%Y-%m-%d %H:%M").to_string());
                let (day, time) = at.split_once(' ').unwrap_or_default();
                if day != self.day {
                    day.clone_into(&mut self.day);
                    writeln!(self.out, "### {day}\n")?;
                }
                let body = escaped(&text::harmless(&line.body)).replace('\n', "  \n> ");
                writeln!(self.out, "**{}**{} {time}\n> {body}\n", escaped(who), escaped(&marks))
            }
            Form::Json => {
                let author = match line.author {
                    Author::Me => "me",
                    Author::Them => "them",
                    Author::Note => "note",
                    Author::Alarm => "alarm",
                };
                let state = match &line.state {
                    LineState::Received => "received",
                    LineState::Sending => "sending",
                    LineState::Waiting(_) => "waiting",
                    LineState::Sent => "sent",
                    LineState::Delivered => "delivered",
                    LineState::Read => "read",
                };
                let mut told = json!({
                    "id": line.id.to_string(),
                    "author": author,
                    "at": line.at.0,
                    "time": at.map(|at| at.to_string()),
                    "text": line.body,
                    "state": state,
                });
                if let Some(by) = by {
                    told["by"] = json!(by);
                }
                event::around(&line.more, &mut told);
                let comma = if std::mem::take(&mut self.first) { "" } else { "," };
                write!(self.out, "{comma}\n{}", wire::to_line(&told))
            }
        }
    }

    fn room_ends(&mut self) -> io::Result<()> {
        match self.form {
            Form::Json => write!(self.out, "]}}"),
            Form::Md => Ok(()),
            Form::Txt => writeln!(self.out),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        if self.form == Form::Json { writeln!(self.out, "]}}") } else { Ok(()) }
    }
}

/// Text that formats nothing in Markdown, and is no HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation()
            && !matches!(c, '.' | ',' | '\'' | '"' | '?' | ':' | ';' | '/' | '%' | '=')
        {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::timeline::{LINES, place};
    use std::sync::Arc;
    use subrosa_shared::id::MessageId;
    use subrosa_shared::store::Batch;
    use subrosa_shared::store::memory::{Memory, MemorySlots};
    use subrosa_shared::time::Millis;

    fn store(bodies: &[&str]) -> Store {
        let mut batch = Batch::default();
        for (pos, body) in bodies.iter().enumerate() {
            let author = if pos % 2 == 0 { Author::Me } else { Author::Them };
            let at = Millis(1_767_225_600_000 + pos as u64 * 60_000);
            let line = Line::new(MessageId([pos as u8; 16]), author, at, (*body).into(), LineState::Read);
            batch.put(LINES, place(RoomId([1; 16]), pos as u64), line.encode());
        }
        let store = Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) };
        store.commit(&batch).expect("memory");
        store
    }

    fn job(path: &Path, lines: u64) -> Job {
        let told = Told { id: RoomId([1; 16]), with: "ben".into(), name: "Ben *B*".into(), lines };
        Job {
            form: Form::of(path),
            path: path.into(),
            existing: Existing::Keep,
            me: "ada".into(),
            rooms: vec![told],
        }
    }

    fn exported(name: &str) -> String {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(name);
        let store = store(&["hello", "<b>*bold*</b>\u{1b}[31m\nsecond", "", "bye"]);
        assert_eq!(write(&store, &job(&path, 4), &mut |_, _| true), Ok(3));
        std::fs::read_to_string(path).expect("written")
    }

    #[test]
    fn text_is_harmless() {
        assert_eq!(
            exported("a.txt"),
            "subrosa: conversation of ada with Ben *B* (ben)\n\
             2026-01-01T00:00:00Z ada: hello\n\
             2026-01-01T00:01:00Z Ben *B*: <b>*bold*</b>\u{fffd}[31m\n    second\n\
             2026-01-01T00:03:00Z Ben *B*: bye\n\n"
        );
    }

    #[test]
    fn markdown_formats_nothing_that_others_wrote() {
        let text = exported("a.md");
        assert!(
            text.contains("## With Ben \\*B\\* \\(ben\\)\n\n### 2026-01-01\n\n**ada** 00:00\n> hello\n"),
            "{text}"
        );
        assert!(text.contains("> \\<b\\>\\*bold\\*\\<"), "{text}");
        assert!(!text.contains('\u{1b}') && text.contains("  \n> second\n"), "{text}");
    }

    #[test]
    fn json_is_one_document() {
        let text = exported("a.json");
        assert!(!text.contains('\u{1b}'));
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["conversations"][0]["lines"][1]["text"], "<b>*bold*</b>\u{1b}[31m\nsecond");
        assert_eq!(value["conversations"][0]["lines"][2]["author"], "them");
        assert_eq!(value["account"], "ada");
    }

    #[test]
    fn json_has_every_sign_and_none_that_a_terminal_obeys() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.json");
        let body = "\u{9b}31m photo\u{202e}gpj.exe \u{7f} é";
        let store = store(&[body]);
        let mut job = job(&path, 1);
        (job.me, job.rooms[0].name) = ("ada\u{9b}".into(), "Ben\u{202e}".into());
        assert_eq!(write(&store, &job, &mut |_, _| true), Ok(1));
        let text = std::fs::read_to_string(path).expect("written");
        assert!(text.replace('\n', "").chars().all(|c| !c.is_control() && c != '\u{202e}'), "{text:?}");
        assert!(text.contains('é'), "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["account"], "ada\u{9b}");
        assert_eq!(value["conversations"][0]["name"], "Ben\u{202e}");
        assert_eq!(value["conversations"][0]["lines"][0]["text"], body);
    }

    #[test]
    fn a_long_history_says_how_far_it_is_and_can_be_stopped() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.txt");
        let bodies: Vec<String> = (0..600).map(|i| format!("line {i}")).collect();
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        let store = store(&bodies);
        let mut said = Vec::new();
        let stopped = write(&store, &job(&path, 600), &mut |done, all| {
            said.push((done, all));
            done < 500
        });
        assert!(stopped.expect_err("stopped").contains("stopped"));
        assert_eq!(said, [(256, 600), (512, 600)]);
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 0, "no half a file");
        assert_eq!(write(&store, &job(&path, 600), &mut |_, _| true), Ok(600));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_is_there_stays_and_a_new_one_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.txt");
        std::fs::write(&path, "mine").expect("written");
        let store = store(&["hello"]);
        let why = write(&store, &job(&path, 1), &mut |_, _| true).expect_err("is there");
        assert!(why.contains("exists already: choose another name"), "{why}");
        assert_eq!(std::fs::read_to_string(&path).expect("reads"), "mine");
        let replace = Job { existing: Existing::Replace, ..job(&path, 1) };
        assert_eq!(write(&store, &replace, &mut |_, _| true), Ok(1));
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let nowhere = job(&dir.path().join("no").join("a.txt"), 1);
        assert!(write(&store, &nowhere, &mut |_, _| true).is_err());
    }
}
