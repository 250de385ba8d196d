//! Names of files from other people made safe, and paths as people write them.

use std::path::{Path, PathBuf};
use unicode_segmentation::UnicodeSegmentation;

/// The longest name that is written, in bytes: with a number it fits what file systems take.
const MAX: usize = 200;

/// A foreign name as it may be written into a folder: one component, no separators, no control or
/// bidirectional characters, not hidden, none that Windows keeps for devices, not too long. Never empty.
pub fn safe(name: &str) -> String {
    // What is taken away may leave something at an end that means nothing there: each time it is shorter.
    let mut made = once(name);
    loop {
        match once(&made) {
            again if again == made => return made,
            again => made = again,
        }
    }
}

fn once(name: &str) -> String {
    let harmless = crate::text::line(name);
    let kept =
        harmless.chars().map(|c| if "/\\:*?\"<>|\u{fffd}".contains(c) || c.is_control() { '_' } else { c });
    let kept: String = kept.collect();
    // Windows cuts dots and spaces at the end; at the beginning they hide.
    let kept = kept.trim_matches(|c: char| c == '.' || c.is_whitespace());
    let kept = short(kept);
    let kept = kept.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    match kept {
        "" => "file".to_owned(),
        kept if is_device(kept) => format!("_{kept}"),
        kept => kept.to_owned(),
    }
}

/// The name with a number before its ending: `film (2).mkv`.
pub fn numbered(name: &str, number: u32) -> String {
    match number {
        0 | 1 => name.to_owned(),
        number => {
            let (stem, ending) = split(name);
            format!("{stem} ({number}){ending}")
        }
    }
}

/// The path that a person wrote: quotes around it and backslashes before spaces are the shell's, `~` is
/// their home.
pub fn path(text: &str, home: Option<&Path>) -> PathBuf {
    let text = unquoted(text);
    match (text.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home.to_path_buf(),
        (Some(rest), Some(home)) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(text),
    }
}

/// The path that a person wrote behind a command, in full.
pub fn written(text: &str) -> String {
    let home = directories::BaseDirs::new();
    let path = path(text, home.as_ref().map(|dirs| dirs.home_dir()));
    // What stands in a home that is no text cannot be named here.
    path.into_os_string().into_string().unwrap_or_else(|_| text.to_owned())
}

/// The folder that a person wrote, as it is found from anywhere.
pub fn folder(text: &str) -> PathBuf {
    let home = directories::BaseDirs::new();
    let folder = path(text, home.as_ref().map(|dirs| dirs.home_dir()));
    // Where there is no current folder, it is looked for as it was written.
    std::path::absolute(&folder).unwrap_or(folder)
}

/// Whether a pasted text may be the path of a file that was dragged in: one line, absolute.
pub fn may_be_dropped(text: &str) -> bool {
    let one = text.trim();
    let inside = one.trim_start_matches(['\'', '"']);
    let absolute = inside.starts_with('/') || inside.starts_with("~/") || inside.starts_with("file:///");
    absolute && one.len() <= 4096 && !one.contains(['\n', '\r', '\0'])
}

/// A path and what may stand behind it: only behind a quoted one.
pub fn split_quoted(text: &str) -> (String, String) {
    let text = text.trim();
    for quote in ['"', '\''] {
        if let Some((path, rest)) = text.strip_prefix(quote).and_then(|inside| inside.split_once(quote)) {
            return (format!("{quote}{path}{quote}"), rest.trim().to_owned());
        }
    }
    (text.to_owned(), String::new())
}

fn unquoted(text: &str) -> String {
    let text = text.trim();
    for quote in ['"', '\''] {
        if let Some(inside) = text.strip_prefix(quote).and_then(|inside| inside.strip_suffix(quote)) {
            return inside.to_owned();
        }
    }
    if let Some(path) = text.strip_prefix("file://").filter(|path| path.starts_with('/')) {
        return percent(path);
    }
    // As terminals write what was dragged in.
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if cfg!(unix) => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

/// Text with `%20` and its like as the bytes that they stand for.
fn percent(text: &str) -> String {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    let digit = |at: usize| bytes.get(at).and_then(|byte| (*byte as char).to_digit(16));
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

/// Cut in the middle of the name, not of its ending, and never inside of a letter.
fn short(name: &str) -> String {
    if name.len() <= MAX {
        return name.to_owned();
    }
    let (stem, ending) = split(name);
    let room = MAX - ending.len();
    let mut kept = String::new();
    for grapheme in stem.graphemes(true) {
        if kept.len() + grapheme.len() > room {
            break;
        }
        kept.push_str(grapheme);
    }
    kept + ending
}

/// Stem and ending with its dot; an ending has at most 16 bytes.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 && name.len() - at <= 16 => name.split_at(at),
        _ => (name, ""),
    }
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_ascii_uppercase();
    let numbered =
        |prefix: &str| stem.strip_prefix(prefix).is_some_and(|rest| rest.chars().count() == 1 && rest != "0");
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || numbered("COM")
        || numbered("LPT")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn foreign_names_are_made_safe() {
        for (foreign, want) in [
            ("film.mkv", "film.mkv"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("/etc/passwd", "_etc_passwd"),
            ("C:\\Windows\\x", "C__Windows_x"),
            (".bashrc", "bashrc"),
            ("...", "file"),
            (".\u{1e01b}", "file"),
            ("", "file"),
            ("a\u{202e}gpj.exe", "agpj.exe"),
            ("a\u{1b}[2Jb\nc\0d", "a_[2Jb c_d"),
            ("nul", "_nul"),
            ("COM1.txt", "_COM1.txt"),
            ("lpt9", "_lpt9"),
            ("common.txt", "common.txt"),
            ("trailing. . ", "trailing"),
            ("Größe 日本.txt", "Größe 日本.txt"),
        ] {
            assert_eq!(safe(foreign), want, "{foreign:?}");
        }
        let long = safe(&format!("{}.tar", "ä".repeat(400)));
        assert!(long.len() <= MAX && long.ends_with("ä.tar"), "{long}");
    }

    #[test]
    fn a_number_stands_before_the_ending() {
        assert_eq!(numbered("film.mkv", 1), "film.mkv");
        assert_eq!(numbered("film.mkv", 2), "film (2).mkv");
        assert_eq!(numbered("README", 10), "README (10)");
    }

    #[test]
    fn paths_are_read_as_people_write_them() {
        let home = Path::new("/home/ada");
        for (text, want) in [
            ("/a/b.txt", "/a/b.txt"),
            (" '/a/my film.mkv' ", "/a/my film.mkv"),
            ("\"/a/my film.mkv\"", "/a/my film.mkv"),
            ("~/x", "/home/ada/x"),
            ("~", "/home/ada"),
            ("~ben/x", "~ben/x"),
            ("/a/my\\ film\\ \\(1\\).mkv", "/a/my film (1).mkv"),
            ("my film.mkv", "my film.mkv"),
            ("file:///a/my%20film%zz.mkv", "/a/my film%zz.mkv"),
        ] {
            assert_eq!(path(text, Some(home)), Path::new(want), "{text}");
        }
        assert_eq!(split_quoted("'/a b.txt' look at this"), ("'/a b.txt'".into(), "look at this".into()));
        assert_eq!(split_quoted("/a b.txt"), ("/a b.txt".into(), String::new()));
        for (text, may) in [
            ("/a/b\n", true),
            ("'/a/b c'", true),
            ("file:///a", true),
            ("hello", false),
            ("/a\n/b", false),
            ("/help me", true),
        ] {
            assert_eq!(may_be_dropped(text), may, "{text:?}");
        }
    }

    #[test]
    fn a_folder_is_named_from_here_and_found_from_anywhere() {
        let here = std::env::current_dir().expect("there is one");
        assert_eq!(folder(" 'my films' "), here.join("my films"));
        let files = crate::config::Files { folder: "films/old".into(), ..Default::default() };
        assert_eq!(files.folder(), Some(here.join("films/old")));
        assert_eq!(crate::config::Files::default().folder(), None);
    }

    proptest! {
        #[test]
        fn a_safe_name_is_one_component_and_stays_so(name in any::<String>()) {
            let made = safe(&name);
            let path = Path::new(&made);
            prop_assert_eq!(path.components().count(), 1);
            prop_assert_eq!(path.file_name().and_then(|name| name.to_str()), Some(made.as_str()));
            prop_assert!(!made.starts_with('.') && made.len() <= MAX + 1);
            prop_assert!(!made.contains(['/', '\\', '\0']) && !made.chars().any(char::is_control));
            prop_assert_eq!(safe(&made), made);
        }
    }
}
