//! What is taken, and what is refused with which sentence.

use super::*;
use crate::rpc::wire::{Fault, NO_METHOD, PARAMS};
use serde_json::json;
use subrosa_shared::content::TEXT_MAX;

fn parse(method: &str, params: Value) -> Result<Method, Fault> {
    let Value::Object(params) = params else { panic!("an object") };
    Method::parse(method, params)
}

fn code(method: &str, params: Value) -> i64 {
    parse(method, params).expect_err("wrong").code
}

#[test]
fn parameters_are_checked_before_anything_happens() {
    assert!(matches!(parse("send", json!({"to": " Ada", "text": "x"})),
        Ok(Method::Send { to, .. }) if to.as_str() == "ada"));
    for (method, params) in [
        ("send", json!({"to": "ada"})),
        ("send", json!({"to": "a b", "text": "x"})),
        ("send", json!({"to": "ada", "text": " \n"})),
        ("send", json!({"to": "ada", "text": "x".repeat(TEXT_MAX + 1)})),
        ("send", json!({"to": "ada", "text": "x", "more": 1})),
        ("send", json!({"to": "ada", "text": "x", "reply": "12"})),
        ("edit", json!({"with": "ada", "id": "00".repeat(16), "text": " "})),
        ("react", json!({"with": "ada", "id": "00".repeat(16), "sign": "abc"})),
        ("mute", json!({"with": "ada", "rings": "loud"})),
        ("command", json!({"line": "/react"})),
        ("status", json!({"x": 1})),
        ("history", json!({"with": "ada", "limit": 0})),
        ("history", json!({"with": "ada", "limit": 501})),
        ("history", json!({"with": "ada", "before": -1})),
        ("subscribe", json!({"events": ["nonsense"]})),
        ("join_room", json!({"link": "subrosa://h:1/#aa"})),
        ("room_password", json!({"room": "tea"})),
        ("room_password", json!({"room": "tea", "password": "qwerty"})),
        ("room_link", json!({"room": "tea", "new": true, "once": true})),
        ("room_link", json!({"room": "tea", "for": "soon"})),
        ("call", json!({"to": "ada", "source": "nonsense"})),
        ("answer", json!({"source": "-"})),
        ("sink", json!({"path": "x", "format": "mp4"})),
        ("camera", json!({"on": 1})),
        ("remove_device", json!({"device": "0"})),
        ("command", json!({"line": "/devices remove desk"})),
        ("accept", json!({})),
        ("block", json!({"with": "a b"})),
        ("verify", json!({"with": "ada", "given": 1})),
        ("distrust", json!({})),
        ("register", json!({"name": "ada", "passphrase": "", "relay": "here"})),
        ("register", json!({"name": "ada", "passphrase": "x", "relay": "there"})),
        ("unlock", json!({"passphrase": "x", "wait": 601})),
        ("command", json!({"line": "/nonsense"})),
        ("command", json!({"line": "/theme dark"})),
    ] {
        assert_eq!(code(method, params.clone()), PARAMS, "{method} {params}");
    }
    assert_eq!(code("nonsense\u{1b}", json!({})), NO_METHOD);
}

#[test]
fn what_is_written_to_a_room_goes_the_way_of_rooms() {
    let room =
        |method: Result<Method, Fault>| matches!(method, Ok(Method::Room(_) | Method::RoomHistory { .. }));
    assert!(room(parse("send", json!({"to": "#tea", "text": "hi"}))));
    assert!(room(parse("history", json!({"with": "#tea"}))));
    assert!(room(parse("mark_read", json!({"with": "#tea"}))));
    assert!(matches!(parse("send", json!({"to": "ben", "text": "hi"})), Ok(Method::Send { .. })));
    assert!(matches!(parse("history", json!({"with": "ben"})), Ok(Method::History { .. })));
    assert!(matches!(parse("mark_read", json!({"with": "ben"})), Ok(Method::MarkRead(_))));
    assert_eq!(code("history", json!({"with": "#tea", "limit": 0})), PARAMS);
}

#[test]
fn commands_become_the_methods_that_answer_more() {
    let of = |line: &str| parse("command", json!({"line": line}));
    assert!(matches!(of("/tell ben hi"), Ok(Method::Send { .. })));
    assert!(matches!(of("/q"), Ok(Method::Quit)));
    assert!(matches!(of("/accept ben"), Ok(Method::Accept(_))));
    assert!(matches!(of("/decline ben"), Ok(Method::DeclineRequest(_))));
    assert!(matches!(of("/decline"), Ok(Method::Decline)));
    assert!(matches!(of("/verify ben"), Ok(Method::Verify { given: None, .. })));
    assert!(matches!(of("/distrust ben"), Ok(Method::Distrust { device: None, .. })));
    assert!(matches!(of("/mute"), Ok(Method::Command(Command::Rings(None, None)))));
    assert!(matches!(of("/status"), Ok(Method::Status)));
}

#[test]
fn passphrases_are_in_no_debug_output_and_in_no_error() {
    let method = parse("unlock", json!({"passphrase": "open sesame"})).expect("right");
    assert!(!format!("{method:?}").contains("sesame"));
    let fault = parse("unlock", json!({"passphrase": 271_828})).expect_err("a number");
    assert!(!fault.message.contains("271828"), "{}", fault.message);
}
