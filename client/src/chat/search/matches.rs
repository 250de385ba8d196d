//! Whether a text has what is looked for, and where.

use super::query::{Query, Term};
use super::words::{Word, words};
use std::ops::Range;

impl Query {
    /// Whether all words of the query stand in that text. People, places and days are not looked at.
    pub fn is_in(&self, text: &str) -> bool {
        let words = words(text);
        self.terms.iter().all(|term| term.places(&words).next().is_some())
    }

    /// Where words of the query stand in that text: in order, none touching another.
    pub fn spans(&self, text: &str) -> Vec<Range<usize>> {
        let words = words(text);
        let mut spans: Vec<Range<usize>> = self.terms.iter().flat_map(|term| term.places(&words)).collect();
        spans.sort_by_key(|span| (span.start, span.end));
        let mut merged: Vec<Range<usize>> = Vec::with_capacity(spans.len());
        for span in spans {
            match merged.last_mut().filter(|last| span.start <= last.end) {
                Some(last) => last.end = last.end.max(span.end),
                None => merged.push(span),
            }
        }
        merged
    }
}

impl Term {
    fn places<'a>(&'a self, words: &'a [Word]) -> impl Iterator<Item = Range<usize>> + 'a {
        let count = self.words.len();
        let fits = move |some: &&[Word]| {
            some.iter().zip(&self.words).enumerate().all(|(i, (word, wanted))| {
                if self.open && i + 1 == count { word.text.starts_with(wanted) } else { word.text == *wanted }
            })
        };
        words.windows(count.max(1)).filter(fits).map(move |some| some[0].at.start..some[count - 1].at.end)
    }
}

/// A part of one line of harmless text around the first place that was found, at most that many
/// characters, and the places in it.
pub fn excerpt(query: &Query, line: &str, characters: usize) -> (String, Vec<Range<usize>>) {
    let first = query.spans(line).first().map_or(0, |span| span.start);
    let count = line.chars().count();
    // A few words before it say what it is about; at the end of the line there is place for more.
    let skip = line[..first].chars().count().saturating_sub(characters / 3);
    let skip = skip.min(count.saturating_sub(characters));
    let before = line.char_indices().nth(skip).map_or(0, |(at, _)| at);
    let space = line[before..first].find(' ').filter(|_| before > 0);
    let from = space.map_or(before, |space| before + space + 1);
    let mut text = if from > 0 { "…".to_owned() } else { String::new() };
    let rest = &line[from..];
    match rest.char_indices().nth(characters) {
        Some((end, _)) => {
            text.push_str(&rest[..end]);
            text.push('…');
        }
        None => text.push_str(rest),
    }
    let spans = query.spans(&text);
    (text, spans)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query(text: &str) -> Query {
        Query::parse(text, jiff::civil::date(2026, 3, 1)).expect("a query")
    }

    fn found(looked_for: &str, text: &str) -> Vec<String> {
        let query = query(looked_for);
        let spans: Vec<String> = query.spans(text).into_iter().map(|span| text[span].to_owned()).collect();
        assert!(query.is_in(text) || spans.len() < query.terms.len() || query.terms.is_empty());
        spans
    }

    #[test]
    fn beginnings_wholes_and_neighbours() {
        assert_eq!(found("mil", "Old MILLS by the mill"), ["MILLS", "mill"]);
        assert_eq!(found("\"mil\"", "old mills"), [""; 0]);
        assert_eq!(found("\"the old\"", "the OLD, the older"), ["the OLD"]);
        assert_eq!(found("can't", "I cant; I can't"), ["can't"]);
        assert_eq!(found("日は", "今日はいい"), ["日は"]);
        assert_eq!(found("は", "今日は"), ["は"]);
        assert_eq!(found("\"a 日\"", "b a 日本"), ["a 日本"]);
        assert_eq!(found("🎉", "well done🎉"), ["🎉"]);
        assert!(query("mill from:ben").is_in("mill") && !query("mill old").is_in("mill"));
    }

    #[test]
    fn an_excerpt_stands_around_the_first_place() {
        let line = format!("{} the needle {}", "hay ".repeat(40), "straw ".repeat(40));
        let (text, spans) = excerpt(&query("needle"), &line, 60);
        assert!(text.starts_with("…hay") && text.ends_with('…') && text.chars().count() <= 62, "{text}");
        assert_eq!(spans.iter().map(|span| &text[span.clone()]).collect::<Vec<_>>(), ["needle"]);
        assert_eq!(excerpt(&query("x"), "short", 60).0, "short");
        assert!(excerpt(&query("日"), &"日".repeat(200), 20).0.chars().count() <= 22);
    }

    proptest! {
        #[test]
        fn spans_are_ordered_apart_and_on_characters(text in "[a-cA-C é日本は🎉.]{0,30}",
            looked_for in "[a-cé日本\" ]{0,8}") {
            let query = query(&looked_for);
            let mut end = 0;
            for (i, span) in query.spans(&text).into_iter().enumerate() {
                prop_assert!(i == 0 || span.start > end);
                prop_assert!(text.get(span.clone()).is_some_and(|part| !part.is_empty()));
                end = span.end;
            }
            let (short, spans) = excerpt(&query, &text, 9);
            prop_assert!(spans.iter().all(|span| short.get(span.clone()).is_some()));
        }

        #[test]
        fn a_part_of_a_word_s_beginning_finds_it(text in "[a-z]{1,8}( [a-z]{1,8}){0,5}", nth in 0usize..6, cut in 1usize..8) {
            let words: Vec<&str> = text.split(' ').collect();
            let word = words[nth % words.len()];
            prop_assert!(query(&word[..cut.min(word.len())]).is_in(&text));
        }
    }
}
