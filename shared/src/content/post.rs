//! Lines that are more than their words, and what people do to lines afterwards.

use super::TEXT_MAX;
use crate::id::{AccountName, MessageId};
use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// The most people whom one line mentions.
pub const MENTIONS_MAX: usize = 64;

/// The longest sign of a reaction, in bytes: families of five with skin colours fit.
pub const SIGN_MAX: usize = 48;

/// A line that a person wrote, with what stands around it. What has nothing around it is a
/// [`super::Content::Text`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// Drawn by the author; a repeat of it is shown once.
    pub id: MessageId,
    /// The author's wall clock.
    pub at: Millis,
    /// At most [`TEXT_MAX`] bytes.
    pub body: String,
    /// The line that it answers. Its words do not travel along: each end shows its own copy of that
    /// line, so nobody can be quoted with what they did not say, and nothing outlives it in a quote.
    pub reply: Option<MessageId>,
    /// Written somewhere else first.
    pub forwarded: bool,
    /// Whom it calls; at most [`MENTIONS_MAX`].
    pub mentions: Vec<AccountName>,
}

/// What a person does to a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// Drawn by who acts; a repeat of it does nothing more.
    pub id: MessageId,
    /// The line.
    pub on: MessageId,
    /// Above that of every act on this line that its author knew. Of two that exclude each other the
    /// higher one holds, of equal ones that with the higher id: in whichever order they come.
    pub clock: u64,
    /// What.
    pub deed: Deed,
}

/// What can be done to a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed {
    /// Its author says it in other words.
    Edit {
        /// At most [`TEXT_MAX`] bytes, not empty.
        body: String,
        /// Whom it calls now; at most [`MENTIONS_MAX`].
        mentions: Vec<AccountName>,
    },
    /// Its words are taken back, for good.
    Delete,
    /// A sign below it.
    React {
        /// 1 to [`SIGN_MAX`] bytes.
        sign: String,
        /// Set, or taken back.
        on: bool,
    },
    /// Kept at hand for everybody (`true`), or not any more.
    Pin(bool),
}

impl Post {
    pub(super) fn bounded(&self) -> bool {
        self.body.len() <= TEXT_MAX && self.mentions.len() <= MENTIONS_MAX
    }
}

impl Act {
    pub(super) fn bounded(&self) -> bool {
        match &self.deed {
            Deed::Edit { body, mentions } => {
                (1..=TEXT_MAX).contains(&body.len()) && mentions.len() <= MENTIONS_MAX
            }
            Deed::React { sign, .. } => (1..=SIGN_MAX).contains(&sign.len()),
            Deed::Delete | Deed::Pin(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Content, Error};
    use super::*;

    fn ben() -> AccountName {
        AccountName::parse("ben").expect("a name")
    }

    fn post() -> Post {
        Post {
            id: MessageId([7; 16]),
            at: Millis(300),
            body: "hi".into(),
            reply: Some(MessageId([9; 16])),
            forwarded: true,
            mentions: vec![ben()],
        }
    }

    fn act(deed: Deed) -> Act {
        Act { id: MessageId([7; 16]), on: MessageId([9; 16]), clock: 300, deed }
    }

    #[test]
    fn bytes_of_a_post() {
        let content = Content::Post(post());
        let mut want = vec![1, 12];
        want.extend([7; 16]);
        want.extend([0xac, 0x02, 2, b'h', b'i', 1]);
        want.extend([9; 16]);
        want.extend([1, 1, 3, b'b', b'e', b'n']);
        assert_eq!(content.encode(), want);
        assert_eq!(Content::decode(&want), Ok(content));
    }

    #[test]
    fn bytes_of_acts() {
        let deeds: [(Deed, &[u8]); 4] = [
            (
                Deed::Edit { body: "ho".into(), mentions: vec![ben()] },
                &[0, 2, b'h', b'o', 1, 3, b'b', b'e', b'n'],
            ),
            (Deed::Delete, &[1]),
            (Deed::React { sign: "é".into(), on: true }, &[2, 2, 0xc3, 0xa9, 1]),
            (Deed::Pin(false), &[3, 0]),
        ];
        for (deed, bytes) in deeds {
            let content = Content::Act(act(deed));
            let mut want = vec![1, 13];
            want.extend([7; 16]);
            want.extend([9; 16]);
            want.extend([0xac, 0x02]);
            want.extend(bytes);
            assert_eq!(content.encode(), want);
            assert_eq!(Content::decode(&want), Ok(content));
        }
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let many = vec![ben(); MENTIONS_MAX + 1];
        let long = "x".repeat(TEXT_MAX + 1);
        let contents = [
            Content::Post(Post { body: long.clone(), ..post() }),
            Content::Post(Post { mentions: many.clone(), ..post() }),
            Content::Act(act(Deed::Edit { body: long, mentions: Vec::new() })),
            Content::Act(act(Deed::Edit { body: String::new(), mentions: Vec::new() })),
            Content::Act(act(Deed::Edit { body: "x".into(), mentions: many })),
            Content::Act(act(Deed::React { sign: "x".repeat(SIGN_MAX + 1), on: true })),
            Content::Act(act(Deed::React { sign: String::new(), on: true })),
        ];
        for content in contents {
            assert_eq!(Content::decode(&content.encode()), Err(Error::Malformed));
        }
        let longest = Post { body: "x".repeat(TEXT_MAX), mentions: vec![ben(); MENTIONS_MAX], ..post() };
        let timed = Content::Post(longest).timed(60);
        assert!(Content::decode(&timed.encode()).and_then(Content::plain).is_ok(), "it may disappear too");
    }
}
