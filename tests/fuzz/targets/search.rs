//! What people look for, in what others wrote; and the index's own bytes.
#![no_main]

use subrosa::chat::search::matches::excerpt;
use subrosa::chat::search::query::Query;
use subrosa::chat::search::segment;
use subrosa::chat::search::words::{folded, words};

libfuzzer_sys::fuzz_target!(|input: (&str, &str, &[u8])| {
    let (looked_for, text, bytes) = input;
    for word in words(text) {
        assert!(!word.text.is_empty() && text.get(word.at).is_some_and(|part| !part.is_empty()));
    }
    let _name = folded(text);
    match Query::parse(looked_for, jiff::civil::date(2026, 1, 31)) {
        Ok(query) => {
            let spans = query.spans(text);
            assert!(spans.iter().all(|span| text.get(span.clone()).is_some()));
            assert!(spans.windows(2).all(|two| two[0].end < two[1].start));
            assert!(query.terms.is_empty() || !query.is_in(text) || !spans.is_empty());
            let (short, _) = excerpt(&query, text, 40);
            assert!(short.chars().count() <= 42);
        }
        Err(why) => assert!(!why.is_empty()),
    }
    let _block = segment::read(bytes);
    let _lines = segment::read_docs(bytes);
    let _less = segment::without(bytes, 7);
});
