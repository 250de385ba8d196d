//! Somebody who says again and again that nothing opens.

use super::*;
use subrosa_shared::session::UNREADABLE_START;

/// How often she began anew, as she was told.
fn begun(ada: &Ada) -> usize {
    ada.lines().iter().filter(|(_, body)| body.starts_with("the encrypted session was started again")).count()
}

/// The relay has no place in his mailbox.
fn is_full(ada: &mut Ada, frames: &[ToRelay], ms: u64) {
    for frame in frames {
        if let ToRelay::Send(out) = frame {
            ada.hears(ToDevice::Rejected { id: out.id, why: Refusal::MailboxFull, who: vec![] }, ms);
        }
    }
}

/// He says so once more, and the relay hands out keys of his.
fn says_so(ada: &mut Ada, ben: &mut Ben, ms: u64) {
    let reset = ben.says(ada, &Content::Reset { session: UNREADABLE_START });
    let mut frames = ada.hears(reset, ms);
    let bundle = ben.sessions.spare(&mut ben.rng, at(0), &mut Batch::default()).encode();
    ada.talk.bundle(ben.sessions.identity().device(), &bundle, at(ms));
    frames.extend(ada.settle());
    is_full(ada, &frames, ms);
}

#[test]
fn who_says_all_the_time_that_nothing_opens_is_heeded_seldom_and_fills_no_outbox() {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    ben.comes_in(&mut ada);
    ada.wakes(100);
    for n in 0..10 {
        ada.talk.say(ada.room(), format!("line {n}"), at(110)).expect("memory");
    }
    let frames = ada.settle();
    is_full(&mut ada, &frames, 110);
    for k in 0..50 {
        says_so(&mut ada, &mut ben, 200 + 10 * k);
        assert!(ada.talk.outbox.len() <= 20, "{} wait after {k}", ada.talk.outbox.len());
    }
    assert_eq!(begun(&ada), 4, "a few at once");
    ada.wakes(30_199);
    assert_eq!(begun(&ada), 4);
    assert!(ada.talk.next_wake().is_some_and(|due| due <= Millis(30_200)));
    ada.wakes(30_200);
    assert_eq!(begun(&ada), 5, "the last word counts");
    says_so(&mut ada, &mut ben, 30_300);
    assert_eq!(begun(&ada), 5);
    let store = ada.talk.store().clone();
    ada.restarts(store, welcome(64));
    ada.wakes(10);
    assert_eq!(begun(&ada), 6, "also of a client that ended before it was heeded");
}
