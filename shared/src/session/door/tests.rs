//! Knocks that are let in, and those that are not.

use super::*;
use crate::protocol::password::KE3;
use crate::session::Identity;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

const AT: At = At { relay: [4; 32], room: RoomTag([9; 16]) };
/// The least that Argon2 takes: what is tested here is not how slow it is.
const CHEAP: Cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

struct Ben(Identity);

impl Ben {
    fn new() -> Self {
        Self(Identity::generate(&mut rng(1)))
    }

    fn knocks(&self, secret: &Secret, password: Option<&str>) -> (Vec<u8>, Knocking) {
        let password = password.map(|password| Zeroizing::new(password.to_string()));
        self.begins(secret, password, 2)
    }

    fn begins(&self, secret: &Secret, password: Option<Zeroizing<String>>, seed: u64) -> (Vec<u8>, Knocking) {
        let (name, root, cert) = (name("ben"), self.0.peer().identity, self.0.cert());
        let caller = Caller { name: &name, root: &root, cert: &cert, since: Millis(300) };
        Knocking::begin(secret, &AT, caller, password, &mut rng(seed)).expect("a short password")
    }

    fn heard(&self, secret: &Secret, at: &At, message: &[u8]) -> Result<Heard, Wrong> {
        Heard::open(secret, at, (&self.0.device(), &name("ben")), message, &mut rng(3))
    }
}

fn verdict(answer: Result<Answer, Wrong>) -> Verdict {
    match answer {
        Ok(Answer::Verdict(verdict)) => verdict,
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_a_password_one_answer_is_enough() {
    let (ben, secret) = (Ben::new(), Secret::draw(&mut rng(5)));
    let (knock, mut knocking) = ben.knocks(&secret, None);
    let heard = ben.heard(&secret, &AT, &knock).expect("by that link");
    let (root, peer) = (ben.0.peer().identity, ben.0.peer());
    let visitor = Visitor { name: name("ben"), root, peer, since: Millis(300) };
    assert_eq!((heard.visitor(), heard.has_password()), (&visitor, false));
    assert_eq!(verdict(knocking.answered(&heard.verdict(Verdict::Welcome))), Verdict::Welcome);
}

/// What came of a try with that password at a door of which «rose» is the password: whether the visitor
/// thinks it right, the bundle that the member got, and the verdict.
fn tries(password: &str) -> (bool, Option<Vec<u8>>, Verdict) {
    let (ben, secret) = (Ben::new(), Secret::draw(&mut rng(5)));
    let lock = Lock::make("rose", AT.room, CHEAP, &mut rng(6)).expect("a short password");
    let lock = Lock::from_bytes(lock.as_bytes()).expect("as another member got it");
    let (knock, mut knocking) = ben.knocks(&secret, Some(password));
    let heard = ben.heard(&secret, &AT, &knock).expect("by that link");
    assert!(heard.has_password());
    let (challenge, challenged) = heard.challenge(&lock, 4, &mut rng(7)).expect("a KE1");
    assert!(knocking.answered(&challenge[1..]).is_err(), "what is made up does not end it");
    let Ok(Answer::Challenge(asked)) = knocking.answered(&challenge) else { panic!("no challenge") };
    assert!(knocking.answered(&challenge).is_err(), "a password is proved once");
    assert_eq!(asked.left(), 4);
    let proof = asked.prove(b"bundle", CHEAP, &mut rng(8));
    let (bundle, judge) = challenged.finish(&proof.message);
    let said = judge.verdict(if bundle.is_some() { Verdict::Welcome } else { Verdict::Refused(Why::Wrong) });
    assert!(knock.len().max(challenge.len()).max(proof.message.len()) <= MESSAGE_MAX);
    let verdict = proof.waiting.verdict(&said).expect("the member's");
    (proof.right, bundle.map(|bundle| bundle.to_vec()), verdict)
}

#[test]
fn a_right_password_opens_and_a_wrong_one_shows_to_both() {
    assert_eq!(tries("rose"), (true, Some(b"bundle".to_vec()), Verdict::Welcome));
    assert_eq!(tries("rosa"), (false, None, Verdict::Refused(Why::Wrong)), "the visitor sees it first");
    // Somebody who proves nothing, but has the link.
    let (ben, secret) = (Ben::new(), Secret::draw(&mut rng(5)));
    let lock = Lock::make("rose", AT.room, CHEAP, &mut rng(6)).expect("a short password");
    let (knock, _) = ben.knocks(&secret, Some("rosa"));
    let heard = ben.heard(&secret, &AT, &knock).expect("by that link");
    let numbers = heard.numbers;
    let (_, challenged) = heard.challenge(&lock, 9, &mut rng(7)).expect("a KE1");
    let made_up = seal(&secret.cipher(&numbers, 3), &challenged.context, &[1; KE3 + 40]);
    assert!(challenged.finish(&made_up).0.is_none());
}

#[test]
fn a_lock_is_of_its_room_and_password() {
    let lock = Lock::make("rose", AT.room, CHEAP, &mut rng(6)).expect("a short password");
    assert_ne!(lock.hash(), Lock::make("rose", AT.room, CHEAP, &mut rng(9)).expect("again").hash());
    assert_eq!(Lock::from_bytes(&lock.as_bytes()[1..]), Err(Wrong));
    assert_eq!(Lock::from_bytes(&[0xff; LOCK]), Err(Wrong));
    assert_eq!(format!("{lock:?} {:?}", Secret::draw(&mut rng(1))), "Lock(…) Secret(…)");
}

#[test]
fn nothing_opens_elsewhere_or_changed() {
    let (ben, secret) = (Ben::new(), Secret::draw(&mut rng(5)));
    let (knock, _) = ben.knocks(&secret, None);
    assert!(ben.heard(&secret, &AT, &knock).is_ok());
    assert!(ben.heard(&Secret::draw(&mut rng(6)), &AT, &knock).is_err(), "another link");
    assert!(ben.heard(&secret, &At { room: RoomTag([8; 16]), ..AT }, &knock).is_err(), "another room");
    assert!(ben.heard(&secret, &At { relay: [5; 32], ..AT }, &knock).is_err(), "another relay");
    let other = Identity::generate(&mut rng(11));
    let from =
        |device: &DeviceId, who: &str| Heard::open(&secret, &AT, (device, &name(who)), &knock, &mut rng(3));
    assert!(from(&other.device(), "ben").is_err(), "the relay says another device");
    assert!(from(&ben.0.device(), "eve").is_err(), "the relay says another name");
    for bit in 0..knock.len() * 8 {
        let mut bad = knock.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(ben.heard(&secret, &AT, &bad).is_err(), "bit {bit}");
    }
    // An answer to one knock is none to the next.
    let heard = ben.heard(&secret, &AT, &knock).expect("by that link");
    let (_, mut next) = ben.begins(&secret, None, 20);
    assert!(next.answered(&heard.verdict(Verdict::Welcome)).is_err());
    // A challenge to who gave no password.
    let (_, mut knocking) = ben.knocks(&secret, None);
    let asked = heard.answer(&Answered::Challenge(vec![0; KE2], 9));
    assert!(knocking.answered(&asked).is_err());
}

#[test]
fn bytes_of_a_knock_and_its_answer() {
    let (ben, secret) = (Ben::new(), Secret::from_bytes([7; 16]));
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    // HKDF-SHA256 by an independent implementation.
    assert_eq!(hex(&secret.door().0), "bef638472fc9ce6f7d9d7e294493c94d");
    let (knock, _) = ben.knocks(&secret, None);
    // Number, name with its length, root, certificate, since when, no KE1, tag.
    assert_eq!(knock.len(), 16 + 4 + 32 + 128 + 2 + 1 + 16);
    let context = [b"subrosa door/1\0".as_slice(), &[4; 32], &[9; 16], &secret.door().0, &ben.0.device().0];
    let mut key = [0; 32];
    let derived = Hkdf::<Sha256>::new(Some(&knock[..16]), &[7; 16]);
    derived.expand(b"subrosa door seal/1\x01", &mut key).expect("32 bytes");
    let cipher = Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(&key));
    let payload = Payload { msg: &knock[16..], aad: &context.concat() };
    let opened = cipher.decrypt(&Nonce::default(), payload).expect("as documented");
    let want = [b"\x03ben".as_slice(), &ben.0.peer().identity, &ben.0.cert().0, &[0xac, 2, 0]].concat();
    assert_eq!(opened, want);
    assert_eq!(encode(&Answered::Verdict(Verdict::Welcome)).as_slice(), [0, 0]);
    assert_eq!(encode(&Answered::Verdict(Verdict::Refused(Why::Full))).as_slice(), [0, 1, 5]);
    assert_eq!(encode(&Answered::Challenge(vec![6, 7], 9)).as_slice(), [1, 2, 6, 7, 9]);
}

/// What of a relay's record of a right join tells passwords apart: nothing, also with the link; with the
/// lock, each guess.
#[test]
fn with_the_link_and_all_that_passed_only_the_lock_is_missing_to_test_passwords() {
    let (ben, secret) = (Ben::new(), Secret::draw(&mut rng(5)));
    let lock = Lock::make("rose", AT.room, CHEAP, &mut rng(6)).expect("a short password");
    let (knock, mut knocking) = ben.knocks(&secret, Some("rose"));
    let (challenge, challenged) = ben
        .heard(&secret, &AT, &knock)
        .and_then(|heard| heard.challenge(&lock, 9, &mut rng(7)))
        .expect("by that link");
    let Ok(Answer::Challenge(asked)) = knocking.answered(&challenge) else { panic!("no challenge") };
    let proof = asked.prove(b"bundle", CHEAP, &mut rng(8));
    assert!(proof.right && challenged.finish(&proof.message).0.is_some());

    // With the link all three messages open: the relay has KE1, KE2 and KE3 in the clear.
    let mut numbers = [0; 32];
    numbers[..16].copy_from_slice(&knock[..16]);
    numbers[16..].copy_from_slice(&challenge[..16]);
    let context = context(&AT, &secret.door(), &ben.0.device());
    let opened = open(&secret.cipher(&numbers, 2), &context, &challenge[16..]).expect("it has the link");
    let Ok(Answered::Challenge(ke2, _)) = decode(&opened) else { panic!("no challenge") };
    let proof = open(&secret.cipher(&numbers, 3), &context, &proof.message).expect("it has the link");

    // It plays a visitor with each password of a list, and takes the KE2 that it saw for the answer: the
    // right one looks like all others, since the answer was for another blind.
    for guess in ["rosa", "rose"] {
        let (_, mut own) = ben.begins(&secret, Some(Zeroizing::new(guess.into())), 30);
        let numbers = both(&own.number, &challenge[..16].try_into().expect("16 bytes"));
        let asked = Answered::Challenge(ke2.clone(), 9);
        let sealed = seal(&secret.cipher(&numbers, 2), &context, &encode(&asked));
        let Ok(Answer::Challenge(asked)) = own.answered(&[&challenge[..16], &sealed].concat()) else {
            panic!("the relay sealed it itself")
        };
        assert!(!asked.prove(b"bundle", CHEAP, &mut rng(31)).right, "{guess}");
    }
    // It plays a member with a lock of its own for each password, and takes the KE3 that it saw for the
    // proof: again all look alike.
    for guess in ["rosa", "rose"] {
        let own = Lock::make(guess, AT.room, CHEAP, &mut rng(32)).expect("a short password");
        let heard = ben.heard(&secret, &AT, &knock).expect("it has the link");
        let numbers = heard.numbers;
        let (_, challenged) = heard.challenge(&own, 9, &mut rng(33)).expect("a KE1");
        let sealed = seal(&secret.cipher(&numbers, 3), &context, &proof);
        assert!(challenged.finish(&sealed).0.is_none(), "{guess}");
    }
    // What is missing is the lock: with it, as each member has it, a guess needs nobody else.
    for (guess, right) in [("rosa", false), ("rose", true)] {
        let (knock, mut own) = ben.begins(&secret, Some(Zeroizing::new(guess.into())), 34);
        let heard = ben.heard(&secret, &AT, &knock).expect("its own");
        let (challenge, _) = heard.challenge(&lock, 9, &mut rng(35)).expect("a KE1");
        let Ok(Answer::Challenge(asked)) = own.answered(&challenge) else { panic!("no challenge") };
        assert_eq!(asked.prove(b"bundle", CHEAP, &mut rng(36)).right, right, "{guess}");
    }
}
