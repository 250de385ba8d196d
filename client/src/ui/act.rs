//! Commands about one line: the picked one, or the one that is meant when none is.

use super::command::Command;
use super::dialog::Dialog;
use super::text;
use crate::chat::Chat;
use crate::chat::deeds::NAMED;
use crate::chat::room::Room;
use crate::chat::timeline::{Author, Line};
use subrosa_shared::id::{MessageId, RoomId};

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
    /// Send it to the person or room of that name; `None` asks for it.
    Forward(Option<String>),
    /// Send it to that conversation.
    ForwardTo(RoomId),
    /// Put its words on the clipboard.
    Copy,
}

/// The line that is meant when none is picked: the newest one that it makes sense for.
pub fn meant(room: &Room, command: &LineCommand) -> Option<MessageId> {
    let fits = |line: &Line| match command {
        LineCommand::Edit(_) | LineCommand::Delete => line.author == Author::Me,
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

/// The conversation of that name, of a person or a room (with or without `#`).
pub fn named(chat: &Chat, name: &str) -> Option<RoomId> {
    let bare = name.trim_start_matches('@').to_lowercase();
    let by = |fits: &dyn Fn(&Room) -> bool| chat.rooms.iter().find(|room| fits(room)).map(|room| room.id);
    by(&|room| room.with().is_some_and(|with| with.as_str() == bare))
        .or_else(|| by(&|room| room.name().to_lowercase() == bare))
        .or_else(|| chat.room_named(name).map(|room| room.id))
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
