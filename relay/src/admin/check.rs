//! Looks whether what a relay keeps holds together; changes nothing.

use crate::listener::Key;
use crate::passwords::Setup;
use crate::{accounts, blobs, doors, era, heads, invites, mailbox, passwords};
use std::fmt;
use std::path::Path;
use subrosa_shared::store::{self, Kv, Order, Table};

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    looked: u64,
    count: u64,
    sentences: Vec<String>,
    noted: u64,
    notes: Vec<String>,
}

/// Sentences that are kept; a store that is all wrong is told in fewer.
const SENTENCES_MAX: usize = 50;

/// Letters of tables that the relay uses; `i` and `k` until it has run for the first time on what an older
/// one left.
const LETTERS: &[u8] = b"DEHQVWabcdefghiklmnoprst";

const PAGE: usize = 256;

impl Findings {
    /// One more record was read and understood.
    pub(crate) fn looked(&mut self) {
        self.looked += 1;
    }

    /// Something is not as it should be.
    pub(crate) fn wrong(&mut self, sentence: impl Into<String>) {
        self.count += 1;
        if self.sentences.len() < SENTENCES_MAX {
            self.sentences.push(sentence.into());
        }
    }

    /// Something is left over, as a crash may leave it, and goes at the next start.
    pub(crate) fn note(&mut self, sentence: impl Into<String>) {
        self.noted += 1;
        if self.notes.len() < SENTENCES_MAX {
            self.notes.push(sentence.into());
        }
    }

    /// Records that were looked at.
    pub fn records(&self) -> u64 {
        self.looked
    }

    /// Whether everything is as it should be.
    pub fn is_well(&self) -> bool {
        self.count == 0
    }

    /// What is wrong, a sentence each, at most fifty.
    pub fn sentences(&self) -> &[String] {
        &self.sentences
    }

    /// What is left over and no fault, a sentence each, at most fifty.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, sentences) in [(self.count, &self.sentences), (self.noted, &self.notes)] {
            for sentence in sentences {
                writeln!(f, "- {sentence}")?;
            }
            if count as usize > sentences.len() {
                writeln!(f, "- and {} more", count as usize - sentences.len())?;
            }
        }
        match self.count {
            0 => write!(f, "{} records hold together", self.looked),
            count => write!(f, "{count} things are wrong among {} records", self.looked),
        }
    }
}

/// Looks at everything in a data folder whose store is open and that no relay runs on.
///
/// # Errors
/// Those of the store, when it cannot even be read.
pub fn check(kv: &dyn Kv, data: &Path) -> Result<Findings, store::Error> {
    let mut found = Findings::default();
    accounts::audit(kv, &mut found)?;
    mailbox::audit(kv, &mut found)?;
    passwords::audit(kv, &mut found)?;
    heads::audit(kv, &mut found)?;
    doors::audit(kv, &mut found)?;
    invites::audit(kv, &mut found)?;
    era::audit(kv, &mut found)?;
    blobs::audit(kv, data, &mut found)?;
    for byte in (0..=u8::MAX).filter(|byte| !LETTERS.contains(byte)) {
        let foreign = kv.scan(Table { byte, name: "any" }, &[], &[], Order::Forward, 1)?;
        // One record without a key is the store's own.
        if !foreign.is_empty() {
            found.wrong(format!("the store holds records of a kind that this relay does not know ({byte})"));
        }
    }
    let path = data.join("relay.key");
    if !path.exists() {
        found.wrong("relay.key is missing: the relay would become another one, and lock out all clients");
    } else if Key::read_or_make(&path).is_err() {
        found.wrong("relay.key cannot be read: restore it from a backup");
    }
    let path = data.join("relay.opaque");
    if !path.exists() {
        found.wrong("relay.opaque is missing: every login password would be void");
    } else if Setup::read(&path).is_err() {
        found.wrong("relay.opaque cannot be read: restore it from a backup");
    }
    Ok(found)
}

/// Every record of a table, page by page.
pub(crate) fn rows(
    kv: &dyn Kv,
    table: Table,
    mut look: impl FnMut(&[u8], &[u8]),
) -> Result<(), store::Error> {
    let mut from = Vec::new();
    loop {
        let page = kv.scan(table, &from, &[], Order::Forward, PAGE)?;
        for (key, value) in &page {
            look(key, value);
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE => from = [last.as_slice(), &[0]].concat(),
            _ => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;
    use crate::mailbox::{Mailbox, Quota, Sled};
    use std::sync::Arc;
    use subrosa_shared::id::{AccountName, DeviceId, EnvelopeId, Seq};
    use subrosa_shared::protocol::envelope::{Head, Keep, Outgoing};
    use subrosa_shared::store::Batch;
    use subrosa_shared::store::memory::Memory;
    use subrosa_shared::time::Millis;

    fn store() -> (tempfile::TempDir, Arc<Memory>) {
        let dir = tempfile::tempdir().expect("a folder");
        Key::read_or_make(&dir.path().join("relay.key")).expect("made");
        Setup::read_or_make(&dir.path().join("relay.opaque"), &mut rand_core::OsRng).expect("made");
        let kv = Arc::new(Memory::default());
        let mut mailbox = Sled::new(kv.clone(), Quota::from(&Limits::default()));
        let name = AccountName::parse("ada").expect("valid");
        for number in 1..=3 {
            let to = [2, 3].map(|to| Head { to: DeviceId([to; 16]), bytes: vec![number; 40] });
            let id = EnvelopeId([number; 16]);
            let envelope =
                Outgoing { id, keep: Keep::Stored, to: to.to_vec(), body: vec![number; 500], moves: None };
            mailbox.put(DeviceId([1; 16]), &name, &envelope, Millis(5)).expect("memory");
        }
        mailbox.ack(DeviceId([2; 16]), Seq(2)).expect("memory");
        mailbox.append().expect("memory");
        (dir, kv)
    }

    /// What is said once that row is gone, or (with a value) another.
    fn said(table: u8, key: &[u8], value: Option<&[u8]>) -> String {
        let (dir, kv) = store();
        let before = check(&*kv, dir.path()).expect("reads");
        assert!(before.is_well(), "{before}");
        let table = Table { byte: table, name: "any" };
        assert!(kv.get(table, key).expect("memory").is_some(), "there is such a row");
        let mut batch = Batch::default();
        match value {
            Some(value) => batch.put(table, key, value.to_vec()),
            None => batch.delete(table, key),
        }
        kv.commit(&batch.records).expect("memory");
        let found = check(&*kv, dir.path()).expect("reads");
        assert!(!found.is_well());
        found.to_string()
    }

    #[test]
    fn whatever_is_missing_or_changed_in_mailboxes_is_told() {
        let first = 0u64.to_be_bytes();
        let entry = [[3; 16].as_slice(), &1u64.to_be_bytes()].concat();
        let taken = [[1; 16].as_slice(), &0u64.to_be_bytes()].concat();
        for (table, key, value, says) in [
            (b'b', first.as_slice(), None, "body 0 of 1 envelopes is missing"),
            (b'b', &first, Some(&b"x"[..]), "its envelopes say 500"),
            (b'r', &first, None, "its count says None"),
            (b'r', &first, Some(&[2][..]), "its count says Some(2)"),
            (b'e', &entry, None, "says 3 envelopes"),
            (b'e', &entry, Some(b"x"), "an envelope cannot be read"),
            (b'm', &[2; 16], None, "in a mailbox that is not there"),
            (b't', b"", None, "the sums of all mailboxes cannot be read"),
            (b'n', &taken, Some(b"x"), "which envelopes of a sender were taken cannot be read"),
        ] {
            let said = said(table, key, value);
            assert!(said.contains(says), "{}: {said}", char::from(table));
        }
    }

    #[test]
    fn a_file_that_a_crash_left_behind_is_named_and_is_no_fault() {
        let (dir, kv) = store();
        let files = dir.path().join("files");
        std::fs::create_dir(&files).expect("made");
        std::fs::write(files.join("ab".repeat(16)), "bytes").expect("written");
        let found = check(&*kv, dir.path()).expect("reads");
        assert!(found.is_well(), "{found}");
        let said = found.to_string();
        assert!(said.contains("is in no index; the relay drops it at its next start"), "{said}");
        assert!(said.ends_with("records hold together"), "{said}");
    }

    #[test]
    fn files_and_keys_that_are_missing_are_told() {
        let (dir, kv) = store();
        std::fs::remove_file(dir.path().join("relay.key")).expect("removed");
        std::fs::write(dir.path().join("relay.opaque"), "junk").expect("written");
        let files = dir.path().join("files");
        std::fs::create_dir(&files).expect("made");
        std::fs::write(files.join("ab".repeat(16)), "bytes").expect("written");
        let mut batch = Batch::default();
        batch.put(Table { byte: b'Z', name: "any" }, *b"k", vec![1]);
        kv.commit(&batch.records).expect("memory");
        let found = check(&*kv, dir.path()).expect("reads").to_string();
        for says in
            ["relay.key is missing", "relay.opaque cannot be read", "is in no index", "does not know (90)"]
        {
            assert!(found.contains(says), "{found}");
        }
        assert!(!dir.path().join("relay.key").exists(), "nothing is made");
    }
}
