//! Live pictures of one person: the real sender and receiver, pictures drawn by number.

use super::{PACKET, Packet, World};
use crate::network::Link;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;
use subrosa::config::Video;
use subrosa::effect::MediaEffect;
use subrosa::event::{Event, MediaEvent};
use subrosa::media::receive::Receiver;
use subrosa::media::send::{Sender, Shape};
use subrosa::media::source::{Size, Source, Spec};
use subrosa_relay::relay::Conn;
use subrosa_shared::content::Stream;
use subrosa_shared::protocol::media::Header;
use subrosa_shared::time::Millis;
use subrosa_shared::video::picture::Picture;

/// Live pictures of one person: the real sender and receiver, pictures drawn by number.
#[derive(Default)]
pub(super) struct Studio {
    pub(super) sender: Option<Sender>,
    /// What it seals under, with the key's id.
    pub(super) key: Key,
    pub(super) receiver: Option<Receiver>,
    /// What the receiver watches.
    pub(super) watched: Option<Stream>,
    pub(super) live: bool,
    pub(super) paused: bool,
    pub(super) source: Option<Source>,
    /// How the source was called last; whatever it is, it is a test picture.
    pub(super) words: String,
    /// How often the source was to end.
    pub(super) stops: u32,
    /// Pictures that the camera took.
    pub(super) filmed: u64,
    pub(super) shown: Vec<(Millis, Picture)>,
    /// The last of them is none to be seen any more.
    pub(super) blank: bool,
    /// Sees the own picture as it left, when the story wants to compare.
    pub(super) mirror: Option<Mirror>,
}

/// What live pictures are sealed under, with its id.
pub(super) type Key = ([u8; 32], u64);

/// A watcher that loses nothing.
pub(super) struct Mirror {
    pub(super) receiver: Option<Receiver>,
    pub(super) shown: Vec<(u64, Picture)>,
    pub(super) bytes: usize,
}

impl Studio {
    pub(super) fn due(&self) -> Option<Millis> {
        let overdue = self.receiver.as_ref().and_then(Receiver::due);
        self.sender.as_ref()?.due().into_iter().chain(overdue).min()
    }
}

impl World {
    pub(super) fn media(&mut self, name: &str, effect: MediaEffect) {
        let person = self.person(name);
        let Video { width, height, fps, kbps, .. } = person.config.video;
        let studio = &mut person.studio;
        match effect {
            MediaEffect::Start { stream, source: words } => {
                (studio.words, studio.paused) = (words, false);
                studio.key = (stream.key, stream.kid);
                let shape = Shape { width, height, fps, budget: kbps * 1000 };
                let sender = Sender::new(stream.track, &stream.key, stream.kid, shape);
                studio.sender = Some(sender.expect("settings are within bounds"));
                let Shape { width, height, .. } = Shape::default();
                let source = Source::open(&Spec::Test(0), Size { width, height });
                studio.source = Some(source.expect("the test picture is always there"));
                if let Some(mirror) = &mut studio.mirror {
                    mirror.receiver = Some(Receiver::new(stream.track, &stream.key, stream.kid));
                }
            }
            MediaEffect::Source(words) => {
                (studio.words, studio.paused) = (words, false);
                let source = Source::open(&Spec::Test(0), Size { width, height });
                studio.source = Some(source.expect("the test picture is always there"));
                if let Some(sender) = &mut studio.sender {
                    sender.want_keyframe();
                }
            }
            MediaEffect::Live(on) => studio.live = on,
            MediaEffect::Pause(on) => {
                studio.paused = on;
                if let Some(sender) = studio.sender.as_mut().filter(|_| on) {
                    sender.rest();
                }
            }
            MediaEffect::Keyframe => {
                if let Some(sender) = &mut studio.sender {
                    sender.want_keyframe();
                }
            }
            MediaEffect::Budget(kbps) => {
                person.config.video.kbps = kbps;
                if let Some(sender) = &mut studio.sender {
                    sender.set_budget(kbps * 1000);
                }
            }
            MediaEffect::Shape { size: Size { width, height }, fps } => {
                let video = &mut person.config.video;
                (video.width, video.height, video.fps) = (width, height, fps);
                if let Some(sender) = &mut studio.sender {
                    sender.set_shape(width, height, fps).expect("in bounds");
                }
                if let Some(source) = &mut studio.source {
                    source.set_size(Size { width, height });
                }
            }
            MediaEffect::Stop => {
                (studio.sender, studio.live) = (None, false);
                studio.stops += 1;
            }
            MediaEffect::Watch(stream) => match &mut studio.receiver {
                Some(receiver) if studio.watched.as_ref() == Some(&stream) => {
                    receiver.set_track(stream.track);
                }
                receiver => {
                    *receiver = Some(Receiver::new(stream.track, &stream.key, stream.kid));
                    studio.watched = Some(stream);
                }
            },
            MediaEffect::Unwatch(_) => studio.receiver = None,
            MediaEffect::Blank => studio.blank = true,
        }
    }

    /// A person's camera takes one picture.
    pub fn films(&mut self, name: &str) {
        let now = self.now;
        let person = self.person(name);
        let studio = &mut person.studio;
        if !studio.live || studio.paused {
            return;
        }
        let (Some(sender), Some(conn)) = (&mut studio.sender, person.conn) else { return };
        let Some(source) = &mut studio.source else { return };
        let filmed = source.picture(Duration::from_millis(now.mono.0)).expect("the test picture never ends");
        let Some(picture) = filmed else { return };
        studio.filmed += 1;
        let datagrams = sender.send(&picture, now);
        self.goes_out(name, conn, datagrams);
    }

    pub(super) fn goes_out(&mut self, name: &str, conn: Conn, datagrams: Vec<Vec<u8>>) {
        let now = self.now;
        let person = self.people.get_mut(name).expect("they have a connection");
        for datagram in datagrams {
            let (header, sealed) = Header::decode(&datagram).expect("a sender's own");
            let mut hasher = DefaultHasher::new();
            sealed.hash(&mut hasher);
            // The same number twice must be the same ciphertext: a repeat.
            let place = (person.studio.key, header.frame, header.index);
            let first = *self.filmed.entry(place).or_insert(hasher.finish());
            assert!(first == hasher.finish(), "{name} sealed two pictures under one key");
            if let Some(mirror) = &mut person.studio.mirror {
                mirror.bytes += datagram.len();
                let picture = mirror.receiver.as_mut().and_then(|mirror| mirror.datagram(&datagram, now));
                mirror.shown.extend(picture.map(|picture| (person.studio.filmed, picture)));
            }
            let (length, up) = (datagram.len() + PACKET, &mut person.links[0]);
            self.network.datagram(Packet::MediaUp(conn, datagram), length, up, now.mono);
        }
    }

    /// Sends what does not wait for a picture: repeats, feedback.
    pub(super) fn sends_due(&mut self, name: &str) {
        let now = self.now;
        let person = self.person(name);
        let Studio { sender: Some(sender), receiver, .. } = &mut person.studio else { return };
        if let Some(feedback) = receiver.as_mut().and_then(|receiver| receiver.feedback(now)) {
            sender.tell(feedback, now);
        }
        let datagrams = sender.poll(now);
        let Some(conn) = person.conn.filter(|_| person.studio.live) else { return };
        self.goes_out(name, conn, datagrams);
    }

    pub(super) fn watched(&mut self, name: &str, bytes: &[u8]) {
        let now = self.now;
        let studio = &mut self.person(name).studio;
        let Some(receiver) = &mut studio.receiver else { return };
        let picture = receiver.datagram(bytes, now);
        studio.blank &= picture.is_none();
        studio.shown.extend(picture.map(|picture| (now.mono, picture)));
        if let Some(sender) = &mut studio.sender {
            receiver.heard().inspect(|heard| sender.heard(heard, now));
            receiver.feedback(now).inspect(|feedback| sender.tell(*feedback, now));
        }
        let wants = receiver.wants_keyframe(now);
        let track = self.app(name).chat().call.as_ref().and_then(|call| call.watched());
        if let Some(track) = track.filter(|_| wants) {
            self.event(name, Event::Media(MediaEvent::WantKeyframe(track)));
        }
    }

    /// Pictures that a person saw since the last call.
    pub fn pictures(&mut self, name: &str) -> Vec<Picture> {
        self.shown(name).into_iter().map(|(_, picture)| picture).collect()
    }

    /// The same, with the moment at which each was shown.
    pub fn shown(&mut self, name: &str) -> Vec<(Millis, Picture)> {
        std::mem::take(&mut self.person(name).studio.shown)
    }

    /// From the next call on, a person's own pictures are kept as they leave, after the codec.
    pub fn mirrors(&mut self, name: &str) {
        self.person(name).studio.mirror = Some(Mirror { receiver: None, shown: Vec::new(), bytes: 0 });
    }

    /// A person's own pictures as they left since the last call, each with the number that the camera
    /// gave it, and the bytes of all their media datagrams.
    pub fn mirrored(&mut self, name: &str) -> (Vec<(u64, Picture)>, usize) {
        let mirror = self.person(name).studio.mirror.as_mut().expect("the story mirrors this person");
        (std::mem::take(&mut mirror.shown), std::mem::take(&mut mirror.bytes))
    }

    /// A person's camera fails, with the call going on.
    pub fn source_fails(&mut self, name: &str) {
        let studio = &mut self.person(name).studio;
        studio.source = None;
        if let Some(sender) = &mut studio.sender {
            sender.rest();
        }
        self.event(name, Event::Media(MediaEvent::SourceFailed { why: "it was unplugged".into() }));
    }

    /// Where a person's own pictures come from, and how often that was to end.
    pub fn source(&mut self, name: &str) -> (String, u32) {
        let studio = &self.person(name).studio;
        (studio.words.clone(), studio.stops)
    }

    /// A person's sender, to look at.
    pub fn sender(&mut self, name: &str) -> &Sender {
        self.person(name).studio.sender.as_ref().expect("they are in a call")
    }

    /// How a person's way to the relay and back does from now on.
    pub fn links(&mut self, name: &str, link: Link) {
        self.person(name).links = [link; 2];
    }
}
