//! Errors that several methods of `subrosa rpc` answer with, each with the next step.

use crate::rpc::wire::{Fault, PARAMS};
use crate::rpc::{KEY_CHANGED, NO_CALL, NO_CONVERSATION, OFFLINE};
use subrosa_shared::id::AccountName;

pub(in crate::rpc) fn no_conversation() -> Fault {
    Fault::new(NO_CONVERSATION, "there is no conversation with that person: add begins one")
}

pub(super) fn no_call() -> Fault {
    Fault::new(NO_CALL, "there is no such call")
}

pub(in crate::rpc) fn offline() -> Fault {
    Fault::new(OFFLINE, "there is no connection to the relay now; it is tried again by itself")
}

pub(super) fn own_name() -> Fault {
    Fault::new(PARAMS, "that is your own name")
}

pub(super) fn key_changed(name: &AccountName) -> Fault {
    Fault::new(
        KEY_CHANGED,
        format!(
            "the key of '{name}' has changed: ask them another way whether that is true, then trust or distrust"
        ),
    )
}
