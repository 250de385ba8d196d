//! Who is called in a text: `@` and an account name.

use super::Chat;
use subrosa_shared::content::post::MENTIONS_MAX;
use subrosa_shared::id::{AccountName, RoomId};

impl Chat {
    /// Who can be called in a conversation, with the name that is shown for each; oneself is last.
    pub fn people(&self, room: RoomId) -> Vec<(AccountName, String)> {
        let Some(room) = self.room(room) else { return Vec::new() };
        let other = (room.kept.with.clone(), room.name().to_owned());
        vec![other, (self.name.clone(), self.name.to_string())]
    }

    /// Who is called in a text that is written there.
    pub fn called_in(&self, room: RoomId, text: &str) -> Vec<AccountName> {
        let people = self.people(room);
        let mut called: Vec<AccountName> = Vec::new();
        for (_, name) in calls(text) {
            let known = people.iter().any(|(person, _)| *person == name);
            if known && !called.contains(&name) && called.len() < MENTIONS_MAX {
                called.push(name);
            }
        }
        called
    }
}

/// Places in a text that call somebody, by bytes, with the account.
pub fn calls(text: &str) -> Vec<(std::ops::Range<usize>, AccountName)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices('@') {
        // Not inside of a word: an address of electronic mail calls nobody.
        let inside = text[..at].chars().next_back().is_some_and(char::is_alphanumeric);
        let rest = &text[at + 1..];
        let end =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).unwrap_or(rest.len());
        // A full stop behind a name belongs to the sentence.
        let name = rest[..end].trim_end_matches(['.', '-', '_']);
        if !inside && let Ok(account) = AccountName::parse(name) {
            found.push((at..at + 1 + name.len(), account));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_behind_an_at_sign_call() {
        let of = |text: &str| calls(text).into_iter().map(|(at, _)| text[at].to_owned()).collect::<Vec<_>>();
        assert_eq!(of("@ben: see @Cyd-2. (@d.e)"), ["@ben", "@Cyd-2", "@d.e"]);
        assert!(of("mail ben@example.org, @ and @@").is_empty());
        assert_eq!(of("日@ben"), Vec::<String>::new());
    }
}
