//! Calls with somebody whose words come at a bad time.

use super::*;
use crate::chat::call::CallState;
use subrosa_shared::content::{Signal, Stream};
use subrosa_shared::id::{CallId, TrackId};
use subrosa_shared::protocol::frame::{Ask, Refusal};

/// Ben's call. Of two at once the smaller number goes on.
fn rings(ada: &mut Ada, ben: &mut Ben) -> Vec<ToRelay> {
    let signal = Signal::Invite(Stream { track: TrackId(1), key: [1; 32], kid: 0 });
    let invite = ben.says(ada, &Content::Call { call: CallId([0; 16]), at: at(0).wall, signal });
    ada.hears(invite, 30)
}

fn state(ada: &Ada) -> Option<CallState> {
    ada.talk.chat.call.as_ref().map(|call| call.state)
}

/// The question for a track.
fn asked(frames: &[ToRelay]) -> Ask {
    let ask = frames.iter().find_map(|frame| match frame {
        ToRelay::OpenTrack { ask, .. } => Some(*ask),
        _ => None,
    });
    ask.expect("a track is asked for")
}

#[test]
fn a_late_refusal_of_the_track_of_a_call_that_was_given_up_does_not_end_the_next_one() {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    ben.comes_in(&mut ada);
    let room = ada.room();
    ada.talk.call(room, "test".into(), at(20));
    let first = asked(&ada.settle());
    let second = asked(&rings(&mut ada, &mut ben));
    ada.hears(ToDevice::Refused { ask: Some(first), why: Refusal::TooLarge }, 40);
    ada.hears(ToDevice::Published { ask: second, track: TrackId(2) }, 50);
    assert_eq!(state(&ada), Some(CallState::Active));
}

#[test]
fn a_device_of_the_key_before_rings_no_more_once_the_new_one_is_accepted() {
    let (mut ada, mut ben, mut mallory) = (Ada::online(), Ben::new(2), Ben::new(3));
    ben.comes_in(&mut ada);
    let text = mallory.writes(&mut ada, "a new machine");
    ada.hears(text, 20);
    rings(&mut ada, &mut ben);
    assert_eq!(state(&ada), Some(CallState::Ringing));
    let room = ada.room();
    assert!(ada.talk.trust(room, at(40)).expect("memory"), "there was a key to accept");
    ada.settle();
    assert_eq!(state(&ada), None);
}
