//! A hop of a network: the proxy of the stories as a program, to stand in a network namespace of its own.
//!
//! `hop FRONT BACK RELAY SEED` listens on the address FRONT, is seen by RELAY at the IP address BACK, and reads
//! one JSON line after the other: a `Line` that holds from then on, `null`, or `"silence"` to wait until its client
//! was forgotten for being silent. It answers each with what has passed so far, and ends with its input.

use std::io::BufRead;
use std::process::ExitCode;
use subrosa_tests::proxy::{Line, Proxy};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [front, back, relay, seed] = arguments.as_slice() else {
        eprintln!("hop FRONT BACK RELAY SEED");
        return ExitCode::FAILURE;
    };
    let (Ok(front), Ok(back), Ok(relay), Ok(seed)) =
        (front.parse(), back.parse(), relay.parse(), seed.parse())
    else {
        eprintln!("hop: those are no addresses and a number: {arguments:?}");
        return ExitCode::FAILURE;
    };
    let proxy = Proxy::between(front, back, relay, seed);
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match (line.as_str(), serde_json::from_str::<Line>(&line)) {
            ("null", _) => {}
            ("\"silence\"", _) => proxy.waits_for_silence(),
            (_, Ok(line)) => proxy.becomes(line),
            (_, Err(error)) => {
                eprintln!("hop: {line:?}: {error}");
                return ExitCode::FAILURE;
            }
        }
        println!("{}", serde_json::to_string(&proxy.count()).expect("numbers serialise"));
    }
    ExitCode::SUCCESS
}
