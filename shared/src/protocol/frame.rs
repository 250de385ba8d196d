//! The two lists of frames.

use super::auth::{Cert, Login};
use super::devices::Version;
use super::door;
use super::envelope::{Delivery, Outgoing};
use super::invite::Invite;
use super::password;
use crate::id::{AccountName, DeviceId, DoorId, EnvelopeId, Seq, TrackId};
use serde::{Deserialize, Serialize};

/// A number that the device draws and the relay repeats in its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ask(pub u32);

/// From a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToRelay {
    /// First frame of a connection; any other before it closes the connection.
    Authenticate(Login),
    /// More prekeys: encoded [`super::prekey::Bundle`]s of this device. A last-resort one replaces
    /// the last. Answered `Done` or `Refused`.
    Publish {
        /// Repeated in the answer.
        ask: Ask,
        /// At most [`BUNDLES_MAX`].
        bundles: Vec<Vec<u8>>,
    },
    /// Who is that? Answered `Account` or `Refused(UnknownAccount)`.
    Lookup {
        /// Repeated in the answer.
        ask: Ask,
        /// The account.
        name: AccountName,
    },
    /// One prekey bundle of that device, a one-time one while there are. Answered `Prekey` or
    /// `Refused(UnknownDevice | NoPrekeys | RateLimited)`.
    Claim {
        /// Repeated in the answer.
        ask: Ask,
        /// Whose.
        device: DeviceId,
    },
    /// Answered `Accepted` or `Rejected`.
    Send(Outgoing),
    /// Everything up to here is on this device's disk; the mailbox forgets it.
    Ack(Seq),
    /// The devices that may see this one's presence, and whose presence it wants; replaces the last.
    Roster(Vec<DeviceId>),
    /// Opens a track that these devices may watch. Answered `Published` or `Refused`.
    OpenTrack {
        /// Repeated in the answer.
        ask: Ask,
        /// At most [`super::envelope::RECIPIENTS_MAX`].
        viewers: Vec<DeviceId>,
    },
    /// Ends an own track.
    CloseTrack(TrackId),
    /// Subscribes to a track. Answered `Watching` or `Refused(NotAllowed)`.
    Watch {
        /// Repeated in the answer.
        ask: Ask,
        /// Which one.
        track: TrackId,
    },
    /// Ends a subscription.
    Unwatch(TrackId),
    /// Asks the publisher of a watched track for a keyframe.
    WantKeyframe(TrackId),
    /// Drops all one-time prekeys that this device has left here: their secrets are lost. Answered
    /// `Done` or `Refused`.
    DropPrekeys {
        /// Repeated in the answer.
        ask: Ask,
    },
    /// The next versions of the own account's device list, each following the one before: the relay
    /// takes all of them or none. Answered `Done`, or `Refused(Outdated)` when its own newest version
    /// is another than the one before the first of these, `Refused(BadSignature)`.
    PublishDevices {
        /// Repeated in the answer.
        ask: Ask,
        /// 1 to [`super::devices::VERSIONS_IN_FRAME`].
        versions: Vec<Version>,
    },
    /// Which devices does that account have? Answered `Devices` or `Refused(UnknownAccount)`.
    Devices {
        /// Repeated in the answer.
        ask: Ask,
        /// The account.
        name: AccountName,
        /// Versions before this number are known.
        from: u32,
    },
    /// Opens a rendezvous. By a device that logged in, for one that did not; or by one without a
    /// login, in place of it, for one that logged in. Answered `Done`, or `Refused(NotAllowed)` when
    /// it is taken, `Refused(RateLimited)`.
    OpenSlot {
        /// Repeated in the answer.
        ask: Ask,
        /// Drawn by the asker.
        slot: Slot,
    },
    /// Joins a rendezvous as its one guest: in place of a login where the other side has one, after
    /// it where the other side has none. Answered `Done` or `Refused(NotAllowed)`.
    JoinSlot {
        /// Repeated in the answer.
        ask: Ask,
        /// As the person typed it.
        slot: Slot,
    },
    /// A message to the other side of a rendezvous, at most [`PASS_MAX`] bytes.
    Pass {
        /// Which rendezvous.
        slot: Slot,
        /// Means nothing to the relay.
        bytes: Vec<u8>,
    },
    /// Ends a rendezvous.
    CloseSlot(Slot),
    /// First frame of a connection, instead of `Authenticate`: a login by password. Answered
    /// `PasswordChallenge`, alike for every name, or refused for being one too many.
    PasswordStart(password::Start),
    /// KE3, [`password::KE3`] bytes. Answered `PasswordWelcome`, or the connection is closed.
    PasswordFinish(Vec<u8>),
    /// First frame of a connection: the session of an earlier one, by its token. Answered
    /// `PasswordWelcome` with a fresh token, or the connection is closed.
    PasswordResume(password::Token),
    /// The first step of setting a password: [`password::REQUEST`] bytes. Answered `PasswordAnswer`.
    RegisterPassword {
        /// Repeated in the answer.
        ask: Ask,
        /// OPAQUE's registration request.
        request: Vec<u8>,
    },
    /// Sets or changes the password. Answered `Done` or `Refused`.
    SetPassword {
        /// Repeated in the answer.
        ask: Ask,
        /// Record and backup.
        set: password::Set,
    },
    /// Another state in the backup of that password. Answered `Done`, or `Refused(NotAllowed)` when
    /// the password is another one by now.
    StoreState {
        /// Repeated in the answer.
        ask: Ask,
        /// Which password.
        epoch: password::Epoch,
        /// See [`password::Set::state`].
        state: Vec<u8>,
    },
    /// Which connections and password sessions does this account have? Answered `Sessions`.
    Sessions {
        /// Repeated in the answer.
        ask: Ask,
    },
    /// Ends one of them. Answered `Done`.
    EndSession {
        /// Repeated in the answer.
        ask: Ask,
        /// [`password::Session::id`].
        id: u64,
    },
    /// Wants the knocks at a door, until the connection ends. Answered `Done`, or `Refused(NotAllowed)`
    /// when the key is another one by now.
    WatchDoor {
        /// Repeated in the answer.
        ask: Ask,
        /// Which one, and the right to it.
        watch: door::Watch,
    },
    /// Takes a door away. Answered `Done` or `Refused(NotAllowed)`.
    CloseDoor {
        /// Repeated in the answer.
        ask: Ask,
        /// Which one.
        door: DoorId,
        /// See [`door::Watch::key`].
        key: [u8; 32],
    },
    /// Knocks. Answered `Done` and `KnockHeard`, or `Refused(NotAllowed)` when there is no such door,
    /// `Refused(RateLimited)` after too many guesses there.
    Knock {
        /// Repeated in the answer.
        ask: Ask,
        /// Where.
        door: DoorId,
        /// At most [`door::MESSAGE_MAX`]; means nothing to the relay.
        bytes: Vec<u8>,
    },
    /// Goes on with a knock that was answered. Answered `Done`, or `Refused(NotAllowed)` when the member
    /// is gone.
    Prove {
        /// Repeated in the answer.
        ask: Ask,
        /// Where.
        door: DoorId,
        /// At most [`door::MESSAGE_MAX`].
        bytes: Vec<u8>,
    },
    /// Answers a knock. Answered `Done`, or `Refused(NotAllowed)` when who knocked is gone,
    /// `Refused(RateLimited)` for a guess too many.
    AnswerKnock {
        /// Repeated in the answer.
        ask: Ask,
        /// What.
        answer: door::Answer,
    },
    /// In place of `Authenticate`, by who has an invitation: it counts when the name is taken with it, and
    /// only at a relay that asks for one.
    Enter(Login, Invite),
}

/// A rendezvous at the relay, where a device that is to be linked meets one that is enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot(pub u16);

/// From the relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToDevice {
    /// Logged in.
    Welcome(Welcome),
    /// The question of that number is refused; `None` is about the connection, which then closes.
    Refused {
        /// The question.
        ask: Option<Ask>,
        /// Why.
        why: Refusal,
    },
    /// The question of that number is carried out.
    Done(Ask),
    /// Answer to `Lookup`.
    Account {
        /// The question.
        ask: Ask,
        /// The account.
        name: AccountName,
        /// Its devices' certificates. One for now.
        certs: Vec<Cert>,
    },
    /// Answer to `Claim`: an encoded [`super::prekey::Bundle`].
    Prekey {
        /// The question.
        ask: Ask,
        /// Whose.
        device: DeviceId,
        /// Not trusted: its signature says whose it is.
        bundle: Vec<u8>,
    },
    /// In every mailbox it names, on disk.
    Accepted(EnvelopeId),
    /// In no mailbox.
    Rejected {
        /// Which one.
        id: EnvelopeId,
        /// Why.
        why: Refusal,
        /// The recipients that are in the way, for `MailboxFull` and `UnknownDevice`: the same without
        /// them, under another id, goes to the others.
        who: Vec<DeviceId>,
    },
    /// The next envelope of the mailbox.
    Deliver(Delivery),
    /// A device that shares presence with this one came or went.
    Presence {
        /// Which one.
        device: DeviceId,
        /// Connected now.
        online: bool,
    },
    /// One-time prekeys are running out: so many are left that are valid for a month.
    PrekeysLeft(u32),
    /// Answer to `OpenTrack`.
    Published {
        /// The question.
        ask: Ask,
        /// The track's number, to hand to the viewers through the session.
        track: TrackId,
    },
    /// Answer to `Watch`.
    Watching {
        /// The question.
        ask: Ask,
        /// The track.
        track: TrackId,
    },
    /// A watched track ended: its publisher closed it or went away.
    TrackEnded(TrackId),
    /// A viewer of an own track asks for a keyframe.
    KeyframeWanted(TrackId),
    /// The relay is shutting down; connect again after this many milliseconds.
    Draining {
        /// At least this long.
        retry_ms: u32,
    },
    /// Answer to `Devices`.
    Devices {
        /// The question.
        ask: Ask,
        /// The account.
        name: AccountName,
        /// The first version, and those from the asked number on, at most
        /// [`super::devices::VERSIONS_IN_FRAME`] of them. Empty when the account has no list yet.
        versions: Vec<Version>,
        /// Then the certificate of its one device; else empty.
        certs: Vec<Cert>,
    },
    /// What the other side of a rendezvous says.
    Passed {
        /// Which rendezvous.
        slot: Slot,
        /// Not trusted.
        bytes: Vec<u8>,
    },
    /// A rendezvous is over: the other side left, or its time is up.
    SlotClosed(Slot),
    /// Answer to `PasswordStart`: KE2, [`password::KE2`] bytes.
    PasswordChallenge(Vec<u8>),
    /// The password was right.
    PasswordWelcome(password::Opened),
    /// Answer to `RegisterPassword`: [`password::ANSWER`] bytes.
    PasswordAnswer {
        /// The question.
        ask: Ask,
        /// OPAQUE's registration response.
        answer: Vec<u8>,
    },
    /// Answer to `Sessions`.
    Sessions {
        /// The question.
        ask: Ask,
        /// At most [`password::SESSIONS_MAX`].
        sessions: Vec<password::Session>,
    },
    /// Somebody knocks at a door that this device watches.
    Knocked(door::Knocked),
    /// Who knocked goes on.
    Proved {
        /// Which knock.
        knock: door::KnockId,
        /// Not trusted.
        bytes: Vec<u8>,
    },
    /// Whether somebody is there who heard the knock; else it waits, or, after an answer, has to be made
    /// again.
    KnockHeard {
        /// Where.
        door: DoorId,
        /// Heard.
        heard: bool,
    },
    /// What a member answered.
    Answered {
        /// Where.
        door: DoorId,
        /// Not trusted.
        bytes: Vec<u8>,
        /// Nothing follows.
        last: bool,
    },
    /// The door where one knocked is no more.
    DoorClosed(DoorId),
}

/// What a device learns at login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// One-time prekeys of this device that are left at the relay and valid for a month.
    pub prekeys_left: u32,
    /// Whether a last-resort bundle of this device is there and still valid for a week.
    pub last_resort_fresh: bool,
    /// The highest seq ever given out in this device's mailbox.
    pub newest: Seq,
    /// The relay's wall clock, Unix milliseconds: to tell a person whose clock is far off.
    pub clock: u64,
    /// Another number than at the last login: the relay's store is new, or went back in time.
    pub era: u64,
    /// Free text for the person, at most 500 bytes; may be empty.
    pub motd: String,
}

/// Why the relay said no: a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// Somebody else's device owns that name.
    #[error("name taken")]
    NameTaken,
    /// This relay takes no new accounts.
    #[error("registration closed")]
    RegistrationClosed,
    /// Certificate or signature do not verify.
    #[error("bad signature")]
    BadSignature,
    /// No such account.
    #[error("unknown account")]
    UnknownAccount,
    /// No such device.
    #[error("unknown device")]
    UnknownDevice,
    /// The device has no prekey at the relay.
    #[error("no prekeys")]
    NoPrekeys,
    /// A recipient's mailbox is full.
    #[error("mailbox full")]
    MailboxFull,
    /// The relay's disk is full or its quota reached.
    #[error("storage full")]
    StorageFull,
    /// A frame, list, head or body past its bound, or one room or door too many.
    #[error("too large")]
    TooLarge,
    /// Not for this device.
    #[error("not allowed")]
    NotAllowed,
    /// Too many in a short time.
    #[error("rate limited, again in {retry_ms} ms")]
    RateLimited {
        /// At least this long.
        retry_ms: u32,
    },
    /// Bytes that are no frame, or a frame out of order.
    #[error("malformed")]
    Malformed,
    /// The frame's version is not spoken here; this one is.
    #[error("the relay speaks version {spoken}")]
    Version {
        /// The newest that the relay speaks.
        spoken: u8,
    },
    /// The same device logged in again elsewhere; that connection took over.
    #[error("replaced by a newer connection")]
    Replaced,
    /// Shutting down.
    #[error("draining")]
    Draining,
    /// A fault of the relay's own; its log says more.
    #[error("relay fault")]
    Internal,
    /// The device was removed from its account.
    #[error("this device was removed from the account")]
    Revoked,
    /// The account's device list has another newest version, or a room another head.
    #[error("somebody else was first; it has changed meanwhile")]
    Outdated,
    /// Another of the account's devices ended this connection.
    #[error("ended from another device")]
    Ended,
    /// This relay takes new accounts by invitation only, and there was none, or one that does not hold.
    #[error("an invitation is needed")]
    InviteNeeded,
}

impl Refusal {
    /// Whether the same connection made again would be refused again: the person has to do something
    /// first.
    pub fn lasts(&self) -> bool {
        matches!(
            self,
            Self::NameTaken
                | Self::RegistrationClosed
                | Self::InviteNeeded
                | Self::BadSignature
                | Self::Version { .. }
                | Self::Replaced
                | Self::Revoked
                | Self::Ended
        )
    }
}

/// The most bundles in one `Publish`: 32 of them fit a frame.
pub const BUNDLES_MAX: usize = 32;

/// The most devices in one `Roster`.
pub const ROSTER_MAX: usize = 1024;

/// The longest message that passes a rendezvous, in bytes.
pub const PASS_MAX: usize = 4 * 1024;
