//! Help: every key and command, made from their tables.

use super::command::{Group, specs};
use super::keymap::EDITS;
use super::pick::KEYS;
use super::text;
use super::theme::{Role, Theme};
use ratatui::text::{Line, Span};

/// All of help at a width.
pub fn lines(theme: &Theme, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for (i, (title, entries)) in chapters().into_iter().enumerate() {
        if i > 0 {
            lines.push(Line::raw(""));
        }
        lines.push(Line::styled(title, theme.style(Role::Accent).bold()));
        for entry in entries {
            push(&entry, theme, width, &mut lines);
        }
    }
    lines
}

/// How many rows [`lines`] makes.
pub fn row_count(width: usize) -> usize {
    let theme = Theme::plain();
    lines(&theme, width).len()
}

struct Entry {
    what: String,
    keys: String,
    help: String,
}

fn chapters() -> Vec<(&'static str, Vec<Entry>)> {
    let mut chapters = Vec::new();
    for group in Group::ALL {
        let specs = specs().filter(|spec| spec.group == group);
        let entries = specs.map(|spec| {
            let space = if spec.args.is_empty() { "" } else { " " };
            let keys: Vec<&str> = spec.keys.iter().map(|(key, _)| *key).collect();
            let keys = if keys.len() > 4 {
                format!("{} … {}", keys[0], keys[keys.len() - 1])
            } else {
                keys.join(", ")
            };
            let also: Vec<String> = spec.aliases.iter().map(|alias| format!("/{alias}")).collect();
            let help = match also.is_empty() {
                true => spec.help.to_owned(),
                false => format!("{} ({})", spec.help, also.join(" ")),
            };
            Entry { what: format!("/{}{space}{}", spec.name, spec.args), keys, help }
        });
        chapters.push((group.title(), entries.collect()));
    }
    let entry = |keys: &str, help: &str| Entry { what: String::new(), keys: keys.into(), help: help.into() };
    let mut writing = vec![
        entry("Enter", "Send, or carry out a /command"),
        entry("//", "Begin a message with a slash"),
        entry("Tab", "Complete a command or a name; Shift+Tab goes backwards"),
        entry("Ctrl+d", "Delete to the right; on an empty line leave"),
    ];
    writing.extend(EDITS.iter().map(|edit| entry(&edit.keys.join(", "), edit.help)));
    let picked = KEYS.iter().map(|(keys, help)| entry(keys, help)).collect();
    chapters.push(("A picked message", picked));
    chapters.push(("Writing", writing));
    let marks = [
        ("◌", "not yet sent"),
        ("✓", "on the relay's disk, still sealed"),
        ("✓✓", "on the other person's device; in colour or bold: read"),
        ("!", "the relay refused it for now; it is tried again"),
        ("◆", "beside a person: you compared the safety number (/verify)"),
    ];
    chapters.push(("Marks", marks.iter().map(|(mark, help)| entry(mark, help)).collect()));
    chapters
}

fn push(entry: &Entry, theme: &Theme, width: usize, lines: &mut Vec<Line<'static>>) {
    let dim = theme.style(Role::Dim);
    let accent = theme.style(Role::Good);
    if width < 60 {
        let head = [entry.what.as_str(), entry.keys.as_str()].into_iter().filter(|s| !s.is_empty());
        let head = head.collect::<Vec<_>>().join("  ");
        for (i, row) in wrapped(&head, width).into_iter().enumerate() {
            lines.push(Line::styled(format!("{}{row}", indent(i)), accent));
        }
        for range in text::wrap(&entry.help, width.saturating_sub(2)) {
            lines.push(Line::styled(format!("  {}", &entry.help[range]), dim));
        }
        return;
    }
    // Entries without a command have one wide column for their keys.
    let (what, keys) = if entry.what.is_empty() { (0, 34) } else { (19, 15) };
    let columns = width.saturating_sub(36).max(1);
    let long = text::width(&entry.what) > what || text::width(&entry.keys) > keys;
    let mut left = vec![
        Span::styled(text::fit(&entry.what, what), accent),
        Span::styled(text::fit(&entry.keys, keys), theme.style(Role::Text)),
        Span::raw("  "),
    ];
    if long {
        let gap = if entry.what.is_empty() { "" } else { "  " };
        let rows = wrapped(&entry.what, width);
        let last = rows.len() - 1;
        for (i, row) in rows.into_iter().enumerate() {
            let used = text::width(row) + indent(i).len() + 2;
            let mut spans = vec![Span::styled(format!("{}{row}", indent(i)), accent)];
            if i == last {
                let keys = text::truncate(&entry.keys, width.saturating_sub(used));
                spans.extend([Span::raw(gap), Span::styled(keys, theme.style(Role::Text))]);
            }
            lines.push(Line::from(spans));
        }
        left = vec![Span::raw(" ".repeat(36))];
    }
    for range in text::wrap(&entry.help, columns) {
        left.push(Span::styled(entry.help[range].to_owned(), dim));
        lines.push(Line::from(std::mem::replace(&mut left, vec![Span::raw(" ".repeat(36))])));
    }
}

/// A usage on as many rows as it needs, at least one; all but the first are indented.
fn wrapped(usage: &str, width: usize) -> Vec<&str> {
    text::wrap(usage, width.saturating_sub(2)).into_iter().map(|range| &usage[range]).collect()
}

fn indent(row: usize) -> &'static str {
    if row == 0 { "" } else { "  " }
}
