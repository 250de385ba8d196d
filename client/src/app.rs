//! The one state and the one function that changes it.

use crate::chat::call::CallState;
use crate::chat::expiry::span;
use crate::chat::groups::{AtDoor, Tally};
use crate::chat::room::{NO_ROOM, Room};
use crate::chat::talk::{Account, Talk};
use crate::chat::timeline::More;
use crate::chat::{Link, counted};
use crate::config::{Config, Video};
use crate::effect::{Effect, MediaEffect};
use crate::event::{Event, LinkEvent};
use crate::export::{self, history};
use crate::lock::{Idle, Leaving};
use crate::media::source::Size;
use crate::term::Caps;
use crate::ui::Ui;
use crate::ui::act;
use crate::ui::command::{Command, Secret, UiCommand};
use crate::ui::dialog::Dialog;
use crate::ui::lock;
use crate::ui::password::Password;
use crate::ui::picture::Change;
use rand_core::CryptoRngCore;
use std::collections::VecDeque;
use subrosa_shared::id::{MessageId, RoomId};
use subrosa_shared::protocol::auth::Login;
use subrosa_shared::protocol::frame::ToRelay;
use subrosa_shared::protocol::invite::Invite;
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::identity::Identity;
use subrosa_shared::store::{Error, Store};
use subrosa_shared::time::{Millis, Now};

pub use lines::{Lasting, Page, count, history};

mod acts;
mod after;
mod decide;
mod devices;
mod files;
mod leave;
mod lines;
mod profile;
mod rooms;
mod search;

/// The whole client, without its terminal, network and disk.
pub struct App {
    talk: Talk,
    ui: Ui,
    config: Config,
    /// Size, rate and budget of the own picture as they were set at the start.
    usual: Video,
    /// Pinned key of the relay, part of each login.
    fingerprint: [u8; 32],
    /// What opened, or is to open, the account at its relay.
    invite: Option<Invite>,
    woken: Option<Millis>,
    title: String,
    /// The store could not be read once: memory is ahead of the disk.
    broken: bool,
    /// What was typed when that was last looked at.
    typed: String,
    /// The conversation that the screen shows.
    shown: Option<RoomId>,
    /// What the terminal says about itself.
    terminal: String,
    /// There is a vault that can be locked.
    vault: bool,
    idle: Idle,
    /// Passwords of rooms that are asked for once nothing is being typed any more.
    asks: VecDeque<AtDoor>,
    /// The link whose room's password the screen asks for.
    asked: Option<Secret>,
    /// `None` as long as nobody wants the client to end.
    leaving: Option<Leaving>,
    /// The code for another machine that the screen shows.
    coded: Option<crate::chat::link::Shown>,
    /// How often connections were listed when the list was last shown.
    listings: u32,
    /// The file that is being read last, where it goes, and what was typed, of which nothing else is kept.
    given: Option<(MessageId, RoomId, String)>,
}

/// What an [`App`] is made of.
pub struct Parts {
    /// Who and where.
    pub account: Account,
    /// Keys of this device.
    pub identity: Identity,
    /// Records and secrets.
    pub store: Store,
    /// Settings.
    pub config: Config,
    /// What the terminal can do.
    pub caps: Caps,
    /// Seed of everything random.
    pub rng: Box<dyn CryptoRngCore + Send>,
    /// A vault holds all this: it can be locked, and burnt. The demo has none.
    pub vault: bool,
}

impl App {
    /// Loads what the store holds; the effects catch up what a crash left half done.
    ///
    /// # Errors
    /// Those of the store, and [`Error::Damaged`] for a relay link that cannot be read.
    pub fn load(parts: Parts, now: Now) -> Result<(Self, Vec<Effect>), Error> {
        let Parts { account, identity, store, config, caps, rng, vault } = parts;
        let link: RelayLink =
            account.relay.parse().map_err(|_| Error::Damaged("the relay's link in the profile".into()))?;
        let (mut talk, effects) = Talk::load(account, identity, store, config.clone(), rng, now)?;
        let mut ui = Ui::new(&config, caps);
        for (room, draft) in talk.drafts()? {
            if room == NO_ROOM {
                // Nor is anything open now: what is typed goes to nobody whom the person did not choose.
                talk.chat.open = None;
            }
            ui.restore_draft(room, draft);
        }
        let shown = talk.chat.open;
        ui.opened(shown);
        let typed = ui.draft().to_owned();
        let fingerprint = link.fingerprint;
        // Those that were asked for when the client ended.
        let asks = std::mem::take(&mut talk.chat.at_doors).into();
        let mut app = Self {
            talk,
            ui,
            vault,
            idle: Idle::new(&config.vault),
            asks,
            asked: None,
            leaving: None,
            usual: config.video.clone(),
            config,
            fingerprint,
            invite: link.invite,
            woken: None,
            title: String::new(),
            broken: false,
            typed,
            shown,
            terminal: String::new(),
            coded: None,
            listings: 0,
            given: None,
        };
        let mut effects = effects;
        app.finish(&mut effects, now);
        Ok((app, effects))
    }

    /// Something happened: the new state, and what to do about it, in order.
    pub fn update(&mut self, event: Event, now: Now) -> Vec<Effect> {
        self.ui.begins();
        let Some(event) = self.unless_locked(event, now) else { return Vec::new() };
        let vanished = self.talk.vanish(now);
        // What moved in memory without its line is not on disk: the relay delivers it again after a
        // restart, so nothing more may be taken or acknowledged before that.
        let relay = matches!(event, Event::Link(_));
        if !(self.broken && relay)
            && let Err(fault) = vanished.and_then(|()| self.react(event, now)).and_then(|()| self.after(now))
        {
            self.broken = true;
            self.talk.abandon();
            let text = format!(
                "the store cannot be read: {fault}. Nothing more is received; leave with Ctrl+C twice and start again"
            );
            self.ui.notice(text, true, now);
        }
        self.talk.share_state(now);
        let mut effects = self.talk.settle();
        self.follow_lines(&effects);
        for effect in &mut effects {
            self.show(effect, now);
        }
        self.finish(&mut effects, now);
        effects.push(Effect::Draw);
        effects
    }

    /// What the screen reads.
    pub fn chat(&self) -> &crate::chat::Chat {
        &self.talk.chat
    }

    /// The state of the screen.
    pub fn ui(&self) -> &Ui {
        &self.ui
    }

    /// Shows times in UTC instead of the system's zone.
    pub fn show_utc(&mut self) {
        self.ui.set_zone(jiff::tz::TimeZone::UTC);
    }

    /// True once after the person asked to draw everything again.
    pub fn take_redraw(&mut self) -> bool {
        self.ui.take_redraw()
    }

    /// The own device.
    pub fn device(&self) -> subrosa_shared::id::DeviceId {
        self.talk.device()
    }

    /// Envelopes that did not open, by anybody's fault.
    pub fn dropped(&self) -> u64 {
        self.talk.dropped
    }

    /// The store, with what is queued for the disk. Effects are committed through it.
    pub fn store(&self) -> &Store {
        self.talk.store()
    }

    /// What is wanted of a client that ends; `None` as long as it goes on.
    pub fn leaving(&self) -> Option<Leaving> {
        self.leaving
    }

    /// To how many members an own line of a room got; `None` for any other line.
    ///
    /// # Errors
    /// Those of the store.
    pub fn tally(&self, room: RoomId, id: &MessageId) -> Result<Option<Tally>, Error> {
        self.talk.tally(room, id)
    }

    /// Whether something of an own line is about to go to the relay; what the relay refuses for now does not
    /// count.
    pub fn on_its_way(&self, id: &MessageId) -> bool {
        self.talk.on_its_way(id)
    }

    /// Whether prekeys are on their way to the relay.
    pub fn publishes(&self) -> bool {
        self.talk.publishes()
    }

    /// Settings in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn react(&mut self, event: Event, now: Now) -> Result<(), Error> {
        let commands = match event {
            Event::Key(key) => self.ui.key(key, &self.talk.chat, now),
            Event::Paste(text) => self.ui.paste(&text, &self.talk.chat),
            Event::Mouse(mouse) => self.ui.mouse(mouse, &self.talk.chat),
            Event::Resize(width, height) => {
                self.ui.resize(width, height);
                Vec::new()
            }
            Event::Focus(on) => {
                self.ui.focus(on);
                Vec::new()
            }
            Event::Edited(edited) => {
                self.talk.looks_back(now);
                self.edited(edited, now)
            }
            Event::Resumed => {
                self.talk.looks_back(now);
                Vec::new()
            }
            Event::Run(command) => vec![command],
            Event::Link(link) => return self.link(link, now),
            Event::Media(media) => {
                self.talk.media_event(media, now);
                Vec::new()
            }
            Event::Terminal { caps, said } => {
                self.ui.learn(caps);
                self.terminal = said;
                Vec::new()
            }
            Event::Wake => {
                self.woken = None;
                self.talk.wake(now)?;
                Vec::new()
            }
            Event::Notice { text, error } => {
                self.talk.notice(text, error);
                Vec::new()
            }
            Event::Avatar(avatar) => {
                self.avatar(avatar, now);
                Vec::new()
            }
            Event::Transfer(report) => return self.file_report(report, now),
            Event::Progress(text) => {
                self.ui.notice(text, false, now);
                Vec::new()
            }
            Event::Stretched(stretched) => {
                self.talk.stretched(stretched);
                Vec::new()
            }
            Event::StretchedDoor(stretched) => {
                self.talk.stretched_door(stretched, now);
                Vec::new()
            }
            Event::StoreFailed(why) => {
                self.talk.chat.stuck = Some(why);
                Vec::new()
            }
            Event::StoreBack => {
                self.talk.chat.stuck = None;
                Vec::new()
            }
        };
        for command in commands {
            self.run(command, now)?;
        }
        Ok(())
    }

    fn link(&mut self, event: LinkEvent, now: Now) -> Result<(), Error> {
        match event {
            LinkEvent::Connected { exporter } => {
                let login: Login = self.talk.login(&self.fingerprint, &exporter);
                self.talk.connected(match self.invite.clone() {
                    Some(invite) => ToRelay::Enter(login, invite),
                    None => ToRelay::Authenticate(login),
                });
            }
            LinkEvent::Frame(frame) => self.talk.frame(frame, now)?,
            LinkEvent::Lost { why } => self.talk.lost(Link::Offline { why }, now),
            LinkEvent::Refused { why } => self.talk.lost(Link::Refused { why }, now),
        }
        Ok(())
    }

    fn run(&mut self, command: Command, now: Now) -> Result<(), Error> {
        let open = self.talk.chat.open;
        match command {
            Command::Say(text) => match open {
                Some(room) => self.say(room, text, More::default(), now)?,
                None => self.error("open a conversation first: /add NAME begins one"),
            },
            Command::TellTyped(said) => match act::told(&self.talk.chat, &said) {
                Ok((name, text)) => self.run(Command::Tell(name, text), now)?,
                Err(why) => self.error(&why),
            },
            Command::Tell(name, text) => {
                if name == self.talk.chat.name {
                    self.error("that is your own name");
                } else {
                    let room = self.talk.room_with(&name, now);
                    self.say(room, text, More::default(), now)?;
                }
            }
            Command::Add(name) if name == self.talk.chat.name => self.error("that is your own name"),
            Command::Add(name) => {
                let room = self.talk.room_with(&name, now);
                self.talk.accept(room, now)?;
                self.open(room, now)?;
            }
            Command::Meet(name) => {
                self.talk.room_with(&name, now);
            }
            Command::Open(room) => self.open(room, now)?,
            Command::Name(name) => match self.talk.rename(name) {
                Ok(()) => self.talk.then(Effect::Reconnect),
                Err(why) => self.error(&why),
            },
            Command::Trust
            | Command::Trusted(..)
            | Command::Distrust(_)
            | Command::Verify(..)
            | Command::Verified(..)
            | Command::Doubt(..)
            | Command::Unverify(_)
            | Command::Contacts
            | Command::Petname(..)
            | Command::Block(_)
            | Command::Unblock(_)
            | Command::Accept(_)
            | Command::DeclineRequest(_) => self.decide(command, now)?,
            Command::Profile(change) => self.profile(change, now),
            Command::Whois(name) => self.whois(name.as_ref()),
            Command::Expire(seconds) => self.expire(seconds, now),
            Command::Devices(command) => self.devices(command, now),
            Command::Attach { to, path, caption } => self.attach(to, path, caption, now)?,
            Command::Files(command) => self.files(command, now),
            Command::Room(room, command) => self.room(room, command, now)?,
            Command::Password => {
                let dialog =
                    Password::new(&self.talk.chat, self.talk.guards_password(), self.talk.has_password());
                self.ui.show(Dialog::Password(Box::new(dialog)));
            }
            Command::SetPassword { passphrase, password } => self.talk.set_password(passphrase.0, password.0),
            Command::Sessions(None) => self.talk.ask_sessions(),
            Command::Sessions(Some(nth)) => self.talk.end_session(nth),
            Command::Search(_)
            | Command::Find(_)
            | Command::FindOn(_)
            | Command::Jump(_)
            | Command::Hit(_)
            | Command::Back => self.look_for(command, now)?,
            Command::Retry => self.talk.retry(now)?,
            Command::Line(on, command) => self.line(on, command, now)?,
            Command::Pins => self.pins()?,
            Command::ToLine(id) => self.go_to_line(id)?,
            Command::Rings(level, seconds) => self.rings_here(level, seconds, now),
            Command::Video(source) => match (open, source) {
                (Some(room), Some(source)) if self.talk.films(room) => self.talk.film(source, now),
                (Some(room), source) => {
                    self.talk.call(room, source.unwrap_or_else(|| self.config.video.source.clone()), now)
                }
                (None, _) => self.error("open a conversation first: /add NAME begins one"),
            },
            Command::Answer(source) => {
                let rings = self.talk.chat.call.as_ref().filter(|call| call.state == CallState::Ringing);
                let room = rings.map(|call| call.room);
                self.talk.answer(source.unwrap_or_else(|| self.config.video.source.clone()));
                if let Some(room) = room {
                    self.open(room, now)?;
                }
            }
            Command::Decline if !self.rings() && self.asks() => {
                self.decide(Command::DeclineRequest(None), now)?;
            }
            Command::Picture(change) => {
                change.apply(&mut self.config.video, &self.usual);
                let Video { width, height, fps, kbps, .. } = self.config.video;
                if !matches!(change, Change::Size(..) | Change::Fps(_)) {
                    self.talk.then(Effect::Media(MediaEffect::Budget(kbps)));
                }
                if !matches!(change, Change::Budget(_)) {
                    self.talk.then(Effect::Media(MediaEffect::Shape { size: Size { width, height }, fps }));
                }
                self.talk.notice(change.said(&self.config.video), false);
            }
            Command::Decline => self.talk.decline(now),
            Command::Hangup => self.talk.hang_up(now),
            Command::Camera => self.talk.camera(now),
            Command::OwnPicture => self.talk.own_picture(),
            Command::Status => {
                let text = self.status();
                self.ui.show(Dialog::text("Status", text));
            }
            Command::Link => {
                let link = self.link_to_give();
                self.talk.then(Effect::Copy(link.clone()));
                let register = match self.invite {
                    Some(_) => ". To register there they need an invitation of their own, from its owner",
                    None => " and register there",
                };
                let text = format!(
                    "Whoever has this link can reach the relay{register}:\n\n{link}\n\nIt was copied to the clipboard, where the terminal allows that."
                );
                self.ui.show(Dialog::text("The relay's link", text));
            }
            Command::Export(path) => self.export(path, false),
            Command::ExportAll(path) => self.export(path, true),
            Command::ExportKeys(path, Some(passphrase)) => {
                self.talk.then(Effect::Export(Box::new(export::Job::Keys { path: path.into(), passphrase })));
            }
            Command::ExportKeys(_, None) => self.error("a key file is sealed under a passphrase: give one"),
            Command::Import => {
                self.ui.show(Dialog::text("Import", IMPORT));
            }
            Command::Copy(text) => {
                self.talk.then(Effect::Copy(text));
                self.talk.notice(COPIED.into(), false);
            }
            Command::Editor(text) => {
                self.edit(text, now)?;
            }
            Command::Reconnect => self.talk.then(Effect::Reconnect),
            Command::Mouse => {
                self.config.screen.mouse = !self.config.screen.mouse;
                self.talk.then(Effect::Mouse(self.config.screen.mouse));
                self.talk
                    .notice((if self.config.screen.mouse { "mouse on" } else { "mouse off" }).into(), false);
            }
            Command::Suspend => {
                self.talk.looks_away(now);
                self.talk.then(Effect::Suspend);
            }
            Command::Quit => self.leave(Leaving::Quit, now),
            Command::Lock if self.vault => self.leave(Leaving::Lock, now),
            Command::Burn(Some(name)) if self.vault && name == self.talk.chat.name => {
                self.leave(Leaving::Burn, now);
            }
            Command::Burn(_) if self.vault => {
                let name = self.talk.chat.name.clone();
                self.ui.show(lock::burn(&name, self.talk.chat.hosting));
            }
            Command::Lock | Command::Burn(_) => {
                self.error("this is the demo: it has no vault, and nothing of it is kept");
            }
            Command::Ui(UiCommand::Redraw) => {
                self.ui.run(UiCommand::Redraw, &self.talk.chat, now);
            }
            Command::Ui(command) => {
                for command in self.ui.run(command, &self.talk.chat, now) {
                    self.run(command, now)?;
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, room: RoomId, now: Now) -> Result<(), Error> {
        if self.talk.chat.open != Some(room) {
            self.talk.open(room, now)?;
            self.turn_to_open();
        }
        Ok(())
    }

    /// Writes a line; answering a stranger lets them in.
    fn say(&mut self, room: RoomId, text: String, more: More, now: Now) -> Result<(), Error> {
        match self.talk.chat.refuses(room, now) {
            Some(why) => self.error(&why),
            None => {
                self.talk.accept(room, now)?;
                self.talk.say_with(room, text, more, now)?;
            }
        }
        Ok(())
    }

    /// The screen shows what is open; what was typed in the conversation before stays there.
    fn turn_to_open(&mut self) {
        let open = self.talk.chat.open;
        // What was typed with nothing open waits for a person's choice.
        let may_turn = self.shown.is_some() || self.ui.has_screen();
        if self.shown != open && may_turn {
            if self.shown.is_some() {
                self.keep_draft();
            }
            self.ui.opened(open);
            if std::mem::replace(&mut self.shown, open).is_none() {
                // What was typed with nothing open went along.
                self.talk.keep_draft(NO_ROOM, "");
                self.keep_draft();
            }
            self.typed = self.ui.draft().to_owned();
        }
    }

    /// False when what is typed goes with the client.
    fn keep_draft(&mut self) -> bool {
        let kept = self.talk.keep_draft(self.shown.unwrap_or(NO_ROOM), self.ui.draft());
        kept && !self.ui.rewords()
    }

    fn status(&self) -> String {
        let chat = &self.talk.chat;
        let link = match &chat.link {
            Link::Online => "connected".to_string(),
            Link::Connecting | Link::LoggingIn => "connecting".to_string(),
            Link::Offline { why } => format!("not connected: {why}; it is tried again by itself"),
            Link::Refused { why } => format!("not connected: {why}"),
        };
        let hosting = if chat.hosting { " (hosted by this client)" } else { "" };
        let waiting = match (&chat.stuck, chat.waiting) {
            (Some(why), _) => format!("the store cannot write: {why}"),
            (None, 0) => "nothing waits to be sent".into(),
            (None, n) => counted(n as u64, "message waits to be sent", "messages wait to be sent"),
        };
        let dropped = counted(self.talk.dropped, "envelope", "envelopes");
        let people = chat.rooms.iter().filter(|room| room.group.is_none());
        let people = people.map(|room: &Room| match (&room.kept.peer, &room.kept.changed) {
            (Some(peer), Some(changed)) if peer == changed => {
                format!("  {}: OTHER DEVICES, nothing is sent before /trust", room.full_name())
            }
            (_, Some(_)) => {
                format!("  {}: KEY CHANGED, nothing is sent before /trust or /distrust", room.full_name())
            }
            (Some(peer), None) => {
                let verified = if room.is_verified() { ", verified" } else { "" };
                let refused = if room.last_refused().is_some() { ", another key refused" } else { "" };
                format!("  {}: device {}{verified}{refused}", room.full_name(), peer.device())
            }
            (None, None) => format!("  {}: not looked up yet", room.full_name()),
        });
        let mut shown = match self.terminal.as_str() {
            "" => "has not answered what it is".to_string(),
            said => said.to_string(),
        };
        let Video { width, height, fps, kbps, .. } = self.config.video;
        for line in chat.call.iter().flat_map(|call| [call.level.said(), Some(call.made.said())]).flatten() {
            shown.push_str(&format!("\n          {line}"));
        }
        format!(
            "subrosa {}\n\naccount   {}\ndevice    {}\nrelay     {}{hosting}\n          {link}\noutbox    {waiting}\ndropped   {dropped} that did not open\nterminal  {shown}\nvideo     yours {width}x{height}, at most {fps} pictures a second and {kbps} kbit/s\n\n\
             Messages are sealed from device to device: Noise Xpsk0 with X25519 and ML-KEM-768, AES-256-GCM, a new key \
             for each message. Pictures are sealed by SFrame. The relay sees who writes to whom, when and how much.\n\n\
             People, with the device whose key is pinned:\n{}",
            env!("CARGO_PKG_VERSION"),
            chat.name,
            self.talk.device(),
            self.link_to_give(),
            people.collect::<Vec<_>>().join("\n"),
        )
    }

    /// The relay's link as others can use it: the invitation that opened this account is used up.
    fn link_to_give(&self) -> String {
        let relay = &self.talk.chat.relay;
        match relay.parse::<RelayLink>() {
            Ok(link) => RelayLink { invite: None, ..link }.to_string(),
            Err(_) => relay.clone(),
        }
    }

    /// Says or sets for how long messages of the open conversation stay.
    fn expire(&mut self, seconds: Option<u32>, now: Now) {
        let Some(room) = self.talk.chat.current().map(|room| room.id) else {
            return self.error("open a conversation first: /add NAME begins one");
        };
        let is = self.talk.chat.room(room).map_or(0, |room| room.timeline.timer());
        match seconds {
            Some(seconds) if self.talk.set_expiry(room, seconds, now) => {}
            _ if is == 0 => {
                self.talk.notice("messages stay here; /expire 1d lets new ones disappear".into(), false)
            }
            _ => {
                let text = format!("new messages disappear {} after they are read; /expire off", span(is));
                self.talk.notice(text, false);
            }
        }
    }

    /// Exports the open conversation, or all.
    fn export(&mut self, path: String, all: bool) {
        let chat = &self.talk.chat;
        match chat.current() {
            None if !all => self.error("open a conversation first, or /export all FILE"),
            open => {
                let job = history::Job::new(chat, open.filter(|_| !all), path);
                self.talk.then(Effect::Export(Box::new(export::Job::History(job))));
            }
        }
    }

    fn error(&mut self, text: &str) {
        self.talk.notice(text.into(), true);
    }
}

/// Some terminals refuse it, and none says so.
const COPIED: &str = "copied, where the terminal allows that";

/// Where an import happens.
const IMPORT: &str = "\
A key file makes a new profile, on an empty machine; leave this client first:

    subrosa import FILE
    subrosa --profile OTHER import FILE     beside this one

The account then goes on there, with its contacts and what is thought of them, and must not go on here: /burn \
this profile once the other one works.";
