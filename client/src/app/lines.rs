//! Lines of conversations, read from the store.

use crate::chat::expiry::reveal;
use crate::chat::timeline::{LINES, Line, place, unplace};
use subrosa_shared::id::RoomId;
use subrosa_shared::store::{Error, Order, Store};

/// Lines of a conversation from the store, oldest first: at most `limit`, the newest ones of
/// `from..to`. Messages that disappear have their text as long as they are there, and none afterwards.
///
/// # Errors
/// Those of the store.
pub fn history(
    store: &Store,
    room: RoomId,
    from: u64,
    to: u64,
    limit: usize,
) -> Result<Vec<(u64, Line)>, Error> {
    let mut lines = lasting(store, room, from, to, limit)?;
    for (pos, line) in lines.iter_mut().filter(|(_, line)| line.body.is_empty()) {
        if let Some(apart) = reveal(store, room, *pos)? {
            line.put_back(apart);
        }
    }
    Ok(lines)
}

/// The same without the text of messages that disappear.
///
/// # Errors
/// Those of the store.
pub fn lasting(
    store: &Store,
    room: RoomId,
    from: u64,
    to: u64,
    limit: usize,
) -> Result<Vec<(u64, Line)>, Error> {
    let rows = store.records.scan(LINES, &place(room, from), &place(room, to), Order::Backward, limit)?;
    let mut lines = Vec::with_capacity(rows.len());
    for (key, value) in rows.into_iter().rev() {
        let damaged = || Error::Damaged("a line of a conversation".into());
        let (_, pos) = unplace(&key).ok_or_else(damaged)?;
        lines.push((pos, Line::read(&value).ok_or_else(damaged)?));
    }
    Ok(lines)
}
