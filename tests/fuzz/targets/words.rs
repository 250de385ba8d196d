//! What people type or paste: relay links, account names, commands, sources.
#![no_main]

use subrosa::media::source::Spec;
use subrosa::ui::command;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::link::RelayLink;

libfuzzer_sys::fuzz_target!(|text: &str| {
    for text in [text.to_string(), format!("subrosa://{text}")] {
        if let Ok(link) = text.parse::<RelayLink>() {
            assert_eq!(link.to_string().parse(), Ok(link));
        }
    }
    if let Ok(name) = AccountName::parse(text) {
        assert_eq!(AccountName::parse(name.as_str()), Ok(name));
    }
    if let Err(why) = command::parse(text) {
        assert!(!why.is_empty());
    }
    // Looks at the file system, which knows no such names.
    if !text.contains(['/', '.']) {
        let _spec = Spec::parse(text);
    }
});
