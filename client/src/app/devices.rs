//! Commands about the own devices.

use super::App;
use crate::chat::state::OwnDevice;
use crate::ui::devices::{self, DevicesCommand};
use crate::ui::dialog::Dialog;
use crate::ui::text;
use subrosa_shared::id::DeviceId;
use subrosa_shared::time::{Millis, Now};

impl App {
    pub(super) fn devices(&mut self, command: DevicesCommand, now: Now) {
        match command {
            DevicesCommand::List => {
                let dialog = devices::list(&self.talk.chat, now);
                self.ui.show(dialog);
            }
            DevicesCommand::Link => self.talk.link_device(now),
            DevicesCommand::Join(code) => self.ui.show(devices::join(code)),
            DevicesCommand::Joined(code) => self.talk.link_shown(code, now),
            DevicesCommand::Stop if self.talk.chat.linking.is_some() => {
                self.talk.end_linking();
                self.talk.notice("the code is void".into(), false);
            }
            DevicesCommand::Stop => self.error("no code is shown: /devices link shows one"),
            DevicesCommand::Name(name) => {
                let name = text::line(&name);
                match self.talk.name_device(self.talk.device(), &name, now) {
                    Ok(()) => self.talk.notice(format!("this device is '{}'", name.trim()), false),
                    Err(why) => self.error(&why),
                }
            }
            DevicesCommand::Remove(which) => match self.own_device(&which) {
                Some(device) if device.this => self.error("that is this device: remove it from another one"),
                Some(device) => self.ui.show(devices::remove(&device)),
                None => self.error("no device of yours is called that: /devices lists them"),
            },
            DevicesCommand::Removing(device) => {
                if let Some(device) = self.found(device) {
                    self.ui.show(devices::removing(&device));
                }
            }
            DevicesCommand::Removed(device) => {
                if let Err(why) = self.talk.remove_device(device) {
                    self.error(&why);
                }
            }
        }
    }

    /// The code that came from the relay a moment ago is shown.
    pub(super) fn show_code(&mut self, now: Now) {
        if self.coded != self.talk.chat.linking {
            self.coded = self.talk.chat.linking.clone();
            // A code that is used up or void is not shown any longer.
            self.ui.dismiss(devices::CODE);
            if let Some(shown) = &self.coded {
                let dialog = devices::code(shown, &self.talk.chat.relay, now);
                self.ui.show(dialog);
            }
        } else if let Some(shown) = &self.coded
            && let Dialog::Text { title, body, .. } = devices::code(shown, &self.talk.chat.relay, now)
        {
            self.ui.says_now(&title, body);
        }
    }

    /// When the code that is on the screen has a second less to go.
    pub(super) fn code_due(&self, now: Now) -> Option<Millis> {
        let shown = self.coded.as_ref().filter(|_| self.ui.says(devices::CODE))?;
        devices::code_due(shown, now)
    }

    fn found(&self, device: DeviceId) -> Option<OwnDevice> {
        self.talk.chat.devices.iter().find(|own| own.device == device).cloned()
    }

    /// By its name, or by how its number begins; none when that fits two.
    fn own_device(&self, which: &str) -> Option<OwnDevice> {
        let which = which.trim().to_lowercase();
        let fits = |own: &&OwnDevice| {
            own.name().to_lowercase() == which
                || which.len() >= 4 && own.device.to_string().starts_with(&which)
        };
        let mut found = self.talk.chat.devices.iter().filter(fits);
        found.next().filter(|_| found.next().is_none()).cloned()
    }
}
