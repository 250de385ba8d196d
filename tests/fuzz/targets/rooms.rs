//! A room's log, what members tell each other, knocks at its doors, links into it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use subrosa_shared::content::rooms::{InRoom, PastLine};
use subrosa_shared::id::{AccountName, DeviceId, RoomTag};
use subrosa_shared::protocol::link::RoomLink;
use subrosa_shared::session::Identity;
use subrosa_shared::session::door::{At, Caller, Heard, Knocking, Lock, Secret};
use subrosa_shared::session::roomlog::{Entry, Log, Policy};
use subrosa_shared::time::Millis;

fuzz_target!(|bytes: &[u8]| {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let name = AccountName::parse("ada").expect("valid");
    let ada = Identity::generate(&mut rng);
    let root = ada.peer().identity;
    // An entry has one spelling, and nothing made up gets into a log.
    if let Ok(entry) = Entry::decode(bytes) {
        assert_eq!(entry.encode(), bytes);
        let (_, mut log) =
            Log::found(&name, &root, "tea", Policy::default(), [1; 16], &ada, Millis(1)).expect("in bounds");
        let before = log.clone();
        assert!(log.apply(&entry, &|_, _, _| true).is_err());
        assert_eq!(log, before);
        assert!(!log.vouched(std::slice::from_ref(&entry), &|_, _, _| true, &|_, _, _| true));
        let _begun = Log::begin(&entry, &|_, _, _| true);
        let _restored = Log::restore(&[entry]);
    }
    let said = InRoom { room: RoomTag([1; 16]), head: [0; 32], height: 0, clock: 0, inside: bytes.to_vec() };
    let _opened = said.open();
    let _opened = PastLine { by: name.clone(), at: Millis(0), clock: 0, inside: bytes.to_vec() }.open();
    // Nothing that was made up opens at a door.
    let (secret, at) = (Secret::from_bytes([7; 16]), At { relay: [1; 32], room: RoomTag([1; 16]) });
    assert!(Heard::open(&secret, &at, (&DeviceId([1; 16]), &name), bytes, &mut rng).is_err());
    let cert = ada.cert();
    let caller = Caller { name: &name, root: &root, cert: &cert, since: Millis(0) };
    let (_, mut knocking) = Knocking::begin(&secret, &at, caller, None, &mut rng).expect("no password");
    assert!(knocking.answered(bytes).is_err());
    if let Ok(lock) = Lock::from_bytes(bytes) {
        assert_eq!(lock.as_bytes(), bytes);
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(link) = text.parse::<RoomLink>()
    {
        assert_eq!(link.to_string().parse(), Ok(link));
    }
});
