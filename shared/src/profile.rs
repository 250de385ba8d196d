//! What a person says of themselves to their contacts: a name, a line, a small picture.

use serde::{Deserialize, Serialize};

/// The longest display name, in bytes.
pub const NAME_MAX: usize = 64;

/// The longest status line, in characters.
pub const STATUS_MAX: usize = 140;

/// The longest avatar, in bytes.
pub const AVATAR_MAX: usize = 4 * 1024;

/// Width and height of an avatar, in luma samples.
pub const AVATAR_SIDE: u16 = 32;

/// A profile, as it goes to contacts. Its text is as it came: it is made harmless where it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Rises with each change; of two profiles of one person the higher one holds.
    pub version: u64,
    /// At most [`NAME_MAX`] bytes; empty for none.
    pub name: String,
    /// At most [`STATUS_MAX`] characters; empty for none.
    pub status: String,
    /// A keyframe of [`crate::video`], [`AVATAR_SIDE`] square, at most [`AVATAR_MAX`] bytes; empty for
    /// none.
    pub avatar: Vec<u8>,
}

impl Profile {
    /// Whether every part keeps its bound.
    pub fn within_bounds(&self) -> bool {
        self.name.len() <= NAME_MAX
            && self.status.len() <= 4 * STATUS_MAX
            && self.status.chars().count() <= STATUS_MAX
            && self.avatar.len() <= AVATAR_MAX
    }
}
