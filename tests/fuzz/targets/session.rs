//! Session messages at a live device: nothing that was changed opens, and a refusal changes nothing. What is inside
//! has one spelling.
#![no_main]

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::cell::RefCell;
use std::sync::Arc;
use subrosa_shared::session::{Identity, Sessions, Why, blob, message};
use subrosa_shared::store::memory::{Memory, MemorySlots};
use subrosa_shared::store::{Batch, Store};
use subrosa_shared::time::{Millis, Now};
use vary::{choose, vary};

/// What is handed to this choice was opened already.
const INSIDE: u8 = 5;
const NOW: Now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };

struct Device {
    sessions: Sessions,
    store: Store,
    rng: ChaCha20Rng,
}

impl Device {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let store = Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) };
        let (sessions, _) = Sessions::load(Identity::generate(&mut rng), &store, NOW).expect("empty");
        Self { sessions, store, rng }
    }

    fn commit(&self, batch: &Batch) {
        self.store.commit(batch).expect("memory");
    }
}

/// Ben, who has read one message of ada's, and messages of hers that he has not: a first one of
/// another session, and later ones of the session that he has.
struct Scene {
    ben: Device,
    waiting: Vec<Vec<u8>>,
}

impl Scene {
    fn new() -> Self {
        let (mut ada, mut ben) = (Device::new(1), Device::new(2));
        let mut batch = Batch::default();
        let bundles = ben.sessions.prekeys(60, true, &mut ben.rng, NOW, &mut batch);
        ben.commit(&batch);
        let to = ben.sessions.identity().peer();
        let seal = |ada: &mut Device, why| {
            let mut batch = Batch::default();
            let sealed = ada.sessions.seal(&to, why, b"hello", &mut ada.rng, NOW, &mut batch);
            ada.commit(&batch);
            sealed.expect("there is a prekey").bytes
        };
        let last = bundles.last().expect("some are wanted").encode();
        ada.sessions.offer(&to, &last, NOW).expect("verifies");
        let first = seal(&mut ada, Why::Speech);
        let mut batch = Batch::default();
        ben.sessions.open(&first, NOW, &mut batch).expect("opens");
        ben.commit(&batch);
        let mut waiting: Vec<_> = (0..3).map(|_| seal(&mut ada, Why::Speech)).collect();
        let mut eve = Device::new(3);
        let other = bundles.first().expect("some are wanted").encode();
        eve.sessions.offer(&to, &other, NOW).expect("verifies");
        waiting.push(seal(&mut eve, Why::Speech));
        waiting.push(first);
        Self { ben, waiting }
    }
}

thread_local! {
    static SCENE: RefCell<Scene> = RefCell::new(Scene::new());
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = choose(data, 8) else { return };
    if choice == INSIDE {
        return message::respelt(data).iter().for_each(|again| assert_eq!(again.as_slice(), data));
    }
    SCENE.with_borrow_mut(|scene| {
        let valid = scene.waiting.get(usize::from(choice));
        let bytes = valid.map_or(data.to_vec(), |valid| vary(valid, data));
        // libFuzzer sees what is compared, and so learns what was sealed.
        if scene.waiting.contains(&bytes) {
            return;
        }
        let mut batch = Batch::default();
        let opened = scene.ben.sessions.open(&bytes, NOW, &mut batch);
        assert!(opened.is_err() && batch.is_empty(), "only what ada sealed opens");
        assert!(blob::open(&blob::Key::from_bytes([5; 32]), &bytes).is_err());
    });
});
