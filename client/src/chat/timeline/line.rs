//! One line: what it says, who wrote it, how far it got, and its bytes in the store.

use crate::chat::attached::Attached;
use crate::chat::deeds::{Pin, Reaction, Stamp};
use serde::{Deserialize, Serialize};
use subrosa_shared::content::Content;
use subrosa_shared::content::own::MORE_MAX;
use subrosa_shared::content::post::Post;
use subrosa_shared::id::{AccountName, MessageId};
use subrosa_shared::time::Millis;

/// One line of a timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Drawn by its author.
    pub id: MessageId,
    /// Who wrote it.
    pub author: Author,
    /// The author's clock for other people's lines, ours for our own.
    pub at: Millis,
    /// Foreign text: harmless only after the screen made it so.
    pub body: String,
    /// How far it got.
    pub state: LineState,
    /// What most lines have nothing of.
    pub more: More,
}

/// What a line may have besides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct More {
    /// Which member wrote it, in a room of several people.
    pub by: Option<AccountName>,
    /// Its place in the order that all who are in the conversation see: a Lamport clock; 0 for a line that
    /// stays where it came.
    pub clock: u64,
    /// The line is a file.
    pub file: Option<Box<Attached>>,
    /// The same of a line whose file lies apart, since it disappears.
    pub is_file: bool,
    /// The line that it answers.
    pub reply: Option<MessageId>,
    /// Written somewhere else first.
    pub forwarded: bool,
    /// Whom it calls.
    pub mentions: Vec<AccountName>,
    /// Its author said it in other words since.
    pub edited: Option<Stamp>,
    /// Who took its words back.
    pub deleted: Option<AccountName>,
    /// Signs below it, as they came.
    pub reactions: Vec<Reaction>,
    /// Kept at hand.
    pub pin: Option<Pin>,
    /// Said before this account came into the room: who told of it. Nothing but their word says whose it is.
    pub told: Option<AccountName>,
}

impl More {
    /// Reads what a device of that version stored or told; 1 knew nothing of who told a line.
    fn read(version: u8, bytes: &[u8]) -> Option<Self> {
        match version {
            MORE_VERSION => postcard::from_bytes(bytes).ok(),
            1 => postcard::from_bytes(&[bytes, &[0]].concat()).ok(),
            _ => None,
        }
    }

    /// From another own device, of this version or the one before.
    pub(in crate::chat) fn heard(bytes: &[u8]) -> Self {
        Self::read(MORE_VERSION, bytes).or_else(|| Self::read(1, bytes)).unwrap_or_default()
    }

    /// For another own device: nothing where there is nothing. Where it is too much the file's small picture stays
    /// behind, then signs that were taken back, then all signs.
    pub(in crate::chat) fn told(&self) -> Vec<u8> {
        if *self == Self::default() {
            return Vec::new();
        }
        let encoded = |more: &Self| postcard::to_stdvec(more).expect("a line serialises: plain fields only");
        let mut bytes = encoded(self);
        if bytes.len() <= MORE_MAX {
            return bytes;
        }
        let mut less = self.clone();
        let leave: [fn(&mut Self); 3] = [
            |more| more.file.iter_mut().for_each(|attached| attached.file.preview.clear()),
            |more| more.reactions.retain(|reaction| reaction.on),
            |more| more.reactions.clear(),
        ];
        for leave in leave {
            leave(&mut less);
            bytes = encoded(&less);
            if bytes.len() <= MORE_MAX {
                break;
            }
        }
        bytes
    }

    /// What is to be known of a line's words, behind its author's name where lines are listed: ` (edited, told by
    /// ben)`, or nothing.
    pub fn marks(&self) -> String {
        let said = [(self.forwarded, "forwarded"), (self.edited.is_some(), "edited")];
        let said = said.into_iter().filter(|(is, _)| *is).map(|(_, word)| word.to_owned());
        let told = self.told.iter().map(|by| format!("told by {by}"));
        let said: Vec<String> = said.chain(told).collect();
        if said.is_empty() { String::new() } else { format!(" ({})", said.join(", ")) }
    }
}

/// The part of a line that was there first, as it is stored.
#[derive(Serialize, Deserialize)]
struct Base {
    id: MessageId,
    author: Author,
    at: Millis,
    body: String,
    state: LineState,
}

/// Before [`More`] in the store.
const MORE_VERSION: u8 = 2;

impl Line {
    /// A line with nothing besides.
    pub fn new(id: MessageId, author: Author, at: Millis, body: String, state: LineState) -> Self {
        Self { id, author, at, body, state, more: More::default() }
    }

    /// A line that came with something around it.
    pub(in crate::chat) fn of(post: Post, author: Author, state: LineState) -> Self {
        let Post { id, at, body, reply, forwarded, mentions } = post;
        Self {
            more: More { reply, forwarded, mentions, ..More::default() },
            ..Self::new(id, author, at, body, state)
        }
    }

    /// Reads what [`Line::encode`] wrote; `None` for anything else.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (base, rest) = postcard::take_from_bytes::<Base>(bytes).ok()?;
        let more = match rest.split_first() {
            None => More::default(),
            Some((&version, more)) => More::read(version, more)?,
        };
        let Base { id, author, at, body, state } = base;
        Some(Self { id, author, at, body, state, more })
    }

    /// The bytes for the store.
    pub fn encode(&self) -> Vec<u8> {
        let Self { id, author, at, ref body, ref state, ref more } = *self;
        let base = Base { id, author, at, body: body.clone(), state: state.clone() };
        let mut bytes = postcard::to_stdvec(&base).expect("a line serialises: plain fields only");
        if *more != More::default() {
            bytes.push(MORE_VERSION);
            bytes = postcard::to_extend(more, bytes).expect("a line serialises: plain fields only");
        }
        bytes
    }

    /// What it says on the wire, as its author sent it.
    pub(in crate::chat) fn words(&self) -> Content {
        let Self { id, at, ref body, ref more, .. } = *self;
        let (body, mentions) = (body.clone(), more.mentions.clone());
        if more.reply.is_none() && !more.forwarded && mentions.is_empty() {
            return Content::Text { id, at, body };
        }
        Content::Post(Post { id, at, body, reply: more.reply, forwarded: more.forwarded, mentions })
    }

    /// Its place in the order that all see.
    pub(super) fn order(&self) -> Option<(u64, MessageId)> {
        (self.more.clock > 0).then_some((self.more.clock, self.id))
    }
}

/// Who wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Author {
    /// This account.
    Me,
    /// The other person; in a room of several, the member in [`More::by`].
    Them,
    /// subrosa itself: a grey line.
    Note,
    /// subrosa itself: a line that must not be missed.
    Alarm,
}

/// How far an own line got; other lines are `Received`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LineState {
    /// Somebody else's.
    Received,
    /// Here only.
    Sending,
    /// The relay refuses it for now; it is tried again. Why, for the person.
    Waiting(String),
    /// On the relay's disk.
    Sent,
    /// On the other person's disk.
    Delivered,
    /// On the other person's screen.
    Read,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::tests::film;
    use subrosa_shared::content::file::{File, PREVIEW_MAX};

    fn ben() -> AccountName {
        AccountName::parse("ben").expect("a name")
    }

    #[test]
    fn an_own_device_is_told_whose_a_line_is_and_where_it_stands_however_much_is_around_it() {
        let file = File { preview: vec![9; PREVIEW_MAX], ..film(MessageId([7; 16])) };
        let stamp = Stamp { clock: 1, id: MessageId([1; 16]) };
        let sign = |on| Reaction { by: ben(), sign: "👍".into(), on, stamp };
        for (set, taken_back, want) in [
            (10, 10, (PREVIEW_MAX, 10, 10)),
            (50, 50, (0, 50, 50)),
            (200, 200, (0, 200, 0)),
            (400, 0, (0, 0, 0)),
        ] {
            let mut reactions = vec![sign(true); set];
            reactions.extend(vec![sign(false); taken_back]);
            let file = Some(Box::new(Attached::new(file.clone())));
            let more = More { by: Some(ben()), clock: 9, file, reactions, ..More::default() };
            let told = more.told();
            assert!(told.len() <= MORE_MAX, "{set}");
            let heard = More::heard(&told);
            let file = heard.file.as_ref().expect("the line is a file still");
            let on = heard.reactions.iter().filter(|reaction| reaction.on).count();
            assert_eq!((file.file.preview.len(), on, heard.reactions.len() - on), want);
            assert_eq!((heard.by, heard.clock, file.file.size), (Some(ben()), 9, 1000));
        }
    }

    #[test]
    fn what_is_to_be_known_of_words_stands_behind_a_name() {
        assert_eq!(More::default().marks(), "");
        let told = More { told: Some(ben()), ..More::default() };
        assert_eq!(told.marks(), " (told by ben)");
        let edited = Some(Stamp { clock: 1, id: MessageId([1; 16]) });
        assert_eq!(More { forwarded: true, edited, ..told }.marks(), " (forwarded, edited, told by ben)");
    }
}
