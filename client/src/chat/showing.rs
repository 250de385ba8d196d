//! A new machine that shows a code, to be typed on a device that is enrolled.

use super::link::{Step, Told, hello};
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::auth::Cert;
use subrosa_shared::protocol::frame::{Ask, Refusal, ToDevice, ToRelay};
use subrosa_shared::session::Identity;
use subrosa_shared::session::pair::{Answered, Code, Host, Last, Shows, Wrong};
use zeroize::Zeroizing;

/// The new machine, as long as it has no account yet.
pub struct Showing {
    code: Code,
    hello: Vec<u8>,
    own: Cert,
    stage: Stage,
    /// Bytes that passed, both ways.
    pub bytes: usize,
}

enum Stage {
    Opening(Host),
    Open(Host),
    Answered(Answered),
    Greeted { last: Last, name: AccountName },
    Told(Told),
    Over,
}

impl Showing {
    /// With a fresh code; gives the first frame, in place of a login.
    pub fn new(
        relay: &[u8; 32],
        identity: &Identity,
        called: &str,
        rng: &mut dyn rand_core::CryptoRngCore,
    ) -> (Self, ToRelay) {
        let code = Code::draw(rng);
        let host = Host::new(&code, Shows::New, relay, rng);
        let (own, hello) = hello(identity, called);
        let slot = code.slot();
        let showing = Self { code, hello, own, stage: Stage::Opening(host), bytes: 0 };
        (showing, ToRelay::OpenSlot { ask: Ask(1), slot })
    }

    /// The code, from when it is good until somebody typed it.
    pub fn code(&self) -> Option<Zeroizing<String>> {
        matches!(self.stage, Stage::Open(_)).then(|| self.code.words())
    }

    /// Whether nobody has typed it yet: from then on answers come at once.
    pub fn waits(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// Whose device this becomes, as soon as that is known.
    pub fn account(&self) -> Option<&AccountName> {
        match &self.stage {
            Stage::Greeted { name, .. } => Some(name),
            Stage::Told(told) => Some(told.name()),
            _ => None,
        }
    }

    /// One frame from the relay.
    pub fn frame(&mut self, frame: ToDevice, rng: &mut dyn rand_core::CryptoRngCore) -> Step {
        let slot = self.code.slot();
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        let bytes = match frame {
            ToDevice::Passed { slot: at, bytes } if at == slot => bytes,
            frame => return self.other(stage, &frame),
        };
        self.bytes += bytes.len();
        match self.passed(stage, &bytes, rng) {
            Ok(Step::Send(frames)) => {
                let sent = frames.iter().map(|frame| match frame {
                    ToRelay::Pass { bytes, .. } => bytes.len(),
                    _ => 0,
                });
                self.bytes += sent.sum::<usize>();
                Step::Send(frames)
            }
            Ok(step) => step,
            Err(Wrong) => Step::Failed(WRONG.into()),
        }
    }

    /// What the other device says through the relay.
    fn passed(
        &mut self,
        stage: Stage,
        bytes: &[u8],
        rng: &mut dyn rand_core::CryptoRngCore,
    ) -> Result<Step, Wrong> {
        let slot = self.code.slot();
        let (stage, answer) = match stage {
            // The one try of this code.
            Stage::Open(host) => {
                let (answer, answered) = host.answer(bytes, rng)?;
                (Stage::Answered(answered), Some(answer))
            }
            Stage::Answered(answered) => {
                let (said, keys) = answered.finish(bytes)?;
                let name = std::str::from_utf8(&said).ok().and_then(|name| AccountName::parse(name).ok());
                let name = name.ok_or(Wrong)?;
                let (answer, last) = keys.host_says(&self.hello);
                (Stage::Greeted { last, name }, Some(answer))
            }
            Stage::Greeted { last, name } => {
                let told = Told::read(&last.guest_said(bytes)?, slot).filter(|told| *told.name() == name);
                (Stage::Told(told.ok_or(Wrong)?), None)
            }
            Stage::Told(mut told) => match told.version(bytes, &self.own)? {
                Some(linked) => return Ok(Step::Keep(linked)),
                None => (Stage::Told(told), None),
            },
            // Nobody could have joined, or it is over.
            Stage::Opening(_) | Stage::Over => return Err(Wrong),
        };
        self.stage = stage;
        Ok(Step::Send(answer.map(|bytes| ToRelay::Pass { slot, bytes }).into_iter().collect()))
    }

    /// What the relay says itself.
    fn other(&mut self, stage: Stage, frame: &ToDevice) -> Step {
        match (stage, frame) {
            (Stage::Opening(host), ToDevice::Done(Ask(1))) => {
                self.stage = Stage::Open(host);
                Step::Send(Vec::new())
            }
            (_, ToDevice::Refused { why: Refusal::RateLimited { retry_ms }, .. }) => Step::Failed(format!(
                "too many codes were shown from here: try again in {}",
                super::wait_in_words(*retry_ms)
            )),
            (Stage::Opening(_), ToDevice::Refused { .. }) => {
                Step::Failed("the relay opened no meeting place: try again".into())
            }
            (Stage::Answered(_), ToDevice::Refused { ask: None, .. } | ToDevice::SlotClosed(_)) => {
                Step::Failed(WRONG.into())
            }
            (Stage::Open(_), ToDevice::Refused { ask: None, .. } | ToDevice::SlotClosed(_)) => {
                Step::Failed(VOID.into())
            }
            (_, ToDevice::Refused { ask: None, .. } | ToDevice::SlotClosed(_)) => Step::Failed(
                "the other device left before it had said everything: nothing was linked. Show another code (subrosa link --show)"
                    .into(),
            ),
            (stage, _) => {
                self.stage = stage;
                Step::Send(Vec::new())
            }
        }
    }
}

/// Nobody typed it.
pub const VOID: &str = "nobody typed the code in time, or the device where it was typed left: the code is void. Show another one (subrosa link --show)";

const WRONG: &str = "a wrong code was typed on the other device, or what passed was changed on the way: nothing was linked. \
                     The code is used up; show another one (subrosa link --show)";
