//! Whatever four devices do, in whatever order, with room on the disk and without: each envelope that was
//! accepted arrives once and in order, prekeys, lists and bytes of files that were taken are there, what is
//! counted is what is there, nothing grows past its bound, and nothing panics.

use super::lists::lists;
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::AtomicUsize;
use subrosa_relay::admin::check;
use subrosa_relay::blobs::{Blobs, Upload};
use subrosa_shared::id::DoorId;
use subrosa_shared::protocol::blob::{self, BlobId, UNIT};
use subrosa_shared::protocol::door::Watch;
use subrosa_shared::protocol::envelope::Move;

#[derive(Clone, Debug)]
enum Deed {
    Join(u8),
    Leave(u8),
    Send(u8, Vec<u8>, u16, Keep),
    /// One that this device said before is said again under its id, as after a cut.
    Again(u8, u8),
    Take(u8, u8),
    Claim(u8, u8),
    Look(u8, u8),
    Door(u8, u8),
    Knock(u8, u8),
    Move(u8, u8, u8),
    Track(u8, Vec<u8>),
    Picture(u8, Vec<u8>),
    Nonsense(u8),
    /// One more prekey.
    Publish(u8),
    /// The next version of a list.
    List(u8),
    /// A file is begun, or gone on with.
    Put(u8, u8),
    /// So many bytes more of the file that this device has under way.
    Write(u8, u32),
    /// It goes on with that one no further.
    Drop(u8),
    Delete(u8, u8),
    Get(u8, u8),
    /// Whether the disk is full for what is not small.
    Full(bool),
    /// So many frames come before the next one is committed, and they with it.
    Together(u8),
    Wait(u32),
    Restart,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let who = || 1_u8..=4;
    let people = || prop::collection::vec(1_u8..=4, 1..4);
    let keep = prop_oneof![4 => Just(Keep::Stored), 1 => Just(Keep::Fleeting)];
    let deed = prop_oneof![
        4 => who().prop_map(Deed::Join),
        1 => who().prop_map(Deed::Leave),
        8 => (who(), people(), 0_u16..600, keep)
            .prop_map(|(from, to, size, keep)| Deed::Send(from, to, size, keep)),
        2 => (who(), any::<u8>()).prop_map(|(who, which)| Deed::Again(who, which)),
        6 => (who(), 0_u8..6).prop_map(|(who, count)| Deed::Take(who, count)),
        1 => (who(), who()).prop_map(|(who, of)| Deed::Claim(who, of)),
        1 => (who(), who()).prop_map(|(who, of)| Deed::Look(who, of)),
        1 => (who(), 0_u8..2).prop_map(|(who, door)| Deed::Door(who, door)),
        1 => (who(), 0_u8..2).prop_map(|(who, door)| Deed::Knock(who, door)),
        1 => (who(), 0_u8..3, 0_u8..3).prop_map(|(who, from, to)| Deed::Move(who, from, to)),
        1 => (who(), people()).prop_map(|(who, viewers)| Deed::Track(who, viewers)),
        1 => (who(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(who, b)| Deed::Picture(who, b)),
        1 => who().prop_map(Deed::Nonsense),
        2 => who().prop_map(Deed::Publish),
        1 => who().prop_map(Deed::List),
        3 => (who(), 0_u8..3).prop_map(|(who, which)| Deed::Put(who, which)),
        5 => (who(), 0..2 * UNIT as u32).prop_map(|(who, count)| Deed::Write(who, count)),
        1 => who().prop_map(Deed::Drop),
        1 => (who(), 0_u8..3).prop_map(|(who, which)| Deed::Delete(who, which)),
        2 => (who(), 0_u8..3).prop_map(|(who, which)| Deed::Get(who, which)),
        1 => Just(Deed::Full(true)),
        2 => Just(Deed::Full(false)),
        2 => (1_u8..6).prop_map(Deed::Together),
        2 => (0_u32..7_200_000).prop_map(Deed::Wait),
        1 => Just(Deed::Restart),
    ];
    prop::collection::vec(deed, 1..80)
}

/// What must be true of the relay, kept beside it.
#[derive(Default)]
struct Truth {
    conns: BTreeMap<u8, Conn>,
    /// Ids of everything that was accepted for a device, in order.
    accepted: BTreeMap<u8, Vec<u64>>,
    /// How many of them it has acknowledged.
    taken: BTreeMap<u8, usize>,
    /// What came on the connection it has, with its number there.
    under_way: BTreeMap<u8, Vec<Seq>>,
    /// Sent, and not answered yet.
    asked: BTreeMap<u64, Vec<u8>>,
    /// Who was there when a fleeting one was sent, and on which connection.
    fleeting: BTreeMap<u64, BTreeMap<u8, Conn>>,
    /// What each device sent to be stored.
    sent: BTreeMap<u8, Vec<Outgoing>>,
    /// Accepted once.
    known: BTreeSet<u64>,
    /// The file that a device has under way, which one it is and how much was written.
    uploads: BTreeMap<u8, (u8, usize, Upload)>,
    /// How much of a file counts by the relay's word.
    stored: BTreeMap<u8, u64>,
    /// How many one-time prekeys of a device the relay has by its own word.
    prekeys: BTreeMap<u8, u32>,
    /// Those that it gave away.
    given: BTreeSet<Vec<u8>>,
    /// How many versions of an account's list it has by its own word.
    listed: BTreeMap<u8, usize>,
    /// So many frames are not committed yet when they were said.
    together: u8,
    next: u64,
}

/// What prekeys and lists are asked by, with the number of the device.
const PREKEYS: u32 = 100;
const LISTS: u32 = 200;

const WINDOW: usize = 3;
const MAILBOX: usize = 8;

fn bounds() -> Limits {
    Limits {
        window_envelopes: WINDOW as u32,
        mailbox_envelopes: MAILBOX as u32,
        total_bytes: 8_000,
        room_heads: 2,
        tracks: 1,
        // Not the two longest files, and not all three.
        account_file_bytes: 150_000,
        total_file_bytes: 200_000,
        // What counts stays for longer than a sequence lasts.
        half_file_hours: 1000,
        ..Limits::default()
    }
}

fn number(id: EnvelopeId) -> u64 {
    u64::from_be_bytes(id.0[..8].try_into().expect("eight bytes"))
}

impl Truth {
    fn heard(&mut self, outs: &[Out]) {
        for out in outs {
            let Out::Frame(conn, frame) = out else { continue };
            let Some(who) = self.conns.iter().find(|(_, own)| *own == conn).map(|(who, _)| *who) else {
                continue;
            };
            match frame {
                ToDevice::Deliver(delivery) => {
                    let under_way = self.under_way.entry(who).or_default();
                    let at = self.taken.get(&who).copied().unwrap_or(0) + under_way.len();
                    let wanted = self.accepted.get(&who).and_then(|all| all.get(at)).copied();
                    assert_eq!(Some(number(delivery.id)), wanted, "each once, in order");
                    assert!(under_way.last().is_none_or(|last| *last < delivery.seq), "numbers rise");
                    under_way.push(delivery.seq);
                    assert!(under_way.len() <= WINDOW, "no more than the window");
                }
                // A delivery may come before the word to its sender; then it is counted there.
                ToDevice::Accepted(id) => drop(self.asked.remove(&number(*id))),
                ToDevice::Rejected { id, .. } => drop(self.asked.remove(&number(*id))),
                _ => {}
            }
        }
    }

    /// Counts what was accepted before what was delivered is looked at.
    fn took(&mut self, outs: &[Out]) {
        for out in outs {
            match out {
                Out::Frame(_, ToDevice::Accepted(id)) => {
                    let id = number(*id);
                    self.known.insert(id);
                    for to in self.asked.remove(&id).unwrap_or_default() {
                        // Who was not there, or is elsewhere by now, does not get what is fleeting.
                        let was = self.fleeting.get(&id).map(|there| there.get(&to));
                        if was.is_none_or(|conn| conn.is_some() && conn == self.conns.get(&to)) {
                            self.accepted.entry(to).or_default().push(id);
                        }
                    }
                }
                Out::Close(conn, _) => {
                    if let Some(who) = self.conns.iter().find(|(_, own)| *own == conn).map(|(who, _)| *who) {
                        self.gone(who);
                    }
                }
                Out::Frame(_, ToDevice::Prekey { device: of, bundle, .. }) => {
                    assert!(self.given.insert(bundle.clone()), "each prekey goes to one");
                    let who = (1..=4).find(|who| device(*who) == *of).expect("one of four");
                    *self.prekeys.get_mut(&who).expect("it was taken") -= 1;
                }
                Out::Frame(_, ToDevice::Done(ask)) => {
                    for who in 1..=4_u8 {
                        if *ask == Ask(PREKEYS + u32::from(who)) {
                            *self.prekeys.entry(who).or_default() += 1;
                        } else if *ask == Ask(LISTS + u32::from(who)) {
                            *self.listed.entry(who).or_default() += 1;
                        }
                    }
                }
                _ => {}
            }
        }
        self.heard(outs);
        for (who, all) in &self.accepted {
            let waiting = all.len() - self.taken.get(who).copied().unwrap_or(0);
            assert!(waiting <= MAILBOX, "{waiting} wait for {who}");
        }
    }

    fn gone(&mut self, who: u8) -> Option<Conn> {
        self.under_way.remove(&who);
        let taken = self.taken.get(&who).copied().unwrap_or(0);
        // What is fleeting and was not taken does not come again.
        if let Some(all) = self.accepted.get_mut(&who) {
            let rest = all.split_off(taken);
            all.extend(rest.into_iter().filter(|id| !self.fleeting.contains_key(id)));
        }
        self.conns.remove(&who)
    }

    fn joins(&mut self, stage: &mut Stage, who: u8) {
        self.commits(stage);
        self.gone(who);
        let conn = stage.connect();
        self.conns.insert(who, conn);
        let outs = stage.log_in_as(conn, who, name(who), true);
        let frames = to(conn, &outs);
        let left = frames.iter().find_map(|frame| match frame {
            ToDevice::Welcome(welcome) => Some(welcome.prekeys_left),
            _ => None,
        });
        let wanted = self.prekeys.get(&who).copied().unwrap_or(0);
        assert_eq!(left, Some(wanted), "{who}: {frames:?}");
        self.took(&outs);
    }

    fn commits(&mut self, stage: &mut Stage) {
        let outs = stage.commit();
        self.took(&outs);
    }

    /// Something about files, which are beside all frames, by whoever is there. On a full disk their index has no
    /// room either.
    fn files<T>(&self, stage: &Stage, who: u8, work: impl FnOnce(&Arc<Blobs>, Conn) -> T) -> Option<T> {
        let conn = *self.conns.get(&who)?;
        let room = &stage.disk.rule;
        room.to_the_brim.store(room.full.load(SeqCst), SeqCst);
        let done = work(&stage.relay.blobs(), conn);
        room.to_the_brim.store(false, SeqCst);
        Some(done)
    }

    /// Writes on, and says how much counts from then on when that is more.
    fn writes(&mut self, stage: &Stage, who: u8, count: usize) {
        let Some((which, written, mut upload)) = self.uploads.remove(&who) else { return };
        let all = content(which);
        let end = all.len().min(written + count);
        let before = upload.stored();
        let done = self.files(stage, who, |_, _| {
            upload.write(&all[written..end])?;
            upload.sync(stage.now)
        });
        // With another word from the relay, the stream would end.
        if let Some(Ok(stored)) = done {
            if stored > before {
                self.stored.insert(which, stored);
                STORED.fetch_add(1, SeqCst);
            }
            self.uploads.insert(who, (which, end, upload));
        }
    }

    fn does(&mut self, stage: &mut Stage, deed: Deed) {
        let mut said = |truth: &mut Self, who: u8, frame: ToRelay| {
            let Some(conn) = truth.conns.get(&who) else { return };
            stage.relay.frame(*conn, frame, stage.now);
            match truth.together.checked_sub(1) {
                Some(left) => truth.together = left,
                None => truth.commits(stage),
            }
        };
        match deed {
            Deed::Send(from, mut to, size, keep) => {
                to.sort_unstable();
                to.dedup();
                self.next += 1;
                let mut id = [0; 16];
                id[..8].copy_from_slice(&self.next.to_be_bytes());
                let heads = to.iter().map(|to| Head { to: device(*to), bytes: vec![1] }).collect();
                let outgoing =
                    Outgoing { id: EnvelopeId(id), keep, to: heads, body: vec![7; size.into()], moves: None };
                self.asked.insert(self.next, to);
                match keep {
                    Keep::Stored => self.sent.entry(from).or_default().push(outgoing.clone()),
                    Keep::Fleeting => drop(self.fleeting.insert(self.next, self.conns.clone())),
                }
                said(self, from, ToRelay::Send(outgoing));
            }
            Deed::Again(who, which) => {
                let Some(sent) = self.sent.get(&who) else { return };
                let outgoing = sent[usize::from(which) % sent.len()].clone();
                let id = number(outgoing.id);
                if !self.known.contains(&id) {
                    let to = |head: &Head| (1..=4).find(|who| device(*who) == head.to).expect("one of four");
                    self.asked.insert(id, outgoing.to.iter().map(to).collect());
                }
                said(self, who, ToRelay::Send(outgoing));
            }
            Deed::Take(who, count) => {
                for _ in 0..count {
                    let Some(first) = self.under_way.get_mut(&who).filter(|all| !all.is_empty()) else {
                        break;
                    };
                    let seq = first.remove(0);
                    *self.taken.entry(who).or_default() += 1;
                    said(self, who, ToRelay::Ack(seq));
                }
            }
            Deed::Claim(who, of) => said(self, who, ToRelay::Claim { ask: Ask(1), device: device(of) }),
            Deed::Look(who, of) => {
                said(self, who, ToRelay::Claim { ask: Ask(2), device: DeviceId([of; 16]) })
            }
            Deed::Door(who, door) => {
                let watch = Watch { door: DoorId([door; 16]), key: [9; 32], guard: guard() };
                said(self, who, ToRelay::WatchDoor { ask: Ask(3), watch });
            }
            Deed::Knock(who, door) => {
                said(self, who, ToRelay::Knock { ask: Ask(4), door: DoorId([door; 16]), bytes: vec![5; 50] });
            }
            Deed::Move(who, from, to) => {
                self.next += 1;
                let mut id = [0; 16];
                id[..8].copy_from_slice(&self.next.to_be_bytes());
                let moves =
                    Move { handle: [7; 16], from: [from; 32], to: [to; 32], key: [9; 32], guard: guard() };
                let outgoing = Outgoing {
                    id: EnvelopeId(id),
                    keep: Keep::Stored,
                    to: vec![Head { to: device(1), bytes: vec![1] }],
                    body: vec![],
                    moves: Some(Box::new(moves)),
                };
                self.asked.insert(self.next, vec![1]);
                said(self, who, ToRelay::Send(outgoing));
            }
            Deed::Track(who, viewers) => {
                let viewers = viewers.into_iter().map(device).collect();
                said(self, who, ToRelay::OpenTrack { ask: Ask(5), viewers });
            }
            Deed::Join(who) => self.joins(stage, who),
            Deed::Leave(who) => {
                if let Some(conn) = self.gone(who) {
                    stage.relay.gone(conn);
                    self.commits(stage);
                }
            }
            Deed::Picture(who, bytes) => {
                if let Some(conn) = self.conns.get(&who) {
                    stage.relay.datagram(*conn, &bytes, stage.now);
                    self.commits(stage);
                }
            }
            Deed::Nonsense(who) => {
                if let Some(conn) = self.gone(who) {
                    stage.relay.malformed(conn, Refusal::Malformed);
                    let outs = stage.commit();
                    assert!(outs.contains(&Out::Close(conn, Refusal::Malformed)));
                    self.took(&outs);
                }
            }
            Deed::Wait(ms) => {
                stage.pass(ms.into());
                stage.relay.tick(stage.now);
                self.commits(stage);
            }
            Deed::Publish(who) => {
                self.next += 1;
                let id = u8::try_from(self.next).expect("fewer deeds than that");
                let bundles = vec![bundle(who, id, Kind::OneTime)];
                said(self, who, ToRelay::Publish { ask: Ask(PREKEYS + u32::from(who)), bundles });
            }
            Deed::List(who) => {
                let known = self.listed.get(&who).copied().unwrap_or(0);
                if let Some(version) = lists(who, who + 10).0.into_iter().nth(known) {
                    let ask = Ask(LISTS + u32::from(who));
                    said(self, who, ToRelay::PublishDevices { ask, versions: vec![version] });
                }
            }
            Deed::Put(who, which) => {
                let size = content(which).len() as u64;
                let put = self.files(stage, who, |blobs, conn| blobs.put(conn, file(which), size, stage.now));
                if let Some(Ok(upload)) = put {
                    let promised = self.stored.get(&which).copied().unwrap_or(0);
                    assert!(upload.stored() >= promised, "{promised} bytes of a file counted");
                    self.uploads.insert(who, (which, upload.stored() as usize, upload));
                }
            }
            Deed::Write(who, count) => self.writes(stage, who, count as usize),
            Deed::Drop(who) => drop(self.uploads.remove(&who)),
            Deed::Delete(who, which) => {
                let done = self.files(stage, who, |blobs, conn| blobs.delete(conn, file(which), stage.now));
                if done == Some(Ok(())) {
                    self.stored.remove(&which);
                }
            }
            Deed::Get(who, which) => {
                let promised = self.stored.get(&which).copied().unwrap_or(0);
                let got = self.files(stage, who, |blobs, conn| blobs.get(conn, file(which), 0, stage.now));
                match got {
                    Some(Ok(mut download)) => {
                        let bytes = download.read(usize::MAX).expect("they are there");
                        assert!(bytes.len() as u64 >= promised, "{promised} bytes of a file counted");
                        assert!(content(which).starts_with(&bytes), "as they were written");
                    }
                    Some(Err(blob::Refusal::Gone)) => assert_eq!(promised, 0, "a file is gone"),
                    Some(Err(_)) | None => {}
                }
            }
            Deed::Full(full) => stage.disk.rule.full.store(full, SeqCst),
            Deed::Together(count) => self.together = count,
            Deed::Restart => {
                // What the first one passes by in a mailbox goes from the disk with the second.
                self.commits(stage);
                self.commits(stage);
                for who in 1..=4 {
                    self.gone(who);
                }
                self.asked.clear();
                self.uploads.clear();
                let before = sums(stage);
                stage.restart();
                assert_eq!(sums(stage), before, "what is counted is what is there");
                assert_eq!(wrong(stage), [""; 0]);
            }
        }
    }
}

fn guard() -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest([9; 32]).into()
}

fn file(which: u8) -> BlobId {
    BlobId([which; 16])
}

/// What is in a file, one after the other longer by what counts.
fn content(which: u8) -> &'static [u8] {
    static ALL: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..2 * UNIT + 6000).map(|at| (at % 251) as u8).collect());
    let from = usize::from(which);
    &ALL[from..from + from * UNIT as usize + 5000]
}

/// What the relay counts of envelopes and files.
fn sums(stage: &Stage) -> (Totals, u64, u64) {
    let blobs = stage.relay.blobs();
    (stage.totals(), blobs.total(), blobs.count())
}

/// What does not hold together on the disk. Keys and the bytes of files are not in a folder here.
fn wrong(stage: &Stage) -> Vec<String> {
    let found = check::check(&*stage.disk, Path::new("nowhere")).expect("the disk reads");
    let elsewhere =
        |sentence: &&String| sentence.starts_with("relay.") || sentence.contains(" bytes of file ");
    found.sentences().iter().filter(|sentence| !elsewhere(sentence)).cloned().collect()
}

/// What was accepted in all sequences, counted for each device that it was for.
static ACCEPTED: AtomicUsize = AtomicUsize::new(0);
/// How often more of a file counted.
static STORED: AtomicUsize = AtomicUsize::new(0);

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    fn each_sequence_holds(deeds in deeds()) {
        let (mut stage, mut truth) = (Stage::new(bounds()), Truth::default());
        for who in 1..=4 {
            truth.joins(&mut stage, who);
        }
        for deed in deeds {
            truth.does(&mut stage, deed);
            prop_assert!(stage.totals().bytes <= 8_000);
            prop_assert!(stage.relay.blobs().adds_up().expect("the disk reads"));
        }
        // In the end there is room, and everybody comes and takes what is theirs.
        stage.disk.rule.full.store(false, SeqCst);
        truth.together = 0;
        for who in 1..=4 {
            truth.joins(&mut stage, who);
            while truth.under_way.get(&who).is_some_and(|all| !all.is_empty()) {
                truth.does(&mut stage, Deed::Take(who, 1));
            }
            let all = truth.accepted.get(&who).map_or(0, Vec::len);
            prop_assert_eq!(truth.taken.get(&who).copied().unwrap_or(0), all, "everything came");
            // Who asked often may ask again by then.
            stage.pass(3_600_000);
            let asked = ToRelay::Devices { ask: Ask(6), name: name(who), from: 0 };
            let answers = stage.answer(truth.conns[&who], asked);
            let listed = answers.iter().find_map(|answer| match answer {
                ToDevice::Devices { versions, .. } => Some(versions.len()),
                _ => None,
            });
            prop_assert_eq!(listed, Some(truth.listed.get(&who).copied().unwrap_or(0)), "{:?}", answers);
            ACCEPTED.fetch_add(all, SeqCst);
        }
        truth.does(&mut stage, Deed::Restart);
    }
}

#[test]
fn whatever_devices_do_each_envelope_arrives_once_and_nothing_grows() {
    each_sequence_holds();
    assert!(ACCEPTED.load(SeqCst) > 0, "no sequence had an envelope that was accepted");
    assert!(STORED.load(SeqCst) > 0, "no sequence had bytes of a file that count");
}
