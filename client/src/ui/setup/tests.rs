//! What is typed on the first screens, and what comes of it.

use super::draw::strength;
use super::*;
use crossterm::event::{KeyCode, KeyModifiers};

fn press(setup: &mut Setup, code: KeyCode) -> SetupStep {
    setup.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn typed(setup: &mut Setup, text: &str) {
    for c in text.chars() {
        press(setup, KeyCode::Char(c));
    }
}

#[test]
fn first_run_makes_a_profile() {
    let mut setup = Setup::first_run(None);
    for field in ["Ada", "correct horse", "correct horse", ""] {
        typed(&mut setup, field);
        assert!(matches!(press(&mut setup, KeyCode::Enter), SetupStep::Stay));
    }
    match press(&mut setup, KeyCode::Enter) {
        SetupStep::Create { name, passphrase, relay, login: None } => {
            assert_eq!((name.as_str(), passphrase.as_str()), ("ada", "correct horse"));
            assert_eq!(relay, RelayChoice::Here);
        }
        step => panic!("{step:?}"),
    }
}

#[test]
fn what_is_wrong_is_said_where_it_is() {
    let mut setup = Setup::first_run(Some("subrosa://h:1/#aa".into()));
    press(&mut setup, KeyCode::Enter);
    assert_eq!((setup.at, setup.said.is_some()), (0, true));
    typed(&mut setup, "ada");
    press(&mut setup, KeyCode::Enter);
    typed(&mut setup, "short");
    press(&mut setup, KeyCode::Enter);
    assert_eq!(setup.at, 1);
    typed(&mut setup, " and long");
    press(&mut setup, KeyCode::Enter);
    typed(&mut setup, "something else");
    press(&mut setup, KeyCode::Enter);
    assert_eq!(setup.at, 2);
    setup.key(KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL));
    setup.paste("short and long\nmore");
    press(&mut setup, KeyCode::Enter);
    assert!(matches!(press(&mut setup, KeyCode::Enter), SetupStep::Stay));
    assert!(setup.said.as_ref().is_some_and(|(said, _)| said.contains("fingerprint")), "{:?}", setup.said);
}

#[test]
fn signing_in_asks_for_what_is_missing() {
    let mut setup = Setup::first_run(None);
    press(&mut setup, KeyCode::F(2));
    assert!(matches!(press(&mut setup, KeyCode::Enter), SetupStep::Stay));
    assert!(setup.said.as_ref().is_some_and(|(said, _)| said.contains("link of the relay")));
    let link = RelayLink { host: "relay.example.org".into(), port: 4433, fingerprint: [7; 32], invite: None }
        .to_string();
    setup.paste(&link);
    for field in ["", "ada", "the password", "correct horse", "correct horse"] {
        typed(&mut setup, field);
        if let SetupStep::SignIn { name, password, passphrase, relay } = press(&mut setup, KeyCode::Enter) {
            assert_eq!((name.as_str(), password.as_str()), ("ada", "the password"));
            assert_eq!((passphrase.as_str(), relay.to_string()), ("correct horse", link));
            return;
        }
    }
    panic!("{:?}", setup.said);
}

#[test]
fn a_weak_login_password_is_refused_and_a_fair_one_asked_about() {
    let mut setup = Setup::first_run(None);
    for field in ["ada", "correct horse", "correct horse", "", "qwerty12"] {
        typed(&mut setup, field);
        assert!(matches!(press(&mut setup, KeyCode::Enter), SetupStep::Stay), "{field}");
    }
    assert!(setup.said.as_ref().is_some_and(|(said, _)| said.contains("too easy to guess")));
    setup.key(KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL));
    typed(&mut setup, "gravel teapot nineteen otter");
    match press(&mut setup, KeyCode::Enter) {
        SetupStep::Create { login: Some(login), .. } => {
            assert_eq!(*login, "gravel teapot nineteen otter")
        }
        step => panic!("{step:?}"),
    }
}

#[test]
fn unlocking_again_after_a_mistake() {
    let mut setup = Setup::unlock("ada");
    typed(&mut setup, "wrong one");
    assert!(matches!(press(&mut setup, KeyCode::Enter), SetupStep::Unlock { .. }));
    setup.busy("Opening…");
    typed(&mut setup, "ignored");
    setup.problem("That is not the passphrase. Try again.".into());
    typed(&mut setup, "right one");
    match press(&mut setup, KeyCode::Enter) {
        SetupStep::Unlock { passphrase } => assert_eq!(*passphrase, "right one"),
        step => panic!("{step:?}"),
    }
    assert!(matches!(press(&mut setup, KeyCode::Esc), SetupStep::Quit));
}

#[test]
fn passphrases_are_rated_roughly() {
    assert_eq!(strength("short"), "too short");
    assert_eq!(strength("aaaaaaaaaaaaaaaaaaaaaaaaaa"), "weak");
    assert_eq!(strength("correct horse battery staple"), "good");
}

#[test]
fn a_machine_is_linked_by_a_code_typed_or_shown() {
    let relay = RelayLink { host: "h".into(), port: 1, fingerprint: [7; 32], invite: None };
    let mut setup = Setup::first_run(None);
    press(&mut setup, KeyCode::F(3));
    assert!(matches!(press(&mut setup, KeyCode::Enter), SetupStep::Stay));
    assert!(setup.said.as_ref().is_some_and(|(said, _)| said.contains("link of the relay")));
    for field in [relay.to_string().as_str(), "correct horse", "correct horse"] {
        typed(&mut setup, field);
        assert!(matches!(press(&mut setup, KeyCode::Enter), SetupStep::Stay));
    }
    match press(&mut setup, KeyCode::Enter) {
        SetupStep::Link { code: None, relay: to, passphrase } => {
            assert_eq!((to, passphrase.as_str()), (relay, "correct horse"));
        }
        step => panic!("{step:?}"),
    }
    typed(&mut setup, "babab zuzuz");
    assert!(matches!(press(&mut setup, KeyCode::Enter), SetupStep::Stay));
    assert!(setup.said.as_ref().is_some_and(|(said, _)| said.contains("no code")), "{:?}", setup.said);
    typed(&mut setup, " babad");
    assert!(matches!(press(&mut setup, KeyCode::Enter), SetupStep::Link { code: Some(_), .. }));
    press(&mut setup, KeyCode::F(3));
    assert!(matches!(setup.kind, Kind::First));
}

#[test]
fn who_tried_too_often_sees_the_time_go_by() {
    let mut setup = Setup::sign_in(None, "subrosa://h:1/#aa".into());
    let said = |setup: &Setup| setup.said.as_ref().map(|(said, _)| said.clone()).unwrap_or_default();
    setup.waits(Duration::from_millis(120_400));
    assert_eq!(said(&setup), "Too many tries with this name or from this network: again in 2 min 1 s.");
    // What is typed meanwhile is kept.
    typed(&mut setup, "ada");
    setup.waits(Duration::from_secs(59));
    assert!(said(&setup).ends_with("again in 59 s.") && setup.name.text() == "ada");
    setup.waits(Duration::ZERO);
    assert_eq!(said(&setup), "It may be tried again now: Enter.");
    press(&mut setup, KeyCode::F(2));
    setup.waits(Duration::from_secs(9));
    assert_eq!(said(&setup), "", "a new account has nothing to wait for");
}
