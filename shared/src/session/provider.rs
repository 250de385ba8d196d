//! The cryptography that snow uses: its own, but with randomness that is passed in.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rand_core::CryptoRngCore;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::Zeroizing;

/// A resolver for one handshake.
pub(super) struct Provider {
    seed: Option<Zeroizing<[u8; 32]>>,
}

impl Provider {
    /// For the side that draws an ephemeral key.
    pub(super) fn seeded(rng: &mut dyn CryptoRngCore) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        Self { seed: Some(seed) }
    }

    /// For the side that draws nothing: asking for randomness is an error.
    pub(super) fn unseeded() -> Self {
        Self { seed: None }
    }
}

impl CryptoResolver for Provider {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        let rng = self.seed.as_ref().map(|seed| ChaCha20Rng::from_seed(**seed));
        Some(Box::new(Source(rng)))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

struct Source(Option<ChaCha20Rng>);

impl Random for Source {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        self.0.as_mut().ok_or(snow::Error::Rng)?.fill_bytes(dest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_no_seed_draws_nothing() {
        let draw = |provider: &Provider| {
            let mut bytes = [0; 32];
            provider.resolve_rng().expect("always there").try_fill_bytes(&mut bytes).map(|()| bytes)
        };
        let seeded = |seed| Provider::seeded(&mut ChaCha20Rng::seed_from_u64(seed));
        assert_eq!(draw(&seeded(1)).expect("seeded"), draw(&seeded(1)).expect("seeded"));
        assert_ne!(draw(&seeded(1)).expect("seeded"), draw(&seeded(2)).expect("seeded"));
        assert!(draw(&Provider::unseeded()).is_err());
    }
}
