//! The new machine, which is linked by a code: one that is typed there, and what either way of linking tells it.

use super::{Hello, Offer, Welcome, Words};
use crate::chat::devices::CHAIN;
use crate::chat::history::Fetch;
use crate::chat::talk::ACCOUNT;
use subrosa_shared::id::{AccountName, DeviceId};
use subrosa_shared::protocol::auth::Cert;
use subrosa_shared::protocol::devices::{DeviceList, VERSIONS_MAX, Version};
use subrosa_shared::protocol::frame::{Ask, PASS_MAX, Refusal, Slot, ToDevice, ToRelay};
use subrosa_shared::session::Identity;
use subrosa_shared::session::pair::{self, Code, Guest, Keys, Shows};
use subrosa_shared::store::Batch;

/// The new machine, as long as it has no account yet.
pub struct Joining {
    code: Code,
    hello: Vec<u8>,
    own: Cert,
    stage: Join,
    /// Bytes that passed, both ways.
    pub bytes: usize,
}

enum Join {
    Asking { ke1: Vec<u8>, guest: Guest },
    Met(Guest),
    Proven(Keys),
    Told(Told),
    Over,
}

/// A welcome, and the list that comes after it.
pub(in crate::chat) struct Told {
    slot: Slot,
    welcome: Welcome,
    offer: Option<Offer>,
    chain: Vec<Version>,
}

/// What to do next.
pub enum Step {
    /// Send these and wait.
    Send(Vec<ToRelay>),
    /// Write this down, then say [`Linked::kept`] and wait for [`Linked::listed`].
    Keep(Linked),
    /// It did not work: a sentence with the next step.
    Failed(String),
}

/// Whose device this becomes.
pub struct Linked {
    /// The account.
    pub name: AccountName,
    /// Its list of devices, from the first version to the one with this device.
    pub chain: Vec<Version>,
    /// The device that linked it: the history comes from it.
    pub host: DeviceId,
    slot: Slot,
    words: Option<Words>,
}

impl Joining {
    /// With the code that the other device shows; gives the first frame, in place of a login.
    pub fn new(
        code: Code,
        relay: &[u8; 32],
        identity: &Identity,
        called: &str,
        rng: &mut dyn rand_core::CryptoRngCore,
    ) -> (Self, ToRelay) {
        let (ke1, guest) = Guest::new(&code, Shows::Enrolled, relay, rng);
        let (own, hello) = hello(identity, called);
        let slot = code.slot();
        let joining = Self { code, hello, own, stage: Join::Asking { ke1, guest }, bytes: 0 };
        (joining, ToRelay::JoinSlot { ask: Ask(1), slot })
    }

    /// One frame from the relay.
    pub fn frame(&mut self, frame: ToDevice, rng: &mut dyn rand_core::CryptoRngCore) -> Step {
        let slot = self.code.slot();
        match (std::mem::replace(&mut self.stage, Join::Over), frame) {
            (Join::Asking { ke1, guest }, ToDevice::Done(Ask(1))) => {
                self.stage = Join::Met(guest);
                self.pass(slot, ke1)
            }
            (_, ToDevice::Refused { why: Refusal::RateLimited { retry_ms }, .. }) => Step::Failed(format!(
                "too many codes were tried from here: wait {}, and have another code shown",
                crate::chat::wait_in_words(retry_ms)
            )),
            (Join::Asking { .. }, ToDevice::Refused { .. }) => Step::Failed(
                "no device waits with that code: check the first word, or have another code shown (/devices link)".into(),
            ),
            (Join::Met(guest), ToDevice::Passed { slot: at, bytes }) if at == slot => {
                self.bytes += bytes.len();
                match guest.finish(&bytes, &self.hello, rng) {
                    Ok((message, keys)) => {
                        self.stage = Join::Proven(keys);
                        self.pass(slot, message)
                    }
                    Err(pair::Wrong) => Step::Failed(WRONG.into()),
                }
            }
            (Join::Proven(keys), ToDevice::Passed { slot: at, bytes }) if at == slot => {
                self.bytes += bytes.len();
                match keys.host_said(&bytes).ok().and_then(|(welcome, _)| Told::read(&welcome, slot)) {
                    Some(told) => {
                        self.stage = Join::Told(told);
                        Step::Send(Vec::new())
                    }
                    None => Step::Failed(WRONG.into()),
                }
            }
            (Join::Told(mut told), ToDevice::Passed { slot: at, bytes }) if at == slot => {
                self.bytes += bytes.len();
                match told.version(&bytes, &self.own) {
                    Ok(Some(linked)) => Step::Keep(linked),
                    Ok(None) => {
                        self.stage = Join::Told(told);
                        Step::Send(Vec::new())
                    }
                    Err(pair::Wrong) => Step::Failed(WRONG.into()),
                }
            }
            (_, ToDevice::Refused { ask: None, .. } | ToDevice::SlotClosed(_)) => Step::Failed(
                "the other device took the code back, or it was wrong: have another one shown (/devices link)".into(),
            ),
            (stage, _) => {
                self.stage = stage;
                Step::Send(Vec::new())
            }
        }
    }

    fn pass(&mut self, slot: Slot, bytes: Vec<u8>) -> Step {
        debug_assert!(bytes.len() <= PASS_MAX);
        self.bytes += bytes.len();
        Step::Send(vec![ToRelay::Pass { slot, bytes }])
    }
}

/// What a new device says of itself, and the certificate in it.
pub(in crate::chat) fn hello(identity: &Identity, called: &str) -> (Cert, Vec<u8>) {
    let own = identity.cert();
    let hello = Hello { cert: own.clone(), name: called.chars().take(32).collect() };
    (own, postcard::to_stdvec(&hello).expect("a hello serialises: plain fields only"))
}

impl Told {
    /// A welcome, which was sealed.
    pub(in crate::chat) fn read(bytes: &[u8], slot: Slot) -> Option<Self> {
        let (welcome, rest) = postcard::take_from_bytes::<Welcome>(bytes).ok()?;
        let offer = match rest {
            [] => None,
            rest => Some(postcard::from_bytes::<Offer>(rest).ok()?),
        };
        (welcome.head.number < VERSIONS_MAX).then(|| Self { slot, welcome, offer, chain: Vec::new() })
    }

    /// Whose device this is to be.
    pub(in crate::chat) fn name(&self) -> &AccountName {
        &self.welcome.name
    }

    /// One more version of the list; whose device this becomes, once that was the last.
    ///
    /// # Errors
    /// It is not the list that the welcome means.
    pub(in crate::chat) fn version(
        &mut self,
        bytes: &[u8],
        own: &Cert,
    ) -> Result<Option<Linked>, pair::Wrong> {
        let version = postcard::from_bytes::<Version>(bytes).map_err(|_| pair::Wrong)?;
        let to_come = u32::from(self.offer.is_some());
        let last = version.number.saturating_add(to_come) >= self.welcome.head.number;
        self.chain.push(version);
        if !last {
            return if self.chain.len() > VERSIONS_MAX as usize { Err(pair::Wrong) } else { Ok(None) };
        }
        let Welcome { name, head, host } = &self.welcome;
        let mut chain = std::mem::take(&mut self.chain);
        let mut words = None;
        if let Some(offer) = self.offer.take() {
            words = Some(offer.words);
            chain.push(offer.version);
        }
        match DeviceList::verify(name, &chain) {
            Ok(list) if list.head() == *head && list.certs().contains(own) && list.get(host).is_some() => {
                Ok(Some(Linked { name: name.clone(), chain, host: *host, slot: self.slot, words }))
            }
            _ => Err(pair::Wrong),
        }
    }
}

impl Linked {
    /// What a fresh profile of this device begins with.
    pub fn write(&self, relay: &str, identity: &Identity, batch: &mut Batch) {
        batch.put(ACCOUNT, *b"name", self.name.as_str().as_bytes().to_vec());
        batch.put(ACCOUNT, *b"relay", relay.as_bytes().to_vec());
        batch.put(ACCOUNT, *b"hosting", vec![0]);
        batch.put(ACCOUNT, *b"identity", identity.seed().to_vec());
        for version in &self.chain {
            let value = postcard::to_stdvec(version).expect("a version serialises: plain fields only");
            batch.put(CHAIN, version.number.to_be_bytes(), value);
        }
        Fetch::all(self.host).save(batch);
    }

    /// Said once all that is on the disk: only then the other device lists this one. Nothing to say to an
    /// earlier version, which has done so.
    pub fn kept(&self) -> Option<ToRelay> {
        Some(ToRelay::Pass { slot: self.slot, bytes: self.words?.kept.to_vec() })
    }

    /// Whether this device is in the list, by that frame: surely, or perhaps; `None` as long as it is not
    /// over. Only the other device knows the word for that. What is kept stays in any case, and its first
    /// login shows it.
    pub fn listed(&self, frame: &ToDevice) -> Option<bool> {
        match frame {
            ToDevice::Passed { slot, bytes } if *slot == self.slot => {
                Some(self.words.is_some_and(|words| *bytes == words.listed))
            }
            ToDevice::SlotClosed(_) | ToDevice::Refused { ask: None, .. } => Some(false),
            _ => None,
        }
    }
}

const WRONG: &str = "that is not the code that the other device shows, or what passed was changed on the way: nothing was \
                     linked. The code is used up; have another one shown (/devices link)";
