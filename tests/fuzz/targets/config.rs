//! Settings files of client and relay.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Err(why) = subrosa::config::Config::parse(text) {
        assert!(!why.is_empty());
    }
    if let Ok(config) = toml::from_str::<subrosa_relay::config::Config>(text) {
        config.fault();
    }
});
