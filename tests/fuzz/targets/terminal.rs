//! What a terminal sends: keys, pastes and answers, cut anywhere.
#![no_main]

use subrosa::config::Config;
use subrosa::term::input::{Decoder, Input};
use subrosa::term::{Answers, Caps};

libfuzzer_sys::fuzz_target!(|parts: Vec<(bool, Vec<u8>)>| {
    let (mut whole, mut cut) = (Decoder::default(), Decoder::default());
    let (mut at_once, mut in_parts) = (Vec::new(), Vec::new());
    let waits = parts.iter().any(|(settles, _)| *settles);
    for (settles, bytes) in &parts {
        cut.feed(bytes, &mut in_parts);
        if *settles {
            cut.settle(&mut in_parts);
        }
    }
    // Where nobody waits, it does not matter how bytes are cut.
    let all: Vec<u8> = parts.into_iter().flat_map(|(_, bytes)| bytes).collect();
    whole.feed(&all, &mut at_once);
    if !waits && all.len() < 2048 {
        assert_eq!(at_once, in_parts);
    }
    whole.settle(&mut at_once);
    assert_eq!(whole.waits(), None, "nothing is kept back for ever");
    let mut answers = Answers::default();
    for input in at_once {
        if let Input::Answer(answer) = input {
            answers.take(answer);
        }
    }
    assert!(!answers.said().chars().any(char::is_control));
    Caps::learn(|_| None, &Config::default(), &answers);
});
