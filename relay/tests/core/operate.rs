//! What the relay's owner changes while it runs.

use super::*;
use subrosa_relay::metrics::Count;
use subrosa_shared::protocol::invite::Invite;

const HOUR_MS: u64 = 3_600_000;

fn by_invitation() -> Stage {
    Stage::with(Config { registration: Registration::Invite, ..Config::default() })
}

impl Stage {
    fn invites(&mut self, uses: u32) -> Invite {
        let until = Millis(self.now.wall.0 + HOUR_MS);
        let made = self.relay.invite(uses, until, self.now.wall).expect("the disk takes it");
        made.expect("there is room for one")
    }

    fn enters(&mut self, who: u8, invite: &Invite) -> (Conn, Vec<Out>) {
        let conn = self.connect();
        let cert = Cert::sign(&key(who), &[who; 32]);
        let login = Login::sign(name(who), true, cert, &key(who), &RELAY, &[conn.0 as u8; 32]);
        let outs = self.say(conn, ToRelay::Enter(login, invite.clone()));
        (conn, outs)
    }

    fn comes_in(&mut self, who: u8, invite: &Invite) {
        let (conn, outs) = self.enters(who, invite);
        assert!(matches!(to(conn, &outs).first(), Some(ToDevice::Welcome(_))), "{outs:?}");
    }

    fn stays_out(&mut self, who: u8, invite: &Invite) {
        let (conn, outs) = self.enters(who, invite);
        assert_eq!(outs, closes(conn, Refusal::InviteNeeded));
    }
}

#[test]
fn an_invitation_is_asked_for_once_and_counted_with_the_account() {
    let mut stage = by_invitation();
    let invite = stage.invites(1);
    let plain = stage.connect();
    let outs = stage.log_in_as(plain, 1, name(1), true);
    assert_eq!(outs, closes(plain, Refusal::InviteNeeded));
    stage.stays_out(1, &Invite::of([9; 16]));
    // A disk that is full takes neither the account nor the use.
    stage.disk.rule.full.store(true, SeqCst);
    let (_, outs) = stage.enters(1, &invite);
    assert!(matches!(
        outs[..],
        [Out::Frame(_, ToDevice::Refused { why: Refusal::StorageFull, .. }), Out::Close(..)]
    ));
    stage.disk.rule.full.store(false, SeqCst);
    stage.comes_in(1, &invite);
    stage.stays_out(2, &invite);
    stage.restart();
    stage.join(1);
    stage.comes_in(1, &invite);
    stage.stays_out(2, &invite);
    assert_eq!(stage.relay.metrics().get(Count::InvitesRefused), 1, "counted since the restart");
}

#[test]
fn an_invitation_ends_with_its_time_or_when_it_is_revoked_and_an_open_relay_asks_for_none() {
    let mut stage = by_invitation();
    let [first, second] = [1, 2].map(|_| stage.invites(5));
    stage.comes_in(1, &first);
    let listed = stage.relay.invitations(stage.now.wall).expect("the disk reads");
    assert_eq!(listed.len(), 2);
    let used = listed.iter().find(|(_, invitation)| invitation.uses == 4).expect("one of them was used");
    assert!(stage.relay.revoke_invite(&used.0).expect("the disk takes it"));
    stage.stays_out(2, &first);
    stage.pass(HOUR_MS + 1);
    stage.stays_out(2, &second);
    stage.relay.reload(&Config::default());
    stage.comes_in(2, &second);
    stage.join(3);
}

#[test]
fn limits_the_line_for_everyone_and_registration_change_while_it_runs() {
    let mut stage = Stage::new(Limits::default());
    let (ada, _) = stage.join(1);
    stage.join(2);
    for id in 1..=3 {
        assert_eq!(stage.answer(ada, ToRelay::Send(envelope(id, &[2], b"body"))), [accepted(id)]);
    }
    stage.relay.remark("it went back".into());
    stage.relay.reload(&Config {
        motd: "new rules".into(),
        registration: Registration::Closed,
        limits: Limits { mailbox_envelopes: 3, tracks: 0, prekeys: 1, ..Limits::default() },
        ..Config::default()
    });
    let full = in_the_way(4, Refusal::MailboxFull, &[2]);
    assert_eq!(stage.answer(ada, ToRelay::Send(envelope(4, &[2], b"body"))), [full]);
    let track = ToRelay::OpenTrack { ask: Ask(1), viewers: vec![] };
    assert_eq!(stage.answer(ada, track), [refused(1, Refusal::TooLarge)]);
    let bundles = (1..=2).map(|id| bundle(1, id, Kind::OneTime)).collect();
    assert_eq!(stage.answer(ada, ToRelay::Publish { ask: Ask(2), bundles }), [refused(2, Refusal::TooLarge)]);
    let again = stage.connect();
    let outs = stage.log_in_as(again, 2, name(2), false);
    let Some(ToDevice::Welcome(welcome)) = to(again, &outs).into_iter().next() else { panic!("{outs:?}") };
    assert_eq!(welcome.motd, "new rules · it went back");
    let newcomer = stage.connect();
    let outs = stage.log_in_as(newcomer, 3, name(3), true);
    assert_eq!(outs, closes(newcomer, Refusal::RegistrationClosed));
    stage.relay.reload(&Config::default());
    stage.join(3);
}
