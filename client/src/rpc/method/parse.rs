//! A method and its parameters, from JSON and from a `/command`.

use super::Method;
use super::params::*;
use crate::chat::deeds;
use crate::chat::profile::Change;
use crate::export::cli::PASSPHRASE_MIN;
use crate::rpc::files;
use crate::rpc::place::Place;
use crate::rpc::rooms::RoomMethod;
use crate::rpc::search;
use crate::rpc::wire::{Fault, NO_METHOD, PARAMS};
use crate::ui::act::LineCommand;
use crate::ui::command::{self, Command};
use crate::ui::devices::DevicesCommand;
use crate::ui::files::FilesCommand;
use crate::ui::setup::RelayChoice;
use crate::ui::strength::{LEAST, RELAY, Strength};
use serde_json::{Map, Value};
use subrosa_shared::content::file::CAPTION_MAX;
use subrosa_shared::id::AccountName;
use subrosa_shared::session::pair::Code;

/// Lines of history without a `limit`.
const HISTORY: usize = 50;
/// The largest `limit`.
const HISTORY_MAX: usize = 500;
/// Instead of `/room` and what belongs to it.
const ROOMS: &str =
    "use the methods room, new_room, change_room, room_link, room_unlink, room_password and join_room";

impl Method {
    /// Checks a method and its parameters.
    ///
    /// # Errors
    /// [`NO_METHOD`] and [`PARAMS`], each with a sentence.
    pub fn parse(method: &str, params: Map<String, Value>) -> Result<Self, Fault> {
        Ok(match method {
            "version" => none(params, Self::Version)?,
            "register" => {
                let Register { name, passphrase, relay, wait } = take(params)?;
                if passphrase.0.is_empty() {
                    return Err(Fault::new(PARAMS, "an empty passphrase protects nothing"));
                }
                Self::Register { name: name.0, passphrase, relay: relay.0, wait: seconds(wait)? }
            }
            "login" => {
                let Login { name, password, passphrase, relay, wait } = take(params)?;
                if passphrase.0.is_empty() {
                    return Err(Fault::new(PARAMS, "an empty passphrase protects nothing"));
                }
                let RelayChoice::Link(relay) = relay.0 else {
                    return Err(Fault::new(PARAMS, "relay is the link of the relay where the account is"));
                };
                Self::SignIn { name: name.0, password, passphrase, relay, wait: seconds(wait)? }
            }
            "set_password" => {
                let SetPassword { passphrase, password } = take(params)?;
                let strength = Strength::of(&password.0, &[]);
                if let Some(why) = strength.objection(RELAY).filter(|_| strength.score < LEAST) {
                    return Err(Fault::new(PARAMS, why));
                }
                Self::SetPassword { passphrase, password }
            }
            "sessions" => none(params, Self::Sessions)?,
            "end_session" => Self::EndSession(take::<EndSession>(params)?.number),
            "devices" => none(params, Self::Devices)?,
            "link_device" => {
                let code = take::<LinkDevice>(params)?.code;
                let code = code.map(|code| Code::parse(&code.0)).transpose();
                Self::LinkDevice(code.map_err(|why| Fault::new(PARAMS, why.to_string()))?)
            }
            "name_device" => Self::NameDevice(take::<NameDevice>(params)?.name),
            "remove_device" => {
                let RemoveDevice { device, sure } = take(params)?;
                Self::RemoveDevice { device, sure }
            }
            "unlock" => {
                let Unlock { passphrase, wait } = take(params)?;
                Self::Unlock { passphrase, wait: seconds(wait)? }
            }
            "expire" => {
                let Expire { with, after } = take(params)?;
                let seconds = command::expiry(&after).map_err(|why| Fault::new(PARAMS, why))?;
                Self::Expire { with, seconds }
            }
            "lock" => none(params, Self::Lock)?,
            "burn" => {
                let Burn { name, sure } = take(params)?;
                Self::Burn { name: name.0, sure }
            }
            "status" => none(params, Self::Status)?,
            "contacts" => none(params, Self::Contacts)?,
            "add" => Self::Add(take::<Named>(params)?.name.0),
            "send" => {
                let Send { to, text, reply } = take(params)?;
                let reply = reply.as_deref().map(message).transpose()?;
                let text = speakable(text)?;
                match to {
                    Place::Person(to) => Self::Send { to, text, reply },
                    Place::Room(room) => Self::Room(RoomMethod::Say { room, text, reply }),
                }
            }
            "edit" => {
                let Edit { with, id, text } = take(params)?;
                let command = LineCommand::Edit(Some(speakable(text)?));
                Self::Act { with, id: message(&id)?, command }
            }
            "delete" => {
                let Delete { with, id } = take(params)?;
                Self::Act { with, id: message(&id)?, command: LineCommand::Delete }
            }
            "react" => {
                let React { with, id, sign, on } = take(params)?;
                let sign = deeds::sign(&sign)
                    .ok_or_else(|| Fault::new(PARAMS, "sign is one character, or +1, heart, laugh"))?;
                let command = LineCommand::React(Some(sign), Some(on.unwrap_or(true)));
                Self::Act { with, id: message(&id)?, command }
            }
            "pin" => {
                let Pin { with, id, on } = take(params)?;
                let command = LineCommand::Pin(Some(on.unwrap_or(true)));
                Self::Act { with, id: message(&id)?, command }
            }
            "pins" => Self::Pins(take::<In>(params)?.with),
            "forward" => {
                let Forward { with, id, to } = take(params)?;
                let command = LineCommand::Forward(Some(to.to_string()));
                Self::Act { with, id: message(&id)?, command }
            }
            "mute" => {
                let Mute { with, rings, time } = take(params)?;
                let level = command::level(&rings)
                    .ok_or_else(|| Fault::new(PARAMS, "rings is \"all\", \"mentions\" or \"none\""))?;
                let seconds = time.as_deref().map(command::expiry).transpose();
                let seconds = seconds.map_err(|why| Fault::new(PARAMS, why))?.filter(|seconds| *seconds > 0);
                Self::Mute { with, level, seconds }
            }
            "history" => {
                let History { with, limit, before } = take(params)?;
                let limit = limit.unwrap_or(HISTORY);
                if !(1..=HISTORY_MAX).contains(&limit) {
                    return Err(Fault::new(PARAMS, format!("limit is 1 to {HISTORY_MAX}")));
                }
                let before = before.unwrap_or(u64::MAX);
                match with {
                    Place::Person(with) => Self::History { with, limit, before },
                    Place::Room(room) => Self::RoomHistory { room, limit, before },
                }
            }
            "search" => search::parse(params)?,
            "rooms" => none(params, Self::Room(RoomMethod::List))?,
            "room" => Self::Room(RoomMethod::Show(take::<InRoom>(params)?.room)),
            "new_room" => {
                let NewRoom { name, people } = take(params)?;
                let people = people.unwrap_or_default().into_iter().map(|name| name.0).collect();
                Self::Room(RoomMethod::New { name, people })
            }
            "say" => {
                let Say { room, text, reply } = take(params)?;
                let reply = reply.as_deref().map(message).transpose()?;
                Self::Room(RoomMethod::Say { room, text: speakable(text)?, reply })
            }
            "read_room" => Self::Room(RoomMethod::Read(take::<InRoom>(params)?.room)),
            "room_history" => {
                let RoomHistory { room, limit, before } = take(params)?;
                let limit = limit.unwrap_or(HISTORY);
                if !(1..=HISTORY_MAX).contains(&limit) {
                    return Err(Fault::new(PARAMS, format!("limit is 1 to {HISTORY_MAX}")));
                }
                Self::RoomHistory { room, limit, before: before.unwrap_or(u64::MAX) }
            }
            "accept_room" | "decline_room" => {
                let (room, accept) = (take::<InRoom>(params)?.room, method == "accept_room");
                Self::Room(RoomMethod::Decide { room, accept })
            }
            "room_link" | "room_unlink" | "room_password" | "join_room" => {
                Self::Room(crate::rpc::doors::parse(method, params)?)
            }
            "change_room" => {
                let mut params = params;
                let room = match params.remove("room") {
                    Some(Value::String(room)) => room,
                    _ => return Err(Fault::new(PARAMS, "room is missing: its number or name")),
                };
                Self::Room(RoomMethod::Change { room, change: take(params)? })
            }
            "mark_read" => match take::<In>(params)?.with {
                Place::Person(with) => Self::MarkRead(with),
                Place::Room(room) => Self::Room(RoomMethod::Read(room)),
            },
            "subscribe" => Self::Subscribe(kinds(params)?),
            "unsubscribe" => Self::Unsubscribe(kinds(params)?),
            "call" => {
                let Call { to, source } = take(params)?;
                Self::Call { to: to.0, source: checked(source)? }
            }
            "answer" => Self::Answer(checked(take::<Answer>(params)?.source)?),
            "decline" => match take::<Decline>(params)?.with {
                Some(with) => Self::DeclineRequest(with.0),
                None => Self::Decline,
            },
            "accept" => Self::Accept(take::<With>(params)?.with.0),
            "block" => Self::Block(take::<With>(params)?.with.0),
            "unblock" => Self::Unblock(take::<With>(params)?.with.0),
            "petname" => {
                let Petname { with, petname } = take(params)?;
                Self::Petname { with: with.0, petname }
            }
            "profile" => Self::Profile(take::<Decline>(params)?.with.map(|with| with.0)),
            "set_profile" => {
                let SetProfile { name, status, avatar } = take(params)?;
                let name = name.map(Change::Name);
                let avatar = avatar.map(|path| Change::Avatar((!path.is_empty()).then(|| path.into())));
                Self::SetProfile(name.into_iter().chain(status.map(Change::Status)).chain(avatar).collect())
            }
            "verify" => {
                let Verify { with, given } = take(params)?;
                Self::Verify { with: with.0, given }
            }
            "send_file" => {
                let files::Send { to, path, caption } = take(params)?;
                let caption = caption.unwrap_or_default();
                if caption.len() > CAPTION_MAX {
                    return Err(Fault::new(PARAMS, format!("a caption has at most {CAPTION_MAX} bytes")));
                }
                Self::SendFile { to, path, caption }
            }
            "files" => none(params, Self::Files)?,
            "save_file" | "pause_file" | "resume_file" | "cancel_file" => {
                let files::One { id, folder } = take(params)?;
                let change = match method {
                    "save_file" => files::Change::Save,
                    "pause_file" => files::Change::Pause,
                    "resume_file" => files::Change::Resume,
                    _ => files::Change::Cancel,
                };
                if folder.is_some() && change != files::Change::Save {
                    return Err(Fault::new(PARAMS, "only save_file takes a folder"));
                }
                Self::File { change, id: files::id(&id)?, folder }
            }
            "hangup" => none(params, Self::Hangup)?,
            "camera" => Self::Camera(take::<Camera>(params)?.on),
            "sink" => {
                let Sink { path, format, fps } = take(params)?;
                if format.is_some_and(|format| format != "y4m") {
                    return Err(Fault::new(PARAMS, "the format is \"y4m\""));
                }
                if fps.is_some_and(|fps| !(1..=60).contains(&fps)) {
                    return Err(Fault::new(PARAMS, "fps is 1 to 60"));
                }
                Self::Sink { path, fps }
            }
            "call_stats" => none(params, Self::CallStats)?,
            "trust" => {
                let Trust { with, device } = take(params)?;
                Self::Trust { with: with.0, device }
            }
            "distrust" => {
                let Trust { with, device } = take(params)?;
                Self::Distrust { with: with.0, device }
            }
            "export" => {
                let Export { with, path } = take(params)?;
                Self::Export { with, path }
            }
            "export_keys" => {
                let ExportKeys { path, passphrase } = take(params)?;
                if passphrase.0.chars().count() < PASSPHRASE_MIN {
                    return Err(Fault::new(
                        PARAMS,
                        format!("a passphrase has at least {PASSPHRASE_MIN} characters"),
                    ));
                }
                Self::ExportKeys { path, passphrase }
            }
            "command" => Self::command(&take::<Line>(params)?.line)?,
            "quit" => none(params, Self::Quit)?,
            _ => {
                let name: String = crate::ui::text::line(method).chars().take(40).collect();
                return Err(Fault::new(NO_METHOD, format!("there is no method '{name}'")));
            }
        })
    }

    /// A `/command`; those that have a method of their own become it.
    fn command(line: &str) -> Result<Self, Fault> {
        let command = command::parse(line).map_err(|why| Fault::new(PARAMS, why))?;
        Ok(match command {
            Command::TellTyped(said) => {
                let (to, text) = said.split_once(char::is_whitespace).unwrap_or((&said, ""));
                let to = AccountName::parse(to.trim_start_matches('@'));
                let to = to.map_err(|why| Fault::new(PARAMS, why.to_string()))?;
                Self::Send { to, text: speakable(text.trim().to_owned())?, reply: None }
            }
            Command::Add(name) => Self::Add(name),
            Command::Answer(source) => Self::Answer(checked(source)?),
            Command::Decline => Self::Decline,
            Command::Accept(Some(with)) => Self::Accept(with),
            Command::Accept(None) => Self::Answer(None),
            Command::DeclineRequest(Some(with)) => Self::DeclineRequest(with),
            Command::Block(Some(with)) => Self::Block(with),
            Command::Unblock(Some(with)) => Self::Unblock(with),
            Command::Petname(with, petname) => Self::Petname { with, petname },
            Command::Verify(Some(with), given) => Self::Verify { with, given },
            Command::Distrust(Some(with)) => Self::Distrust { with, device: None },
            Command::Contacts => Self::Contacts,
            Command::Room(..) => {
                return Err(Fault::new(PARAMS, ROOMS));
            }
            Command::Profile(None) => Self::Profile(None),
            Command::Profile(Some(change)) => Self::SetProfile(vec![change]),
            Command::Whois(Some(with)) => Self::Profile(Some(with)),
            Command::Sessions(None) => Self::Sessions,
            Command::Devices(DevicesCommand::List) => Self::Devices,
            Command::Devices(DevicesCommand::Link) => Self::LinkDevice(None),
            Command::Devices(DevicesCommand::Join(code) | DevicesCommand::Joined(code)) => {
                Self::LinkDevice(Some(code))
            }
            Command::Devices(DevicesCommand::Name(name)) => Self::NameDevice(name),
            Command::Devices(DevicesCommand::Remove(_)) => {
                return Err(Fault::new(PARAMS, "use the method remove_device, which asks for sure"));
            }
            Command::Sessions(Some(number)) => Self::EndSession(number),
            Command::Search(query) => Self::Search { query, limit: search::LIMIT, before: None },
            Command::Hangup => Self::Hangup,
            Command::Status | Command::Link => Self::Status,
            Command::Quit => Self::Quit,
            Command::Lock => Self::Lock,
            Command::ExportAll(path) => Self::Export { with: None, path },
            Command::ExportKeys(..) => {
                return Err(Fault::new(PARAMS, "use the method export_keys, which takes the passphrase"));
            }
            Command::Burn(_) => {
                return Err(Fault::new(PARAMS, "use the method burn, which asks for your name and for sure"));
            }
            Command::Video(source) => Self::Command(Command::Video(checked(source)?)),
            Command::Files(FilesCommand::List) => Self::Files,
            Command::Files(FilesCommand::View(_) | FilesCommand::Dropped(_))
            | Command::Ui(_)
            | Command::Find(_)
            | Command::FindOn(_)
            | Command::ToLine(_)
            | Command::Hit(_)
            | Command::Back
            | Command::Whois(None)
            | Command::Copy(_)
            | Command::Pins
            | Command::Jump(_)
            | Command::Line(
                _,
                LineCommand::Reply(None)
                | LineCommand::Edit(None)
                | LineCommand::React(None, _)
                | LineCommand::Forward(None)
                | LineCommand::Copy,
            )
            | Command::Import
            | Command::Editor(_)
            | Command::Mouse
            | Command::Suspend
            | Command::Password
            | Command::OwnPicture => {
                return Err(Fault::new(PARAMS, "that command is for a screen, and there is none"));
            }
            other => Self::Command(other),
        })
    }
}
