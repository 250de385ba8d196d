//! Keys into commands and edits.

use super::command::{self, Command, UiCommand};
use super::composer::Edit;
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What a key does on the composer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A command of the table.
    Command(Command),
    /// An edit.
    Edit(Edit),
    /// Type that character.
    Type(char),
    /// Send, or carry out what is typed.
    Submit,
    /// Complete what is typed; `true` goes backwards.
    Complete(bool),
    /// Delete, or leave on an empty line.
    DeleteOrLeave,
    /// The first key of two.
    Prefix(String),
    /// Nothing.
    Nothing,
}

/// An edit's keys, for the keymap and for help.
pub struct Keys {
    /// The keys, each as [`chord`] writes it.
    pub keys: &'static [&'static str],
    /// What they do.
    pub help: &'static str,
    /// The edit.
    pub edit: Edit,
}

/// The keys of the composer.
pub const EDITS: &[Keys] = &[
    Keys { keys: &["Alt+Enter", "Shift+Enter", "Ctrl+j"], help: "New line", edit: Edit::Newline },
    Keys { keys: &["Left", "Ctrl+b"], help: "Left", edit: Edit::Left },
    Keys { keys: &["Right", "Ctrl+f"], help: "Right", edit: Edit::Right },
    Keys { keys: &["Alt+b", "Ctrl+Left", "Alt+Left"], help: "One word left", edit: Edit::WordLeft },
    Keys { keys: &["Alt+f", "Ctrl+Right", "Alt+Right"], help: "One word right", edit: Edit::WordRight },
    Keys { keys: &["Home", "Ctrl+a"], help: "Start of the line", edit: Edit::Home },
    Keys { keys: &["End", "Ctrl+e"], help: "End of the line", edit: Edit::End },
    Keys {
        keys: &["Up"],
        help: "Line above; on an empty line edit your last message, else older inputs",
        edit: Edit::Up,
    },
    Keys { keys: &["Down"], help: "Line below, then newer inputs", edit: Edit::Down },
    Keys { keys: &["Ctrl+p"], help: "The input before", edit: Edit::Older },
    Keys { keys: &["Ctrl+n"], help: "The input after", edit: Edit::Newer },
    Keys { keys: &["Backspace", "Ctrl+h"], help: "Delete to the left", edit: Edit::Backspace },
    Keys { keys: &["Delete"], help: "Delete to the right", edit: Edit::Delete },
    Keys { keys: &["Ctrl+w"], help: "Cut back to a space", edit: Edit::KillSpace },
    Keys {
        keys: &["Alt+Backspace", "Ctrl+Backspace"],
        help: "Cut the word before",
        edit: Edit::KillWordLeft,
    },
    Keys { keys: &["Alt+d", "Ctrl+Delete"], help: "Cut the word behind", edit: Edit::KillWordRight },
    Keys { keys: &["Ctrl+u"], help: "Cut to the start of the line", edit: Edit::KillStart },
    Keys { keys: &["Alt+k"], help: "Cut to the end of the line", edit: Edit::KillEnd },
    Keys { keys: &["Ctrl+y"], help: "Insert what was cut", edit: Edit::Yank },
    Keys { keys: &["Alt+y"], help: "… rather what was cut before it", edit: Edit::YankPop },
    Keys { keys: &["Ctrl+t"], help: "Swap two characters", edit: Edit::Transpose },
    Keys { keys: &["Ctrl+_", "Ctrl+/", "Ctrl+7", "Ctrl+-"], help: "Undo", edit: Edit::Undo },
];

/// What a key does, after an earlier first key of two if there was one.
pub fn action(prefix: Option<&str>, key: KeyEvent) -> Action {
    if key.kind == KeyEventKind::Release {
        return Action::Nothing;
    }
    let Some(name) = chord(key) else { return Action::Nothing };
    let name = match prefix {
        Some(first) => format!("{first} {name}"),
        None => name,
    };
    for spec in command::specs() {
        for (keys, argument) in spec.keys {
            if *keys == name {
                return (spec.parse)(argument).map_or(Action::Nothing, Action::Command);
            }
            if keys.strip_prefix(&name).is_some_and(|rest| rest.starts_with(' ')) {
                return Action::Prefix(name);
            }
        }
    }
    if let Some(found) = EDITS.iter().find(|edit| edit.keys.contains(&name.as_str())) {
        return Action::Edit(found.edit);
    }
    match name.as_str() {
        "Enter" => Action::Submit,
        "Tab" => Action::Complete(false),
        "Shift+Tab" => Action::Complete(true),
        "Ctrl+d" => Action::DeleteOrLeave,
        _ => match (prefix, key.code) {
            (None, KeyCode::Char(c)) if plain(key.modifiers) && !c.is_control() => Action::Type(c),
            _ => Action::Nothing,
        },
    }
}

/// What a key does over any dialog: who walks away, is called or is in a call does not close one first.
pub fn over_dialogs(key: KeyEvent) -> Option<Command> {
    let Action::Command(command) = action(None, key) else { return None };
    let always = matches!(
        command,
        Command::Lock
            | Command::Answer(_)
            | Command::Hangup
            | Command::Camera
            | Command::OwnPicture
            | Command::Suspend
            | Command::Ui(UiCommand::Redraw)
    );
    always.then_some(command)
}

/// A key's name: `Ctrl+k`, `Alt+Up`, `F1`, `x`. `None` for keys that have none.
pub fn chord(key: KeyEvent) -> Option<String> {
    let (shift, name) = match key.code {
        KeyCode::Char(' ') => (true, "Space".to_owned()),
        // Shift is in the character already, except under Ctrl, where terminals differ.
        KeyCode::Char(c) if key.modifiers.contains(KeyModifiers::CONTROL) => {
            (false, c.to_ascii_lowercase().to_string())
        }
        KeyCode::Char(c) => (false, c.to_string()),
        KeyCode::F(n) => (true, format!("F{n}")),
        KeyCode::BackTab => return Some("Shift+Tab".into()),
        KeyCode::Tab if key.modifiers.contains(KeyModifiers::SHIFT) => return Some("Shift+Tab".into()),
        KeyCode::Backspace => (false, "Backspace".into()),
        KeyCode::Enter => (true, "Enter".into()),
        KeyCode::Left => (true, "Left".into()),
        KeyCode::Right => (true, "Right".into()),
        KeyCode::Up => (true, "Up".into()),
        KeyCode::Down => (true, "Down".into()),
        KeyCode::Home => (true, "Home".into()),
        KeyCode::End => (true, "End".into()),
        KeyCode::PageUp => (true, "PageUp".into()),
        KeyCode::PageDown => (true, "PageDown".into()),
        KeyCode::Tab => (true, "Tab".into()),
        KeyCode::Delete => (true, "Delete".into()),
        KeyCode::Esc => (true, "Esc".into()),
        _ => return None,
    };
    let mut out = String::new();
    for (modifier, word) in [(KeyModifiers::CONTROL, "Ctrl+"), (KeyModifiers::ALT, "Alt+")] {
        if key.modifiers.contains(modifier) {
            out.push_str(word);
        }
    }
    if shift && key.modifiers.contains(KeyModifiers::SHIFT) {
        out.push_str("Shift+");
    }
    Some(out + &name)
}

/// Whether a character with these modifiers is text. Ctrl and Alt together are AltGr.
pub fn plain(modifiers: KeyModifiers) -> bool {
    let (ctrl, alt) = (modifiers.contains(KeyModifiers::CONTROL), modifiers.contains(KeyModifiers::ALT));
    ctrl == alt && !modifiers.intersects(KeyModifiers::SUPER | KeyModifiers::META | KeyModifiers::HYPER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn press(code: KeyCode, modifiers: KeyModifiers) -> Action {
        action(None, KeyEvent::new(code, modifiers))
    }

    #[test]
    fn keys_do_what_help_says() {
        let (ctrl, alt) = (KeyModifiers::CONTROL, KeyModifiers::ALT);
        assert_eq!(press(KeyCode::Char('k'), ctrl), Action::Command(Command::Ui(UiCommand::Switcher)));
        assert_eq!(press(KeyCode::Char('3'), alt), Action::Command(Command::Ui(UiCommand::Nth(3))));
        assert_eq!(press(KeyCode::Char('k'), alt), Action::Edit(Edit::KillEnd));
        assert_eq!(press(KeyCode::Enter, alt), Action::Edit(Edit::Newline));
        assert_eq!(press(KeyCode::Enter, KeyModifiers::NONE), Action::Submit);
        assert_eq!(press(KeyCode::Char('?'), KeyModifiers::SHIFT), Action::Type('?'));
        assert_eq!(press(KeyCode::Char('@'), ctrl | alt), Action::Type('@'), "AltGr");
        assert_eq!(press(KeyCode::Char('x'), ctrl), Action::Prefix("Ctrl+x".into()));
        let second = KeyEvent::new(KeyCode::Char('e'), ctrl);
        assert_eq!(action(Some("Ctrl+x"), second), Action::Command(Command::Ui(UiCommand::Editor)));
        assert_eq!(
            action(Some("Ctrl+x"), KeyEvent::new(KeyCode::Char('a'), KeyModifiers::NONE)),
            Action::Nothing
        );
    }

    #[test]
    fn no_key_that_works_over_dialogs_is_text() {
        let text = |c: char| KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE);
        assert!((' '..='~').all(|c| over_dialogs(text(c)).is_none()));
        let (ctrl, alt) = (KeyModifiers::CONTROL, KeyModifiers::ALT);
        let lock = KeyEvent::new(KeyCode::Char('l'), alt);
        assert_eq!(over_dialogs(lock), Some(Command::Lock));
        let typed = KeyEvent::new(KeyCode::Char('l'), ctrl | alt);
        assert_eq!(over_dialogs(typed), None, "AltGr");
    }

    #[test]
    fn no_key_does_two_things() {
        let mut seen: HashSet<&str> = command::specs().flat_map(|s| s.keys.iter().map(|(k, _)| *k)).collect();
        for key in EDITS.iter().flat_map(|edit| edit.keys) {
            assert!(seen.insert(key), "{key}");
        }
        for key in ["Enter", "Tab", "Shift+Tab", "Ctrl+d"] {
            assert!(seen.insert(key), "{key}");
        }
    }
}
