//! What a person looks for, read from a line of text.
//!
//! ```text
//! old mill                  lines with words that begin like that, all of them
//! "old mill"                these words, whole, one behind the other
//! from:ben  from:me         written by
//! in:ben  in:"book club"    in that conversation
//! on:2026-01-31  before:2026-01  after:yesterday
//! ```

use super::words::{Kind, folded, words};
use jiff::civil::Date;
use jiff::{Span, ToSpan};

/// The longest line that is read, in bytes.
pub const QUERY_MAX: usize = 512;
/// Most words, names and dates in one.
const PARTS_MAX: usize = 24;

/// What a line must have to be found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// All of them stand in it.
    pub terms: Vec<Term>,
    /// One of these wrote it, folded; empty: anybody.
    pub from: Vec<String>,
    /// It stands in one of these conversations, folded; empty: in any.
    pub rooms: Vec<String>,
    /// It is of that day or later.
    pub since: Option<Date>,
    /// It is of an earlier day.
    pub until: Option<Date>,
}

/// Words that stand one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Folded; at least one.
    pub words: Vec<String>,
    /// The last of them may go on.
    pub open: bool,
}

impl Query {
    /// Reads a line.
    ///
    /// # Errors
    /// A sentence with the next step.
    pub fn parse(text: &str, today: Date) -> Result<Self, String> {
        if text.len() > QUERY_MAX {
            return Err(format!("A search has at most {QUERY_MAX} characters."));
        }
        let mut query = Self::default();
        let mut parts = 0;
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let part;
            (part, rest) = Part::next(rest);
            rest = rest.trim_start();
            query.add(part, today)?;
            parts += 1;
            if parts > PARTS_MAX {
                return Err(format!("A search has at most {PARTS_MAX} words."));
            }
        }
        Ok(query)
    }

    /// Nothing is looked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn add(&mut self, part: Part, today: Date) -> Result<(), String> {
        let Part { key, value, quoted } = part;
        match key {
            None => self.terms.extend(Term::read(value, quoted)),
            Some(Key::From) if value.is_empty() => return Err("From whom? from:NAME or from:me.".into()),
            Some(Key::From) => self.from.push(folded(value.trim_start_matches('@'))),
            Some(Key::In) if value.is_empty() => return Err("In which conversation? in:NAME.".into()),
            Some(Key::In) => self.rooms.push(folded(value.trim_start_matches(['@', '#']))),
            Some(when) => {
                let (first, end) = days(value, today)?;
                let (since, until) = match when {
                    Key::Before => (None, Some(first)),
                    Key::After => (Some(end), None),
                    _ => (Some(first), Some(end)),
                };
                self.since = self.since.max(since);
                self.until = match (self.until, until) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
            }
        }
        Ok(())
    }
}

impl Term {
    /// The words of a part; `None` when there is none in it.
    fn read(value: &str, quoted: bool) -> Option<Self> {
        let mut read = words(value);
        let last = read.last()?.kind;
        let mut open = !quoted && last == Kind::Letters;
        if last == Kind::Last {
            // Inside a longer run that character begins a pair.
            open = read.len() < 2 || read[read.len() - 2].kind != Kind::Pair;
            if !open {
                read.pop();
            }
        }
        Some(Self { words: read.into_iter().map(|word| word.text).collect(), open })
    }
}

/// A word, a quotation, or `key:value`.
struct Part<'a> {
    key: Option<Key>,
    value: &'a str,
    quoted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    From,
    In,
    Before,
    After,
    On,
}

impl<'a> Part<'a> {
    /// The first part of a text that does not begin with a space, and what is behind it.
    fn next(text: &'a str) -> (Self, &'a str) {
        let key = KEYS.iter().find_map(|(name, key)| {
            let (head, rest) = text.split_once(':')?;
            head.eq_ignore_ascii_case(name).then_some((*key, rest))
        });
        let (key, text) = match key {
            Some((key, rest)) => (Some(key), rest),
            None => (None, text),
        };
        let Some(open) = text.chars().next().filter(|c| QUOTES.contains(c)) else {
            // A quotation also begins in the middle of a word: quotes never hide what is typed.
            let end = text.find(|c: char| c.is_whitespace() || QUOTES.contains(&c)).unwrap_or(text.len());
            return (Self { key, value: &text[..end], quoted: false }, &text[end..]);
        };
        let inside = &text[open.len_utf8()..];
        // One that is not closed goes on to the end.
        let end = inside.find(QUOTES).unwrap_or(inside.len());
        let behind = inside[end..].chars().next().map_or(0, char::len_utf8);
        (Self { key, value: &inside[..end], quoted: true }, &inside[end + behind..])
    }
}

/// The first day of what is written there, and the first day behind it.
fn days(text: &str, today: Date) -> Result<(Date, Date), String> {
    let wrong = || {
        format!(
            "«{}» is no date: write 2026-01-31, 2026-01, 2026, today or yesterday.",
            crate::text::line(&text.chars().take(24).collect::<String>())
        )
    };
    let number = |text: &str, digits: usize| {
        let right = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
        right.then(|| text.parse::<i16>().ok()).flatten()
    };
    let parts: Vec<&str> = text.split('-').collect();
    let date = |year: &str, month: &str, day: &str| {
        let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
        Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
    };
    let (first, long): (Option<Date>, Span) = match (folded(text).as_str(), parts.as_slice()) {
        ("today", _) => (Some(today), 1.day()),
        ("yesterday", _) => (today.yesterday().ok(), 1.day()),
        (_, [year]) => (date(year, "01", "01"), 1.year()),
        (_, [year, month]) => (date(year, month, "01"), 1.month()),
        (_, [year, month, day]) => (date(year, month, day), 1.day()),
        _ => (None, 1.day()),
    };
    let first = first.ok_or_else(wrong)?;
    Ok((first, first.checked_add(long).map_err(|_| wrong())?))
}

const KEYS: [(&str, Key); 5] =
    [("from", Key::From), ("in", Key::In), ("before", Key::Before), ("after", Key::After), ("on", Key::On)];

const QUOTES: [char; 6] = ['"', '“', '”', '„', '«', '»'];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn today() -> Date {
        jiff::civil::date(2026, 3, 1)
    }

    fn parse(text: &str) -> Query {
        Query::parse(text, today()).expect("a query")
    }

    fn term(words: &[&str], open: bool) -> Term {
        Term { words: words.iter().map(|word| (*word).to_owned()).collect(), open }
    }

    #[test]
    fn words_and_quotations() {
        assert_eq!(parse("Old MILL").terms, [term(&["old"], true), term(&["mill"], true)]);
        assert_eq!(parse("\"Old mill\" x").terms, [term(&["old", "mill"], false), term(&["x"], true)]);
        assert_eq!(parse("“old").terms, [term(&["old"], false)]);
        assert_eq!(parse("can't").terms, [term(&["can", "t"], true)]);
        assert_eq!(parse("https://x.org").terms, [term(&["https", "x", "org"], true)]);
        assert_eq!(parse("今日は").terms, [term(&["今日", "日は"], false)]);
        assert_eq!(parse("今").terms, [term(&["今"], true)]);
        assert_eq!(parse("\"a 今日 b\"").terms, [term(&["a", "今日", "日", "b"], false)]);
        assert!(parse(" - ").is_empty() && parse("").is_empty());
    }

    #[test]
    fn people_places_and_days() {
        let query = parse("from:@Ben FROM:me in:\"Book Club\" in:#Ops on:2026-01 mill");
        assert_eq!(query.from, ["ben", "me"]);
        assert_eq!(query.rooms, ["book club", "ops"]);
        assert_eq!(query.terms, [term(&["mill"], true)]);
        let date = jiff::civil::date;
        let range = |text: &str| (parse(text).since, parse(text).until);
        assert_eq!(range("on:2026-01"), (Some(date(2026, 1, 1)), Some(date(2026, 2, 1))));
        assert_eq!(range("before:2026-01-31"), (None, Some(date(2026, 1, 31))));
        assert_eq!(range("after:2025"), (Some(date(2026, 1, 1)), None));
        assert_eq!(range("on:Yesterday"), (Some(date(2026, 2, 28)), Some(today())));
        assert_eq!(
            range("after:2025 after:2024 before:2026-05 before:2026-04"),
            (Some(date(2026, 1, 1)), Some(date(2026, 4, 1)))
        );
        for bad in
            ["on:soon", "on:2026-13", "on:2026-02-30", "on:", "on:9999", "before:+26-01-01", "on:2026-1-1"]
        {
            let why = Query::parse(bad, today()).expect_err(bad);
            assert!(why.contains("2026-01-31"), "{why}");
        }
        assert!(Query::parse("from:", today()).expect_err("nobody").contains("from:NAME"));
        assert!(Query::parse(&"x ".repeat(200), today()).is_err());
        assert!(Query::parse(&"x".repeat(600), today()).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
            let _ = Query::parse(&text, today());
        }

        #[test]
        fn parts_in_another_order_say_the_same(mut parts in proptest::collection::vec(
            prop_oneof!["[a-z]{1,5}", Just("from:ben".to_owned()), Just("on:2026-01".to_owned())], 0..6)) {
            let one = parse(&parts.join(" "));
            parts.reverse();
            let mut other = parse(&parts.join("  "));
            other.terms.reverse();
            prop_assert_eq!(one, other);
        }
    }
}
