//! The slow parts about a room's password, to be done where nobody waits for a key press.

use rand_core::CryptoRngCore;
use subrosa_shared::id::{DoorId, RoomId, RoomTag};
use subrosa_shared::session::door::{Challenge, Lock, Proof};
use subrosa_shared::session::opaque;
use subrosa_shared::session::vault::Cost;
use zeroize::Zeroizing;

/// One of them.
pub enum Stretch {
    /// Make what tests a new password.
    Lock {
        /// Here.
        room: RoomId,
        /// What the password is bound to.
        tag: RoomTag,
        /// As it was typed.
        password: Zeroizing<String>,
    },
    /// Prove a password that a member asked for.
    Prove {
        /// There.
        door: DoorId,
        /// Which knock of this account it was.
        attempt: u32,
        /// What was asked.
        challenge: Box<Challenge>,
        /// An own prekey bundle, for who lets this account in.
        bundle: Vec<u8>,
    },
}

/// What came of it.
#[derive(Debug)]
pub enum Stretched {
    /// See [`Stretch::Lock`].
    Lock(RoomId, Result<Box<Lock>, opaque::Error>),
    /// See [`Stretch::Prove`]: door, attempt, guesses that are left, the proof.
    Proof(DoorId, u32, u8, Box<Proof>),
}

impl Stretch {
    /// Does it. `cost` is [`opaque::COST`] for people.
    pub fn run(self, cost: Cost, rng: &mut dyn CryptoRngCore) -> Stretched {
        match self {
            Self::Lock { room, tag, password } => {
                Stretched::Lock(room, Lock::make(&password, tag, cost, rng).map(Box::new))
            }
            Self::Prove { door, attempt, challenge, bundle } => {
                let left = challenge.left();
                Stretched::Proof(door, attempt, left, Box::new(challenge.prove(&bundle, cost, rng)))
            }
        }
    }
}

impl std::fmt::Debug for Stretch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stretch(…)")
    }
}
