//! Finding what was said, for scripts.

use super::event;
use super::method::{Method, take};
use super::wire::{Fault, PARAMS};
use crate::chat::Chat;
use crate::chat::search::Hit;
use crate::chat::search::index::Key;
use crate::runtime::Runtime;
use data_encoding::HEXLOWER;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Lines without a `limit`.
pub const LIMIT: usize = 50;
/// The largest `limit`.
const LIMIT_MAX: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    query: String,
    limit: Option<usize>,
    before: Option<String>,
}

/// The method, checked.
///
/// # Errors
/// [`PARAMS`] with a sentence.
pub fn parse(params: Map<String, Value>) -> Result<Method, Fault> {
    let Search { query, limit, before } = take(params)?;
    let limit = limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Fault::new(PARAMS, format!("limit is 1 to {LIMIT_MAX}")));
    }
    let read = |text: String| {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
        Key::try_from(bytes).ok()
    };
    let before = match before.map(read) {
        Some(None) => return Err(Fault::new(PARAMS, "before is what an answer calls next")),
        before => before.flatten(),
    };
    Ok(Method::Search { query, limit, before })
}

/// Lines that are found, newest first, and where to go on.
///
/// # Errors
/// [`PARAMS`] with a sentence.
pub fn found(runtime: &Runtime, query: &str, limit: usize, before: Option<Key>) -> Result<Value, Fault> {
    let page = runtime.app().search(query, before, limit, runtime.now());
    let page = page.map_err(|why| Fault::new(PARAMS, why))?;
    let chat = runtime.app().chat();
    let lines = page.hits.iter().filter_map(|hit| told(chat, hit));
    let indexing = chat.indexing.map(|(done, total)| json!({ "done": done, "total": total }));
    Ok(json!({
        "lines": lines.collect::<Vec<_>>(),
        "next": page.on.map(|key| HEXLOWER.encode(&key)),
        "indexing": indexing,
    }))
}

/// A line that was found, as it is told; `None` when its conversation is gone.
pub fn told(chat: &Chat, hit: &Hit) -> Option<Value> {
    let (whose, line) = (chat.room(hit.room)?.whose(), &hit.line);
    let mut told = event::message(&whose, line.more.by.as_ref(), &line.id, line.author, line.at, &line.body);
    told["pos"] = json!(hit.pos);
    event::around(&line.more, &mut told);
    Some(told)
}
