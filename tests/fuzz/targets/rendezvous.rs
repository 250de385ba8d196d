//! What passes between two machines that are being linked: taken as it was sent, or refused, and whatever the one
//! with the account says then; a code has one spelling.
#![no_main]

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use subrosa::chat::link::{Joining, Step};
use subrosa_shared::protocol::frame::{Ask, ToDevice, ToRelay};
use subrosa_shared::session::Identity;
use subrosa_shared::session::pair::{Code, Guest, Host, Shows};
use vary::{choose, vary};

const RELAY: [u8; 32] = [4; 32];

/// A new machine that typed the code is told this: records of a length (two bytes) and so many bytes, of which the
/// first is sealed.
fn told(mut data: &[u8]) {
    let mut rng = ChaCha20Rng::from_seed([5; 32]);
    let code = Code::draw(&mut rng);
    let host = Host::new(&code, Shows::Enrolled, &RELAY, &mut rng);
    let slot = code.slot();
    let (mut joining, _) = Joining::new(code, &RELAY, &Identity::from_seed(&[2; 64]), "laptop", &mut rng);
    let mut hears = |frame: ToDevice| match joining.frame(frame, &mut rng) {
        Step::Send(frames) => Some(frames),
        Step::Keep(_) | Step::Failed(_) => None,
    };
    let says = |frames: Option<Vec<ToRelay>>| match frames.expect("it goes on").pop() {
        Some(ToRelay::Pass { bytes, .. }) => bytes,
        other => panic!("{other:?}"),
    };
    let first = says(hears(ToDevice::Done(Ask(1))));
    let (bytes, answered) =
        host.answer(&first, &mut ChaCha20Rng::from_seed([6; 32])).expect("with the same code");
    let third = says(hears(ToDevice::Passed { slot, bytes }));
    let mut keys = answered.finish(&third).ok().map(|(_, keys)| keys);
    while let [high, low, rest @ ..] = data {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (said, rest) = rest.split_at(length);
        data = rest;
        let bytes = keys.take().map_or(said.to_vec(), |keys| keys.host_says(said).0);
        if hears(ToDevice::Passed { slot, bytes }).is_none() {
            return;
        }
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = choose(data, 7) else { return };
    if choice == 6 {
        return told(data);
    }
    let mut rng = ChaCha20Rng::from_seed([5; 32]);
    let code = Code::draw(&mut rng);
    if choice == 0 {
        let text = String::from_utf8_lossy(&vary(code.words().as_bytes(), data)).into_owned();
        if let Ok(read) = Code::parse(&text) {
            assert!(Code::parse(&read.words()).is_ok_and(|again| again.words() == read.words()));
        }
        return;
    }
    // The message of that number is changed on the way.
    let passes = |number: u8, sent: &[u8]| {
        let came = if choice == number { vary(sent, data) } else { sent.to_vec() };
        let same = came == sent;
        (came, same)
    };
    let host = Host::new(&code, Shows::New, &RELAY, &mut rng);
    let (first, guest) = Guest::new(&code, Shows::New, &RELAY, &mut rng);
    let (came, first_same) = passes(1, &first);
    let Ok((second, answered)) = host.answer(&came, &mut rng) else {
        assert!(!first_same);
        return;
    };
    let (came, second_same) = passes(2, &second);
    let Ok((third, keys)) = guest.finish(&came, b"a hello", &mut rng) else {
        assert!(!(first_same && second_same));
        return;
    };
    assert!(first_same && second_same);
    let (came, third_same) = passes(3, &third);
    let Ok((said, host_keys)) = answered.finish(&came) else {
        assert!(!third_same);
        return;
    };
    assert!(third_same && said.as_slice() == b"a hello");
    let (fourth, host_last) = host_keys.host_says(b"a greeting");
    let (came, fourth_same) = passes(4, &fourth);
    let Ok((said, last)) = keys.host_said(&came) else {
        assert!(!fourth_same);
        return;
    };
    assert!(fourth_same && said.as_slice() == b"a greeting");
    let (came, fifth_same) = passes(5, &last.guest_says(b"a welcome"));
    assert_eq!(host_last.guest_said(&came).is_ok(), fifth_same);
});
