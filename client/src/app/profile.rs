//! Commands about profiles: the own one, and looking at somebody's.

use super::App;
use crate::chat::profile::Change;
use crate::effect::Effect;
use crate::ui::profile::Sheet;
use subrosa_shared::id::AccountName;
use subrosa_shared::time::Now;

impl App {
    pub(super) fn profile(&mut self, change: Option<Change>, now: Now) {
        let done = match change {
            None => {
                let sheet = Sheet::own(&self.talk.chat);
                return self.ui.show_profile(sheet);
            }
            Some(Change::Name(name)) => self.talk.profile_name(&name, now).map(|()| {
                let profile = &self.talk.chat.profile;
                match profile.name.as_str() {
                    "" => "your contacts see your account name again".into(),
                    name => format!("your contacts see you as {name}"),
                }
            }),
            Some(Change::Status(status)) => self.talk.profile_status(&status, now).map(|()| {
                let said = if self.talk.chat.profile.status.is_empty() {
                    "is gone"
                } else {
                    "goes to your contacts"
                };
                format!("your status line {said}")
            }),
            Some(Change::Avatar(None)) => {
                self.talk.profile_avatar(Vec::new(), now);
                Ok("your contacts see the sign of your key again".into())
            }
            Some(Change::Avatar(Some(path))) => {
                self.talk.then(Effect::Avatar(path));
                Ok("reading the image…".into())
            }
        };
        match done {
            Ok(said) => self.talk.notice(said, false),
            Err(why) => self.error(&why),
        }
    }

    /// The image was read, or was not.
    pub(super) fn avatar(&mut self, avatar: Result<Vec<u8>, String>, now: Now) {
        match avatar {
            Ok(avatar) => {
                let long = avatar.len();
                self.talk.profile_avatar(avatar, now);
                self.talk.notice(format!("your contacts see your avatar, {long} bytes"), false);
            }
            Err(why) => self.error(&why),
        }
    }

    pub(super) fn whois(&mut self, name: Option<&AccountName>) {
        if name == Some(&self.talk.chat.name) {
            let sheet = Sheet::own(&self.talk.chat);
            return self.ui.show_profile(sheet);
        }
        if let Some(room) = self.whose(name).and_then(|room| self.talk.chat.room(room)) {
            let sheet = Sheet::of(room);
            self.ui.show_profile(sheet);
        }
    }
}
