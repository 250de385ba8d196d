//! What methods of `subrosa rpc` tell of the session itself: its state, its call, its sink.

use super::faults::{no_call, offline, own_name};
use super::{Client, Session};
use crate::chat::Link;
use crate::rpc::event;
use crate::rpc::sink::Sink;
use crate::rpc::wire::Fault;
use crate::rpc::{FILE, PROFILE};
use crate::runtime::Runtime;
use crate::start;
use serde_json::{Value, json};
use std::path::PathBuf;
use subrosa_shared::id::AccountName;
use subrosa_shared::store::profile::Presence;

impl Session {
    /// Whether somebody's key is known; an error when they cannot be asked about.
    pub(super) fn known(&self, runtime: &Runtime, name: &AccountName) -> Result<bool, Fault> {
        let chat = runtime.app().chat();
        if chat.name == *name {
            return Err(own_name());
        }
        match chat.with(name) {
            Some(room) if room.kept.peer.is_some() => Ok(true),
            _ if chat.link == Link::Online => Ok(false),
            _ => Err(offline()),
        }
    }

    pub(super) fn subscribed(&self) -> Value {
        json!({ "events": self.events.iter().map(|kind| kind.name()).collect::<Vec<_>>() })
    }

    pub(super) fn status(&self) -> Result<Value, Fault> {
        let Some(Client { runtime, .. }) = &self.client else {
            let presence = start::look(&self.dir).map_err(|why| Fault::new(PROFILE, why))?;
            let profile = if presence == Presence::Present { "locked" } else { "absent" };
            return Ok(json!({ "profile": profile }));
        };
        let chat = runtime.app().chat();
        let (link, why) = match &chat.link {
            Link::Connecting | Link::LoggingIn => ("connecting", ""),
            Link::Online => ("online", ""),
            Link::Offline { why } => ("offline", why.as_str()),
            Link::Refused { why } => ("refused", why.as_str()),
        };
        let call = chat.call.as_ref().and_then(|call| {
            let with = chat.room(call.room)?.with()?.as_str();
            Some(json!({"with": with, "state": event::phase(Some(call.state))}))
        });
        Ok(json!({
            "profile": "open",
            "name": chat.name.as_str(),
            "device": runtime.app().device().to_string(),
            "relay": chat.relay,
            "hosting": chat.hosting,
            "link": link,
            "why": why,
            "waiting": chat.waiting,
            "unread": chat.unread(),
            "dropped": runtime.app().dropped(),
            "stuck": chat.stuck,
            "call": call,
        }))
    }

    pub(super) fn set_sink(
        &mut self,
        runtime: &Runtime,
        path: Option<PathBuf>,
        fps: Option<u32>,
    ) -> Result<Value, Fault> {
        let pictures = match path {
            None => {
                runtime.studio().set_sink(None);
                self.sink.take().map_or(0, |sink| sink.written())
            }
            Some(path) => {
                let fps = fps.unwrap_or(u32::from(self.config.video.fps));
                let (sink, take) =
                    Sink::open(&path, fps, self.faults.clone()).map_err(|why| Fault::new(FILE, why))?;
                runtime.studio().set_sink(Some(take));
                self.sink.replace(sink).map_or(0, |sink| sink.written())
            }
        };
        // Of the sink before.
        Ok(json!({ "pictures": pictures }))
    }

    pub(super) fn stats(&self, runtime: &Runtime) -> Result<Value, Fault> {
        let chat = runtime.app().chat();
        let call = chat.call.as_ref().ok_or_else(no_call)?;
        let sink = self
            .sink
            .as_ref()
            .map(|sink| json!({"path": sink.path, "pictures": sink.written(), "dropped": sink.dropped()}));
        Ok(json!({
            "with": chat.room(call.room).and_then(|room| room.with()).map(|with| with.as_str()),
            "state": event::phase(Some(call.state)),
            "seconds": runtime.now().mono.since(call.since).as_secs(),
            "source": call.source,
            "camera": !call.paused,
            "their_camera": !call.their_pause,
            "fps": call.stats.fps,
            "kbps": call.stats.kbps,
            "loss": call.stats.loss,
            "sink": sink,
        }))
    }
}
