//! Why something was not sealed or opened.

use crate::id::SessionId;

/// Why content was not sealed. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There is no session to that peer and no bundle to start one: claim a bundle, offer it, seal
    /// again.
    #[error("no prekey bundle of that device is at hand")]
    NeedBundle,
    /// The content is over [`super::CONTENT_MAX`]; longer things are sealed apart and only their key
    /// goes through the session.
    #[error("{0} bytes are too long for a session message")]
    TooLong(usize),
    /// The session has no numbers left.
    #[error("the session is used up")]
    UsedUp,
    /// The handshake could not be made. The bundle was checked before, so this is our own fault.
    #[error("the handshake failed")]
    Handshake,
}

/// Why bytes were not opened. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// This very message was opened before: acknowledge it and do nothing more.
    #[error("a message that was opened before")]
    Repeated,
    /// We do not have what opens it: [`super::Sessions::restart`], then tell the peer with `Reset`,
    /// which starts another session and sends again. Without a session, it is a first message to a
    /// prekey that we do not have (any more): name [`super::UNREADABLE_START`] in the `Reset`.
    /// Anybody can make such bytes up, so answer a peer seldom.
    #[error("a message of a session that is unknown here")]
    Unknown {
        /// The session that it says it belongs to.
        session: Option<SessionId>,
    },
    /// Its number is too far past the last one: more was lost than a session can skip, and another one
    /// has to take its place.
    #[error("a message too far ahead of the last one")]
    TooFarAhead,
    /// Not made by the peer, or damaged: count it and drop it.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// What is wrong with bytes that cannot have come from an honest peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Too long, too short, or of no known type.
    #[error("not a session message")]
    Form,
    /// Of another version.
    #[error("a session message of version {0}")]
    Version(u8),
    /// The tag or the handshake does not verify.
    #[error("a session message that does not verify")]
    Tag,
    /// What was sealed makes no sense.
    #[error("a session message with a malformed inside")]
    Inside,
    /// The sender's certificate is not signed, or names another Noise key than the handshake's.
    #[error("a session start with a false certificate")]
    Certificate,
    /// The prekey was made for somebody else.
    #[error("a session start with a prekey that was given to another device")]
    Prekey,
}
