//! What a frame may do: its order and bounds checked, its cost named, nothing touched.

use subrosa_shared::id::DeviceId;
use subrosa_shared::protocol::devices::{self, DEVICES_MAX, Version};
use subrosa_shared::protocol::door;
use subrosa_shared::protocol::envelope::{Outgoing, RECIPIENTS_MAX};
use subrosa_shared::protocol::frame::{Ask, BUNDLES_MAX, PASS_MAX, ROSTER_MAX, Refusal, ToDevice, ToRelay};
use subrosa_shared::protocol::password::{KE1, KE3, REQUEST, STATE_MAX};
use subrosa_shared::protocol::prekey::BUNDLE_MAX;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nobody has logged in.
    Fresh,
    /// Nobody has, and it opened or joined a rendezvous.
    Guest,
    /// A password is being proved.
    Proving,
    /// The password was right: the backup may be read and a device enrolled.
    Password,
    /// A device has.
    LoggedIn,
}

/// What to do with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Carry it out, at this cost. Its lists and bytes are within bounds.
    Do(ToRelay, Cost),
    /// Answer this.
    Answer(ToDevice),
    /// Out of order: say why and close.
    Close(Refusal),
}

/// What a frame takes from its device's buckets, besides one of all frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Nothing more.
    Frame,
    /// An envelope of so many bytes, each recipient's head counted.
    Send(u64),
    /// A prekey.
    Claim,
    /// A name.
    Lookup,
    /// Prekeys handed over, so many.
    Prekeys(u64),
    /// New versions of a device list, with so many signatures.
    List(u64),
    /// A rendezvous.
    Slot,
    /// A knock at a door.
    Knock,
    /// Somebody's sessions: they are looked for among all connections.
    Sessions,
    /// A password being set.
    Password,
    /// A backup.
    Backup,
}

/// What a refused frame is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `Refused` with its question's number.
    To(Ask),
    /// `Rejected` with its envelope's id.
    Envelope(subrosa_shared::id::EnvelopeId),
    /// Nothing: it asked nothing.
    None,
}

/// Decides about a frame.
pub fn route(phase: Phase, frame: ToRelay) -> Step {
    let in_order = match &frame {
        ToRelay::Authenticate(_)
        | ToRelay::Enter(..)
        | ToRelay::PasswordStart(_)
        | ToRelay::PasswordResume(_) => phase == Phase::Fresh,
        ToRelay::OpenSlot { .. } | ToRelay::JoinSlot { .. } => {
            matches!(phase, Phase::Fresh | Phase::LoggedIn)
        }
        ToRelay::PasswordFinish(_) => phase == Phase::Proving,
        ToRelay::Devices { .. } | ToRelay::PublishDevices { .. } => {
            matches!(phase, Phase::LoggedIn | Phase::Password)
        }
        ToRelay::Pass { .. } | ToRelay::CloseSlot(_) => matches!(phase, Phase::LoggedIn | Phase::Guest),
        _ => phase == Phase::LoggedIn,
    };
    if !in_order {
        return Step::Close(Refusal::Malformed);
    }
    let (fits, cost) = match &frame {
        ToRelay::Publish { bundles, .. } => {
            let fits = bundles.len() <= BUNDLES_MAX && bundles.iter().all(|b| b.len() <= BUNDLE_MAX);
            (fits, Cost::Prekeys(bundles.len().max(1) as u64))
        }
        ToRelay::Send(envelope) => (envelope.within_bounds(), Cost::Send(weight(envelope))),
        ToRelay::Roster(devices) if devices.len() > ROSTER_MAX => return Step::Close(Refusal::TooLarge),
        ToRelay::OpenTrack { viewers, .. } => (viewers.len() <= RECIPIENTS_MAX, Cost::Frame),
        ToRelay::Claim { .. } => (true, Cost::Claim),
        ToRelay::Lookup { .. } | ToRelay::Devices { .. } => (true, Cost::Lookup),
        ToRelay::PublishDevices { versions, .. } => {
            let bounded = |version: &Version| version.certs.len() <= DEVICES_MAX;
            let fits = !versions.is_empty()
                && versions.iter().all(bounded)
                && devices::frameful(versions).len() == versions.len();
            let signatures = if fits { devices::signatures(versions) as u64 } else { 0 };
            (fits, Cost::List(signatures))
        }
        ToRelay::OpenSlot { .. } | ToRelay::JoinSlot { .. } => (true, Cost::Slot),
        ToRelay::Pass { bytes, .. } if bytes.len() > PASS_MAX => return Step::Close(Refusal::TooLarge),
        ToRelay::PasswordStart(start) => (start.ke1.len() == KE1, Cost::Frame),
        ToRelay::PasswordFinish(ke3) => (ke3.len() == KE3, Cost::Frame),
        ToRelay::RegisterPassword { request, .. } => (request.len() == REQUEST, Cost::Password),
        ToRelay::SetPassword { set, .. } => (set.within_bounds(), Cost::Backup),
        ToRelay::StoreState { state, .. } => (state.len() <= STATE_MAX, Cost::Backup),
        ToRelay::Knock { bytes, .. } => (bytes.len() <= door::MESSAGE_MAX, Cost::Knock),
        ToRelay::Prove { bytes, .. } => (bytes.len() <= door::MESSAGE_MAX, Cost::Frame),
        ToRelay::AnswerKnock { answer, .. } => (answer.bytes.len() <= door::MESSAGE_MAX, Cost::Frame),
        ToRelay::Sessions { .. } | ToRelay::EndSession { .. } => (true, Cost::Sessions),
        ToRelay::Authenticate(_)
        | ToRelay::Enter(..)
        | ToRelay::Ack(_)
        | ToRelay::Roster(_)
        | ToRelay::WatchDoor { .. }
        | ToRelay::CloseDoor { .. }
        | ToRelay::CloseTrack(_)
        | ToRelay::Watch { .. }
        | ToRelay::Unwatch(_)
        | ToRelay::Pass { .. }
        | ToRelay::CloseSlot(_)
        | ToRelay::WantKeyframe(_)
        | ToRelay::DropPrekeys { .. }
        | ToRelay::PasswordResume(_) => (true, Cost::Frame),
    };
    if fits {
        return Step::Do(frame, cost);
    }
    match answer(&frame).refuse(Refusal::TooLarge) {
        Some(answer) => Step::Answer(answer),
        None => Step::Close(Refusal::TooLarge),
    }
}

/// How a refusal of this frame is addressed.
pub fn answer(frame: &ToRelay) -> Answer {
    match frame {
        ToRelay::Publish { ask, .. }
        | ToRelay::Lookup { ask, .. }
        | ToRelay::Claim { ask, .. }
        | ToRelay::OpenTrack { ask, .. }
        | ToRelay::PublishDevices { ask, .. }
        | ToRelay::Devices { ask, .. }
        | ToRelay::OpenSlot { ask, .. }
        | ToRelay::JoinSlot { ask, .. }
        | ToRelay::Watch { ask, .. }
        | ToRelay::DropPrekeys { ask }
        | ToRelay::RegisterPassword { ask, .. }
        | ToRelay::SetPassword { ask, .. }
        | ToRelay::StoreState { ask, .. }
        | ToRelay::Sessions { ask }
        | ToRelay::WatchDoor { ask, .. }
        | ToRelay::CloseDoor { ask, .. }
        | ToRelay::Knock { ask, .. }
        | ToRelay::Prove { ask, .. }
        | ToRelay::AnswerKnock { ask, .. }
        | ToRelay::EndSession { ask, .. } => Answer::To(*ask),
        ToRelay::Send(envelope) => Answer::Envelope(envelope.id),
        ToRelay::Authenticate(_)
        | ToRelay::Enter(..)
        | ToRelay::Ack(_)
        | ToRelay::Roster(_)
        | ToRelay::CloseTrack(_)
        | ToRelay::Unwatch(_)
        | ToRelay::Pass { .. }
        | ToRelay::CloseSlot(_)
        | ToRelay::WantKeyframe(_)
        | ToRelay::PasswordStart(_)
        | ToRelay::PasswordFinish(_)
        | ToRelay::PasswordResume(_) => Answer::None,
    }
}

impl Answer {
    /// The refusing frame.
    pub fn refuse(self, why: Refusal) -> Option<ToDevice> {
        self.refuse_for(why, Vec::new())
    }

    /// The refusing frame, with the recipients that are in the way.
    pub fn refuse_for(self, why: Refusal, who: Vec<DeviceId>) -> Option<ToDevice> {
        match self {
            Self::To(ask) => Some(ToDevice::Refused { ask: Some(ask), why }),
            Self::Envelope(id) => Some(ToDevice::Rejected { id, why, who }),
            Self::None => None,
        }
    }
}

fn weight(envelope: &Outgoing) -> u64 {
    let heads: usize = envelope.to.iter().map(|head| head.bytes.len()).sum();
    (heads + envelope.body.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use subrosa_shared::id::{DeviceId, EnvelopeId, Seq};
    use subrosa_shared::protocol::envelope::{BODY_MAX, HEAD_MAX, Head, Keep};
    use subrosa_shared::protocol::frame::Slot;

    fn send(to: Vec<Head>, body: usize) -> ToRelay {
        ToRelay::Send(Outgoing {
            id: EnvelopeId([7; 16]),
            keep: Keep::Stored,
            to,
            body: vec![0; body],
            moves: None,
        })
    }

    fn head(device: u8, size: usize) -> Head {
        Head { to: DeviceId([device; 16]), bytes: vec![0; size] }
    }

    #[test]
    fn nothing_but_a_login_comes_first_and_a_login_comes_once() {
        let ack = ToRelay::Ack(Seq(1));
        assert_eq!(route(Phase::Fresh, ack.clone()), Step::Close(Refusal::Malformed));
        assert_eq!(route(Phase::Guest, ack.clone()), Step::Close(Refusal::Malformed));
        let pass = ToRelay::Pass { slot: Slot(1), bytes: vec![0; PASS_MAX] };
        assert_eq!(route(Phase::Fresh, pass.clone()), Step::Close(Refusal::Malformed));
        assert_eq!(route(Phase::Guest, pass.clone()), Step::Do(pass, Cost::Frame));
        for meet in [
            ToRelay::OpenSlot { ask: Ask(1), slot: Slot(1) },
            ToRelay::JoinSlot { ask: Ask(1), slot: Slot(1) },
        ] {
            for phase in [Phase::Fresh, Phase::LoggedIn] {
                assert_eq!(route(phase, meet.clone()), Step::Do(meet.clone(), Cost::Slot));
            }
            for phase in [Phase::Guest, Phase::Proving, Phase::Password] {
                assert_eq!(
                    route(phase, meet.clone()),
                    Step::Close(Refusal::Malformed),
                    "one, and nothing else"
                );
            }
        }
        let long = ToRelay::Pass { slot: Slot(1), bytes: vec![0; PASS_MAX + 1] };
        assert_eq!(route(Phase::Guest, long), Step::Close(Refusal::TooLarge));
        assert_eq!(route(Phase::LoggedIn, ack.clone()), Step::Do(ack, Cost::Frame));
    }

    #[test]
    fn a_password_opens_no_mailbox() {
        let ke3 = ToRelay::PasswordFinish(vec![0; KE3]);
        assert_eq!(route(Phase::Fresh, ke3.clone()), Step::Close(Refusal::Malformed));
        assert_eq!(route(Phase::Proving, ke3.clone()), Step::Do(ke3, Cost::Frame));
        for phase in [Phase::Proving, Phase::Password] {
            for frame in [ToRelay::Ack(Seq(1)), send(vec![head(1, 1)], 1), ToRelay::Roster(vec![])] {
                assert_eq!(route(phase, frame), Step::Close(Refusal::Malformed));
            }
        }
    }

    #[test]
    fn an_envelope_costs_all_its_bytes_and_out_of_bounds_is_rejected_by_its_id() {
        let good = send(vec![head(1, 10), head(2, 20)], 5);
        assert_eq!(route(Phase::LoggedIn, good.clone()), Step::Do(good, Cost::Send(35)));
        let rejected = ToDevice::Rejected { id: EnvelopeId([7; 16]), why: Refusal::TooLarge, who: vec![] };
        for bad in [
            send(vec![], 5),
            send(vec![head(1, 1), head(1, 1)], 5),
            send(vec![head(1, HEAD_MAX + 1)], 0),
            send(vec![head(1, 1)], BODY_MAX + 1),
        ] {
            assert_eq!(route(Phase::LoggedIn, bad), Step::Answer(rejected.clone()));
        }
    }

    #[test]
    fn what_makes_the_relay_look_around_costs_more_than_a_frame() {
        let ask = Ask(3);
        for (frame, cost) in [
            (ToRelay::Publish { ask, bundles: vec![] }, Cost::Prekeys(1)),
            (ToRelay::Publish { ask, bundles: vec![vec![]; 2] }, Cost::Prekeys(2)),
            (ToRelay::Sessions { ask }, Cost::Sessions),
            (ToRelay::EndSession { ask, id: 7 }, Cost::Sessions),
        ] {
            assert_eq!(route(Phase::LoggedIn, frame.clone()), Step::Do(frame, cost));
        }
    }

    #[test]
    fn lists_are_bounded() {
        let publish = ToRelay::Publish { ask: Ask(3), bundles: vec![vec![]; BUNDLES_MAX + 1] };
        let refused = Step::Answer(ToDevice::Refused { ask: Some(Ask(3)), why: Refusal::TooLarge });
        assert_eq!(route(Phase::LoggedIn, publish), refused);
        let publish = ToRelay::Publish { ask: Ask(3), bundles: vec![vec![0; BUNDLE_MAX + 1]] };
        assert_eq!(route(Phase::LoggedIn, publish), refused);
        let viewers = vec![DeviceId([0; 16]); RECIPIENTS_MAX + 1];
        assert_eq!(route(Phase::LoggedIn, ToRelay::OpenTrack { ask: Ask(3), viewers }), refused);
        let roster = ToRelay::Roster(vec![DeviceId([0; 16]); ROSTER_MAX + 1]);
        assert_eq!(route(Phase::LoggedIn, roster), Step::Close(Refusal::TooLarge));
    }
}
