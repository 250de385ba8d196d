//! How hard a login password is to guess, in words.

use super::text;
use super::theme::Role;
use zxcvbn::{Score, zxcvbn};

/// What is thought of a password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strength {
    /// 0 to 4.
    pub score: u8,
    /// How long somebody needs who has what tests it, as people say it.
    pub time: String,
    /// What is weak about it, and what would help; may be empty.
    pub advice: String,
}

/// The least score that is taken; at that score once more is asked.
pub const LEAST: u8 = 2;

/// Who guesses a login password without being counted.
pub const RELAY: &str = "a thief of the relay's disk";
/// Who guesses a room's password without being counted.
pub const MEMBER: &str = "a thief of a member's device";

/// Longer than this says nothing more, and takes long to look at.
const LOOKED_AT: usize = 100;

impl Strength {
    /// Rates a password; `known` is what an attacker tries first (the name).
    pub fn of(password: &str, known: &[&str]) -> Self {
        if password.is_empty() {
            return Self::default();
        }
        let end = password.char_indices().nth(LOOKED_AT).map_or(password.len(), |(at, _)| at);
        let known: Vec<&str> = known.iter().copied().chain(["subrosa"]).collect();
        let found = zxcvbn(&password[..end], &known);
        let score = match found.score() {
            Score::One => 1,
            Score::Two => 2,
            Score::Three => 3,
            Score::Four => 4,
            _ => 0,
        };
        let advice = found.feedback().map_or(String::new(), |feedback| {
            let warning = feedback.warning().map(|warning| warning.to_string());
            let first = feedback.suggestions().first().map(|suggestion| suggestion.to_string());
            warning.into_iter().chain(first).collect::<Vec<_>>().join(" ")
        });
        Self { score, time: found.crack_times().offline_slow_hashing_1e4_per_second().to_string(), advice }
    }

    /// Five cells and a word.
    pub fn bar(&self) -> (String, Role) {
        let (word, role) = match self.score {
            0 => ("very weak", Role::Warn),
            1 => ("weak", Role::Warn),
            2 => ("fair", Role::Dim),
            3 => ("good", Role::Good),
            _ => ("strong", Role::Good),
        };
        let full = usize::from(self.score) + 1;
        (format!("{}{} {word}", "■".repeat(full), "□".repeat(5 - full)), role)
    }

    /// One line below the bar; `thief` is who could have what tests it.
    pub fn line(&self, thief: &str) -> String {
        let guessed = format!("guessed in {} by {thief}", self.time);
        text::line(&if self.advice.is_empty() { guessed } else { format!("{guessed}. {}", self.advice) })
    }

    /// Why it is not taken, or asked about once more.
    pub fn objection(&self, thief: &str) -> Option<String> {
        match self.score {
            0 | 1 => Some(format!(
                "That is too easy to guess: {thief} would need {}. Three or four words that do not belong together \
                 are good.",
                self.time
            )),
            LEAST => Some(format!(
                "That could be stronger: {thief} would need {}. Enter once more takes it all the same.",
                self.time
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_rated_and_the_name_is_no_secret() {
        assert_eq!(Strength::of("", &["ada"]), Strength::default());
        assert_eq!(Strength::of("password1", &["ada"]).score, 0);
        assert!(Strength::of("ada-lovelace-1815", &["ada-lovelace"]).score < LEAST + 1);
        let good = Strength::of("gravel teapot nineteen otter", &["ada"]);
        assert_eq!((good.score, good.objection(RELAY)), (4, None));
        let weak = Strength::of("qwerty12", &[]);
        assert!(weak.objection(RELAY).is_some_and(|why| why.contains("too easy")), "{weak:?}");
        assert!(!weak.advice.is_empty() && weak.bar().0.starts_with("■"), "{weak:?}");
        assert_eq!(Strength::of(&"correct horse ".repeat(1000), &[]).bar().0.chars().count(), 12);
    }
}
