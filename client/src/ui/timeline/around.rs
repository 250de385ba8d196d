//! What stands around a message's words: the line that it answers, signs below it, who is called.

use super::{Layout, NARROW};
use crate::chat::deeds::NAMED;
use crate::chat::groups::Tally;
use crate::chat::mention::calls;
use crate::chat::timeline::{Author, Line};
use crate::ui::act::first_words;
use crate::ui::text;
use crate::ui::theme::Role;
use ratatui::text::Span;
use std::ops::Range;
use subrosa_shared::id::AccountName;

/// A part of a message that looks otherwise.
pub(super) struct Part {
    /// Bytes of the text.
    pub(super) at: Range<usize>,
    pub(super) role: Role,
}

impl Layout<'_> {
    /// In the place of words that are gone.
    pub(super) fn gone(&self, line: &Line) -> String {
        let author = self.called(line);
        match &line.more.deleted {
            Some(by) if line.author == Author::Me && by == self.me => "you deleted a message".into(),
            Some(by) if line.more.by.as_ref().is_none_or(|author| author == by) && by != self.me => {
                format!("{} deleted a message", self.name(by))
            }
            Some(by) => format!("{} deleted a message of {author}", self.name(by)),
            None => GONE.into(),
        }
    }

    /// The sign at the very left: picked, or it calls the person.
    pub(super) fn margin(&self, line: &Line) -> Span<'static> {
        if self.picked == Some(line.id) {
            Span::styled("▸", self.theme.style(Role::Accent))
        } else if line.author == Author::Them && line.more.mentions.contains(self.me) {
            Span::styled("@", self.theme.style(Role::Unread))
        } else {
            Span::raw(" ")
        }
    }

    /// Rows above the words: what it answers, where it comes from.
    pub(super) fn above(&self, line: &Line, columns: usize) -> Vec<String> {
        let mut rows = Vec::new();
        if line.more.forwarded {
            rows.push(text::truncate("│ forwarded", columns));
        }
        if let Some(id) = &line.more.reply {
            let quoted = self.lines.quoted(id).or_else(|| self.room.timeline.quoted(id));
            let said = match quoted {
                None => "a message that is not here".to_owned(),
                Some(quoted) if quoted.body.is_empty() => self.gone(quoted),
                Some(quoted) => format!("{}: {}", self.called(quoted), first_words(&quoted.body, columns)),
            };
            rows.push(text::truncate(&format!("│ {said}"), columns));
        }
        rows
    }

    /// Rows below the words: signs, how many and whose.
    pub(super) fn below(&self, line: &Line, columns: usize) -> Vec<String> {
        let mut all = Vec::new();
        for (sign, people) in line.signs() {
            let mut names: Vec<String> = people.iter().take(NAMES).map(|who| self.name(who)).collect();
            if people.len() > NAMES {
                names.push("…".into());
            }
            let count = if people.len() > 1 { format!(" {}", people.len()) } else { String::new() };
            let named = NAMED.iter().find(|(_, known)| *known == sign && !self.unicode);
            let sign = named.map_or_else(|| text::line(sign), |(name, _)| format!(":{name}:"));
            all.push(format!("{sign}{count} {}", names.join(", ")));
        }
        if all.is_empty() {
            return Vec::new();
        }
        let all = all.join("   ");
        text::wrap(&all, columns).into_iter().map(|range| all[range].to_owned()).collect()
    }

    /// Words behind those of the author.
    pub(super) fn behind(&self, line: &Line) -> String {
        let said = [(line.more.edited.is_some(), "edited"), (line.is_pinned(), "pinned")];
        let said = said.into_iter().filter(|(is, _)| *is).map(|(_, word)| word.to_owned());
        let told = line.more.told.iter().map(|by| format!("told by {}", self.name(by)));
        let said: Vec<String> = said.chain(told).chain(self.tally(line)).collect();
        if said.is_empty() { String::new() } else { format!(" ({})", said.join(", ")) }
    }

    /// How many in a room have an own line, unless the mark says it: below the newest one and the picked
    /// one.
    fn tally(&self, line: &Line) -> Option<String> {
        let tally = self.room.group.as_ref()?.tally(&line.id)?;
        let newest = self.lines.lines().rev().map(|(_, line)| line).find(|line| line.author == Author::Me);
        let asked = newest.is_some_and(|newest| newest.id == line.id) || self.picked == Some(line.id);
        if !asked || tally.of < 2 || tally.read == tally.of || tally.delivered == 0 {
            return None;
        }
        let Tally { delivered, read, of } = tally;
        Some(match (self.width < NARROW, read) {
            (true, 0) => format!("{delivered}/{of}"),
            (true, _) => format!("{delivered}/{of}, {read} read"),
            (false, 0) => format!("{delivered} of {of} have it"),
            (false, _) if delivered == of => format!("{read} of {of} have read it"),
            (false, _) => format!("{delivered} of {of} have it, {read} read it"),
        })
    }

    /// Addresses, calls and what is behind the author's words, which end at `told`; in their order.
    pub(super) fn parts(&self, line: &Line, body: &str, told: usize) -> Vec<Part> {
        let links = text::urls(&body[..told]).into_iter().map(|at| Part { at, role: Role::Link });
        let mut parts: Vec<Part> = links.collect();
        for (at, name) in calls(&body[..told]) {
            let apart = parts.iter().all(|part| part.at.end <= at.start || at.end <= part.at.start);
            if apart && line.more.mentions.contains(&name) {
                let role = if name == *self.me { Role::Unread } else { Role::Accent };
                parts.push(Part { at, role });
            }
        }
        parts.sort_by_key(|part| part.at.start);
        if told < body.len() {
            parts.push(Part { at: told..body.len(), role: Role::Dim });
        }
        parts
    }

    /// How the author of a line is called.
    fn called(&self, line: &Line) -> String {
        match (line.author, &line.more.by) {
            (Author::Me, _) => self.me.to_string(),
            (_, Some(by)) => self.name(by),
            _ => text::line(self.room.name()),
        }
    }

    fn name(&self, who: &AccountName) -> String {
        if who == self.me {
            "you".into()
        } else if Some(who) == self.room.with() {
            text::line(self.room.name())
        } else {
            who.to_string()
        }
    }
}

/// In the place of a message that has disappeared.
const GONE: &str = "a message has disappeared";
/// Names behind a sign; more are counted.
const NAMES: usize = 3;
