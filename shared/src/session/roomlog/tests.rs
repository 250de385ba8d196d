//! The log's rules, one by one and by random members at once.

use super::*;
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::time::Instant;

const AT: Millis = Millis(1000);
const DOOR: DoorId = DoorId([6; 16]);
const PEOPLE: [&str; 10] = ["ada", "ben", "cyd", "dan", "eve", "fay", "gus", "hal", "ivy", "joe"];

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

fn identity(seed: usize) -> Identity {
    Identity::generate(&mut ChaCha20Rng::seed_from_u64(seed as u64))
}

/// People with one device each, which is the root of their account.
struct People(Vec<(AccountName, Identity)>);

impl People {
    fn new() -> Self {
        Self(PEOPLE.iter().enumerate().map(|(seed, who)| (name(who), identity(seed))).collect())
    }

    fn of(&self, who: &str) -> &Identity {
        &self.0.iter().find(|(account, _)| account.as_str() == who).expect("one of them").1
    }

    fn root(&self, who: &str) -> [u8; 32] {
        self.of(who).peer().identity
    }

    fn knows(&self, account: &AccountName, root: &[u8; 32], device: &[u8; 32]) -> bool {
        root == device && self.0.iter().any(|(name, own)| name == account && own.peer().identity == *root)
    }

    fn begin(&self) -> Log {
        let (first, log) = self.found("ada", 1);
        assert_eq!(Log::begin(&first, &|a, r, d| self.knows(a, r, d)).as_ref(), Ok(&log));
        log
    }

    fn found(&self, who: &str, nonce: u8) -> (Entry, Log) {
        let root = self.root(who);
        Log::found(&name(who), &root, "tea", Policy::default(), [nonce; 16], self.of(who), AT)
            .expect("within bounds")
    }

    fn add(&self, who: &str) -> Op {
        Op::Add { account: name(who), root: self.root(who), door: None }
    }

    /// Drafts, passes as bytes and applies.
    fn does(&self, log: &mut Log, who: &str, op: Op) -> Result<Change, Fault> {
        let entry = log.draft(&name(who), op, self.of(who), AT)?;
        self.takes(log, &entry)
    }

    fn takes(&self, log: &mut Log, entry: &Entry) -> Result<Change, Fault> {
        log.apply(&Entry::decode(&entry.encode())?, &|a, r, d| self.knows(a, r, d))
    }

    /// What somebody with a changed client signs, whatever the rules say.
    fn forges(&self, log: &Log, who: &str, op: Op) -> Entry {
        let device = self.root(who);
        let said = Said { room: log.tag(), author: name(who), device, at: AT, op };
        Entry::sign(Place { previous: log.head(), height: log.next() }, said, self.of(who))
    }

    /// A room of ada (owner), ben (moderator), cyd and dan.
    fn room(&self) -> Log {
        let mut log = self.begin();
        for who in ["ben", "cyd", "dan"] {
            self.does(&mut log, "ada", self.add(who)).expect("the owner adds");
        }
        self.does(&mut log, "ada", role("ben", Role::Moderator)).expect("the owner raises");
        log
    }
}

fn role(who: &str, role: Role) -> Op {
    Op::Role { account: name(who), role }
}

fn remove(who: &str) -> Op {
    Op::Remove { account: name(who) }
}

fn door(terms: Option<Terms>) -> Op {
    Op::Door { door: DOOR, terms }
}

const ANY: Terms = Terms { once: false, until: None, password: None };

#[test]
fn bytes_of_an_entry() {
    let said = Said {
        room: RoomTag([9; 16]),
        author: name("ada"),
        device: [3; 32],
        at: Millis(300),
        op: Op::Add { account: name("ben"), root: [4; 32], door: Some(DOOR) },
    };
    let entry = Entry { previous: [7; 32], height: 5, said, signature: [8; 64] };
    let mut said = [9; 16].to_vec();
    said.extend([3, b'a', b'd', b'a']);
    said.extend([3; 32]);
    said.extend([0xac, 0x02, 1, 3, b'b', b'e', b'n']);
    said.extend([4; 32]);
    said.push(1);
    said.extend([6; 16]);
    let want = [&[7; 32][..], &[0, 0, 0, 0, 0, 0, 0, 5], &said, &[8; 64]].concat();
    assert_eq!(entry.encode(), want);
    assert_eq!(Entry::decode(&want), Ok(entry.clone()));
    let mut signed = b"subrosa room-op/1\0".to_vec();
    signed.extend([7; 32]);
    signed.extend([0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 108]);
    assert_eq!(said.len(), 108);
    signed.extend(said);
    let head: [u8; 32] =
        sha2::Digest::finalize(<sha2::Sha256 as sha2::Digest>::new_with_prefix(signed)).into();
    assert_eq!(entry.head(), head);
}

#[test]
fn an_entry_has_one_spelling_and_its_bounds() {
    let people = People::new();
    let entry = people.forges(&people.begin(), "ada", Op::Topic("t".repeat(TOPIC_MAX)));
    let bytes = entry.encode();
    assert_eq!(Entry::decode(&bytes), Ok(entry.clone()));
    // 300 ms of a clock in two bytes, spelt in three.
    let entry = people.forges(&people.begin(), "ada", Op::Delete);
    let mut longer = entry.encode();
    let clock = longer.len() - 64 - 3;
    assert_eq!(longer[clock..clock + 3], [0xe8, 0x07, 12], "1,000 ms and the variant");
    longer.splice(clock + 1..clock + 2, [0x87, 0x00]);
    assert_eq!(Entry::decode(&longer), Err(Fault::Malformed));
    for cut in [0, 31, 39, 100, entry.encode().len() - 1] {
        assert_eq!(Entry::decode(&entry.encode()[..cut]), Err(Fault::Malformed), "{cut}");
    }
    for op in [
        Op::Topic("t".repeat(TOPIC_MAX + 1)),
        Op::Name("n".repeat(NAME_MAX + 1)),
        Op::Name(" ".into()),
        Op::Policy(Policy { limit: MEMBERS_MAX + 1, ..Policy::default() }),
        Op::Policy(Policy { limit: 0, ..Policy::default() }),
        Op::Policy(Policy { history: HISTORY_MAX + 1, ..Policy::default() }),
    ] {
        let mut log = people.begin();
        let entry = people.forges(&log, "ada", op.clone());
        assert_eq!(Entry::decode(&entry.encode()), Err(Fault::Malformed));
        assert_eq!(log.apply(&entry, &|_, _, _| true), Err(Fault::Malformed));
        assert_eq!(log.draft(&name("ada"), op, people.of("ada"), AT), Err(Fault::Malformed));
    }
}

#[test]
fn the_largest_entry_fits() {
    let long = name(&"x".repeat(32));
    let said = |op| Said {
        room: RoomTag([255; 16]),
        author: long.clone(),
        device: [255; 32],
        at: Millis(u64::MAX),
        op,
    };
    let policy = Policy { invite: Role::Owner, history: HISTORY_MAX, limit: MEMBERS_MAX };
    for op in [
        Op::Topic("t".repeat(TOPIC_MAX)),
        Op::Found { nonce: [255; 16], root: [255; 32], name: "n".repeat(NAME_MAX), policy },
        Op::Add { account: long.clone(), root: [255; 32], door: Some(DOOR) },
        door(Some(Terms { once: true, until: Some(Millis(u64::MAX)), password: Some([255; 32]) })),
    ] {
        let entry = Entry { previous: [255; 32], height: u64::MAX, said: said(op), signature: [255; 64] };
        assert!(entry.encode().len() <= ENTRY_MAX);
        assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
    }
}

#[test]
fn rights_by_role() {
    let people = People::new();
    // Who may, of owner, moderator and member; about dan, a member.
    let silence = Op::Silence { account: name("dan"), until: Some(Millis(u64::MAX)) };
    let ban = Op::Ban { account: name("dan"), root: people.root("dan") };
    for (op, may) in [
        (people.add("eve"), [true, true, false]),
        (remove("dan"), [true, true, false]),
        (ban, [true, true, false]),
        (silence, [true, true, false]),
        (role("dan", Role::Moderator), [true, false, false]),
        (Op::Name("coffee".into()), [true, true, false]),
        (Op::Topic("beans".into()), [true, true, false]),
        (Op::Policy(Policy { limit: 7, ..Policy::default() }), [true, false, false]),
        (Op::HandOver { account: name("dan") }, [true, false, false]),
        (door(Some(ANY)), [true, true, false]),
        (Op::Delete, [true, false, false]),
    ] {
        for (who, may) in ["ada", "ben", "cyd"].into_iter().zip(may) {
            let mut log = people.room();
            let forged = people.forges(&log, who, op.clone());
            let before = log.clone();
            let taken = people.takes(&mut log, &forged);
            assert_eq!(taken.is_ok(), may, "{who}: {op:?}: {taken:?}");
            if !may {
                assert!(matches!(taken, Err(Fault::Against(Rule::Right(_)))), "{taken:?}");
                assert_eq!(log, before);
                assert_eq!(people.does(&mut log, who, op.clone()), taken.map(|_| unreachable!()));
            }
        }
    }
    // Nobody acts on somebody of the own rank or above.
    let mut log = people.room();
    people.does(&mut log, "ada", role("cyd", Role::Moderator)).expect("the owner raises");
    assert_eq!(people.does(&mut log, "ben", remove("cyd")), Err(Rule::Right(Role::Owner).into()));
    assert_eq!(people.does(&mut log, "ben", remove("ada")), Err(Rule::Right(Role::Owner).into()));
    assert_eq!(people.does(&mut log, "ada", remove("ben")).map(|c| c.out().cloned()), Ok(Some(name("ben"))));
    let entry = people.forges(&log, "ben", people.add("eve"));
    assert_eq!(people.takes(&mut log, &entry), Err(Fault::Unsigned), "not a member any more");
}

#[test]
fn every_member_invites_if_the_policy_says_so() {
    let people = People::new();
    let mut log = people.room();
    let open = Policy { invite: Role::Member, limit: 5, ..Policy::default() };
    people.does(&mut log, "ada", Op::Policy(open)).expect("the owner's");
    people.does(&mut log, "cyd", people.add("eve")).expect("anybody adds");
    assert_eq!(people.does(&mut log, "cyd", people.add("fay")), Err(Rule::Crowded(5).into()));
    assert_eq!(people.does(&mut log, "ben", people.add("eve")), Err(Rule::Already.into()));
}

#[test]
fn there_is_one_owner_always() {
    let people = People::new();
    let mut log = people.room();
    assert_eq!(people.does(&mut log, "ada", remove("ada")), Err(Rule::OwnerLeaves.into()));
    assert_eq!(people.does(&mut log, "ada", role("ben", Role::Owner)), Err(Rule::OneOwner.into()));
    assert_eq!(people.does(&mut log, "ada", role("ada", Role::Member)), Err(Rule::OneOwner.into()));
    assert_eq!(
        people.does(&mut log, "ada", Op::HandOver { account: name("zoe") }),
        Err(Rule::NoSuchMember.into())
    );
    people.does(&mut log, "ada", Op::HandOver { account: name("cyd") }).expect("to a member");
    assert_eq!(log.state().owner(), Some(&name("cyd")));
    assert_eq!(log.state().role(&name("ada")), Some(Role::Moderator));
    let left = people.does(&mut log, "ada", remove("ada")).expect("may go now");
    assert_eq!((left.what.clone(), left.out()), (What::Left, Some(&name("ada"))));
    people.does(&mut log, "cyd", Op::Delete).expect("the owner's");
    assert!(log.state().deleted);
    assert_eq!(people.does(&mut log, "ben", remove("ben")), Err(Rule::Deleted.into()));
}

#[test]
fn who_is_banned_comes_in_under_no_name() {
    let people = People::new();
    let mut log = people.room();
    // The author's word about a member's key does not count.
    let ban = Op::Ban { account: name("dan"), root: [1; 32] };
    let banned = people.does(&mut log, "ben", ban.clone()).expect("a moderator's");
    assert_eq!(banned.out(), Some(&name("dan")));
    assert_eq!(people.does(&mut log, "ben", ban), Err(Rule::Already.into()));
    assert_eq!(people.does(&mut log, "ada", people.add("dan")), Err(Rule::Banned.into()));
    let renamed = Op::Add { account: name("dora"), root: people.root("dan"), door: None };
    assert_eq!(people.does(&mut log, "ada", renamed), Err(Rule::Banned.into()));
    people.does(&mut log, "ben", Op::Unban { account: name("dan") }).expect("lifted");
    people.does(&mut log, "ada", people.add("dan")).expect("may come back");
}

#[test]
fn through_a_door_for_one_comes_one() {
    let people = People::new();
    let mut log = people.room();
    let by_door = |who: &str| Op::Add { account: name(who), root: people.root(who), door: Some(DOOR) };
    assert_eq!(people.does(&mut log, "ben", by_door("eve")), Err(Rule::NoDoor.into()));
    people.does(&mut log, "ben", door(Some(Terms { once: true, ..ANY }))).expect("opens");
    let (eve, fay) = (
        log.draft(&name("ben"), by_door("eve"), people.of("ben"), AT).expect("allowed"),
        log.draft(&name("ada"), by_door("fay"), people.of("ada"), AT).expect("allowed too"),
    );
    people.takes(&mut log, &eve).expect("the first");
    assert!(log.state().doors.is_empty());
    assert_eq!(log.draft(&name("ada"), fay.said.op, people.of("ada"), AT), Err(Rule::NoDoor.into()));
    // A door for a while.
    people.does(&mut log, "ben", door(Some(Terms { until: Some(AT), ..ANY }))).expect("opens");
    people.does(&mut log, "ada", by_door("fay")).expect("in time");
    assert!(log.draft(&name("ada"), by_door("gus"), people.of("ada"), Millis(AT.0 + 1)).is_err());
    // Whoever opened it may close it, and moderators may.
    people.does(&mut log, "ada", role("ben", Role::Member)).expect("the owner lowers");
    assert_eq!(people.does(&mut log, "cyd", door(None)), Err(Rule::Right(Role::Moderator).into()));
    assert!(people.does(&mut log, "ben", door(Some(ANY))).is_err(), "may not open any more");
    people.does(&mut log, "ben", door(None)).expect("his own");
    assert_eq!(people.does(&mut log, "ada", door(None)), Err(Rule::NoDoor.into()));
}

#[test]
fn what_is_not_taken_says_why() {
    let people = People::new();
    let (mut log, mut other) = (people.room(), people.room());
    let second = people.does(&mut log, "ada", people.add("eve")).map(|_| log.entries(5)[0].clone());
    let eve = second.expect("the owner adds");
    assert_eq!(people.takes(&mut log, &eve), Err(Fault::Repeat));
    people.does(&mut log, "ada", people.add("fay")).expect("one more");
    let fay = log.entries(6)[0].clone();
    assert_eq!(people.takes(&mut other, &fay), Err(Fault::Gap { from: 5 }));
    // Two at one height, both by the rules.
    people.does(&mut other, "ben", Op::Topic("beans".into())).expect("a moderator's");
    assert_eq!(people.takes(&mut other, &eve), Err(Fault::Fork { height: 5 }));
    assert_eq!(people.takes(&mut other, &fay), Err(Fault::Fork { height: 5 }), "after another history");
    // At a height that is there, but against the rules or by nobody: no alarm.
    let forged = people.forges(&people.room(), "cyd", people.add("gus"));
    assert_eq!(people.takes(&mut other, &forged), Err(Rule::Right(Role::Moderator).into()));
    let forged = people.forges(&people.room(), "gus", people.add("gus"));
    assert_eq!(people.takes(&mut other, &forged), Err(Fault::Unsigned));
    // Of another room, although by a member of both.
    let (first, elsewhere) = people.found("ada", 2);
    assert_eq!(people.takes(&mut other, &first), Err(Fault::Malformed));
    let entry = people.forges(&elsewhere, "ada", people.add("gus"));
    assert_eq!(people.takes(&mut other, &entry), Err(Fault::Malformed));
    // What messages claim.
    assert_eq!(log.meet(6, &log.head()), Met::Same);
    assert_eq!(log.meet(5, &eve.head()), Met::Behind);
    assert_eq!(log.meet(9, &[0; 32]), Met::Ahead { from: 7 });
    assert_eq!(log.meet(5, &other.head()), Met::Fork);
}

#[test]
fn any_flipped_bit_is_refused() {
    let people = People::new();
    let log = people.room();
    let bytes = people.forges(&log, "ada", people.add("eve")).encode();
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let mut log = log.clone();
        let taken = Entry::decode(&bad).and_then(|bad| log.apply(&bad, &|a, r, d| people.knows(a, r, d)));
        assert!(taken.is_err(), "bit {bit}");
    }
}

#[test]
fn a_device_that_is_not_the_accounts_signs_nothing() {
    let people = People::new();
    let mut log = people.room();
    let lost = identity(99);
    let said = Said {
        room: log.tag(),
        author: name("ada"),
        device: lost.peer().identity,
        at: AT,
        op: people.add("eve"),
    };
    let entry = Entry::sign(Place { previous: log.head(), height: log.next() }, said, &lost);
    assert!(entry.is_signed());
    assert_eq!(people.takes(&mut log, &entry), Err(Fault::Unsigned));
    log.apply(&entry, &|account, root, device| {
        people.knows(account, root, device)
            || (*account == name("ada") && *root == people.root("ada") && *device == lost.peer().identity)
    })
    .expect("a second device of the account");
}

/// Ada's next entry, by a device that her account had.
fn lost_device(log: &Log, lost: &Identity, op: Op) -> Entry {
    let said = Said { room: log.tag(), author: name("ada"), device: lost.peer().identity, at: AT, op };
    Entry::sign(Place { previous: log.head(), height: log.next() }, said, lost)
}

#[test]
fn an_entry_of_a_device_that_was_removed_since_counts_if_the_account_or_who_stands_above_it_builds_on_it() {
    let people = People::new();
    let lost = identity(99);
    let present = |a: &AccountName, r: &[u8; 32], d: &[u8; 32]| people.knows(a, r, d);
    let ever = |a: &AccountName, r: &[u8; 32], d: &[u8; 32]| {
        people.knows(a, r, d) || (*a == name("ada") && *d == lost.peer().identity)
    };
    let log = people.room();
    let entry = lost_device(&log, &lost, people.add("eve"));
    let after = |author: &str, op: Op| {
        let mut on = log.clone();
        on.apply(&entry, &ever).expect("by a device that she had");
        people.forges(&on, author, op)
    };
    let vouched = |entries: &[Entry]| log.vouched(entries, &present, &ever);
    assert!(!vouched(std::slice::from_ref(&entry)), "forged after the removal, for all that is known");
    assert!(vouched(&[entry.clone(), after("ada", Op::Renew)]));
    assert!(
        !vouched(&[entry.clone(), after("ben", Op::Topic("x".into()))]),
        "who stands below vouches for nobody"
    );
    let mut other = log.clone();
    people.does(&mut other, "ada", Op::Topic("x".into())).expect("the owner's");
    assert!(
        !vouched(&[entry.clone(), other.entries(other.height())[0].clone()]),
        "another history vouches for nothing"
    );
    // A forged handing over makes nobody a witness of it.
    let entry = lost_device(&log, &lost, Op::HandOver { account: name("ben") });
    let mut on = log.clone();
    on.apply(&entry, &ever).expect("by a device that she had");
    let heir = people.forges(&on, "ben", Op::Topic("mine".into()));
    assert!(!log.vouched(&[entry, heir], &present, &ever));
    let signers = log.signers(u64::MAX);
    assert_eq!(signers.len() as u64, log.next());
    assert!(signers.iter().all(|signer| signer.root == people.root(signer.account.as_str())));
}

#[test]
fn the_first_doubtful_entry_that_nobody_vouches_for_is_found_in_one_look() {
    let people = People::new();
    let lost = identity(77);
    let device = lost.peer().identity;
    let root = people.root("ada");
    let ever = |a: &AccountName, r: &[u8; 32], d: &[u8; 32]| {
        people.knows(a, r, d) || (a.as_str() == "ada" && r == &root && d == &device)
    };
    let doubted = |signer: &Signer| signer.device == device;
    // What her lost device, ben and she did, in that order.
    let of = |did: &[&str]| {
        let mut log = people.room();
        for (n, who) in did.iter().enumerate() {
            let by = if *who == "lost" { "ada" } else { *who };
            let identity = if *who == "lost" { &lost } else { people.of(who) };
            let entry = log.draft(&name(by), Op::Topic(n.to_string()), identity, AT).expect("may");
            log.apply(&entry, &ever).expect("follows");
        }
        let looks = std::cell::Cell::new(0);
        let present = |a: &AccountName, r: &[u8; 32], d: &[u8; 32]| {
            looks.set(looks.get() + 1);
            people.knows(a, r, d)
        };
        let found = log.unvouched(log.next(), &doubted, &present).map(|signer| signer.height);
        assert_eq!(looks.get(), log.next());
        assert_eq!(log.unvouched(5, &doubted, &present), None, "what comes later is not asked of");
        found.map(|height| height - 5)
    };
    assert_eq!(of(&["lost", "ben", "lost"]), Some(0), "who stands below vouches for nobody");
    assert_eq!(of(&["lost", "ben", "lost", "ada"]), None);
    assert_eq!(of(&["lost", "ada", "lost", "ben"]), Some(2));
    assert_eq!(of(&["ben", "ada"]), None);
    // A forged handing over makes nobody a witness of it, nor of what came before it.
    let mut log = people.room();
    for (by, identity, op) in [
        ("ada", &lost, Op::Topic("x".into())),
        ("ada", &lost, Op::HandOver { account: name("ben") }),
        ("ben", people.of("ben"), Op::Topic("mine".into())),
    ] {
        let entry = log.draft(&name(by), op, identity, AT).expect("may");
        log.apply(&entry, &ever).expect("follows");
    }
    let present = |a: &AccountName, r: &[u8; 32], d: &[u8; 32]| people.knows(a, r, d);
    assert_eq!(log.unvouched(u64::MAX, &doubted, &present).map(|signer| signer.height), Some(5));
}

#[test]
fn keys_are_renewed_by_any_member_and_not_without_end() {
    let people = People::new();
    let mut log = people.room();
    for _ in 0..state::RENEWALS_MAX {
        people.does(&mut log, "dan", Op::Renew).expect("a member's");
    }
    let most = usize::from(state::RENEWALS_MAX);
    assert_eq!(people.does(&mut log, "dan", Op::Renew), Err(Rule::TooMany(most).into()));
    people.does(&mut log, "cyd", Op::Renew).expect("another member's");
    assert_eq!(people.does(&mut log, "eve", Op::Renew), Err(Rule::NotMember.into()));
}

#[test]
fn a_log_that_is_nearly_full_takes_only_what_takes_away() {
    let people = People::new();
    let mut log = people.room();
    let ops = [Op::Topic("a".into()), Op::Topic("b".into())];
    while log.next() < ENTRIES_MAX - RESERVED {
        let entry = people.forges(&log, "ada", ops[log.next() as usize % 2].clone());
        log.take(&entry).expect("the rules hold; signatures were not made to be looked at");
    }
    assert_eq!(people.does(&mut log, "ada", people.add("eve")), Err(Rule::Full.into()));
    people.does(&mut log, "ada", remove("ben")).expect("still");
    assert!(people.does(&mut log, "ada", Op::Delete).is_ok());
    assert_eq!(Log::restore(log.entries(0)).as_ref(), Ok(&log));
}

#[test]
fn a_newcomer_to_a_room_of_a_hundred_verifies_each_signature_once() {
    let people = People::new();
    let mut log = people.begin();
    for n in 1..100_usize {
        let account = name(&format!("guest-{n}"));
        let root = identity(n).peer().identity;
        people.does(&mut log, "ada", Op::Add { account, root, door: None }).expect("the owner adds");
    }
    assert_eq!(people.does(&mut log, "ada", people.add("ben")), Err(Rule::Crowded(100).into()));
    let pieces: Vec<Vec<u8>> = log.entries(0).iter().map(Entry::encode).collect();
    let bytes: usize = pieces.iter().map(Vec::len).sum();
    let looked = std::cell::Cell::new(0);
    let knows = |a: &AccountName, r: &[u8; 32], d: &[u8; 32]| {
        looked.set(looked.get() + 1);
        people.knows(a, r, d)
    };
    let begun = Instant::now();
    let entries: Vec<Entry> = pieces.iter().map(|piece| Entry::decode(piece).expect("an entry")).collect();
    let mut joined = Log::begin(&entries[0], &knows).expect("the first");
    for entry in &entries[1..] {
        joined.apply(entry, &knows).expect("the next");
    }
    let verified = begun.elapsed();
    assert_eq!(looked.get(), 100);
    assert_eq!(joined, log);
    let begun = Instant::now();
    assert_eq!(Log::restore(&entries).as_ref(), Ok(&log));
    println!("room of 100: {bytes} B of log, verified in {verified:?}, restored in {:?}", begun.elapsed());
}

#[test]
fn bytes_of_what_a_secret_makes() {
    let secret = Secret::from_bytes([5; 32]);
    assert_eq!(format!("{secret:?}"), "Secret(…)");
    assert_ne!(secret.key()[..16], secret.handle());
    let guard: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(secret.key().as_slice()).into();
    assert_eq!(secret.guard(), guard);
    // HKDF-SHA256 without salt, by an independent implementation.
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    assert_eq!(hex(&secret.handle()), "ac47f1e168a4446d73df8a07ea6cf1e6");
    assert_eq!(
        hex(secret.key().as_slice()),
        "8f23589d1c2a5c065dae0b99d24cf2ef65150be5afc2fcc894d3632dc06d6b5e"
    );
}

/// One try of somebody: who, what, about whom.
fn tries() -> impl Strategy<Value = Vec<(usize, u8, usize, bool)>> {
    proptest::collection::vec((0..PEOPLE.len(), 0..16_u8, 0..PEOPLE.len(), any::<bool>()), 1..60)
}

fn op_of(people: &People, kind: u8, about: usize, flag: bool) -> Op {
    let who = PEOPLE[about];
    let account = name(who);
    let role = if flag { Role::Moderator } else { Role::Member };
    match kind {
        0..=3 => Op::Add { account, root: people.root(who), door: flag.then_some(DOOR) },
        4 => Op::Remove { account },
        5 => Op::Ban { account, root: people.root(who) },
        6 => Op::Unban { account },
        7 => Op::Silence { account, until: flag.then_some(Millis(5000)) },
        8 | 9 => Op::Role { account, role },
        10 => Op::Name(format!("room of {who}")),
        11 => Op::Topic(who.into()),
        12 => Op::Policy(Policy { invite: role, history: about as u16, limit: 8 }),
        13 => Op::HandOver { account },
        14 => door(flag.then_some(Terms { once: about.is_multiple_of(2), ..ANY })),
        // An end now and then, or everything would be over soon.
        _ if about == 0 => Op::Delete,
        _ => Op::Remove { account },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Members act at random, right or wrong, on logs that are behind; the relay's compare-and-swap
    /// lets one of them through at a time. Each replica gets entries late, twice and in any order.
    #[test]
    fn all_replicas_agree_and_nobody_passes_the_rules(tries in tries(), shuffle in any::<u64>()) {
        let people = People::new();
        let mut truth = people.begin();
        let mut logs = vec![truth.clone(); PEOPLE.len()];
        for (who, kind, about, flag) in tries {
            let op = op_of(&people, kind, about, flag);
            // A client that keeps to the rules, if the log lets it; a changed one anyway.
            let drafted = logs[who].draft(&name(PEOPLE[who]), op.clone(), people.of(PEOPLE[who]), AT);
            let entry = match drafted {
                Ok(entry) => entry,
                Err(_) => people.forges(&logs[who], PEOPLE[who], op.clone()),
            };
            let allowed = truth.state().allows(&name(PEOPLE[who]), &op, AT);
            let current = entry.previous == truth.head();
            let before = truth.clone();
            let taken = people.takes(&mut truth, &entry);
            prop_assert_eq!(taken.is_ok(), current && allowed.is_ok(), "{:?}", taken);
            if taken.is_err() {
                prop_assert_eq!(&truth, &before);
            }
            let owners = truth.state().members.values().filter(|member| member.role == Role::Owner);
            prop_assert_eq!(owners.count(), 1);
            prop_assert!(truth.state().members.len() <= usize::from(MEMBERS_MAX));
            // Some hear of it now.
            let lucky = (who + about) % PEOPLE.len();
            for entry in truth.entries(logs[lucky].next()) {
                prop_assert!(people.takes(&mut logs[lucky], entry).is_ok());
            }
        }
        let mut order: Vec<usize> = (0..truth.entries(0).len()).collect();
        order.sort_by_key(|&n| (n as u64 + 1).wrapping_mul(shuffle | 1));
        for log in &mut logs {
            while log.head() != truth.head() {
                for &n in &order {
                    let taken = people.takes(log, &truth.entries(0)[n]);
                    prop_assert!(matches!(taken, Ok(_) | Err(Fault::Repeat | Fault::Gap { .. })), "{:?}", taken);
                }
            }
            prop_assert_eq!(&*log, &truth);
        }
    }

    #[test]
    fn bytes_from_outside_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(entry) = Entry::decode(&bytes) {
            prop_assert_eq!(entry.encode(), bytes);
        }
    }
}
