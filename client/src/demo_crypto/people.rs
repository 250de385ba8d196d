//! Two people who exist for one walk: keys drawn now, profiles in a folder that is gone at the end.

use crate::chat::talk::ACCOUNT;
use rand_core::{OsRng, RngCore};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use subrosa_shared::id::{AccountName, DeviceId, SessionId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::session::kept::{INBOUND, OUTBOUND};
use subrosa_shared::session::vault::Cost;
use subrosa_shared::session::{Identity, Sessions};
use subrosa_shared::store::profile::Profile;
use subrosa_shared::store::{Batch, Kv, SlotKey, Store};
use subrosa_shared::time::{Millis, Now};

/// A person, with a profile on disk.
pub struct Person {
    /// Their account.
    pub name: AccountName,
    /// What opens their vault.
    pub passphrase: String,
    /// The folder of their profile.
    pub dir: PathBuf,
    /// Their sessions.
    pub sessions: Sessions,
    profile: Option<Profile>,
}

/// The key of a chain as it lies in its slot.
#[derive(Clone, PartialEq, Eq)]
pub struct Chain {
    /// Which session.
    pub session: SessionId,
    /// The key of the next message.
    pub key: [u8; 32],
    /// The next message's number.
    pub n: u64,
}

impl Person {
    /// Draws keys and makes a profile below `dir`.
    ///
    /// # Errors
    /// A sentence.
    pub fn draw(name: &str, dir: &Path) -> Result<Self, String> {
        let mut word = [0; 9];
        OsRng.fill_bytes(&mut word);
        let passphrase = data_encoding::BASE64URL_NOPAD.encode(&word);
        let dir = dir.join(name);
        let profile = Profile::create(&dir, &passphrase, Cost::FLOOR, &mut OsRng).map_err(said)?;
        let identity = Identity::generate(&mut OsRng);
        let mut batch = Batch::default();
        batch.put(ACCOUNT, *b"identity", identity.seed().to_vec());
        profile.store.commit(&batch).map_err(said)?;
        let (sessions, batch) = Sessions::load(identity, &profile.store, now()).map_err(said)?;
        profile.store.commit(&batch).map_err(said)?;
        let name = AccountName::parse(name).map_err(said)?;
        Ok(Self { name, passphrase, dir, sessions, profile: Some(profile) })
    }

    /// As others see them.
    pub fn peer(&self) -> Peer {
        self.sessions.identity().peer()
    }

    /// Their device.
    pub fn device(&self) -> DeviceId {
        self.sessions.identity().device()
    }

    /// Puts writes on their disk.
    ///
    /// # Errors
    /// A sentence.
    pub fn commit(&self, batch: &Batch) -> Result<(), String> {
        self.store()?.commit(batch).map_err(said)
    }

    /// Records and secrets, unlocked.
    ///
    /// # Errors
    /// After [`Person::leave`].
    pub fn store(&self) -> Result<&Store, String> {
        self.profile.as_ref().map(|profile| &profile.store).ok_or_else(|| "the profile is closed".into())
    }

    /// Closes the profile: what is left is on the disk.
    pub fn leave(&mut self) {
        self.profile = None;
    }

    /// Goes back to what is on disk.
    ///
    /// # Errors
    /// A sentence.
    pub fn forget_uncommitted(&mut self) -> Result<(), String> {
        let identity = Identity::from_seed(&self.sessions.identity().seed());
        let (sessions, batch) = Sessions::load(identity, self.store()?, now()).map_err(said)?;
        self.commit(&batch)?;
        self.sessions = sessions;
        Ok(())
    }

    /// The chain that seals to somebody.
    ///
    /// # Errors
    /// When there is none.
    pub fn sends(&self, to: &DeviceId) -> Result<Chain, String> {
        // As `session::kept` lays it out: session, key, n, and what follows.
        type Slot = (SessionId, [u8; 32], u64, Millis, bool, bool);
        let (session, key, n, ..): Slot = self.slot(OUTBOUND, to.0)?;
        Ok(Chain { session, key, n })
    }

    /// The chain of that session that opens.
    ///
    /// # Errors
    /// When there is none.
    pub fn opens(&self, session: &SessionId) -> Result<Chain, String> {
        // Peer, order, prekey, hash and end stand before key and n.
        type Slot = ((Peer, u64, [u8; 16], [u8; 32], Option<Millis>), [u8; 32], u64, u64);
        let (_, key, n, _): Slot = self.slot(INBOUND, session.0)?;
        Ok(Chain { session: *session, key, n })
    }

    fn slot<T: serde::de::DeserializeOwned>(&self, kind: u8, id: [u8; 16]) -> Result<T, String> {
        let secret = self.store()?.slots.get(&SlotKey { kind, id, part: 0 });
        let secret = secret.ok_or("that secret is not in the ratchet file")?;
        let (_version, rest) = secret.split_first().ok_or("an empty secret")?;
        postcard::from_bytes(rest).map_err(said)
    }
}

/// This moment.
pub fn now() -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall = Millis(wall.as_millis() as u64);
    Now { wall, mono: wall }
}

/// Every row of all tables of a store.
///
/// # Errors
/// A sentence.
pub fn rows(kv: &dyn Kv) -> Result<Vec<(subrosa_shared::store::Table, Vec<u8>, Vec<u8>)>, String> {
    use subrosa_shared::store::{Order, Table};
    let mut found = Vec::new();
    for byte in 0..=u8::MAX {
        let table = Table { byte, name: "any" };
        let rows = kv.scan(table, &[], &[], Order::Forward, usize::MAX).map_err(said)?;
        found.extend(rows.into_iter().map(|(key, value)| (table, key, value)));
    }
    Ok(found)
}

/// The bytes of every file below a folder.
///
/// # Errors
/// A sentence.
pub fn files(dir: &Path) -> Result<Vec<Vec<u8>>, String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(said)? {
        let path = entry.map_err(said)?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(std::fs::read(&path).map_err(said)?);
        }
    }
    Ok(found)
}

/// Whether twelve bytes of `secret` in a row lie anywhere in there: fewer may be there by chance.
pub fn holds(hay: &[Vec<u8>], secret: &[u8]) -> bool {
    let parts: std::collections::HashSet<&[u8]> = secret.windows(RUN).collect();
    hay.iter().any(|bytes| bytes.windows(RUN).any(|some| parts.contains(some)))
}

const RUN: usize = 12;

/// An error as text.
pub fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}
