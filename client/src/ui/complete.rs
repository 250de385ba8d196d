//! The popup that completes commands and names.

use super::command;
use super::composer::Composer;
use crate::chat::Chat;
use std::ops::Range;

/// What could stand there.
#[derive(Debug)]
pub struct Popup {
    /// Choices: what is inserted, and a line on it.
    pub items: Vec<(String, String)>,
    /// The chosen one, which stands in the composer already.
    pub chosen: Option<usize>,
    range: Range<usize>,
}

impl Popup {
    /// Choices for what is typed, without being asked: commands behind a slash.
    pub fn offer(composer: &Composer) -> Option<Self> {
        let text = composer.text();
        let name = text.strip_prefix('/')?;
        if composer.cursor() != text.len() || name.contains('\n') || name.starts_with('/') {
            return None;
        }
        if let Some((name, _)) = name.split_once(' ') {
            // Behind the name the popup stays as a reminder of the arguments.
            let spec = command::find(name).filter(|spec| !spec.args.is_empty())?;
            let items = vec![(format!("/{} {}", spec.name, spec.args), spec.help.to_owned())];
            return Some(Self { items, chosen: None, range: text.len()..text.len() });
        }
        let items: Vec<_> = command::beginning(name)
            .into_iter()
            .map(|spec| (format!("/{}", spec.name), spec.help.to_owned()))
            .collect();
        (!items.is_empty()).then_some(Self { items, chosen: None, range: 0..text.len() })
    }

    /// Choices for the word before the cursor, when Tab asks: people's names.
    pub fn names(composer: &Composer, chat: &Chat) -> Option<Self> {
        let (text, end) = (composer.text(), composer.cursor());
        let start = text[..end]
            .rfind(char::is_whitespace)
            .map_or(0, |i| i + text[i..].chars().next().map_or(0, char::len_utf8));
        let word = &text[start..end];
        let bare = word.trim_start_matches('@').to_lowercase();
        let behind = if start == 0 { ": " } else { " " };
        let at = &word[..word.len() - word.trim_start_matches('@').len()];
        // An own name finds a person too; commands want the account's.
        let items: Vec<_> = chat
            .rooms
            .iter()
            .filter_map(|room| Some((room, room.with()?.as_str())))
            .filter(|(room, with)| with.starts_with(&bare) || room.name().to_lowercase().starts_with(&bare))
            .map(|(room, with)| {
                let about = if room.name() == with { String::new() } else { room.name().to_owned() };
                (format!("{at}{with}{behind}"), about)
            })
            .collect();
        (!word.is_empty() && !items.is_empty()).then_some(Self { items, chosen: None, range: start..end })
    }

    /// Puts the next choice (or the one before) into the composer.
    pub fn choose(&mut self, composer: &mut Composer, back: bool) {
        if self.is_reminder() {
            return;
        }
        let last = self.items.len() - 1;
        let index = match (self.chosen, back) {
            (None, false) => 0,
            (None, true) => last,
            (Some(i), false) => {
                if i == last {
                    0
                } else {
                    i + 1
                }
            }
            (Some(i), true) => i.checked_sub(1).unwrap_or(last),
        };
        let item = &self.items[index].0;
        composer.replace(self.range.clone(), item);
        self.range = self.range.start..self.range.start + item.len();
        self.chosen = Some(index);
    }

    /// Whether it only reminds of arguments.
    pub fn is_reminder(&self) -> bool {
        self.range.is_empty()
    }
}
