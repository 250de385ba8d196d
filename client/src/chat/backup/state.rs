//! What a backup says: people, conversations without their lines, settings.

use super::SETTINGS;
use crate::chat::person::{Person, Standing};
use crate::chat::room::{Kept, Room};
use crate::chat::talk::ACCOUNT;
use crate::config::Config;
use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::protocol::devices::Head;
use subrosa_shared::session::backup::{CONTENT_MAX, Error};
use subrosa_shared::store::Batch;
use subrosa_shared::time::Millis;
use zeroize::Zeroizing;

/// What an empty machine is given: people, conversations without their lines, settings. Never the keys
/// of another device, nor its messages: a new device has its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The newest list of devices that was known: an older one is not taken.
    pub head: Option<Head>,
    /// Newest conversation first.
    pub contacts: Vec<Contact>,
    /// TOML, as in the settings file.
    pub settings: String,
}

/// One conversation and the person in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    with: AccountName,
    peer: Option<Peer>,
    changed: Option<Peer>,
    muted: bool,
    /// When the newest line came, to the day: for the order of the sidebar.
    day: u64,
    verified: Option<[u8; 32]>,
    doubted: Option<[u8; 32]>,
    petname: Option<String>,
    request: bool,
    blocked: bool,
}

impl State {
    /// Everything there is.
    pub fn of(rooms: &[Room], config: &Config, head: Option<Head>) -> Self {
        let people = rooms.iter().filter_map(|room| Some((room.with()?, room)));
        let contacts = people.map(|(with, Room { kept, person, .. })| Contact {
            with: with.clone(),
            peer: kept.peer,
            changed: kept.changed,
            muted: kept.muted,
            day: kept.last.0 / DAY_MS,
            verified: person.verified,
            doubted: person.doubted,
            petname: person.petname.clone(),
            request: person.standing == Standing::Request,
            blocked: person.blocked,
        });
        // Settings that cannot be written are none that could be read again.
        let settings = toml::to_string(config).unwrap_or_default();
        Self { head, contacts: contacts.collect(), settings }
    }

    /// Version (1) ‖ postcard. The oldest conversations are left out when there are too many.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut state = self.clone();
        loop {
            let bytes = postcard::to_extend(&state, vec![VERSION]).expect("it serialises: plain fields only");
            let bytes = Zeroizing::new(bytes);
            if bytes.len() <= CONTENT_MAX || state.contacts.is_empty() {
                return bytes;
            }
            state.contacts.truncate(state.contacts.len() * 9 / 10);
        }
    }

    /// What [`State::encode`] wrote.
    ///
    /// # Errors
    /// [`Error::Newer`] and [`Error::Broken`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => match postcard::take_from_bytes(rest) {
                Ok((state, [])) => Ok(state),
                _ => Err(Error::Broken),
            },
            Some((version, _)) if *version > VERSION => Err(Error::Newer),
            _ => Err(Error::Broken),
        }
    }

    /// Writes people and settings into an empty profile.
    pub fn restore(self, batch: &mut Batch, rng: &mut dyn CryptoRngCore) {
        for contact in self.contacts {
            let id = RoomId::random(rng);
            let kept = Kept {
                with: Some(contact.with),
                peer: contact.peer,
                changed: contact.changed,
                lines: 0,
                read: 0,
                unread: 0,
                muted: contact.muted,
                last: Millis(contact.day.saturating_mul(DAY_MS)),
            };
            let standing = if contact.request { Standing::Request } else { Standing::Contact };
            let person = Person {
                verified: contact.verified,
                doubted: contact.doubted,
                petname: contact.petname,
                standing,
                blocked: contact.blocked,
                ..Person::default()
            };
            person.save(id, batch);
            kept.save(id, batch);
        }
        if Config::parse(&self.settings).is_ok() {
            batch.put(ACCOUNT, SETTINGS, self.settings.into_bytes());
        }
    }
}

const DAY_MS: u64 = 24 * 3_600_000;
const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(name: String) -> Contact {
        Contact {
            with: AccountName::parse(&name).expect("valid"),
            peer: Some(Peer { identity: [1; 32], noise: [2; 32] }),
            changed: None,
            muted: true,
            day: 20_000,
            verified: Some([1; 32]),
            doubted: None,
            petname: Some("somebody".into()),
            request: false,
            blocked: false,
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_from_the_oldest_on() {
        let contacts: Vec<_> = (0..3000).map(|n| contact(format!("name{n}"))).collect();
        let state = State { head: None, contacts, settings: String::new() };
        let bytes = state.encode();
        assert!(bytes.len() <= CONTENT_MAX);
        let fits = State::decode(&bytes).expect("reads").contacts;
        assert!(fits.len() > 700, "{}", fits.len());
        assert_eq!(fits[..], state.contacts[..fits.len()]);
    }

    #[test]
    fn a_newer_or_broken_state_is_not_taken() {
        let state = State { head: None, contacts: vec![contact("ben".into())], settings: "x".into() };
        let bytes = state.encode();
        assert_eq!(State::decode(&bytes), Ok(state));
        for cut in 0..bytes.len() {
            assert_eq!(State::decode(&bytes[..cut]), Err(Error::Broken));
        }
        assert_eq!(State::decode(&[2, 0, 0]), Err(Error::Newer));
    }
}
