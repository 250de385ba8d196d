//! Text into the words that a search compares, each folded, with where it stands.
//!
//! A word is a run of letters and digits. Scripts that put no space between words (Chinese, Japanese,
//! Thai and others) give overlapping pairs of characters instead, and the last character by itself; a
//! sign such as an emoji is a word of its own. Case, accents, width and a few spellings of one letter
//! make no difference.

use nucleo_matcher::chars::normalize;
use std::ops::Range;

/// One word of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Folded; never empty.
    pub text: String,
    /// Where it stands in the text, in bytes.
    pub at: Range<usize>,
    /// What it is made of.
    pub kind: Kind,
}

/// What a word is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Letters and digits, or one sign.
    Letters,
    /// Two neighbours of a script without spaces.
    Pair,
    /// The last character of a run of such a script.
    Last,
}

/// The words of a text, in their order.
pub fn words(text: &str) -> Vec<Word> {
    let mut cut = Cut::default();
    for (at, c) in text.char_indices() {
        cut.take(at..at + c.len_utf8(), c);
    }
    cut.flush();
    cut.words
}

/// One folded text, for names: words with one space between them.
pub fn folded(text: &str) -> String {
    let mut out = String::new();
    for c in text.trim().chars() {
        if is_mark(c) {
            voice(&mut out, c);
        } else {
            fold(c, &mut out);
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[derive(Default)]
struct Cut {
    words: Vec<Word>,
    /// The word that is being read.
    letters: Option<(Range<usize>, String)>,
    /// The run of a script without spaces that is being read, by character.
    run: Vec<(Range<usize>, String)>,
}

impl Cut {
    fn take(&mut self, at: Range<usize>, c: char) {
        if is_mark(c) {
            // It belongs to what stands before it; by itself it is nothing.
            let before = self.run.last_mut().or(self.letters.as_mut());
            if let Some((range, text)) = before {
                range.end = at.end;
                voice(text, c);
            }
        } else if is_dense(c) {
            self.end_letters();
            let mut text = String::new();
            fold(c, &mut text);
            self.run.push((at, text));
        } else if c.is_alphanumeric() {
            self.end_run();
            let (range, text) = self.letters.get_or_insert((at.clone(), String::new()));
            range.end = at.end;
            fold(c, text);
        } else if is_sign(c) {
            self.flush();
            self.words.push(Word { text: c.to_string(), at, kind: Kind::Letters });
        } else {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.end_letters();
        self.end_run();
    }

    fn end_letters(&mut self) {
        if let Some((at, text)) = self.letters.take().filter(|(_, text)| !text.is_empty()) {
            self.words.push(Word { text, at, kind: Kind::Letters });
        }
    }

    fn end_run(&mut self) {
        for pair in self.run.windows(2) {
            let [(first, one), (second, two)] = pair else { continue };
            let (text, at) = (format!("{one}{two}"), first.start..second.end);
            self.words.push(Word { text, at, kind: Kind::Pair });
        }
        if let Some((at, text)) = self.run.pop() {
            self.words.push(Word { text, at, kind: Kind::Last });
        }
        self.run.clear();
    }
}

/// Adds a character as it is compared.
fn fold(c: char, out: &mut String) {
    let c = match c {
        // Full width forms of ASCII.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        c => c,
    };
    for c in c.to_lowercase() {
        match c {
            'ß' => out.push_str("ss"),
            'æ' => out.push_str("ae"),
            'œ' => out.push_str("oe"),
            'þ' => out.push_str("th"),
            'ð' | 'đ' => out.push('d'),
            'ł' => out.push('l'),
            'ı' => out.push('i'),
            'ς' => out.push('σ'),
            'ά' => out.push('α'),
            'έ' => out.push('ε'),
            'ή' => out.push('η'),
            'ί' | 'ϊ' | 'ΐ' => out.push('ι'),
            'ό' => out.push('ο'),
            'ύ' | 'ϋ' | 'ΰ' => out.push('υ'),
            'ώ' => out.push('ω'),
            'ё' => out.push('е'),
            'أ' | 'إ' | 'آ' | 'ٱ' => out.push('ا'),
            c if is_mark(c) => {}
            c => out.push(normalize(c)),
        }
    }
}

/// Marks that make no difference: accents, points, vowel signs that may be left out.
fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{487}' | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}'
        | '\u{5c2}' | '\u{5c4}' | '\u{5c5}' | '\u{5c7}' | '\u{610}'..='\u{61a}' | '\u{640}'
        | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{3099}' | '\u{309a}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{fe20}'..='\u{fe2f}')
}

/// A Japanese voicing mark behind its letter makes another letter; other marks are left out.
fn voice(text: &mut String, mark: char) {
    let step = match mark {
        '\u{3099}' => 1,
        '\u{309a}' => 2,
        _ => return,
    };
    if let Some(kana) = text.chars().next_back().filter(|c| ('\u{304b}'..='\u{30db}').contains(c))
        && let Some(voiced) = char::from_u32(kana as u32 + step)
    {
        text.pop();
        text.push(voiced);
    }
}

/// Scripts that put no space between words.
fn is_dense(c: char) -> bool {
    matches!(c,
        '\u{0e01}'..='\u{0e3a}' | '\u{0e40}'..='\u{0e4e}' | '\u{0e81}'..='\u{0ecd}'
        | '\u{1000}'..='\u{103f}' | '\u{1780}'..='\u{17d3}' | '\u{3005}' | '\u{3007}'
        | '\u{3041}'..='\u{3096}' | '\u{309d}'..='\u{309f}' | '\u{30a1}'..='\u{30fa}'
        | '\u{30fc}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9d}'
        | '\u{20000}'..='\u{3fffd}')
}

/// Pictures and symbols that somebody may look for.
fn is_sign(c: char) -> bool {
    matches!(c, '\u{2190}'..='\u{21ff}' | '\u{2600}'..='\u{27bf}' | '\u{1f000}'..='\u{1f3fa}' | '\u{1f400}'..='\u{1faff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_are_folded_and_know_where_they_stand() {
        assert_eq!(texts("Meet me, at the OLD mill!"), ["meet", "me", "at", "the", "old", "mill"]);
        assert_eq!(texts("Straße Ærø Łódź Œuvre"), ["strasse", "aero", "lodz", "oeuvre"]);
        assert_eq!(texts("CAFÉ cafe\u{301} ｃａｆé"), ["cafe", "cafe", "cafe"]);
        assert_eq!(texts("Όδυσσεύς ΟΔΥΣΣΕΥΣ ёлка"), ["οδυσσευσ", "οδυσσευσ", "елка"]);
        assert_eq!(texts("can't foo_bar x.y 3,5"), ["can", "t", "foo", "bar", "x", "y", "3", "5"]);
        assert_eq!(texts("مَرْحَبًا أهلا"), ["مرحبا", "اهلا"]);
        let text = "so: «Ćma»";
        let ma = &words(text)[1];
        assert_eq!((&text[ma.at.clone()], ma.text.as_str()), ("Ćma", "cma"));
        assert!(texts(" \u{301} -- … ").is_empty());
    }

    #[test]
    fn scripts_without_spaces_give_pairs() {
        assert_eq!(texts("今日はOK"), ["今日", "日は", "は", "ok"]);
        assert_eq!(texts("か\u{3099}く"), texts("がく"));
        assert_eq!(texts("ห้อง"), ["ห้", "้อ", "อง", "ง"]);
        assert_eq!(texts("well 🎉🎉 done"), ["well", "🎉", "🎉", "done"]);
    }

    #[test]
    fn names_are_folded() {
        assert_eq!(folded("  Élise\tdu  Bois "), "elise du bois");
    }
}
