//! What passes between two machines that are being linked: taken as it was sent, or refused; a code
//! has one spelling.
#![no_main]

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use subrosa_shared::session::pair::{Code, Guest, Host, Shows};
use vary::{choose, vary};

const RELAY: [u8; 32] = [4; 32];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = choose(data, 6) else { return };
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
