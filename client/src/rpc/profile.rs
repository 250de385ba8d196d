//! `profile` and `set_profile`: what people say of themselves.

use super::serve::{no_conversation, run};
use super::wire::{Fault, PARAMS};
use crate::chat::profile::Change;
use crate::runtime::Runtime;
use crate::ui::command::Command;
use serde_json::{Value, json};
use subrosa_shared::id::AccountName;

/// Somebody's profile, or the own one.
pub(super) fn shown(runtime: &Runtime, with: Option<&AccountName>) -> Result<Value, Fault> {
    let chat = runtime.app().chat();
    let Some(with) = with.filter(|with| **with != chat.name) else {
        let own = &chat.profile;
        let avatar = !own.avatar.is_empty();
        return Ok(
            json!({"of": chat.name.as_str(), "name": own.name, "status": own.status, "avatar": avatar}),
        );
    };
    let room = chat.with(with).ok_or_else(no_conversation)?;
    let portrait = &room.portrait;
    Ok(json!({
        "of": with.as_str(),
        "name": portrait.display_name(),
        "status": portrait.status(),
        "avatar": portrait.picture.is_some(),
        "shown": room.name(),
        "like": portrait.clash.as_ref().map(|(_, other)| other),
    }))
}

/// Changes the own profile; gives what it then is. An avatar is read meanwhile, and `notice` says how
/// that went.
pub(super) fn change(runtime: &mut Runtime, changes: Vec<Change>) -> Result<Value, Fault> {
    for change in changes {
        let before = runtime.app().chat().profile.version;
        let unset = matches!(&change, Change::Name(text) | Change::Status(text) if text.trim().is_empty());
        let wanted = match &change {
            Change::Name(name) => Some(name.trim().to_owned()),
            Change::Status(status) => Some(status.trim().to_owned()),
            Change::Avatar(_) => None,
        };
        let name = matches!(change, Change::Name(_));
        run(runtime, Command::Profile(Some(change)));
        let own = &runtime.app().chat().profile;
        let now = if name { &own.name } else { &own.status };
        let refused = wanted.is_some_and(|wanted| own.version == before && !unset && *now != wanted);
        if refused {
            let what = if name { "name: 64 bytes, letters" } else { "status: 140 characters" };
            return Err(Fault::new(PARAMS, format!("that is too long, or cannot be shown ({what})")));
        }
    }
    shown(runtime, None)
}
