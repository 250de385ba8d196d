//! Certificates, logins and prekey bundles: whatever is not exactly what was signed does not verify.
#![no_main]

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use std::sync::{Arc, LazyLock};
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::auth::Login;
use subrosa_shared::protocol::prekey::Bundle;
use subrosa_shared::session::{Identity, Sessions};
use subrosa_shared::store::memory::{Memory, MemorySlots};
use subrosa_shared::store::{Batch, Store};
use subrosa_shared::time::{Millis, Now};
use vary::{choose, vary};

const RELAY: [u8; 32] = [2; 32];
const EXPORTER: [u8; 32] = [3; 32];

struct Valid {
    login: Login,
    bundle: Bundle,
}

static VALID: LazyLock<Valid> = LazyLock::new(|| {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let identity = Identity::generate(&mut rng);
    let name = AccountName::parse("ada").expect("valid");
    let login = identity.login(name, true, &RELAY, &EXPORTER);
    let store = Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) };
    let now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };
    let (mut sessions, mut batch) = Sessions::load(identity, &store, now).expect("an empty store");
    let bundle = sessions.prekeys(63, true, &mut rng, now, &mut batch).pop().expect("one is wanted");
    drop::<Batch>(batch);
    Valid { login, bundle }
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = choose(data, 4) else { return };
    let Valid { login, bundle } = &*VALID;
    // Either something close to what was signed, or anything.
    let near = |valid: Vec<u8>| if choice & 1 == 0 { vary(&valid, data) } else { data.to_vec() };
    if choice & 2 == 0 {
        let bytes = near(postcard::to_stdvec(login).expect("serialises"));
        if let Ok((read, _)) = postcard::take_from_bytes::<Login>(&bytes) {
            if read.verify(&RELAY, &EXPORTER).is_ok() {
                assert_eq!((&read.name, &read.cert), (&login.name, &login.cert));
            }
        }
    } else if let Ok(read) = Bundle::decode(&near(bundle.encode())) {
        if read.verify(&bundle.device(), Millis(0)).is_ok() {
            assert_eq!(read.hash(), bundle.hash());
        }
    }
});
