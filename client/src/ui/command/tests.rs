//! Commands as they are typed, mistakes in them, and the table.

use super::*;
use crate::ui::picture;
use std::collections::HashSet;
use subrosa_shared::content::EXPIRY_MAX;

#[test]
fn slash_commands_are_read() {
    assert_eq!(parse("/video test"), Ok(Command::Video(Some("test".into()))));
    assert_eq!(parse("/v"), Ok(Command::Video(None)));
    for line in ["/video 8k", "/video 8K", "/v 8 kbit/s", "/video 8kbps"] {
        assert_eq!(parse(line), Ok(Command::Picture(picture::Change::Budget(8))), "{line}");
    }
    assert_eq!(parse("/video talk.k"), Ok(Command::Video(Some("talk.k".into()))));
    for line in ["/video 1k", "/video 2001k", "/video 99999999999k"] {
        assert!(parse(line).expect_err("out of bounds").contains("2k to 2000k"), "{line}");
    }
    assert_eq!(parse("/ADD @Ben "), Ok(Command::Add(AccountName::parse("ben").expect("valid"))));
    assert_eq!(parse("/tell ben  hello there"), Ok(Command::TellTyped("ben  hello there".into())));
    let ben = || AccountName::parse("ben").expect("valid");
    assert_eq!(parse("/verify"), Ok(Command::Verify(None, None)));
    assert_eq!(parse("/verify @Ben"), Ok(Command::Verify(Some(ben()), None)));
    let number = "12345 ".repeat(12);
    let number = number.trim();
    assert_eq!(parse(&format!("/verify {number}")), Ok(Command::Verify(None, Some(number.into()))));
    assert_eq!(
        parse(&format!("/verify ben {number}")),
        Ok(Command::Verify(Some(ben()), Some(number.into())))
    );
    assert_eq!(parse("/petname ben Ben B."), Ok(Command::Petname(ben(), Some("Ben B.".into()))));
    assert_eq!(parse("/petname ben"), Ok(Command::Petname(ben(), None)));
    assert_eq!(parse("/distrust"), Ok(Command::Distrust(None)));
    assert_eq!(parse("/distrust @Ben"), Ok(Command::Distrust(Some(ben()))));
    assert_eq!(parse("/decline ben"), Ok(Command::DeclineRequest(Some(ben()))));
    assert_eq!(parse("/decline"), Ok(Command::Decline));
    assert_eq!(parse("/go 3"), Ok(Command::Ui(UiCommand::Nth(3))));
    assert_eq!(parse("/export a b.txt"), Ok(Command::Export("a b.txt".into())));
    for (line, seconds) in [("1h", 3600), ("1D", 86_400), ("4w", EXPIRY_MAX), ("30s", 30), ("off", 0)] {
        assert_eq!(parse(&format!("/expire {line}")), Ok(Command::Expire(Some(seconds))), "{line}");
    }
    for line in ["/expire 29s", "/expire 5w", "/expire soon", "/expire 99999999999w", "/expire -1h"] {
        assert!(parse(line).expect_err("out of bounds").contains("30s to 4w"), "{line}");
    }
    assert_eq!(parse("/export all a.md"), Ok(Command::ExportAll("a.md".into())));
    assert_eq!(parse("/export keys k"), Ok(Command::ExportKeys("k".into(), None)));
    assert!(parse("/export keys").expect_err("no file").contains("To which file?"));
}

#[test]
fn paths_are_taken_as_people_write_them() {
    let home = directories::BaseDirs::new().expect("a home").home_dir().to_path_buf();
    let at = |name: &str| home.join(name).display().to_string();
    for (line, command) in [
        ("/export ~/x.txt", Command::Export(at("x.txt"))),
        ("/export all '~/x y.md'", Command::ExportAll(at("x y.md"))),
        ("/export keys ~/k", Command::ExportKeys(at("k"), None)),
        ("/profile avatar \"~/p q.png\"", Command::Profile(Some(Change::Avatar(Some(at("p q.png").into()))))),
        ("/profile avatar none", Command::Profile(Some(Change::Avatar(None)))),
        ("/video ~/film.y4m", Command::Video(Some(at("film.y4m")))),
        ("/answer 'my film.y4m'", Command::Answer(Some("my film.y4m".into()))),
        ("/video -", Command::Video(Some("-".into()))),
        ("/video test:7", Command::Video(Some("test:7".into()))),
        ("/theme ~/t.toml", Command::Ui(UiCommand::Theme(at("t.toml")))),
        ("/theme dark", Command::Ui(UiCommand::Theme("dark".into()))),
    ] {
        assert_eq!(parse(line), Ok(command), "{line}");
    }
}

#[test]
fn mistakes_get_a_sentence_with_the_next_step() {
    assert!(parse("/viedo").expect_err("typo").contains("Did you mean /video?"));
    assert!(parse("/zzzzzz").expect_err("unknown").contains("F1"));
    assert!(parse("/").expect_err("empty").contains("F1"));
    assert_eq!(parse("/add").expect_err("no name"), "Whose name? Usage: /add NAME");
    assert!(parse("/quit now").expect_err("argument").ends_with("Usage: /quit"));
    assert!(parse("/reconnect subrosa://a/#b").expect_err("a link").contains("subrosa --relay LINK"));
    assert!(parse("/add a b").expect_err("bad name").starts_with("A name has"));
    assert!(!parse("/\u{1b}[2J").expect_err("escape").contains('\u{1b}'));
}

#[test]
fn names_and_keys_are_unique_and_help_is_one_line() {
    let mut names = HashSet::new();
    let mut keys = HashSet::new();
    for spec in specs() {
        assert!(names.insert(spec.name), "/{} twice", spec.name);
        spec.aliases.iter().for_each(|alias| assert!(names.insert(alias), "/{alias} twice"));
        for (key, argument) in spec.keys {
            assert!(keys.insert(key), "{key} twice");
            assert!((spec.parse)(argument).is_ok(), "{key} of /{}", spec.name);
        }
        assert!(!spec.help.is_empty() && !spec.help.contains('\n') && spec.help.len() < 80);
    }
}

#[test]
fn swapped_letters_are_one_mistake() {
    assert_eq!(distance("viedo", "video"), 1);
    assert_eq!(distance("", "abc"), 3);
    assert_eq!(distance("abc", "abc"), 0);
}
