//! Writes of one group, readable before they are on disk.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use subrosa_shared::store::{Batch, Error, Kv, Order, Rows, Table};

/// A store with the writes of the running group laid over it. Reads see them; a commit writes them
/// in one go or forgets them, so nothing that failed leaves a trace.
pub(crate) struct Staged {
    kv: Arc<dyn Kv>,
    writes: BTreeMap<u8, Writes>,
}

/// Of one table.
struct Writes {
    table: Table,
    /// `None` is a deletion.
    rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Staged {
    pub(crate) fn new(kv: Arc<dyn Kv>) -> Self {
        Self { kv, writes: BTreeMap::new() }
    }

    /// What it is laid over.
    pub(crate) fn kv(&self) -> Arc<dyn Kv> {
        self.kv.clone()
    }

    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.writes.get(&table.byte).and_then(|writes| writes.rows.get(key)) {
            Some(staged) => Ok(staged.clone()),
            None => self.kv.get(table, key),
        }
    }

    pub(crate) fn put(&mut self, table: Table, key: &[u8], value: Vec<u8>) {
        self.write(table, key, Some(value));
    }

    pub(crate) fn delete(&mut self, table: Table, key: &[u8]) {
        self.write(table, key, None);
    }

    fn write(&mut self, table: Table, key: &[u8], value: Option<Vec<u8>>) {
        let fresh = || Writes { table, rows: BTreeMap::new() };
        self.writes.entry(table.byte).or_insert_with(fresh).rows.insert(key.to_vec(), value);
    }

    /// The first `limit` records in `from..to`; an empty `to` is no bound.
    pub(crate) fn scan(&self, table: Table, from: &[u8], to: &[u8], limit: usize) -> Result<Rows, Error> {
        let writes = self.writes.get(&table.byte);
        let after = (Bound::Included(from), Bound::Unbounded);
        let staged = writes.into_iter().flat_map(|writes| writes.rows.range::<[u8], _>(after));
        let staged: Vec<_> = staged.take_while(|(key, _)| to.is_empty() || key.as_slice() < to).collect();
        // Each staged key can hide one stored row at most, so this many rows are enough.
        let stored = self.kv.scan(table, from, to, Order::Forward, limit.saturating_add(staged.len()))?;
        if staged.is_empty() {
            return Ok(stored);
        }
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> = stored.into_iter().collect();
        for (key, value) in staged {
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        Ok(rows.into_iter().take(limit).collect())
    }

    pub(crate) fn commit(&mut self) -> Result<(), Error> {
        self.append()?;
        self.kv.sync()
    }

    /// Writes all of it, durable once the store is synced, or forgets it.
    pub(crate) fn append(&mut self) -> Result<(), Error> {
        if self.writes.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        for Writes { table, rows } in std::mem::take(&mut self.writes).into_values() {
            for (key, value) in rows {
                match value {
                    Some(value) => batch.put(table, key, value),
                    None => batch.delete(table, key),
                }
            }
        }
        self.kv.append(&batch.records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use subrosa_shared::store::memory::Memory;

    const T: Table = Table { byte: b't', name: "test" };

    #[test]
    fn reads_see_what_is_staged_and_a_commit_writes_it() {
        let kv = Arc::new(Memory::default());
        let mut staged = Staged::new(kv.clone());
        for key in *b"abcd" {
            staged.put(T, &[key], vec![key]);
        }
        staged.commit().expect("memory");
        staged.delete(T, b"a");
        staged.delete(T, b"c");
        staged.put(T, b"bb", b"new".to_vec());
        let keys = |staged: &Staged, from: &[u8], limit| -> Vec<Vec<u8>> {
            staged.scan(T, from, b"", limit).expect("memory").into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(keys(&staged, b"", 9), [b"b".to_vec(), b"bb".to_vec(), b"d".to_vec()]);
        assert_eq!(keys(&staged, b"", 1), [b"b".to_vec()]);
        assert_eq!(keys(&staged, b"bb", 9), [b"bb".to_vec(), b"d".to_vec()]);
        assert_eq!(staged.get(T, b"a").expect("memory"), None);
        assert_eq!(kv.get(T, b"a").expect("memory"), Some(b"a".to_vec()), "not on disk yet");
        staged.commit().expect("memory");
        assert_eq!(kv.get(T, b"a").expect("memory"), None);
    }
}
