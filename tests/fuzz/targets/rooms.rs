//! A room's log, what members tell each other, what is said at its doors, links into it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::sync::LazyLock;
use subrosa_shared::content::rooms::{InRoom, PastLine};
use subrosa_shared::id::{AccountName, DeviceId, RoomTag};
use subrosa_shared::protocol::link::RoomLink;
use subrosa_shared::session::Identity;
use subrosa_shared::session::door::{Answer, At, Caller, Heard, Knocking, Lock, Secret, sealed};
use subrosa_shared::session::roomlog::{Entry, Log, Op, Policy};
use subrosa_shared::session::vault::Cost;
use subrosa_shared::time::Millis;

const ROOM: RoomTag = RoomTag([1; 16]);

/// Of the password that is asked for at the door.
static LOCK: LazyLock<Lock> = LazyLock::new(|| {
    Lock::make("gravel", ROOM, Cost::TINY, &mut ChaCha20Rng::seed_from_u64(6)).expect("a password")
});

/// The entry where it would follow, whoever signed it: what is kept on the own disk is not verified again.
fn follows(entry: &Entry, name: &AccountName, ada: &Identity) {
    let root = ada.peer().identity;
    let (first, mut log) =
        Log::found(name, &root, "tea", Policy::default(), [1; 16], ada, Millis(1)).expect("in bounds");
    let ben = Op::Add { account: AccountName::parse("ben").expect("valid"), root: [2; 32], door: None };
    let add = log.draft(name, ben, ada, Millis(2)).expect("the owner may");
    log.apply(&add, &|_, _, _| true).expect("it follows");
    let mut entries = vec![first, add];
    for _ in 0..2 {
        let mut next = entry.clone();
        (next.previous, next.height, next.said.room) = (log.head(), log.height() + 1, log.tag());
        entries.push(next);
        let Ok(grown) = Log::restore(&entries) else { return };
        assert_eq!(grown.height(), log.height() + 1);
        log = grown;
    }
}

/// These bytes where whoever holds a link can seal them: in a knock, an answer, a proof and a verdict.
fn holder_says(bytes: &[u8], name: &AccountName, ada: &Identity) {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let (secret, at) = (Secret::from_bytes([7; 16]), At { relay: [1; 32], room: ROOM });
    let device = ada.device();
    let says = |numbers: &[u8], step| sealed(&secret, &at, &device, numbers, step, bytes);
    let knock = [&[8; 16], says(&[8; 16], 1).as_slice()].concat();
    if let Ok(heard) = Heard::open(&secret, &at, (&device, name), &knock, &mut rng) {
        let _challenged = heard.challenge(&LOCK, 3, &mut rng);
    }
    let (root, cert) = (ada.peer().identity, ada.cert());
    let caller = Caller { name, root: &root, cert: &cert, since: Millis(0) };
    let password = Some(String::from("gravel").into());
    let (knock, mut knocking) =
        Knocking::begin(&secret, &at, caller, password, &mut rng).expect("a short password");
    let numbers = [&knock[..16], &[9; 16]].concat();
    let answer = [&[9; 16], says(&numbers, 2).as_slice()].concat();
    if let Ok(Answer::Challenge(challenge)) = knocking.answered(&answer) {
        let proof = challenge.prove(b"a bundle", Cost::TINY, &mut rng);
        let _verdict = proof.waiting.verdict(&says(&numbers, 4));
    }
    let heard = Heard::open(&secret, &at, (&device, name), &knock, &mut rng).expect("a knock");
    let (answer, challenged) = heard.challenge(&LOCK, 3, &mut rng).expect("with a password");
    let _proved = challenged.finish(&says(&[&knock[..16], &answer[..16]].concat(), 3));
}

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
        follows(&entry, &name, &ada);
        let _restored = Log::restore(&[entry]);
    }
    let said = InRoom { room: ROOM, head: [0; 32], height: 0, clock: 0, inside: bytes.to_vec() };
    let _opened = said.open();
    let _opened = PastLine { by: name.clone(), at: Millis(0), clock: 0, inside: bytes.to_vec() }.open();
    // Nothing that was made up opens at a door.
    holder_says(bytes, &name, &ada);
    let (secret, at) = (Secret::from_bytes([7; 16]), At { relay: [1; 32], room: ROOM });
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
