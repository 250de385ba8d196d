//! The parameters of each method, as they come.

use super::{Method, Secret};
use crate::media::source::Spec;
use crate::rpc::event::Kind;
use crate::rpc::place::Place;
use crate::rpc::wire::{Fault, PARAMS};
use crate::ui::setup::RelayChoice;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::time::Duration;
use subrosa_shared::content::TEXT_MAX;
use subrosa_shared::id::{AccountName, MessageId};

/// A name in any spelling that [`AccountName::parse`] takes.
pub(super) struct Name(pub(super) AccountName);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        AccountName::parse(&text).map(Self).map_err(D::Error::custom)
    }
}

pub(super) struct Choice(pub(super) RelayChoice);

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
pub(super) struct Register {
    pub(super) name: Name,
    pub(super) passphrase: Secret,
    pub(super) relay: Choice,
    pub(super) wait: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unlock {
    pub(super) passphrase: Secret,
    pub(super) wait: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expire {
    pub(super) with: Place,
    pub(super) after: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Burn {
    pub(super) name: Name,
    pub(super) sure: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportKeys {
    pub(super) path: String,
    pub(super) passphrase: Secret,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    pub(super) name: Name,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct With {
    pub(super) with: Name,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct In {
    pub(super) with: Place,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Send {
    pub(super) to: Place,
    pub(super) text: String,
    pub(super) reply: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Edit {
    pub(super) with: Place,
    pub(super) id: String,
    pub(super) text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Delete {
    pub(super) with: Place,
    pub(super) id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct React {
    pub(super) with: Place,
    pub(super) id: String,
    pub(super) sign: String,
    pub(super) on: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pin {
    pub(super) with: Place,
    pub(super) id: String,
    pub(super) on: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Forward {
    pub(super) with: Place,
    pub(super) id: String,
    pub(super) to: Place,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mute {
    pub(super) with: Place,
    pub(super) rings: String,
    #[serde(rename = "for")]
    pub(super) time: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct History {
    pub(super) with: Place,
    pub(super) limit: Option<usize>,
    pub(super) before: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InRoom {
    pub(super) room: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRoom {
    pub(super) name: String,
    pub(super) people: Option<Vec<Name>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Say {
    pub(super) room: String,
    pub(super) text: String,
    pub(super) reply: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoomHistory {
    pub(super) room: String,
    pub(super) limit: Option<usize>,
    pub(super) before: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Events {
    pub(super) events: Option<Vec<Kind>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    pub(super) to: Name,
    pub(super) source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decline {
    pub(super) with: Option<Name>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Petname {
    pub(super) with: Name,
    pub(super) petname: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetProfile {
    pub(super) name: Option<String>,
    pub(super) status: Option<String>,
    pub(super) avatar: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    pub(super) name: Name,
    pub(super) password: Secret,
    pub(super) passphrase: Secret,
    pub(super) relay: Choice,
    pub(super) wait: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetPassword {
    pub(super) passphrase: Secret,
    pub(super) password: Secret,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndSession {
    pub(super) number: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkDevice {
    pub(super) code: Option<Secret>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NameDevice {
    pub(super) name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveDevice {
    pub(super) device: String,
    pub(super) sure: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Verify {
    pub(super) with: Name,
    pub(super) given: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Camera {
    pub(super) on: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sink {
    pub(super) path: Option<PathBuf>,
    pub(super) format: Option<String>,
    pub(super) fps: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trust {
    pub(super) with: Name,
    pub(super) device: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Export {
    pub(super) with: Option<Place>,
    pub(super) path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) line: String,
}

pub(in crate::rpc) fn take<T: DeserializeOwned>(params: Map<String, Value>) -> Result<T, Fault> {
    serde_json::from_value(Value::Object(params)).map_err(|error| Fault::new(PARAMS, error.to_string()))
}

pub(super) fn none(params: Map<String, Value>, method: Method) -> Result<Method, Fault> {
    if params.is_empty() { Ok(method) } else { Err(Fault::new(PARAMS, "this method takes no parameters")) }
}

pub(super) fn kinds(params: Map<String, Value>) -> Result<Vec<Kind>, Fault> {
    Ok(take::<Events>(params)?.events.unwrap_or_else(|| Kind::ALL.to_vec()))
}

pub(super) fn seconds(wait: Option<u64>) -> Result<Duration, Fault> {
    match wait.unwrap_or(WAIT) {
        wait @ 0..=WAIT_MAX => Ok(Duration::from_secs(wait)),
        _ => Err(Fault::new(PARAMS, format!("wait is 0 to {WAIT_MAX} seconds"))),
    }
}

pub(super) fn message(id: &str) -> Result<MessageId, Fault> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(id.as_bytes()).ok();
    let bytes = bytes.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    bytes.map(MessageId).ok_or_else(|| Fault::new(PARAMS, "an id is 32 hexadecimal digits"))
}

pub(super) fn speakable(text: String) -> Result<String, Fault> {
    if text.trim().is_empty() {
        return Err(Fault::new(PARAMS, "there is no text to send"));
    }
    if text.len() > TEXT_MAX {
        return Err(Fault::new(PARAMS, format!("a text has at most {TEXT_MAX} bytes: send it in parts")));
    }
    Ok(text)
}

pub(super) fn checked(source: Option<String>) -> Result<Option<String>, Fault> {
    match source.as_deref().map(Spec::parse) {
        Some(Err(error)) => Err(Fault::new(PARAMS, error.to_string())),
        // Standard input carries the requests.
        Some(Ok(Spec::Pipe(None))) => {
            Err(Fault::new(PARAMS, "standard input carries the requests: name a pipe (mkfifo) instead of -"))
        }
        _ => Ok(source),
    }
}

/// How long `register` and `unlock` wait for the login without `wait`, in seconds.
const WAIT: u64 = 10;
/// The longest `wait`, in seconds.
const WAIT_MAX: u64 = 600;
