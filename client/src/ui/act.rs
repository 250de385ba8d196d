//! Commands about one line: the picked one, or the one that is meant when none is.

use super::command::Command;
use super::dialog::Dialog;
use super::text;
use crate::chat::Chat;
use crate::chat::deeds::NAMED;
use crate::chat::room::Room;
use crate::chat::timeline::{Author, Line};
use subrosa_shared::id::{AccountName, MessageId, RoomId};

/// What to do with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineCommand {
    /// Answer it with that; `None` begins to write an answer.
    Reply(Option<String>),
    /// Say it in these words; `None` begins to write them.
    Edit(Option<String>),
    /// Take its words back.
    Delete,
    /// Set that sign below it, or take it back (`None` for what it is not now); without a sign it is
    /// asked for.
    React(Option<String>, Option<bool>),
    /// Keep it at hand, or not; `None` for what it is not now.
    Pin(Option<bool>),
    /// Send it to the person or room of that name, see [`named`]; `None` asks for it.
    Forward(Option<String>),
    /// Send it to that conversation.
    ForwardTo(RoomId),
    /// Put its words on the clipboard.
    Copy,
}

/// The line that is meant when none is picked: the newest one that it makes sense for.
pub fn meant(room: &Room, command: &LineCommand) -> Option<MessageId> {
    let fits = |line: &Line| match command {
        LineCommand::Edit(_) => line.author == Author::Me && !line.is_file(),
        LineCommand::Delete => line.author == Author::Me,
        LineCommand::Reply(_) => line.author == Author::Them,
        _ => true,
    };
    let newest = |fits: &dyn Fn(&Line) -> bool| {
        let mut lines = room.timeline.lines().rev().map(|(_, line)| line);
        lines.find(|line| line.is_said() && fits(line)).map(|line| line.id)
    };
    // Who speaks to themselves may answer that too.
    newest(&fits).or_else(|| matches!(command, LineCommand::Reply(_)).then(|| newest(&|_| true)).flatten())
}

/// The conversation that a typed name means: of that account or of who has that own name here, else the
/// room of that name or number; with `@` only the account, and with `#` only the room. What people call
/// themselves means nobody: anybody may call themselves so.
///
/// # Errors
/// A sentence: there is none, or who or which may be meant.
pub fn named(chat: &Chat, name: &str) -> Result<RoomId, String> {
    let name = name.trim();
    let folded = name.to_lowercase();
    let bare = folded.trim_start_matches('@');
    let is = |called: &str| !bare.is_empty() && called.to_lowercase() == bare;
    let by = |fits: &dyn Fn(&Room) -> bool| chat.rooms.iter().filter(|room| fits(room)).collect::<Vec<_>>();
    let mut meant = Vec::new();
    if !bare.starts_with('#') {
        meant = people(chat, bare);
        let account = |room: &&Room| room.with().is_some_and(|with| is(with.as_str()));
        if folded.starts_with('@') {
            meant.retain(account);
        }
    }
    if meant.is_empty() && !folded.starts_with('@') {
        meant = chat.rooms_meant(bare);
    }
    if let [one] = meant.as_slice() {
        return Ok(one.id);
    }
    if meant.is_empty() {
        meant = by(&|room| is(room.portrait.display_name()));
    }
    if meant.is_empty() && bare.starts_with('#') {
        return Err(format!("there is no room {name} here: /contacts lists all"));
    }
    if meant.is_empty() {
        let whom = AccountName::parse(bare).map_or("NAME".to_owned(), |name| name.to_string());
        return Err(format!("there is no conversation called {name}: /add {whom} begins one"));
    }
    Err(which(name, &meant))
}

/// Whose account is called so, or whom one calls so: somebody may have taken a name for their account since it was
/// given to somebody else here.
pub fn people<'a>(chat: &'a Chat, name: &str) -> Vec<&'a Room> {
    let is = |called: &str| !name.is_empty() && called.to_lowercase() == name.to_lowercase();
    let meant = |room: &&Room| {
        room.with().is_some_and(|with| is(with.as_str())) || room.person.petname.as_deref().is_some_and(is)
    };
    chat.rooms.iter().filter(meant).collect()
}

/// Whom `NAME TEXT` means, and the text. The name may be one's own for them, of several words; with `@` it is the
/// account. Nobody whom one has not met: kept for a name that nobody has, it would go to whoever takes that one day.
///
/// # Errors
/// Nobody, several or a room are called so: a sentence.
pub fn told(chat: &Chat, said: &str) -> Result<(AccountName, String), String> {
    let (name, text) = said.split_once(char::is_whitespace).ok_or("Write to whom, and what?")?;
    let long = if name.starts_with('@') { Vec::new() } else { long_names(chat, said) };
    if let Some((_, called)) = long.first() {
        let mut meant: Vec<&Room> = long.iter().map(|(room, _)| *room).collect();
        let short = people(chat, name).into_iter();
        meant.extend(short.filter(|room| long.iter().all(|(other, _)| other.id != room.id)));
        return match (meant.as_slice(), meant[0].with()) {
            ([_], Some(with)) => Ok((with.clone(), said[called.len()..].trim().to_owned())),
            _ => Err(which(called, &meant)),
        };
    }
    if AccountName::parse(name.trim_start_matches('@')).as_ref() == Ok(&chat.name) {
        return Err("That is your own name.".into());
    }
    match chat.room(named(chat, name)?).and_then(Room::with) {
        Some(with) => Ok((with.clone(), text.trim().to_owned())),
        None => Err(format!("{name} is a room: open it to write there.")),
    }
}

/// Who has an own name of several words here with which that begins, and that name; the longest first.
fn long_names<'a>(chat: &'a Chat, said: &str) -> Vec<(&'a Room, &'a str)> {
    let named = |room: &'a Room| {
        let name = room.person.petname.as_deref().filter(|name| name.contains(char::is_whitespace))?;
        let (begins, rest) = said.split_at_checked(name.len())?;
        let begins = begins.to_lowercase() == name.to_lowercase() && rest.starts_with(char::is_whitespace);
        begins.then_some((room, name))
    };
    let mut named: Vec<_> = chat.rooms.iter().filter_map(named).collect();
    named.sort_by_key(|(_, name)| std::cmp::Reverse(name.len()));
    named
}

/// Of several: which one?
pub fn which(name: &str, meant: &[&Room]) -> String {
    let which = |room: &&Room| room.with().map_or_else(|| format!("#{}", room.id), |with| format!("@{with}"));
    let which: Vec<String> = meant.iter().map(which).collect();
    format!("which one is meant by {name}? say {}, or open the conversation", which.join(" or "))
}

/// Which sign?
pub fn signs(on: MessageId) -> Dialog {
    let choices = ('1'..='9').zip(NAMED);
    let choices = choices.map(|(key, (_, sign))| {
        let command = LineCommand::React(Some((*sign).to_owned()), None);
        (key, *sign, Command::Line(Some(on), command))
    });
    Dialog::Choose {
        title: "React".into(),
        question: "The same sign once more takes it back. /react SIGN sets any other; Esc closes.".into(),
        choices: choices.collect(),
    }
}

/// Is it to be deleted?
pub fn delete(on: MessageId, line: &Line) -> Dialog {
    let said = first_words(&line.body, 60);
    let question = format!(
        "Delete «{said}» for everybody? Who has read it has read it; what others kept elsewhere stays theirs."
    );
    Dialog::confirm(question, Command::Line(Some(on), LineCommand::Delete))
}

/// The beginning of a text, on one harmless line.
pub fn first_words(body: &str, columns: usize) -> String {
    let begin: String = body.chars().take(columns * 4).collect();
    text::truncate(text::line(&begin).trim(), columns)
}
