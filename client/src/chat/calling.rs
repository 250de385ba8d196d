//! The one live call: ring, answer, watch, move to another track, end.

use super::Link;
use super::call::{Call, CallState};
use super::linked::Question;
use super::talk::Talk;
use crate::effect::{Effect, Happened, MediaEffect};
use crate::event::MediaEvent;
use std::time::Duration;
use subrosa_shared::content::own::Own;
use subrosa_shared::content::{Content, Signal, Stream};
use subrosa_shared::id::{CallId, DeviceId, RoomId, TrackId};
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::protocol::frame::{Ask, Refusal, ToRelay};
use subrosa_shared::session::Why;
use subrosa_shared::time::{Millis, Now};

/// How long it rings on either end.
const RING: Duration = Duration::from_secs(45);
/// How long a broken picture or connection may take to come back.
const BACK: Duration = Duration::from_secs(30);
/// An invitation that lay in the mailbox for longer is a missed call. More than two clocks that nobody is told
/// of can differ by.
const STALE: Duration = Duration::from_secs(600);

impl Talk {
    /// Rings, or says why not.
    pub fn call(&mut self, room: RoomId, source: String, now: Now) {
        if self.chat.group(room).is_some() {
            return self
                .notice("calls are between two people: open the conversation with one of them".into(), true);
        }
        if let Some(call) = &self.chat.call {
            let text = if call.room == room && call.state == CallState::Ringing {
                "they ring already: /answer takes the call"
            } else {
                "there is a call already: /hangup ends it"
            };
            return self.notice(text.into(), true);
        }
        if self.chat.link != Link::Online {
            return self
                .notice("there is no connection to the relay: calls work once it is back".into(), true);
        }
        if let Some(why) = self.chat.room(room).and_then(super::trust::closed) {
            return self.notice(why, true);
        }
        match self.chat.room(room).map(|room| (&room.kept.peer, &room.kept.changed)) {
            Some((Some(_), None)) => {}
            Some((_, Some(_))) => {
                return self
                    .notice("their key has changed: look at the conversation, then /trust".into(), true);
            }
            _ => {
                return self
                    .notice("it is not known yet who that is: wait for the relay's answer".into(), true);
            }
        }
        let id = CallId::random(&mut self.rng);
        self.chat.call = Some(Call::new(id, room, CallState::Calling, source, now.mono));
        self.open_track();
        self.tell_call(CallState::Calling);
    }

    /// Takes the call that rings, or says why not.
    pub fn answer(&mut self, source: String) {
        let ringing = self.chat.call.as_ref().filter(|call| call.state == CallState::Ringing);
        let Some(room) = ringing.map(|call| call.room) else {
            return self.notice("nobody is calling".into(), true);
        };
        if let Some(why) = self.chat.room(room).and_then(super::trust::closed_by_key) {
            return self.notice(why, true);
        }
        if let Some(call) = self.chat.call.as_mut().filter(|call| call.asked.is_none()) {
            call.source = source;
            self.open_track();
        }
    }

    /// Refuses the call that rings.
    pub fn decline(&mut self, now: Now) {
        match &self.chat.call {
            Some(call) if call.state == CallState::Ringing => {
                self.signal(Signal::Decline, now);
                self.taken(false, now);
                self.end_call("you declined the call", now);
            }
            _ => self.notice("nobody is calling".into(), true),
        }
    }

    /// Ends the call, whatever it is doing.
    pub fn hang_up(&mut self, now: Now) {
        match self.chat.call.as_ref().map(|call| call.state) {
            Some(CallState::Ringing) => self.decline(now),
            Some(state) => {
                self.signal(Signal::Hangup, now);
                let active = state == CallState::Active;
                self.end_call(if active { "you ended the call" } else { "you called" }, now);
            }
            None => self.notice("there is no call".into(), true),
        }
    }

    /// Ends the call with that room, if there is one: who they are is in doubt.
    pub(super) fn break_off(&mut self, room: RoomId, now: Now) {
        if self.chat.call.as_ref().is_some_and(|call| call.room == room) {
            self.hang_up(now);
        }
    }

    /// The client ends, and the call with it. One that only rings here rings on at the other own devices; where
    /// there are none the caller hears that nobody will answer.
    pub fn leave_call(&mut self, now: Now) {
        match self.chat.call.as_ref().map(|call| call.state) {
            Some(CallState::Ringing) => {
                if self.siblings().is_empty() {
                    self.signal(Signal::Hangup, now);
                }
                self.end_call("missed call", now);
            }
            Some(_) => self.hang_up(now),
            None => {}
        }
    }

    /// These devices are not theirs any more: the call with one of them ends, and the keys that they were
    /// given seal nothing from here on.
    pub(super) fn call_without(&mut self, room: RoomId, gone: &[DeviceId], now: Now) {
        let Some(call) = self.chat.call.as_ref().filter(|call| call.room == room && !gone.is_empty()) else {
            return;
        };
        let ringing = call.state == CallState::Ringing;
        if call.device.is_some_and(|with| gone.contains(&with)) {
            let note = if ringing { "missed call" } else { "the call broke off: they removed that device" };
            self.end_call(note, now);
        } else if !ringing {
            self.close_own_track();
            // The relay may take its time with the next one.
            self.media(MediaEffect::Live(false));
            self.open_track();
        }
    }

    /// Own camera off, or on; a source that failed or ended is opened anew.
    pub fn camera(&mut self, now: Now) {
        let Some(call) = &mut self.chat.call else { return self.notice("there is no call".into(), true) };
        if call.broken {
            let source = call.source.clone();
            return self.film(source, now);
        }
        call.paused = !call.paused;
        let paused = call.paused;
        self.media(MediaEffect::Pause(paused));
        self.signal(Signal::Paused(paused), now);
    }

    /// Own camera off before somebody else has the terminal: nobody would see that it is on, nor learn there
    /// that the call is over.
    pub fn looks_away(&mut self, now: Now) {
        let films = |call: &&mut Call| call.is_taken() && !call.paused;
        if let Some(call) = self.chat.call.as_mut().filter(films) {
            (call.paused, call.away) = (true, true);
            self.media(MediaEffect::Pause(true));
            self.signal(Signal::Paused(true), now);
        }
    }

    /// And on again after that.
    pub fn looks_back(&mut self, now: Now) {
        if let Some(call) = self.chat.call.as_mut().filter(|call| call.away) {
            call.away = false;
            if call.broken {
                return;
            }
            call.paused = false;
            self.media(MediaEffect::Pause(false));
            self.signal(Signal::Paused(false), now);
        }
    }

    /// Whether there is a call with that room which sends own pictures, or will.
    pub fn films(&self, room: RoomId) -> bool {
        let call = self.chat.call.as_ref();
        call.is_some_and(|call| call.room == room && call.state != CallState::Ringing)
    }

    /// The own pictures of the call come from there from now on, camera on.
    pub fn film(&mut self, source: String, now: Now) {
        let Some(call) = &mut self.chat.call else { return self.notice("there is no call".into(), true) };
        // What runs is not opened a second time.
        let runs = call.source == source && !call.broken;
        (call.broken, call.paused) = (false, false);
        call.source.clone_from(&source);
        self.media(if runs { MediaEffect::Pause(false) } else { MediaEffect::Source(source) });
        self.signal(Signal::Paused(false), now);
    }

    /// Own picture hidden on the own screen, or shown.
    pub fn own_picture(&mut self) {
        match &mut self.chat.call {
            Some(call) => call.own_hidden = !call.own_hidden,
            None => self.notice("there is no call".into(), true),
        }
    }

    /// What the live pictures report.
    pub fn media_event(&mut self, event: MediaEvent, now: Now) {
        let Some(call) = &mut self.chat.call else { return };
        match event {
            MediaEvent::Stats(track, stats) if call.watched() == Some(track) => {
                call.measured(stats, now.mono);
            }
            MediaEvent::WantKeyframe(track) if call.watched() == Some(track) => {
                self.effects.push(Effect::Send(ToRelay::WantKeyframe(track)));
            }
            MediaEvent::Stats(..) | MediaEvent::WantKeyframe(_) => {}
            MediaEvent::Shown(level) => call.level = level,
            MediaEvent::Made(made) => call.made = made,
            MediaEvent::SourceFailed { why } => {
                (call.paused, call.broken) = (true, true);
                self.signal(Signal::Paused(true), now);
                self.notice(format!("no own picture: {why}"), true);
            }
            MediaEvent::SourceEnded => {
                (call.paused, call.broken) = (true, true);
                self.signal(Signal::Paused(true), now);
                self.notice("the source of your picture came to its end".into(), false);
            }
        }
    }

    /// A step that the other end took.
    pub(super) fn call_signal(
        &mut self,
        room: RoomId,
        device: DeviceId,
        id: CallId,
        at: Millis,
        signal: Signal,
        now: Now,
    ) {
        if let Signal::Invite(stream) = signal {
            return self.invited(room, device, id, at, stream, now);
        }
        let call = self.chat.call.as_mut().filter(|call| call.id == id && call.room == room);
        let Some(call) = call.filter(|call| call.device.is_none_or(|with| with == device)) else {
            // The call goes on with another of their devices, or is over: that one came too late.
            if matches!(signal, Signal::Accept(_)) {
                let late = Content::Call { call: id, at: now.wall, signal: Signal::Hangup };
                self.transmit_to(device, Some(room), late, Why::Signal, now);
            }
            return;
        };
        match signal {
            Signal::Accept(stream) if call.state == CallState::Calling => {
                call.state = CallState::Active;
                call.since = now.mono;
                call.device = Some(device);
                // Without a track of this moment, once there is one.
                let live = call.own.is_some();
                self.media(MediaEffect::Live(live));
                self.watch(stream);
                self.tell_call(CallState::Active);
            }
            Signal::Moved(stream) if call.state == CallState::Active => self.watch(stream),
            Signal::Paused(paused) => {
                (call.their_pause, call.still) = (paused, None);
                // What they showed before is not what they show then.
                self.media(MediaEffect::Blank);
            }
            Signal::Decline | Signal::Busy | Signal::Hangup if call.state == CallState::Calling => {
                // Their other devices ring still.
                self.signal(Signal::Hangup, now);
                let note = match signal {
                    Signal::Decline => "they declined the call",
                    Signal::Busy => "they are in another call",
                    _ => "they ended the call",
                };
                self.end_call(note, now);
            }
            Signal::Hangup => {
                let missed = call.state == CallState::Ringing;
                self.end_call(if missed { "missed call" } else { "they ended the call" }, now);
            }
            _ => {}
        }
    }

    fn invited(&mut self, room: RoomId, device: DeviceId, id: CallId, at: Millis, stream: Stream, now: Now) {
        if now.wall.since(at) > STALE {
            return self.note(room, "missed call".into(), now);
        }
        match &mut self.chat.call {
            // The same call on another track: the caller's connection came back.
            Some(call) if call.id == id && call.room == room => {
                call.theirs = Some(stream.clone());
                if call.state == CallState::Active {
                    self.watch(stream);
                }
            }
            // Who rings anew has left the call before, maybe without a word.
            Some(call)
                if call.room == room && call.device == Some(device) && call.state != CallState::Calling =>
            {
                let missed = call.state == CallState::Ringing;
                self.end_call(if missed { "missed call" } else { "the call broke off" }, now);
                self.invited(room, device, id, at, stream, now);
            }
            // Both rang at once: the smaller number goes on, on both ends.
            Some(call) if call.room == room && call.state == CallState::Calling => {
                if id < call.id {
                    let (source, paused, broken) = (call.source.clone(), call.paused, call.broken);
                    // Their other devices ring still.
                    self.signal(Signal::Hangup, now);
                    // The source goes on for the other call.
                    self.close_own_track();
                    let mut call = Call::new(id, room, CallState::Ringing, source.clone(), now.mono);
                    (call.paused, call.broken) = (paused, broken);
                    call.theirs = Some(stream);
                    call.device = Some(device);
                    self.chat.call = Some(call);
                    self.answer(source);
                }
            }
            Some(_) => {
                self.note(room, "missed call: you were in another one".into(), now);
                let busy = Content::Call { call: id, at: now.wall, signal: Signal::Busy };
                self.transmit_to(device, Some(room), busy, Why::Signal, now);
            }
            None => {
                let source = self.config.video.source.clone();
                let mut call = Call::new(id, room, CallState::Ringing, source, now.mono);
                call.theirs = Some(stream);
                call.device = Some(device);
                self.chat.call = Some(call);
                self.tell_call(CallState::Ringing);
                // It is for this person, as a line that mentions them.
                if let Some(r) = self.chat.room(room).filter(|r| r.attention.lets_ring(true)) {
                    let title = r.name().to_string();
                    self.effects.push(Effect::Notify { title, body: "is calling".into() });
                }
            }
        }
    }

    /// The relay opened an own track.
    pub(super) fn published(&mut self, ask: Ask, track: TrackId, now: Now) {
        let key = self.secret();
        let own = Stream { track, key, kid: 0 };
        let Some(call) = self.chat.call.as_mut().filter(|call| call.asked == Some(ask)) else {
            self.effects.push(Effect::Send(ToRelay::CloseTrack(track)));
            return;
        };
        call.asked = None;
        call.own = Some(own.clone());
        let (state, source, paused) = (call.state, call.source.clone(), call.paused);
        let theirs = call.theirs.clone();
        self.media(MediaEffect::Start { stream: own.clone(), source });
        if paused {
            self.media(MediaEffect::Pause(true));
        }
        match state {
            CallState::Calling => self.signal(Signal::Invite(own), now),
            CallState::Ringing => {
                if let Some(call) = &mut self.chat.call {
                    call.state = CallState::Active;
                    call.since = now.mono;
                }
                self.signal(Signal::Accept(own), now);
                self.taken(true, now);
                self.media(MediaEffect::Live(true));
                if let Some(theirs) = theirs {
                    self.watch(theirs);
                }
                self.tell_call(CallState::Active);
            }
            CallState::Active => {
                self.signal(Signal::Moved(own), now);
                self.media(MediaEffect::Live(true));
            }
        }
        if paused {
            // Who did not know of the call yet has not heard it.
            self.signal(Signal::Paused(true), now);
        }
    }

    /// The relay would not open a track.
    pub(super) fn track_refused(&mut self, ask: Ask, why: Refusal, now: Now) {
        if self.chat.call.as_ref().is_some_and(|call| call.asked == Some(ask)) {
            self.notice(
                format!("the relay does not carry a picture now: {why}; try again in a moment"),
                true,
            );
            self.signal(Signal::Hangup, now);
            self.end_call("the call could not be made", now);
        }
    }

    /// A watched track ended, or was over before it could be watched: the other end moves to a new one,
    /// or the call is over after a while.
    pub(super) fn track_ended(&mut self, track: TrackId, now: Now) {
        if let Some(call) = self.chat.call.as_mut().filter(|call| call.watched() == Some(track)) {
            call.lost.get_or_insert(now.mono);
        }
    }

    /// A viewer wants a keyframe.
    pub(super) fn keyframe_wanted(&mut self, track: TrackId) {
        let own = self.chat.call.as_ref().and_then(|call| call.own.as_ref());
        if own.is_some_and(|own| own.track == track) {
            self.media(MediaEffect::Keyframe);
        }
    }

    /// The connection is back: own track anew, and what was watched once more.
    pub(super) fn call_linked(&mut self, _now: Now) {
        let Some(call) = &mut self.chat.call else { return };
        call.lost = None;
        let (state, theirs, taken) = (call.state, call.theirs.clone(), call.is_taken());
        if taken {
            self.open_track();
        }
        if let Some(theirs) = theirs.filter(|_| state == CallState::Active) {
            self.watch(theirs);
        }
    }

    /// The connection is gone, and with it the tracks.
    pub(super) fn call_unlinked(&mut self, now: Now) {
        if let Some(call) = &mut self.chat.call {
            call.own = None;
            call.lost.get_or_insert(now.mono);
            self.media(MediaEffect::Live(false));
        }
    }

    /// When the call changes by itself.
    pub(super) fn call_due(&self) -> Option<Millis> {
        let call = self.chat.call.as_ref()?;
        let ring = (call.state != CallState::Active).then(|| call.since.plus(RING));
        let back = call.lost.map(|lost| lost.plus(BACK));
        ring.into_iter().chain(back).min()
    }

    /// Time has passed for the call.
    pub(super) fn call_wake(&mut self, now: Now) {
        let Some(call) =
            self.chat.call.as_ref().filter(|_| self.call_due().is_some_and(|due| due <= now.mono))
        else {
            return;
        };
        match call.state {
            CallState::Ringing => self.end_call("missed call", now),
            CallState::Calling => {
                self.signal(Signal::Hangup, now);
                self.end_call("no answer", now);
            }
            CallState::Active => {
                self.signal(Signal::Hangup, now);
                self.end_call("the call broke off: the connection did not come back", now);
            }
        }
    }

    fn open_track(&mut self) {
        let Some((room, with)) = self.chat.call.as_ref().map(|call| (call.room, call.device)) else { return };
        // While it rings, any of their devices may answer.
        let viewers = match with {
            Some(device) => vec![device],
            None => self.devices_of(room).iter().map(Peer::device).collect(),
        };
        let ask = self.ask(Question::Track);
        if let Some(call) = &mut self.chat.call {
            call.asked = Some(ask);
        }
        self.effects.push(Effect::Send(ToRelay::OpenTrack { ask, viewers }));
    }

    fn watch(&mut self, stream: Stream) {
        let Some(call) = &mut self.chat.call else { return };
        let track = stream.track;
        call.theirs = Some(stream.clone());
        call.lost = None;
        let ask = self.ask(Question::Watch(track));
        self.effects.push(Effect::Send(ToRelay::Watch { ask, track }));
        self.media(MediaEffect::Watch(stream));
    }

    fn close_own_track(&mut self) {
        let own = self.chat.call.as_mut().and_then(|call| call.own.take());
        if let Some(own) = own {
            self.effects.push(Effect::Send(ToRelay::CloseTrack(own.track)));
        }
    }

    fn signal(&mut self, signal: Signal, now: Now) {
        let Some(call) = &self.chat.call else { return };
        let (room, device) = (call.room, call.device);
        let content = Content::Call { call: call.id, at: now.wall, signal };
        match device {
            Some(device) if self.chat.room(room).is_some_and(|room| room.person.is_contact()) => {
                self.transmit_to(device, Some(room), content, Why::Signal, now);
            }
            Some(_) => {}
            None => self.transmit(room, content, Why::Signal, None, now),
        }
    }

    /// The other own devices stop ringing.
    fn taken(&mut self, answered: bool, now: Now) {
        if let Some(call) = self.chat.call.as_ref().map(|call| call.id) {
            self.tell_siblings(Own::Taken { call, answered }, None, now);
        }
    }

    /// Another own device took the call that rings here.
    pub(super) fn taken_there(&mut self, id: CallId, answered: bool, now: Now) {
        let rings = |call: &Call| call.id == id && !call.is_taken();
        if self.chat.call.as_ref().is_some_and(rings) {
            self.end_call(
                if answered { "answered on another device" } else { "declined on another device" },
                now,
            );
        }
    }

    fn end_call(&mut self, note: &str, now: Now) {
        self.close_own_track();
        self.media(MediaEffect::Stop);
        let Some(call) = self.chat.call.take() else { return };
        if let Some(track) = call.watched() {
            self.effects.push(Effect::Send(ToRelay::Unwatch(track)));
            self.media(MediaEffect::Unwatch(track));
        }
        let text = match call.state {
            CallState::Active => format!("{note} ({})", spoken(now.mono.since(call.since))),
            _ => note.to_string(),
        };
        let with = self.chat.room(call.room).and_then(|room| room.with().cloned());
        if let Some(with) = with {
            self.tell(Happened::Call { with, state: None, note: text.clone() });
        }
        self.note(call.room, text, now);
    }

    fn tell_call(&mut self, state: CallState) {
        let room = self.chat.call.as_ref().map(|call| call.room);
        if let Some(with) = room.and_then(|room| self.chat.room(room)).and_then(|room| room.with().cloned()) {
            self.tell(Happened::Call { with, state: Some(state), note: String::new() });
        }
    }

    fn media(&mut self, effect: MediaEffect) {
        self.effects.push(Effect::Media(effect));
    }
}

/// A length of time as a person says it.
fn spoken(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
