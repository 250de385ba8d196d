//! The devices of an account: a chain of signed lists, each signed by a device of the one before.
//!
//! ```text
//! version   name ‖ number ‖ hash of the version before ‖ certificates ‖ recovery key ‖ signer ‖ signature
//! signed    "subrosa device-list/1\0" ‖ len (1) ‖ name ‖ number (u32 BE) ‖ hash before (32)
//!           ‖ count (1) ‖ certificates (128 each) ‖ 0, or 1 ‖ recovery key (32) ‖ signer (32)
//! hash      SHA-256 of what is signed
//! ```
//! The first version, number 0, names one device, the *root*, and is signed by it: its identity key is
//! what people pin and compare, also when that device itself is gone. Each later version is signed by
//! a device of the version before, or by the recovery key that the version before names.

use super::auth::{Cert, Peer, verify};
use crate::id::{AccountName, DeviceId};
use ed25519_dalek::{Signer, SigningKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The most devices of an account.
pub const DEVICES_MAX: usize = 16;

/// The most versions of a list; after that the account has the devices that it has.
pub const VERSIONS_MAX: u32 = 256;

/// So many of them, the last ones, only take devices away: whoever has stolen a device, and signs versions with it until
/// it is removed, uses up none that its removal needs.
pub const REMOVALS: u32 = 32;

/// The most versions in one frame: 64 of the longest are about 140 KB.
pub const VERSIONS_IN_FRAME: usize = 64;

/// The most signatures in the versions that a frame hands to the relay: verifying them keeps it from everything
/// else for 5 to 25 ms.
pub const SIGNATURES_IN_FRAME: usize = 136;

/// Which version of a list somebody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Head {
    /// Counted from 0.
    pub number: u32,
    /// Of that version.
    pub hash: [u8; 32],
}

/// One signed version of a list, not yet verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The account.
    pub name: AccountName,
    /// Counted from 0.
    pub number: u32,
    /// Hash of the version before; zeros for the first.
    pub previous: [u8; 32],
    /// All devices from here on, 1 to [`DEVICES_MAX`].
    pub certs: Vec<Cert>,
    /// Ed25519 key that may sign the next version too; its secret lies in the password backup.
    pub recovery: Option<[u8; 32]>,
    /// The identity key of a device of the version before, or the recovery key that it names.
    pub signer: [u8; 32],
    /// Ed25519 over all of it, 64 bytes.
    pub signature: Vec<u8>,
}

/// Why a version is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another account's, not the next number, or not after the version that is held.
    #[error("it does not follow the version before")]
    Order,
    /// No device, too many, one twice, or one whose certificate does not verify.
    #[error("it does not name devices as it must")]
    Devices,
    /// Signed by nobody who may.
    #[error("it is not signed by a device of the account")]
    Signature,
    /// [`VERSIONS_MAX`] is reached, or only versions are left that take devices away.
    #[error("the list of devices has been changed as often as it can be")]
    Full,
}

impl Version {
    /// Its hash.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.text()).into()
    }

    /// Its place in the chain.
    pub fn head(&self) -> Head {
        Head { number: self.number, hash: self.hash() }
    }

    fn text(&self) -> Vec<u8> {
        let name = self.name.as_str().as_bytes();
        let mut text = b"subrosa device-list/1\0".to_vec();
        text.push(name.len() as u8);
        text.extend_from_slice(name);
        text.extend_from_slice(&self.number.to_be_bytes());
        text.extend_from_slice(&self.previous);
        // Counted in one byte: longer lists are refused before they are hashed.
        text.push(self.certs.len() as u8);
        for cert in &self.certs {
            text.extend_from_slice(&cert.0);
        }
        match &self.recovery {
            None => text.push(0),
            Some(key) => {
                text.push(1);
                text.extend_from_slice(key);
            }
        }
        text.extend_from_slice(&self.signer);
        text
    }

    fn sign(mut self, key: &SigningKey) -> Self {
        self.signer = key.verifying_key().to_bytes();
        self.signature = key.sign(&self.text()).to_bytes().to_vec();
        self
    }

    /// Checks what it says and who signed it. Certificates among `known` have been verified before.
    fn check(&self, known: &[Cert]) -> Result<(), Error> {
        let mut devices = Vec::with_capacity(self.certs.len().min(DEVICES_MAX));
        if !(1..=DEVICES_MAX).contains(&self.certs.len()) {
            return Err(Error::Devices);
        }
        for cert in &self.certs {
            let peer =
                if known.contains(cert) { peer(cert) } else { cert.verify().map_err(|_| Error::Devices)? };
            devices.push(peer.device());
        }
        devices.sort_unstable();
        devices.dedup();
        if devices.len() != self.certs.len() {
            return Err(Error::Devices);
        }
        verify(&self.signer, &self.text(), &self.signature).map_err(|_| Error::Signature)
    }
}

/// The first of these versions, as many as one frame hands to the relay.
pub fn frameful(versions: &[Version]) -> &[Version] {
    let mut signatures = 0;
    let fit = costs(versions).take(VERSIONS_IN_FRAME).take_while(|cost| {
        signatures += cost;
        signatures <= SIGNATURES_IN_FRAME
    });
    &versions[..fit.count()]
}

/// Signatures to verify of these versions, one after the other.
pub fn signatures(versions: &[Version]) -> usize {
    costs(versions).sum()
}

/// Of each of them its own, and those of the certificates that the one before it has not.
fn costs(versions: &[Version]) -> impl Iterator<Item = usize> {
    versions.iter().enumerate().map(|(at, version)| {
        let before = at.checked_sub(1).map_or(&[][..], |at| versions[at].certs.as_slice());
        1 + version.certs.iter().filter(|cert| !before.contains(cert)).count()
    })
}

/// A list whose whole chain verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceList {
    name: AccountName,
    root: Cert,
    head: Head,
    certs: Vec<Cert>,
    recovery: Option<[u8; 32]>,
}

impl DeviceList {
    /// The first version of an account, signed by its one device. The same input gives the same bytes.
    pub fn genesis(name: &AccountName, cert: &Cert, key: &SigningKey) -> Version {
        let version = Version {
            name: name.clone(),
            number: 0,
            previous: [0; 32],
            certs: vec![cert.clone()],
            recovery: None,
            signer: [0; 32],
            signature: Vec::new(),
        };
        version.sign(key)
    }

    /// The list that a first version makes.
    ///
    /// # Errors
    /// [`Error`].
    pub fn begin(first: &Version) -> Result<Self, Error> {
        let [root] = first.certs.as_slice() else { return Err(Error::Devices) };
        if first.number != 0 || first.previous != [0; 32] {
            return Err(Error::Order);
        }
        first.check(&[])?;
        if root.0[..32] != first.signer {
            return Err(Error::Signature);
        }
        Ok(Self {
            name: first.name.clone(),
            root: root.clone(),
            head: first.head(),
            certs: first.certs.clone(),
            recovery: first.recovery,
        })
    }

    /// What stands for the list of an account that has none: its one device, signed by nobody. The
    /// certificate must have been verified.
    pub fn alone(name: &AccountName, cert: &Cert) -> Self {
        Self {
            name: name.clone(),
            root: cert.clone(),
            head: Head { number: 0, hash: [0; 32] },
            certs: vec![cert.clone()],
            recovery: None,
        }
    }

    /// Whether it is more than [`DeviceList::alone`].
    pub fn is_signed(&self) -> bool {
        self.head.hash != [0; 32]
    }

    /// The list at the end of a whole chain of this account.
    ///
    /// # Errors
    /// [`Error`].
    pub fn verify(name: &AccountName, chain: &[Version]) -> Result<Self, Error> {
        let (first, rest) = chain.split_first().ok_or(Error::Order)?;
        if first.name != *name {
            return Err(Error::Order);
        }
        let mut list = Self::begin(first)?;
        for version in rest {
            list = list.next(version)?;
        }
        Ok(list)
    }

    /// The list after one more version.
    ///
    /// # Errors
    /// [`Error`]; this list stays as it is.
    pub fn next(&self, version: &Version) -> Result<Self, Error> {
        let follows = version.name == self.name
            && Some(version.number) == self.head.number.checked_add(1)
            && version.previous == self.head.hash;
        if !follows {
            return Err(Error::Order);
        }
        let fewer = version.certs.len() < self.certs.len()
            && version.certs.iter().all(|cert| self.certs.contains(cert));
        let may = fewer || self.is_free();
        if version.number >= VERSIONS_MAX || !may {
            return Err(Error::Full);
        }
        version.check(&self.certs)?;
        let by_device = self.certs.iter().any(|cert| cert.0[..32] == version.signer);
        if !by_device && self.recovery != Some(version.signer) {
            return Err(Error::Signature);
        }
        Ok(Self {
            name: self.name.clone(),
            root: self.root.clone(),
            head: version.head(),
            certs: version.certs.clone(),
            recovery: version.recovery,
        })
    }

    /// The next version, with these devices and this recovery key, signed by a device of this list or
    /// by its recovery key.
    ///
    /// # Errors
    /// [`Error`], when nobody would take it.
    pub fn extend(
        &self,
        certs: Vec<Cert>,
        recovery: Option<[u8; 32]>,
        key: &SigningKey,
    ) -> Result<Version, Error> {
        let version = Version {
            name: self.name.clone(),
            number: self.head.number.checked_add(1).ok_or(Error::Full)?,
            previous: self.head.hash,
            certs,
            recovery,
            signer: [0; 32],
            signature: Vec::new(),
        };
        if version.certs.len() > DEVICES_MAX {
            return Err(Error::Devices);
        }
        let version = version.sign(key);
        self.next(&version)?;
        Ok(version)
    }

    /// The next version, with one more device.
    ///
    /// # Errors
    /// [`Error`].
    pub fn add(&self, cert: &Cert, key: &SigningKey) -> Result<Version, Error> {
        self.extend([self.certs.as_slice(), std::slice::from_ref(cert)].concat(), self.recovery, key)
    }

    /// The next version, without a device and without a recovery key: who is out may have set the password that
    /// opens it, or know what it opens. The last device cannot go.
    ///
    /// # Errors
    /// [`Error`].
    pub fn remove(&self, device: &DeviceId, key: &SigningKey) -> Result<Version, Error> {
        let stay = self.certs.iter().filter(|cert| peer(cert).device() != *device).cloned().collect();
        self.extend(stay, None, key)
    }

    /// The next version, with another recovery key or none.
    ///
    /// # Errors
    /// [`Error`].
    pub fn set_recovery(&self, recovery: Option<[u8; 32]>, key: &SigningKey) -> Result<Version, Error> {
        self.extend(self.certs.clone(), recovery, key)
    }

    /// Whether the next version may do more than take devices away.
    pub fn is_free(&self) -> bool {
        self.head.number.saturating_add(1) < VERSIONS_MAX - REMOVALS
    }

    /// The account.
    pub fn name(&self) -> &AccountName {
        &self.name
    }

    /// The first device, whether it is still there or not: people pin and compare its identity key.
    pub fn root(&self) -> Peer {
        peer(&self.root)
    }

    /// Number and hash of the newest version.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The key beside the devices that may sign the next version.
    pub fn recovery(&self) -> Option<[u8; 32]> {
        self.recovery
    }

    /// The devices' certificates.
    pub fn certs(&self) -> &[Cert] {
        &self.certs
    }

    /// The devices.
    pub fn devices(&self) -> impl Iterator<Item = Peer> {
        self.certs.iter().map(peer)
    }

    /// The device of that number, if it is in the list.
    pub fn get(&self, device: &DeviceId) -> Option<Peer> {
        self.devices().find(|peer| peer.device() == *device)
    }

    /// Whether exactly these keys are in the list.
    pub fn has(&self, peer: &Peer) -> bool {
        self.devices().any(|device| device == *peer)
    }
}

/// The keys of a certificate that verified before.
fn peer(cert: &Cert) -> Peer {
    let mut peer = Peer { identity: [0; 32], noise: [0; 32] };
    peer.identity.copy_from_slice(&cert.0[..32]);
    peer.noise.copy_from_slice(&cert.0[32..64]);
    peer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_bytes(&[byte; 32])
    }

    fn cert(byte: u8) -> Cert {
        Cert::sign(&key(byte), &[byte; 32])
    }

    fn device(byte: u8) -> DeviceId {
        DeviceId::of(key(byte).verifying_key().as_bytes())
    }

    fn ada() -> AccountName {
        AccountName::parse("ada").expect("valid")
    }

    fn begun() -> (Version, DeviceList) {
        let first = DeviceList::genesis(&ada(), &cert(1), &key(1));
        let list = DeviceList::begin(&first).expect("its own device signed it");
        (first, list)
    }

    #[test]
    fn devices_come_and_go_and_the_root_stays() {
        let (first, list) = begun();
        let second = list.add(&cert(2), &key(1)).expect("signed by the root");
        let list = list.next(&second).expect("follows");
        assert_eq!(list.devices().count(), 2);
        let third = list.remove(&device(1), &key(2)).expect("signed by the second");
        let list = list.next(&third).expect("follows");
        assert_eq!(list.root().device(), device(1));
        assert_eq!(list.devices().map(|peer| peer.device()).collect::<Vec<_>>(), [device(2)]);
        assert_eq!(DeviceList::verify(&ada(), &[first, second, third]), Ok(list.clone()));
        assert_eq!(list.remove(&device(2), &key(2)), Err(Error::Devices), "the last one cannot go");
        assert_eq!(list.head().number, 2);
    }

    #[test]
    fn a_removed_device_signs_nothing_later_and_a_stranger_nothing_at_all() {
        let (_, list) = begun();
        let two = list.next(&list.add(&cert(2), &key(1)).expect("signed")).expect("follows");
        let one = two.next(&two.remove(&device(2), &key(1)).expect("signed")).expect("follows");
        assert_eq!(one.add(&cert(2), &key(2)), Err(Error::Signature), "removed");
        assert_eq!(one.add(&cert(3), &key(3)), Err(Error::Signature), "vouches for itself");
        assert_eq!(
            list.set_recovery(Some(key(9).verifying_key().to_bytes()), &key(9)),
            Err(Error::Signature)
        );
    }

    #[test]
    fn the_recovery_key_signs_while_it_is_named() {
        let (_, list) = begun();
        let recovery = key(9).verifying_key().to_bytes();
        let list = list.next(&list.set_recovery(Some(recovery), &key(1)).expect("signed")).expect("follows");
        let with = list.next(&list.add(&cert(2), &key(9)).expect("by the recovery key")).expect("follows");
        assert_eq!(with.recovery(), Some(recovery));
        let removed = with.next(&with.remove(&device(2), &key(1)).expect("signed")).expect("follows");
        assert_eq!(removed.recovery(), None, "who was removed may know what opens it");
        assert_eq!(removed.add(&cert(2), &key(9)), Err(Error::Signature));
        let without = with.next(&with.set_recovery(None, &key(2)).expect("signed")).expect("follows");
        assert_eq!(without.add(&cert(3), &key(9)), Err(Error::Signature), "named no longer");
    }

    #[test]
    fn a_version_with_any_changed_field_or_flipped_bit_is_refused() {
        let (first, list) = begun();
        let good = list.add(&cert(2), &key(1)).expect("signed");
        let bytes = postcard::to_stdvec(&good).expect("serialises");
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            if let Ok((version, [])) = postcard::take_from_bytes::<Version>(&bad) {
                assert!(version == good || list.next(&version).is_err(), "bit {bit}");
            }
        }
        assert_eq!(
            DeviceList::verify(&ada(), std::slice::from_ref(&good)),
            Err(Error::Devices),
            "without its beginning"
        );
        assert_eq!(DeviceList::verify(&ada(), &[first.clone(), good.clone(), good]), Err(Error::Order));
        let ben = AccountName::parse("ben").expect("valid");
        assert_eq!(DeviceList::verify(&ben, &[first]), Err(Error::Order), "another account's");
    }

    #[test]
    fn a_list_is_bounded() {
        let (_, mut list) = begun();
        for byte in 2..=DEVICES_MAX as u8 {
            list = list.next(&list.add(&cert(byte), &key(1)).expect("signed")).expect("follows");
        }
        assert_eq!(list.add(&cert(99), &key(1)), Err(Error::Devices));
        assert_eq!(list.extend(vec![cert(1), cert(1)], None, &key(1)), Err(Error::Devices), "one twice");
    }

    #[test]
    fn the_last_versions_of_a_list_take_devices_away_and_do_nothing_else() {
        let (_, mut list) = begun();
        for byte in 2..DEVICES_MAX as u8 {
            list = list.next(&list.add(&cert(byte), &key(1)).expect("signed")).expect("follows");
        }
        for _ in DEVICES_MAX as u32 - 1..VERSIONS_MAX - REMOVALS {
            assert!(list.is_free());
            // By whom the last of them was stolen.
            list = list.next(&list.set_recovery(None, &key(15)).expect("signed")).expect("follows");
        }
        assert_eq!((list.head().number, list.is_free()), (VERSIONS_MAX - REMOVALS - 1, false));
        assert_eq!(list.set_recovery(None, &key(15)), Err(Error::Full));
        assert_eq!(list.add(&cert(99), &key(15)), Err(Error::Full));
        let other = [&list.certs()[..5], &[cert(99)]].concat();
        assert_eq!(list.extend(other, None, &key(15)), Err(Error::Full), "fewer, and another one");
        for byte in (2..DEVICES_MAX as u8).rev() {
            list = list.next(&list.remove(&device(byte), &key(1)).expect("signed")).expect("follows");
        }
        assert_eq!(list.devices().map(|peer| peer.device()).collect::<Vec<_>>(), [device(1)]);
        assert_eq!(list.remove(&device(1), &key(1)), Err(Error::Devices), "the last one cannot go");
        assert!(list.head().number < VERSIONS_MAX);
    }

    #[test]
    fn a_frame_takes_as_many_versions_as_its_signatures_allow() {
        let first = DeviceList::genesis(&ada(), &cert(1), &key(1));
        let version = |from: usize, certs: usize| Version {
            certs: (from..from + certs).map(|byte| Cert([byte as u8; 128])).collect(),
            ..first.clone()
        };
        assert_eq!(frameful(&[]), []);
        // All sixteen, linked one by one, and then nothing but passwords.
        let linked = (0..200).map(|number| version(0, DEVICES_MAX.min(number + 1))).collect::<Vec<_>>();
        assert_eq!(
            (frameful(&linked).len(), signatures(&linked[..64])),
            (VERSIONS_IN_FRAME, 64 + DEVICES_MAX)
        );
        // Each with other devices than the one before.
        let others = (0..200).map(|number| version(number % 2 * 100, DEVICES_MAX)).collect::<Vec<_>>();
        assert_eq!(frameful(&others).len(), SIGNATURES_IN_FRAME / (DEVICES_MAX + 1));
        let mixed = [&others[..7], &vec![version(0, 1); 8], &[version(50, 9)], &[version(50, 9)]].concat();
        assert_eq!(frameful(&mixed).len(), 15, "what would fit behind one that does not stays behind it");
    }

    #[test]
    fn a_certificate_that_is_new_is_verified_beside_those_that_are_known() {
        let (_, list) = begun();
        let mut forged = cert(2);
        forged.0[127] ^= 1;
        let version = Version {
            certs: vec![cert(1), forged],
            previous: list.head().hash,
            number: 1,
            ..DeviceList::genesis(&ada(), &cert(1), &key(1))
        };
        assert_eq!(list.next(&version.sign(&key(1))), Err(Error::Devices));
    }

    #[test]
    fn bytes_of_what_is_signed() {
        let first = DeviceList::genesis(&ada(), &cert(1), &key(1));
        let mut want = b"subrosa device-list/1\0\x03ada\0\0\0\0".to_vec();
        want.extend([0; 32]);
        want.push(1);
        want.extend(cert(1).0);
        want.push(0);
        want.extend(key(1).verifying_key().to_bytes());
        assert_eq!(first.text(), want);
        assert_eq!(first.hash().as_slice(), Sha256::digest(&want).as_slice());
    }

    #[test]
    fn the_most_versions_of_the_longest_kind_fit_a_frame() {
        let longest = Version {
            name: AccountName::parse(&"x".repeat(32)).expect("valid"),
            number: u32::MAX,
            previous: [255; 32],
            certs: vec![cert(1); DEVICES_MAX],
            recovery: Some([255; 32]),
            signer: [255; 32],
            signature: vec![255; 64],
        };
        let bytes = postcard::to_stdvec(&vec![longest; VERSIONS_IN_FRAME + 1]).expect("serialises");
        assert!(bytes.len() + 64 <= super::super::codec::FRAME_MAX);
    }
}
