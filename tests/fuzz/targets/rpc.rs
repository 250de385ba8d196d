//! Lines of the JSON interface: each is answered, or asks for nothing.
#![no_main]

use subrosa::rpc::method::Method;
use subrosa::rpc::wire::{Answers, Incoming, next_line, read};

/// One request with what the input says inside, so that methods and their parameters are reached.
fn framed(data: &[u8]) -> Vec<u8> {
    let (method, params) = data.split_at(data.iter().position(|byte| *byte == b'{').unwrap_or(data.len()));
    let method = String::from_utf8_lossy(method);
    let head = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{method}\",\"params\":");
    [head.as_bytes(), params, b"}\n"].concat()
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for input in [data.to_vec(), framed(data)] {
        let mut input = input.as_slice();
        let mut answers = Answers::default();
        while let Some(line) = next_line(&mut input).expect("memory") {
            let incoming = read(&line);
            let asks = !matches!(incoming, Incoming::Nothing);
            let replies = answers.expect(incoming);
            assert!(asks || replies.is_empty());
            for (reply, request) in replies {
                let outcome = request.and_then(|asked| Method::parse(&asked.method, asked.params));
                answers.settle(reply, outcome.map(|_| true.into()));
            }
        }
    }
});
