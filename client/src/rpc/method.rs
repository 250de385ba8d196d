//! Methods with their parameters, checked before anything happens.

use super::event::Kind;
use super::files;
use super::place::Place;
use super::rooms::RoomMethod;
use super::search;
use super::wire::{Fault, NO_METHOD, PARAMS};
use crate::chat::deeds;
use crate::chat::profile::Change;
use crate::chat::search::index::Key;
use crate::export::cli::PASSPHRASE_MIN;
use crate::media::source::Spec;
use crate::ui::act::LineCommand;
use crate::ui::command::{self, Command};
use crate::ui::devices::DevicesCommand;
use crate::ui::files::FilesCommand;
use crate::ui::setup::RelayChoice;
use crate::ui::strength::{LEAST, RELAY, Strength};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::time::Duration;
use subrosa_shared::content::TEXT_MAX;
use subrosa_shared::content::file::CAPTION_MAX;
use subrosa_shared::content::own::Level;
use subrosa_shared::id::{AccountName, MessageId};
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::pair::Code;
use zeroize::Zeroizing;

/// A checked request.
#[derive(Debug)]
pub enum Method {
    /// Which program this is.
    Version,
    /// Make a profile.
    Register {
        /// Account to take.
        name: AccountName,
        /// Of the new profile.
        passphrase: Secret,
        /// Where.
        relay: RelayChoice,
        /// How long the answer may wait for the login.
        wait: Duration,
    },
    /// Make a profile of what a login password opens.
    SignIn {
        /// The account.
        name: AccountName,
        /// Its login password.
        password: Secret,
        /// Of the new profile.
        passphrase: Secret,
        /// Where the account is.
        relay: RelayLink,
        /// How long the answer may wait for the login.
        wait: Duration,
    },
    /// Set or change the login password.
    SetPassword {
        /// Of the profile.
        passphrase: Secret,
        /// The new one.
        password: Secret,
    },
    /// Send a file.
    SendFile {
        /// Where to.
        to: Place,
        /// Where it lies.
        path: String,
        /// May be empty.
        caption: String,
    },
    /// List files.
    Files,
    /// Do something about one.
    File {
        /// What.
        change: files::Change,
        /// Its message.
        id: MessageId,
        /// Where it is to be saved.
        folder: Option<String>,
    },
    /// List the connections of the account.
    Sessions,
    /// End one of them.
    EndSession(usize),
    /// List the own devices.
    Devices,
    /// Have a code for a new one.
    LinkDevice(Option<Code>),
    /// Call this one something.
    NameDevice(String),
    /// Take one out of the account.
    RemoveDevice {
        /// Its number.
        device: String,
        /// To confirm it.
        sure: bool,
    },
    /// Open the profile.
    Unlock {
        /// Of the profile.
        passphrase: Secret,
        /// How long the answer may wait for the login.
        wait: Duration,
    },
    /// Take the keys out of memory.
    Lock,
    /// Destroy the profile.
    Burn {
        /// The own account, to confirm it.
        name: AccountName,
        /// To confirm it once more.
        sure: bool,
    },
    /// Profile, connection, outbox.
    Status,
    /// People.
    Contacts,
    /// Begin a conversation.
    Add(AccountName),
    /// Write.
    Send {
        /// To whom.
        to: AccountName,
        /// What.
        text: String,
        /// The line that it answers.
        reply: Option<MessageId>,
    },
    /// Do something to a line.
    Act {
        /// Where.
        with: Place,
        /// Which line.
        id: MessageId,
        /// What.
        command: LineCommand,
    },
    /// List what is pinned there.
    Pins(Place),
    /// Set what rings.
    Mute {
        /// Where.
        with: Place,
        /// Which lines.
        level: Level,
        /// For how long.
        seconds: Option<u32>,
    },
    /// Read what was written.
    History {
        /// With whom.
        with: AccountName,
        /// At most so many lines.
        limit: usize,
        /// Only lines before this position.
        before: u64,
    },
    /// Find what was said.
    Search {
        /// As it is typed.
        query: String,
        /// At most so many lines.
        limit: usize,
        /// Only behind this one.
        before: Option<Key>,
    },
    /// About rooms of several people.
    Room(RoomMethod),
    /// Lines of a room of several people.
    RoomHistory {
        /// Which.
        room: String,
        /// At most so many lines.
        limit: usize,
        /// Only lines before this position.
        before: u64,
    },
    /// Everything of that person was seen.
    MarkRead(AccountName),
    /// Hear of these.
    Subscribe(Vec<Kind>),
    /// Hear no longer of these.
    Unsubscribe(Vec<Kind>),
    /// Ring.
    Call {
        /// Whom.
        to: AccountName,
        /// Own pictures.
        source: Option<String>,
    },
    /// Take the call, with own pictures from there.
    Answer(Option<String>),
    /// Refuse the call.
    Decline,
    /// Let a stranger in.
    Accept(AccountName),
    /// Forget a stranger's request.
    DeclineRequest(AccountName),
    /// Let nothing of a person in.
    Block(AccountName),
    /// Let them in again.
    Unblock(AccountName),
    /// Own name for a person.
    Petname {
        /// Whose.
        with: AccountName,
        /// The name; `None` for their own.
        petname: Option<String>,
    },
    /// What somebody says of themselves; of oneself when nobody is named.
    Profile(Option<AccountName>),
    /// Change the own profile.
    SetProfile(Vec<Change>),
    /// The safety number.
    Verify {
        /// With whom.
        with: AccountName,
        /// What the other end shows, to compare.
        given: Option<String>,
    },
    /// End the call.
    Hangup,
    /// Own camera on or off.
    Camera(bool),
    /// Where received pictures go.
    Sink {
        /// File or pipe; `None` for nowhere.
        path: Option<PathBuf>,
        /// Pictures a second that the stream says it has.
        fps: Option<u32>,
    },
    /// How the call does.
    CallStats,
    /// Accept a changed key.
    Trust {
        /// Whose.
        with: AccountName,
        /// Only if it is this device's.
        device: Option<String>,
    },
    /// How long new messages stay.
    Expire {
        /// Where.
        with: Place,
        /// Seconds, 0: for ever.
        seconds: u32,
    },
    /// Keys and contacts into a new file, sealed.
    ExportKeys {
        /// The file.
        path: String,
        /// Seals it.
        passphrase: Secret,
    },
    /// A conversation, or all, into a new file.
    Export {
        /// Which; `None` for all.
        with: Option<Place>,
        /// The file.
        path: String,
    },
    /// A `/command`.
    Command(Command),
    /// Leave.
    Quit,
}

/// A passphrase. Wiped when dropped, and never shown.
pub struct Secret(pub Zeroizing<String>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // The usual message of a wrong type repeats the value.
        match Value::deserialize(from)? {
            Value::String(text) => Ok(Self(Zeroizing::new(text))),
            _ => Err(D::Error::custom("a passphrase is a string")),
        }
    }
}

/// Lines of history without a `limit`.
const HISTORY: usize = 50;
/// The largest `limit`.
const HISTORY_MAX: usize = 500;
/// How long `register` and `unlock` wait for the login without `wait`, in seconds.
const WAIT: u64 = 10;
/// Instead of `/room` and what belongs to it.
const ROOMS: &str =
    "use the methods room, new_room, change_room, room_link, room_unlink, room_password and join_room";
/// The longest `wait`, in seconds.
const WAIT_MAX: u64 = 600;

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
                Self::Send { to: to.0, text: speakable(text)?, reply }
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
                Self::History { with: with.0, limit, before: before.unwrap_or(u64::MAX) }
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
                Self::Room(super::doors::parse(method, params)?)
            }
            "change_room" => {
                let mut params = params;
                let room = match params.remove("room") {
                    Some(Value::String(room)) => room,
                    _ => return Err(Fault::new(PARAMS, "room is missing: its number or name")),
                };
                Self::Room(RoomMethod::Change { room, change: take(params)? })
            }
            "mark_read" => Self::MarkRead(take::<With>(params)?.with.0),
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
            Command::Tell(to, text) => Self::Send { to, text: speakable(text)?, reply: None },
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

/// A name in any spelling that [`AccountName::parse`] takes.
struct Name(AccountName);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        AccountName::parse(&text).map(Self).map_err(D::Error::custom)
    }
}

struct Choice(RelayChoice);

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match String::deserialize(from)?.trim() {
            "here" => Ok(Self(RelayChoice::Here)),
            link => link.parse().map(RelayChoice::Link).map(Self).map_err(D::Error::custom),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Register {
    name: Name,
    passphrase: Secret,
    relay: Choice,
    wait: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unlock {
    passphrase: Secret,
    wait: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expire {
    with: Place,
    after: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Burn {
    name: Name,
    sure: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportKeys {
    path: String,
    passphrase: Secret,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: Name,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct With {
    with: Name,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct In {
    with: Place,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Send {
    to: Name,
    text: String,
    reply: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    with: Place,
    id: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delete {
    with: Place,
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct React {
    with: Place,
    id: String,
    sign: String,
    on: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pin {
    with: Place,
    id: String,
    on: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Forward {
    with: Place,
    id: String,
    to: Place,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mute {
    with: Place,
    rings: String,
    #[serde(rename = "for")]
    time: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct History {
    with: Name,
    limit: Option<usize>,
    before: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InRoom {
    room: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRoom {
    name: String,
    people: Option<Vec<Name>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Say {
    room: String,
    text: String,
    reply: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoomHistory {
    room: String,
    limit: Option<usize>,
    before: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Events {
    events: Option<Vec<Kind>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    to: Name,
    source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decline {
    with: Option<Name>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Petname {
    with: Name,
    petname: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetProfile {
    name: Option<String>,
    status: Option<String>,
    avatar: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    name: Name,
    password: Secret,
    passphrase: Secret,
    relay: Choice,
    wait: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetPassword {
    passphrase: Secret,
    password: Secret,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndSession {
    number: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkDevice {
    code: Option<Secret>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NameDevice {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveDevice {
    device: String,
    sure: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Verify {
    with: Name,
    given: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Camera {
    on: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sink {
    path: Option<PathBuf>,
    format: Option<String>,
    fps: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trust {
    with: Name,
    device: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Export {
    with: Option<Place>,
    path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    line: String,
}

pub(super) fn take<T: DeserializeOwned>(params: Map<String, Value>) -> Result<T, Fault> {
    serde_json::from_value(Value::Object(params)).map_err(|error| Fault::new(PARAMS, error.to_string()))
}

fn none(params: Map<String, Value>, method: Method) -> Result<Method, Fault> {
    if params.is_empty() { Ok(method) } else { Err(Fault::new(PARAMS, "this method takes no parameters")) }
}

fn kinds(params: Map<String, Value>) -> Result<Vec<Kind>, Fault> {
    Ok(take::<Events>(params)?.events.unwrap_or_else(|| Kind::ALL.to_vec()))
}

fn seconds(wait: Option<u64>) -> Result<Duration, Fault> {
    match wait.unwrap_or(WAIT) {
        wait @ 0..=WAIT_MAX => Ok(Duration::from_secs(wait)),
        _ => Err(Fault::new(PARAMS, format!("wait is 0 to {WAIT_MAX} seconds"))),
    }
}

fn message(id: &str) -> Result<MessageId, Fault> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(id.as_bytes()).ok();
    let bytes = bytes.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    bytes.map(MessageId).ok_or_else(|| Fault::new(PARAMS, "an id is 32 hexadecimal digits"))
}

fn speakable(text: String) -> Result<String, Fault> {
    if text.trim().is_empty() {
        return Err(Fault::new(PARAMS, "there is no text to send"));
    }
    if text.len() > TEXT_MAX {
        return Err(Fault::new(PARAMS, format!("a text has at most {TEXT_MAX} bytes: send it in parts")));
    }
    Ok(text)
}

fn checked(source: Option<String>) -> Result<Option<String>, Fault> {
    match source.as_deref().map(Spec::parse) {
        Some(Err(error)) => Err(Fault::new(PARAMS, error.to_string())),
        // Standard input carries the requests.
        Some(Ok(Spec::Pipe(None))) => {
            Err(Fault::new(PARAMS, "standard input carries the requests: name a pipe (mkfifo) instead of -"))
        }
        _ => Ok(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(method: &str, params: Value) -> Result<Method, Fault> {
        let Value::Object(params) = params else { panic!("an object") };
        Method::parse(method, params)
    }

    fn code(method: &str, params: Value) -> i64 {
        parse(method, params).expect_err("wrong").code
    }

    #[test]
    fn parameters_are_checked_before_anything_happens() {
        assert!(matches!(parse("send", json!({"to": " Ada", "text": "x"})),
            Ok(Method::Send { to, .. }) if to.as_str() == "ada"));
        for (method, params) in [
            ("send", json!({"to": "ada"})),
            ("send", json!({"to": "a b", "text": "x"})),
            ("send", json!({"to": "ada", "text": " \n"})),
            ("send", json!({"to": "ada", "text": "x".repeat(TEXT_MAX + 1)})),
            ("send", json!({"to": "ada", "text": "x", "more": 1})),
            ("send", json!({"to": "ada", "text": "x", "reply": "12"})),
            ("edit", json!({"with": "ada", "id": "00".repeat(16), "text": " "})),
            ("react", json!({"with": "ada", "id": "00".repeat(16), "sign": "abc"})),
            ("mute", json!({"with": "ada", "rings": "loud"})),
            ("command", json!({"line": "/react"})),
            ("status", json!({"x": 1})),
            ("history", json!({"with": "ada", "limit": 0})),
            ("history", json!({"with": "ada", "limit": 501})),
            ("history", json!({"with": "ada", "before": -1})),
            ("subscribe", json!({"events": ["nonsense"]})),
            ("join_room", json!({"link": "subrosa://h:1/#aa"})),
            ("room_password", json!({"room": "tea"})),
            ("room_password", json!({"room": "tea", "password": "qwerty"})),
            ("room_link", json!({"room": "tea", "new": true, "once": true})),
            ("room_link", json!({"room": "tea", "for": "soon"})),
            ("call", json!({"to": "ada", "source": "nonsense"})),
            ("answer", json!({"source": "-"})),
            ("sink", json!({"path": "x", "format": "mp4"})),
            ("camera", json!({"on": 1})),
            ("remove_device", json!({"device": "0"})),
            ("command", json!({"line": "/devices remove desk"})),
            ("accept", json!({})),
            ("block", json!({"with": "a b"})),
            ("verify", json!({"with": "ada", "given": 1})),
            ("register", json!({"name": "ada", "passphrase": "", "relay": "here"})),
            ("register", json!({"name": "ada", "passphrase": "x", "relay": "there"})),
            ("unlock", json!({"passphrase": "x", "wait": 601})),
            ("command", json!({"line": "/nonsense"})),
            ("command", json!({"line": "/theme dark"})),
        ] {
            assert_eq!(code(method, params.clone()), PARAMS, "{method} {params}");
        }
        assert_eq!(code("nonsense\u{1b}", json!({})), NO_METHOD);
    }

    #[test]
    fn commands_become_the_methods_that_answer_more() {
        let of = |line: &str| parse("command", json!({"line": line}));
        assert!(matches!(of("/tell ben hi"), Ok(Method::Send { .. })));
        assert!(matches!(of("/q"), Ok(Method::Quit)));
        assert!(matches!(of("/accept ben"), Ok(Method::Accept(_))));
        assert!(matches!(of("/decline ben"), Ok(Method::DeclineRequest(_))));
        assert!(matches!(of("/decline"), Ok(Method::Decline)));
        assert!(matches!(of("/verify ben"), Ok(Method::Verify { given: None, .. })));
        assert!(matches!(of("/mute"), Ok(Method::Command(Command::Rings(None, None)))));
        assert!(matches!(of("/status"), Ok(Method::Status)));
    }

    #[test]
    fn passphrases_are_in_no_debug_output_and_in_no_error() {
        let method = parse("unlock", json!({"passphrase": "open sesame"})).expect("right");
        assert!(!format!("{method:?}").contains("sesame"));
        let fault = parse("unlock", json!({"passphrase": 271_828})).expect_err("a number");
        assert!(!fault.message.contains("271828"), "{}", fault.message);
    }
}
