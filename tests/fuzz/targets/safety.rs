//! What is pasted or scanned to compare safety numbers: read or refused, and a code has one spelling.
#![no_main]

use std::sync::LazyLock;
use subrosa_shared::id::AccountName;
use subrosa_shared::session::safety::{Code, Compared, Number, Party};
use vary::{choose, vary};

struct Pair {
    ada: AccountName,
    ben: AccountName,
    number: Number,
}

static PAIR: LazyLock<Pair> = LazyLock::new(|| {
    let name = |text| AccountName::parse(text).expect("valid");
    let (ada, ben) = (name("ada"), name("ben"));
    let number =
        Number::of(Party { name: &ada, identity: &[1; 32] }, Party { name: &ben, identity: &[2; 32] });
    Pair { ada, ben, number }
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = choose(data, 3) else { return };
    let Pair { ada, ben, number } = &*PAIR;
    let theirs = number.code(ben, ada);
    let bytes = match choice {
        0 => vary(theirs.to_string().as_bytes(), data),
        1 => vary(number.to_string().as_bytes(), data),
        _ => data.to_vec(),
    };
    let text = String::from_utf8_lossy(&bytes);
    if let Ok(code) = text.parse::<Code>() {
        assert_eq!(code.to_string().parse(), Ok(code.clone()));
        assert_eq!(code.to_string(), text.trim().to_ascii_uppercase());
        let same = number.compare(ada, ben, &text) == Ok(Compared::Same);
        assert_eq!(same, code == theirs);
    } else if number.compare(ada, ben, &text) == Ok(Compared::Same) {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        assert_eq!(digits, number.groups().concat());
    }
});
