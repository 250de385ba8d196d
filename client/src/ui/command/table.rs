//! The table of all commands, as `/name`, keys and help know them.

mod client;
mod conversations;
mod people;
mod reading;

use super::Spec;

/// Every command, in the order in which they are offered.
pub fn specs() -> impl Iterator<Item = &'static Spec> {
    [conversations::SPECS, people::SPECS, reading::SPECS, client::SPECS].into_iter().flatten()
}
