//! Profiles: the own one goes to contacts, theirs are kept and shown, and nobody passes for another.
//!
//! The own profile goes to a contact from whom something was opened under the pinned key, which only
//! comes from those who let us in: so strangers' clients never see it before their person accepts us,
//! and ours tells a stranger nothing. What each contact was told is kept beside the envelope that tells
//! it, so that a change reaches everybody once, whenever they and we are there.

use super::expiry::AHEAD;
use super::room::Room;
use super::talk::{ACCOUNT, Talk};
use crate::effect::Happened;
use crate::media::avatar;
use crate::text;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use subrosa_shared::content::Content;
use subrosa_shared::content::own::Own;
use subrosa_shared::id::{AccountName, RoomId};
use subrosa_shared::profile::{NAME_MAX, Profile, STATUS_MAX};
use subrosa_shared::session::Why;
use subrosa_shared::store::{Batch, Error, Store, Table};
use subrosa_shared::time::Now;
use subrosa_shared::video::picture::Picture;
use unicode_segmentation::UnicodeSegmentation;

/// Room id → version (1) ‖ what [`Portrait`] keeps.
pub const PROFILES: Table = Table { byte: 0x2f, name: "profiles" };

/// The own profile, in [`ACCOUNT`].
const OWN: &[u8] = b"profile";

/// What a person says of themselves, and what they know of us.
#[derive(Debug, Default)]
pub struct Portrait {
    kept: Kept,
    /// Their avatar.
    pub picture: Option<Picture>,
    /// Their display name, where nobody else could be meant by it.
    pub alias: Option<String>,
    /// Their display name and the person or room that else could be meant by it.
    pub clash: Option<(String, String)>,
}

/// What is stored.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    profile: Profile,
    /// The identity key under which they let us hear of them.
    heard: Option<[u8; 32]>,
    /// The identity key to all of whose devices the own profile was sealed, and that profile's version.
    told: Option<([u8; 32], u64)>,
}

/// A change of the own profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Display name; empty takes it back.
    Name(String),
    /// Status line; empty takes it back.
    Status(String),
    /// Avatar from that file; `None` takes it back.
    Avatar(Option<PathBuf>),
}

impl Portrait {
    /// Their status line, harmless; empty for none.
    pub fn status(&self) -> &str {
        &self.kept.profile.status
    }

    /// Their display name, harmless; empty for none.
    pub fn display_name(&self) -> &str {
        &self.kept.profile.name
    }

    pub(super) fn load(store: &Store, room: RoomId) -> Result<Self, Error> {
        let Some(bytes) = store.records.get(PROFILES, &room.0)? else { return Ok(Self::default()) };
        let kept = match bytes.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes::<Kept>(rest).ok(),
            _ => None,
        };
        let mut kept = kept.ok_or_else(|| Error::Damaged("a profile".into()))?;
        // Older versions kept signs that mean something beside a name.
        kept.profile.name = clean_name(&kept.profile.name);
        Ok(Self { picture: avatar::decode(&kept.profile.avatar), kept, ..Self::default() })
    }

    fn save(&self, room: RoomId, batch: &mut Batch) {
        let mut value = vec![VERSION];
        value.extend(postcard::to_stdvec(&self.kept).expect("a profile serialises: plain fields only"));
        batch.put(PROFILES, room.0, value);
    }

    fn show(&mut self, name: String, clash: Option<String>) {
        (self.alias, self.clash) = match (name.is_empty(), clash) {
            (true, _) => (None, None),
            (false, None) => (Some(name), None),
            (false, Some(other)) => (None, Some((name, other))),
        };
    }

    #[cfg(test)]
    pub(crate) fn said(profile: Profile) -> Self {
        let picture = avatar::decode(&profile.avatar);
        Self { kept: Kept { profile, ..Kept::default() }, picture, ..Self::default() }
    }
}

/// The own profile from the store.
pub(super) fn own(store: &Store) -> Result<Profile, Error> {
    let Some(bytes) = store.records.get(ACCOUNT, OWN)? else { return Ok(Profile::default()) };
    postcard::from_bytes(&bytes).map_err(|_| Error::Damaged("the own profile".into()))
}

impl Talk {
    /// Changes the own display name or status line, and tells contacts.
    ///
    /// # Errors
    /// A sentence: it is too long, or no name at all.
    pub fn profile_name(&mut self, name: &str, now: Now) -> Result<(), String> {
        let cleaned = clean_name(name);
        if cleaned.is_empty() && !name.trim().is_empty() {
            return Err("nothing of that name can be shown: use letters".into());
        }
        if cleaned.len() > NAME_MAX {
            return Err(format!("a display name has at most {NAME_MAX} bytes of UTF-8: shorten it"));
        }
        self.profile(|profile| profile.name = cleaned, now);
        Ok(())
    }

    /// See [`Talk::profile_name`].
    ///
    /// # Errors
    /// A sentence: it is too long.
    pub fn profile_status(&mut self, status: &str, now: Now) -> Result<(), String> {
        let status = text::line(status).trim().to_owned();
        if status.chars().count() > STATUS_MAX {
            return Err(format!("a status line has at most {STATUS_MAX} characters: shorten it"));
        }
        self.profile(|profile| profile.status = status, now);
        Ok(())
    }

    /// Sets the own avatar, as [`avatar::read`] made it; empty takes it back.
    pub fn profile_avatar(&mut self, avatar: Vec<u8>, now: Now) {
        self.profile(|profile| profile.avatar = avatar, now);
    }

    fn profile(&mut self, change: impl FnOnce(&mut Profile), now: Now) {
        let mut profile = self.chat.profile.clone();
        change(&mut profile);
        if profile == self.chat.profile {
            return;
        }
        // Rises on a clock that stands still or goes back, and beyond what another device said.
        profile.version = now.wall.0.max(profile.version.saturating_add(1));
        self.keep_profile(profile.clone());
        self.tell_siblings(Own::Profile(profile), None, now);
        self.share_profile(now);
    }

    /// Set on another own device, which tells contacts too; the newest version holds.
    pub(super) fn profile_there(&mut self, profile: Profile, now: Now) {
        if profile.version > ahead(now) {
            self.dropped += 1;
        } else if profile.version > self.chat.profile.version {
            self.keep_profile(profile);
        }
    }

    /// What an earlier version took under a version that no other is above gives way to the next one.
    pub(super) fn bound_profiles(&mut self, now: Now) {
        let most = ahead(now);
        if self.chat.profile.version > most {
            self.keep_profile(Profile { version: now.wall.0, ..self.chat.profile.clone() });
        }
        for room in self.chat.rooms.iter_mut().filter(|room| room.portrait.kept.profile.version > most) {
            room.portrait.kept.profile.version = 0;
            room.portrait.save(room.id, &mut self.batch);
        }
    }

    fn keep_profile(&mut self, profile: Profile) {
        let value = postcard::to_stdvec(&profile).expect("a profile serialises: plain fields only");
        self.batch.put(ACCOUNT, OWN, value);
        self.chat.profile = profile;
        self.name_people();
    }

    /// Tells the own profile to every contact who does not know it.
    pub(super) fn share_profile(&mut self, now: Now) {
        for room in self.chat.rooms.iter().map(|room| room.id).collect::<Vec<_>>() {
            self.share_with(room, now);
        }
    }

    /// Something of a contact's was opened under the pinned key: they have let us in.
    pub(super) fn heard_of(&mut self, room: RoomId, now: Now) {
        let Some(r) = self.chat.room_mut(room).filter(|room| room.person.is_contact()) else { return };
        let identity = r.kept.peer.map(|peer| peer.identity);
        if identity.is_some() && r.portrait.kept.heard != identity {
            r.portrait.kept.heard = identity;
            self.save_portrait(room);
        }
        self.share_with(room, now);
    }

    fn share_with(&mut self, room: RoomId, now: Now) {
        self.share_expiry(room, now);
        let own = self.chat.profile.version;
        let same = |content: &Content| matches!(content, Content::Profile(profile) if profile.version == own);
        // What waits for one device went to the others when it was said.
        if self.lacks_profile(room) && !self.waits(room, same) {
            self.say_profile(room, now);
        }
    }

    /// Whether a contact is to know the own profile and was not told.
    fn lacks_profile(&self, room: RoomId) -> bool {
        let own = &self.chat.profile;
        let Some(r) = self.chat.room(room).filter(|room| room.is_open()) else { return false };
        let Some(identity) = r.kept.peer.map(|peer| peer.identity) else { return false };
        let (kept, wanted) = (&r.portrait.kept, Some((identity, own.version)));
        own.version > 0 && kept.heard == Some(identity) && kept.told != wanted
    }

    fn say_profile(&mut self, room: RoomId, now: Now) {
        let content = Content::Profile(self.chat.profile.clone());
        // One that still waits for a session has been overtaken.
        for queue in self.waiting.values_mut().chain(self.queues.values_mut()) {
            queue.retain(|next| next.room != Some(room) || !matches!(*next.content, Content::Profile(_)));
        }
        self.transmit(room, content, Why::Signal, None, now);
    }

    /// The own profile of that version is in the outbox for a device of theirs. What waits for another one is in
    /// memory alone: only with the last are they told.
    pub(super) fn profile_told(&mut self, room: RoomId, version: u64) {
        if self.waits(room, |content| matches!(content, Content::Profile(_))) {
            return;
        }
        let Some(r) = self.chat.room_mut(room) else { return };
        r.portrait.kept.told = r.kept.peer.map(|peer| (peer.identity, version));
        self.save_portrait(room);
    }

    /// What was sealed to them may be lost: the profile too, and for how long messages stay.
    pub(super) fn profile_again(&mut self, room: RoomId, now: Now) {
        self.expiry_again(room, now);
        let Some(r) = self.chat.room_mut(room) else { return };
        if r.portrait.kept.told.take().is_some() {
            self.save_portrait(room);
        }
        if self.lacks_profile(room) {
            self.say_profile(room, now);
        }
    }

    /// A contact's profile. The newest version holds, in whichever order they come.
    pub(super) fn profile_came(&mut self, room: RoomId, mut profile: Profile, now: Now) {
        let Some(r) = self.chat.room_mut(room) else { return };
        if profile.version > ahead(now) {
            self.dropped += 1;
            return;
        }
        if profile.version <= r.portrait.kept.profile.version {
            return;
        }
        profile.name = clean_name(&profile.name);
        profile.status = text::line(&profile.status).trim().to_owned();
        let picture = avatar::decode(&profile.avatar);
        let nonsense = picture.is_none() && !profile.avatar.is_empty();
        if nonsense {
            profile.avatar.clear();
        }
        let Some(with) = r.with().cloned() else { return };
        let told = Happened::Profile {
            with,
            name: profile.name.clone(),
            status: profile.status.clone(),
            avatar: picture.is_some(),
        };
        (r.portrait.kept.profile, r.portrait.picture) = (profile, picture);
        self.dropped += u64::from(nonsense);
        self.save_portrait(room);
        self.name_people();
        self.tell(told);
    }

    /// Decides by which name each person is shown.
    pub(super) fn name_people(&mut self) {
        self.chat.name_people();
    }

    fn save_portrait(&mut self, room: RoomId) {
        if let Some(r) = self.chat.rooms.iter().find(|r| r.id == room) {
            r.portrait.save(room, &mut self.batch);
        }
    }
}

impl super::Chat {
    /// Decides by which name each person is shown: their own for themselves only where nobody else could
    /// be meant by it, neither by account, nor by own name here, nor by display name, and no room.
    pub(crate) fn name_people(&mut self) {
        let mine = [self.name.as_str(), &self.profile.name].map(skeleton);
        let names: Vec<[String; 3]> = self.rooms.iter().map(names_of).collect();
        let found: Vec<Option<String>> = (0..self.rooms.len())
            .map(|at| {
                let wanted = names[at][2].as_str();
                if mine.iter().any(|name| name == wanted) {
                    return Some("you".to_owned());
                }
                let taken = |other: &usize| *other != at && names[*other].iter().any(|name| name == wanted);
                (0..names.len()).find(taken).map(|other| {
                    let other = &self.rooms[other];
                    other.with().map_or_else(|| other.name().to_owned(), ToString::to_string)
                })
            })
            .collect();
        for (room, clash) in self.rooms.iter_mut().zip(found) {
            let name = room.portrait.display_name().to_owned();
            room.portrait.show(name, clash);
        }
    }
}

/// The highest version that counts: they go by the clock, and nobody takes the last one there is.
fn ahead(now: Now) -> u64 {
    now.wall.plus(AHEAD).0
}

/// Account or room's name, own name here and display name, as they are compared; an empty one equals nothing.
fn names_of(room: &Room) -> [String; 3] {
    let petname = room.person.petname.as_deref().unwrap_or_default();
    let known = room.with().map_or_else(|| room.name(), AccountName::as_str);
    [known, petname, room.portrait.display_name()].map(skeleton)
}

/// A display name as it may be shown: one harmless line, without the signs that mean something beside
/// a name, and no longer than the bound.
fn clean_name(name: &str) -> String {
    let plain: String = text::line(name).chars().map(|c| if SIGNS.contains(c) { ' ' } else { c }).collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let mut out = String::new();
    for grapheme in words.join(" ").graphemes(true) {
        if out.len() + grapheme.len() > 2 * NAME_MAX {
            break;
        }
        out.push_str(grapheme);
    }
    out
}

/// Letters and digits alone, with those that look alike made one. Empty names equal nothing.
fn skeleton(name: &str) -> String {
    let alike = |c: char| match c {
        '0' | 'о' | 'ο' | 'օ' | 'º' => 'o',
        '1' | 'i' | '|' | 'ı' | 'і' | 'ι' | 'ӏ' | 'l' | '!' => 'l',
        'а' | 'α' | '@' => 'a',
        'в' | 'β' => 'b',
        'с' | 'ϲ' => 'c',
        'ԁ' => 'd',
        'е' | 'ε' | '3' => 'e',
        'һ' | 'н' => 'h',
        'ј' => 'j',
        'к' | 'κ' => 'k',
        'м' => 'm',
        'п' => 'n',
        'р' | 'ρ' => 'p',
        'ѕ' | '5' | '$' => 's',
        'т' | 'τ' => 't',
        'υ' | 'ս' => 'u',
        'ν' | 'ѵ' => 'v',
        'ѡ' | 'ω' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' => 'y',
        // Full-width letters.
        'ａ'..='ｚ' => char::from_u32(u32::from(c) - 0xff41 + u32::from('a')).unwrap_or(c),
        other => other,
    };
    let lower = name.chars().flat_map(char::to_lowercase).map(alike);
    let letters: String = lower.filter(|c| c.is_alphanumeric()).collect();
    // Two letters that look like one.
    let letters = letters.replace("rn", "m").replace("vv", "w");
    if letters.is_empty() { name.trim().to_owned() } else { letters }
}

/// Signs that the screen puts beside names or before them, and brackets, in which it puts accounts.
const SIGNS: &str = "◆◇●○✎▶×≈✓✔…!()[]{}<>«»“”\"@:#";

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::tests::alone;
    use std::sync::Arc;
    use subrosa_shared::store::memory::{Memory, MemorySlots};
    use subrosa_shared::time::Millis;

    #[test]
    fn a_version_that_no_other_is_above_is_not_taken_and_gives_way_where_an_earlier_version_took_it() {
        let now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };
        let mut talk = alone(now);
        let room = talk.room_with(&AccountName::parse("ben").expect("valid"), now);
        let said = |version, name: &str| Profile { version, name: name.into(), ..Profile::default() };
        let shown = |talk: &Talk| {
            let theirs = talk.chat.room(room).map(|room| room.portrait.display_name().to_owned());
            (theirs.expect("there"), talk.chat.profile.name.clone())
        };
        talk.profile_came(room, said(u64::MAX, "Thief"), now);
        talk.profile_there(said(u64::MAX, "Thief"), now);
        assert_eq!(shown(&talk), (String::new(), String::new()));
        // As an earlier version left them.
        talk.chat.room_mut(room).expect("there").portrait = Portrait::said(said(u64::MAX, "Thief"));
        talk.chat.profile = said(u64::MAX, "Thief");
        talk.bound_profiles(now);
        talk.profile_came(room, said(now.wall.0, "Ben"), now);
        talk.profile_there(said(now.wall.0 + 1, "Ada"), now);
        assert_eq!(shown(&talk), ("Ben".into(), "Ada".into()));
    }

    #[test]
    fn names_that_look_alike_are_one() {
        for (one, other) in [
            ("ada", "ADA"),
            ("ada", "аda"),
            ("paul", "pau1"),
            ("rosa", "r0sa"),
            ("ben", " B e n "),
            ("mia", "rnia"),
        ] {
            assert_eq!(skeleton(one), skeleton(other), "{one} {other}");
        }
        assert_ne!(skeleton("ada"), skeleton("adam"));
        assert_ne!(skeleton("日本"), skeleton("日出"));
    }

    #[test]
    fn a_name_with_a_rooms_sign_is_read_without_it() {
        let store = Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) };
        let (room, mut batch) = (RoomId([1; 16]), Batch::default());
        Portrait::said(Profile { name: "#club".into(), ..Profile::default() }).save(room, &mut batch);
        store.commit(&batch).expect("memory");
        assert_eq!(Portrait::load(&store, room).expect("reads").display_name(), "club");
    }

    #[test]
    fn a_display_name_is_one_plain_line() {
        assert_eq!(clean_name("  Rosa \u{202e}L.\n◆ verified (ada) "), "Rosa L. verified ada");
        assert_eq!(clean_name("\u{200b}◆"), "");
        assert_eq!(clean_name("#club"), "club");
        assert!(clean_name(&"é".repeat(5000)).len() <= 2 * NAME_MAX);
    }
}
