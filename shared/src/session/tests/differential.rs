//! Our chain beside snow's own transport, with a rekey after each message.

use crate::session::chain::CipherState;
use crate::session::handshake::PROTOCOL;
use crate::session::provider::Provider;
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use snow::Builder;
use x25519_dalek::{PublicKey, StaticSecret};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_same_bytes_as_snows_transport(
        seed in any::<u64>(),
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..40),
    ) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let responder_key = StaticSecret::random_from_rng(&mut rng);
        let initiator_key = StaticSecret::random_from_rng(&mut rng);
        let responder_public = PublicKey::from(&responder_key);
        let protocol = || PROTOCOL.parse().expect("known");
        let mut initiator = Builder::with_resolver(protocol(), Box::new(Provider::seeded(&mut rng)))
            .psk(0, &[9; 32])
            .and_then(|builder| builder.local_private_key(initiator_key.as_bytes()))
            .and_then(|builder| builder.remote_public_key(responder_public.as_bytes()))
            .and_then(Builder::build_initiator)
            .expect("complete");
        let mut responder = Builder::with_resolver(protocol(), Box::new(Provider::unseeded()))
            .psk(0, &[9; 32])
            .and_then(|builder| builder.local_private_key(responder_key.as_bytes()))
            .and_then(Builder::build_responder)
            .expect("complete");
        let mut bytes = vec![0; 1024];
        let length = initiator.write_message(&[], &mut bytes).expect("writes");
        responder.read_message(&bytes[..length], &mut [0; 1024]).expect("reads");
        let mut ours = CipherState::new(&initiator.dangerously_get_raw_split().0);
        let mut theirs = initiator.into_transport_mode().expect("finished");
        let mut reader = responder.into_transport_mode().expect("finished");
        for message in &messages {
            let length = theirs.write_message(message, &mut bytes).expect("writes");
            let sealed = ours.encrypt(&[], message);
            prop_assert_eq!(&sealed, &bytes[..length]);
            let length = reader.read_message(&sealed, &mut bytes).expect("snow opens ours");
            prop_assert_eq!(message.as_slice(), &bytes[..length]);
            theirs.rekey_outgoing();
            reader.rekey_incoming();
            ours.step();
        }
        prop_assert_eq!(ours.n(), messages.len() as u64);
    }
}
