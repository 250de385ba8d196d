//! What people did to a line, and what another deed makes of it: the same everywhere, in whichever
//! order the deeds come.

use super::timeline::{Author, Line};
use crate::text;
use serde::{Deserialize, Serialize};
use subrosa_shared::content::post::{Act, Deed, SIGN_MAX};
use subrosa_shared::id::{AccountName, MessageId};
use unicode_segmentation::UnicodeSegmentation;

/// Signs that one person may have set below one line, and those of theirs that were taken back and
/// are remembered.
pub const SIGNS_MAX: usize = 12;

/// Which of two deeds is the later one: by the clock, of equal ones by the act's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// That of the [`Act`].
    pub clock: u64,
    /// Of the act.
    pub id: MessageId,
}

/// A sign below a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// Whose.
    pub by: AccountName,
    /// One character, as people see them.
    pub sign: String,
    /// Set; one that was taken back is remembered, so that an older word does not set it again.
    pub on: bool,
    /// The newest word about it.
    pub stamp: Stamp,
}

/// A line that is kept at hand, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Who said so last.
    pub by: AccountName,
    /// Kept at hand.
    pub on: bool,
    /// The newest word about it.
    pub stamp: Stamp,
}

/// What became different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It says something else.
    Edited,
    /// Its words are gone.
    Deleted,
    /// A sign was set or taken back.
    Reacted {
        /// Which.
        sign: String,
        /// Set.
        on: bool,
    },
    /// It is kept at hand, or not any more.
    Pinned(bool),
}

impl Line {
    /// Carries an act out; `None` when a later one says otherwise, or there is no place for it. Whether
    /// its author may do that was looked at before.
    pub fn apply(&mut self, by: &AccountName, act: &Act) -> Option<Change> {
        let stamp = Stamp { clock: act.clock, id: act.id };
        if let Some(deleted) = &mut self.more.deleted {
            // Of two who did it the same one is named everywhere.
            if act.deed == Deed::Delete && by < deleted {
                deleted.clone_from(by);
            }
            return None;
        }
        match &act.deed {
            // What it says in words is made of the file.
            Deed::Edit { .. } if self.is_file() => None,
            Deed::Edit { body, mentions } => {
                if self.more.edited.is_some_and(|edited| edited >= stamp) {
                    return None;
                }
                self.more.edited = Some(stamp);
                self.more.mentions.clone_from(mentions);
                self.body.clone_from(body);
                Some(Change::Edited)
            }
            Deed::Delete => {
                self.body.clear();
                self.strip();
                self.more.deleted = Some(by.clone());
                Some(Change::Deleted)
            }
            Deed::React { sign, on } => self.react(by, sign, *on, stamp),
            Deed::Pin(on) => {
                if self.more.pin.as_ref().is_some_and(|pin| pin.stamp >= stamp) {
                    return None;
                }
                let was = self.is_pinned();
                self.more.pin = Some(Pin { by: by.clone(), on: *on, stamp });
                (was != *on).then_some(Change::Pinned(*on))
            }
        }
    }

    /// Forgets all that was said or done around its words.
    pub fn strip(&mut self) {
        let more = std::mem::take(&mut self.more);
        (self.more.by, self.more.clock) = (more.by, more.clock);
    }

    /// Kept at hand.
    pub fn is_pinned(&self) -> bool {
        self.more.pin.as_ref().is_some_and(|pin| pin.on)
    }

    /// A person's line whose words are still there.
    pub fn is_said(&self) -> bool {
        matches!(self.author, Author::Me | Author::Them) && !self.body.is_empty()
    }

    /// Above all that was done to it.
    pub fn next_clock(&self) -> u64 {
        let more = &self.more;
        let reactions = more.reactions.iter().map(|reaction| reaction.stamp.clock);
        let others = more.edited.map(|edited| edited.clock).into_iter();
        let others = others.chain(more.pin.as_ref().map(|pin| pin.stamp.clock));
        reactions.chain(others).max().unwrap_or(0).saturating_add(1)
    }

    /// The signs that are set, in the order in which each was first, and whose they are.
    pub fn signs(&self) -> Vec<(&str, Vec<&AccountName>)> {
        let mut signs: Vec<(&str, Vec<&AccountName>)> = Vec::new();
        let mut set: Vec<&Reaction> = self.more.reactions.iter().filter(|reaction| reaction.on).collect();
        set.sort_by_key(|reaction| reaction.stamp);
        for reaction in set {
            match signs.iter_mut().find(|(sign, _)| *sign == reaction.sign) {
                Some((_, people)) => people.push(&reaction.by),
                None => signs.push((&reaction.sign, vec![&reaction.by])),
            }
        }
        signs
    }

    /// How many signs somebody has set below it.
    pub fn signs_of(&self, who: &AccountName) -> usize {
        self.more.reactions.iter().filter(|reaction| reaction.on && reaction.by == *who).count()
    }

    /// Whether somebody has set that sign below it.
    pub fn has_sign(&self, who: &AccountName, sign: &str) -> bool {
        self.more.reactions.iter().any(|it| it.on && it.by == *who && it.sign == sign)
    }

    fn react(&mut self, by: &AccountName, sign: &str, on: bool, stamp: Stamp) -> Option<Change> {
        let change = Change::Reacted { sign: sign.to_owned(), on };
        let reactions = &mut self.more.reactions;
        if let Some(known) = reactions.iter_mut().find(|it| it.by == *by && it.sign == sign) {
            if known.stamp >= stamp {
                return None;
            }
            let was = std::mem::replace(&mut known.on, on);
            known.stamp = stamp;
            return (was != on).then_some(change);
        }
        if reactions.iter().filter(|it| it.by == *by).count() >= SIGNS_MAX {
            // What was taken back longest ago makes room.
            let old = reactions.iter().enumerate().filter(|(_, it)| it.by == *by && !it.on);
            let (old, _) = old.min_by_key(|(_, it)| it.stamp)?;
            reactions.remove(old);
        }
        reactions.push(Reaction { by: by.clone(), sign: sign.to_owned(), on, stamp });
        on.then_some(change)
    }
}

/// The sign that a person means, or that came from elsewhere: one harmless character, as people see
/// them, or a name such as `+1`.
pub fn sign(typed: &str) -> Option<String> {
    let typed = typed.trim();
    let named = NAMED.iter().find(|(name, _)| *name == typed.trim_matches(':'));
    let sign = named.map_or(typed, |(_, sign)| sign);
    is_sign(sign).then(|| sign.to_owned())
}

/// Whether that is a sign as it stands.
pub fn is_sign(sign: &str) -> bool {
    (1..=SIGN_MAX).contains(&sign.len())
        && sign.graphemes(true).count() == 1
        && text::line(sign) == *sign
        && !sign.trim().is_empty()
}

/// Signs that can be typed by name, the first ones also by number.
pub const NAMED: &[(&str, &str)] = &[
    ("+1", "👍"),
    ("heart", "❤️"),
    ("laugh", "😂"),
    ("wow", "😮"),
    ("sad", "😢"),
    ("party", "🎉"),
    ("-1", "👎"),
    ("eyes", "👀"),
    ("fire", "🔥"),
    ("ok", "✅"),
    ("no", "❌"),
    ("rose", "🌹"),
];

#[cfg(test)]
mod tests {
    use super::super::attached::Attached;
    use super::super::tests::film;
    use super::super::timeline::LineState;
    use super::*;
    use proptest::prelude::*;
    use subrosa_shared::time::Millis;

    fn name(text: &str) -> AccountName {
        AccountName::parse(text).expect("a name")
    }

    fn line() -> Line {
        Line::new(MessageId([1; 16]), Author::Them, Millis(1), "first".into(), LineState::Received)
    }

    #[test]
    fn signs_are_one_harmless_character() {
        for (typed, want) in [
            ("👍", Some("👍")),
            (" +1 ", Some("👍")),
            (":heart:", Some("❤️")),
            ("👩‍👩‍👧‍👦", Some("👩‍👩‍👧‍👦")),
            ("ab", None),
            ("", None),
            (" ", None),
            ("\u{202e}", None),
            ("\u{1b}", None),
        ] {
            assert_eq!(sign(typed).as_deref(), want, "{typed:?}");
        }
        assert!(NAMED.iter().all(|(_, sign)| is_sign(sign)));
        assert!(!is_sign(&format!("e{}", "\u{301}".repeat(40))));
    }

    #[test]
    fn an_edit_took_the_files_name_from_its_line() {
        let file = Attached::new(film(MessageId([1; 16])));
        let mut line = Line { body: file.text(), ..line() };
        line.more.file = Some(Box::new(file));
        let deed = Deed::Edit { body: "another caption".into(), mentions: Vec::new() };
        let act = Act { id: MessageId([2; 16]), on: line.id, clock: 1, deed };
        for mut line in [line.clone(), line.bare()] {
            let before = line.clone();
            assert_eq!((line.apply(&name("ben"), &act), line), (None, before));
        }
    }

    #[test]
    fn one_person_fills_no_line_with_signs() {
        let mut line = line();
        for (i, c) in ('a'..='z').enumerate() {
            let deed = Deed::React { sign: c.into(), on: true };
            line.apply(&name("ben"), &Act { id: MessageId([i as u8; 16]), on: line.id, clock: 1, deed });
        }
        assert_eq!(line.signs_of(&name("ben")), SIGNS_MAX);
        let clock = line.next_clock();
        assert!(clock == 2 && line.encode().len() < 1024);
    }

    fn deed() -> impl Strategy<Value = (u8, u64, Deed)> {
        let deed = prop_oneof![
            4 => "[a-c]".prop_map(|body| Deed::Edit { body, mentions: Vec::new() }),
            4 => ("[xyz]", any::<bool>()).prop_map(|(sign, on)| Deed::React { sign, on }),
            2 => any::<bool>().prop_map(Deed::Pin),
            1 => Just(Deed::Delete),
        ];
        (0u8..3, 0u64..5, deed)
    }

    proptest! {
        #[test]
        fn any_order_ends_in_the_same_line(deeds in proptest::collection::vec(deed(), 1..12), seed in any::<u64>()) {
            let people = ["ada", "ben", "cyd"].map(name);
            let acts: Vec<(AccountName, Act)> = deeds
                .into_iter()
                .enumerate()
                .map(|(i, (who, clock, deed))| {
                    let act = Act { id: MessageId([i as u8; 16]), on: MessageId([1; 16]), clock, deed };
                    (people[usize::from(who)].clone(), act)
                })
                .collect();
            let mut shuffled = acts.clone();
            shuffled.sort_by_key(|(_, act)| (u64::from(act.id.0[0]) + 1).wrapping_mul(seed | 1).rotate_left(17));
            let after = |acts: &[(AccountName, Act)]| {
                let mut line = line();
                acts.iter().for_each(|(who, act)| drop(line.apply(who, act)));
                acts.iter().for_each(|(who, act)| drop(line.apply(who, act)));
                line.more.reactions.sort_by(|a, b| (&a.by, &a.sign).cmp(&(&b.by, &b.sign)));
                line
            };
            prop_assert_eq!(after(&acts), after(&shuffled));
        }
    }
}
