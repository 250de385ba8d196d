//! JSON-RPC 2.0 as such: lines in, requests, batches, answers, errors.

use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::io::{self, BufRead};
use zeroize::Zeroizing;

/// The longest line that is read, in bytes, without its end.
pub const LINE_MAX: usize = 1 << 20;
/// The most requests in one batch.
pub const BATCH_MAX: usize = 256;

/// Not JSON, not UTF-8, or longer than [`LINE_MAX`].
pub const PARSE: i64 = -32700;
/// JSON, but no request.
pub const INVALID: i64 = -32600;
/// There is no such method.
pub const NO_METHOD: i64 = -32601;
/// The method does not take these parameters.
pub const PARAMS: i64 = -32602;

/// One line of input. It may hold a passphrase.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// Whole.
    Text(Zeroizing<Vec<u8>>),
    /// Longer than [`LINE_MAX`]; it was skipped up to its end.
    TooLong,
}

/// Reads one line; `None` at the end of the input. What follows a line that is too long is read
/// again from its next line on.
///
/// # Errors
/// What the input says.
pub fn next_line(input: &mut impl BufRead) -> io::Result<Option<Line>> {
    let mut line = Zeroizing::new(Vec::new());
    let (mut any, mut too_long) = (false, false);
    loop {
        let chunk = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            chunk => chunk?,
        };
        if chunk.is_empty() {
            break;
        }
        any = true;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        too_long |= line.len() + part.len() > LINE_MAX;
        if !too_long {
            line.extend_from_slice(part);
        }
        let used = end.map_or(chunk.len(), |end| end + 1);
        input.consume(used);
        if end.is_some() {
            break;
        }
    }
    Ok(match (any, too_long) {
        (false, _) => None,
        (true, true) => Some(Line::TooLong),
        (true, false) => Some(Line::Text(line)),
    })
}

/// An error as the other end gets it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// One of the codes that [`crate::rpc`] lists.
    pub code: i64,
    /// A sentence.
    pub message: String,
}

impl Fault {
    /// An error with a sentence.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// A request that is well formed.
#[derive(Debug, PartialEq)]
pub struct Request {
    /// To be repeated in the answer; `None` is a notification, which gets none.
    pub id: Option<Value>,
    /// What to do.
    pub method: String,
    /// By name.
    pub params: Map<String, Value>,
}

/// A request, or the error and the id to answer with.
pub type Item = Result<Request, (Value, Fault)>;

/// What one line asks.
#[derive(Debug, PartialEq)]
pub enum Incoming {
    /// An empty line.
    Nothing,
    /// One request.
    One(Item),
    /// Several, answered together.
    Batch(Vec<Item>),
}

/// Reads what a line asks.
pub fn read(line: &Line) -> Incoming {
    let bad = |code, why: String| Incoming::One(Err((Value::Null, Fault::new(code, why))));
    let Line::Text(bytes) = line else {
        return bad(PARSE, format!("a line has at most {LINE_MAX} bytes; this one was skipped"));
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return bad(PARSE, "a line is UTF-8; this one is not".into());
    };
    if text.trim().is_empty() {
        return Incoming::Nothing;
    }
    match serde_json::from_str(text) {
        Ok(Value::Array(items)) if items.is_empty() => bad(INVALID, "an empty batch asks for nothing".into()),
        Ok(Value::Array(items)) if items.len() > BATCH_MAX => {
            bad(INVALID, format!("a batch has at most {BATCH_MAX} requests; none of these was carried out"))
        }
        Ok(Value::Array(items)) => Incoming::Batch(items.into_iter().map(request).collect()),
        Ok(value) => Incoming::One(request(value)),
        // Where, and not what: the text may hold a passphrase.
        Err(error) => bad(PARSE, format!("not JSON, at column {}", error.column())),
    }
}

/// Checks one request.
fn request(value: Value) -> Item {
    let Value::Object(mut object) = value else {
        return Err((Value::Null, Fault::new(INVALID, "a request is an object")));
    };
    let id = object.remove("id");
    if !matches!(&id, None | Some(Value::Null | Value::String(_) | Value::Number(_))) {
        return Err((Value::Null, Fault::new(INVALID, "an id is a string, a number or null")));
    }
    let invalid = |why: &str| Err((id.clone().unwrap_or(Value::Null), Fault::new(INVALID, why)));
    if object.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return invalid("a request says \"jsonrpc\": \"2.0\"");
    }
    let Some(Value::String(method)) = object.remove("method") else {
        return invalid("a request names its method");
    };
    let params = match object.remove("params") {
        None => Map::new(),
        Some(Value::Object(params)) => params,
        Some(Value::Array(params)) if params.is_empty() => Map::new(),
        Some(Value::Array(_)) => {
            let fault = Fault::new(PARAMS, "parameters go by name: {\"to\": …}, not […]");
            return Err((id.unwrap_or(Value::Null), fault));
        }
        Some(_) => return invalid("parameters are an object"),
    };
    Ok(Request { id, method, params })
}

/// Where an answer goes.
#[derive(Debug)]
pub struct Reply {
    id: Option<Value>,
    batch: Option<u64>,
}

/// Batches that wait for the last of their answers.
#[derive(Debug, Default)]
pub struct Answers {
    batches: HashMap<u64, Batch>,
    next: u64,
}

#[derive(Debug)]
struct Batch {
    left: usize,
    answers: Vec<Value>,
}

impl Answers {
    /// Splits what a line asks into requests, each with its reply.
    pub fn expect(&mut self, incoming: Incoming) -> Vec<(Reply, Result<Request, Fault>)> {
        let (items, batch) = match incoming {
            Incoming::Nothing => return Vec::new(),
            Incoming::One(item) => (vec![item], None),
            Incoming::Batch(items) => {
                self.next += 1;
                self.batches.insert(self.next, Batch { left: items.len(), answers: Vec::new() });
                (items, Some(self.next))
            }
        };
        let split = |item: Item| match item {
            Ok(request) => (Reply { id: request.id.clone(), batch }, Ok(request)),
            Err((id, fault)) => (Reply { id: Some(id), batch }, Err(fault)),
        };
        items.into_iter().map(split).collect()
    }

    /// The message to send for an answer, as soon as there is one: for a batch with its last answer,
    /// for notifications never.
    pub fn settle(&mut self, reply: Reply, outcome: Result<Value, Fault>) -> Option<Value> {
        let answer = reply.id.map(|id| match outcome {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err(Fault { code, message }) => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
            }
        });
        let Some(number) = reply.batch else { return answer };
        let batch = self.batches.get_mut(&number)?;
        batch.answers.extend(answer);
        batch.left -= 1;
        if batch.left > 0 {
            return None;
        }
        let answers = self.batches.remove(&number)?.answers;
        (!answers.is_empty()).then_some(Value::Array(answers))
    }
}

/// A notification to the other end.
pub fn notification(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

/// One line of JSON, without its end. Characters that could play tricks on a terminal are escaped,
/// which changes nothing for whoever parses it.
pub fn to_line(value: &Value) -> String {
    let mut line = String::new();
    for c in value.to_string().chars() {
        if c.is_ascii() && c != '\u{7f}'
            || crate::ui::text::harmless(c.encode_utf8(&mut [0; 4])) == c.to_string()
        {
            line.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                line.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(text: &str) -> Line {
        Line::Text(Zeroizing::new(text.as_bytes().to_vec()))
    }

    /// What a line without anything to carry out is answered with.
    fn answers(text: &str) -> Vec<Value> {
        let mut answers = Answers::default();
        let items = answers.expect(read(&line(text)));
        items
            .into_iter()
            .filter_map(|(reply, request)| {
                answers.settle(reply, request.map(|request| json!(request.method)))
            })
            .collect()
    }

    fn code(text: &str) -> Value {
        answers(text).pop().map_or(Value::Null, |answer| answer["error"]["code"].clone())
    }

    #[test]
    fn lines_are_bounded_and_reading_goes_on_behind_a_long_one() {
        let mut input = b"one\n\ntwo\r\n".to_vec();
        input.extend(vec![b'x'; LINE_MAX + 1]);
        input.extend(b"\nlast");
        let mut input = io::BufReader::with_capacity(7, input.as_slice());
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut input).expect("memory") {
            lines.push(line);
        }
        assert_eq!(lines, [line("one"), line(""), line("two\r"), Line::TooLong, line("last")]);
        let whole = vec![b'y'; LINE_MAX];
        assert!(matches!(next_line(&mut whole.as_slice()), Ok(Some(Line::Text(_)))));
    }

    #[test]
    fn ids_are_echoed_and_notifications_are_not_answered() {
        for id in ["1", "\"a\"", "null", "-7.5"] {
            let got = answers(&format!("{{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":{id}}}"));
            assert_eq!(got[0]["id"].to_string(), id);
            assert_eq!(got[0]["result"], "m");
        }
        assert!(answers(r#"{"jsonrpc":"2.0","method":"m"}"#).is_empty());
        assert!(answers("  \r").is_empty());
    }

    #[test]
    fn what_is_no_request_gets_the_code_of_the_specification() {
        assert_eq!(code("{"), PARSE);
        assert_eq!(code(&"[".repeat(100_000)), PARSE);
        let raw = Line::Text(Zeroizing::new(vec![b'"', 0xff, b'"']));
        assert!(matches!(read(&raw), Incoming::One(Err((Value::Null, fault))) if fault.code == PARSE));
        for bad in [
            "1",
            "[]",
            r#"{"method":"m","id":1}"#,
            r#"{"jsonrpc":"1.0","method":"m","id":1}"#,
            r#"{"jsonrpc":"2.0","method":1,"id":1}"#,
            r#"{"jsonrpc":"2.0","method":"m","id":[1]}"#,
            r#"{"jsonrpc":"2.0","method":"m","params":3,"id":1}"#,
        ] {
            assert_eq!(code(bad), INVALID, "{bad}");
        }
        assert_eq!(code(r#"{"jsonrpc":"2.0","method":"m","params":[3],"id":1}"#), PARAMS);
        assert_eq!(code(&format!("[{}1]", "1,".repeat(BATCH_MAX))), INVALID);
    }

    #[test]
    fn a_batch_is_answered_as_one_without_its_notifications() {
        let got = answers(
            r#"[{"jsonrpc":"2.0","method":"a","id":1},{"jsonrpc":"2.0","method":"b"},7,{"jsonrpc":"2.0","method":"c","id":2}]"#,
        );
        let [Value::Array(items)] = got.as_slice() else { panic!("one array: {got:?}") };
        assert_eq!(items.len(), 3);
        assert_eq!(items[1]["error"]["code"], INVALID);
        assert!(answers(r#"[{"jsonrpc":"2.0","method":"b"}]"#).is_empty());
    }

    #[test]
    fn a_line_of_output_plays_no_tricks() {
        let text = "a\u{1b}[2J\n\u{9b}\u{202e}\u{7f}é日👩‍👩‍👧\u{e0001}";
        let line = to_line(&json!({ "t": text }));
        assert!(line.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{line}");
        assert!(line.contains("é日"));
        let back: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(back["t"], text);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut input = bytes.as_slice();
            while let Ok(Some(line)) = next_line(&mut input) {
                read(&line);
            }
        }

        #[test]
        fn any_text_comes_back(text in any::<String>()) {
            let line = to_line(&json!(text));
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(serde_json::from_str::<String>(&line).expect("JSON"), text);
        }
    }
}
