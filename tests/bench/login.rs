//! What signing in by password takes, and whether the relay's answer to KE1 tells a name that is there
//! from one that is not.

use crate::figure::{Table, Times};
use anyhow::{Context, anyhow, bail};
use rand_core::OsRng;
use std::net::{IpAddr, Ipv4Addr};
use subrosa::chat::backup::State;
use subrosa::login::{Next, SignIn};
use subrosa_relay::config::{Config, Pace};
use subrosa_relay::relay::{Conn, Out, Relay};
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::auth::public;
use subrosa_shared::protocol::devices::DeviceList;
use subrosa_shared::protocol::frame::{Ask, ToDevice, ToRelay};
use subrosa_shared::protocol::password::{Epoch, Set};
use subrosa_shared::session::Identity;
use subrosa_shared::session::backup::{Keys, seal_state};
use subrosa_shared::session::opaque::{Bound, COST, Registration};
use subrosa_shared::time::{Millis, Now};
use zeroize::Zeroizing;

const RELAY: [u8; 32] = [7; 32];
const EXPORTER: [u8; 32] = [8; 32];
const PASSWORD: &str = "gravel teapot nineteen otter";
const LOGINS: usize = 7;
const ANSWERS: usize = 2000;

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let mut stage = Stage::new();
    let name = |text: &str| AccountName::parse(text).map_err(|why| anyhow!("{why}"));
    let ada = Bound { name: name("ada")?, relay: RELAY };
    let device = Identity::generate(&mut OsRng);
    stage.register(&device, &ada)?;

    let [mut whole, mut stretching] = [(); 2].map(|()| Times::default());
    for _ in 0..LOGINS {
        whole.of(|| stage.sign_in(&ada))?;
        stretching.of(|| COST.spend()).map_err(|why| anyhow!("{why}"))?;
    }
    let [mut known, mut unknown] = [(); 2].map(|()| Times::default());
    for n in 0..ANSWERS {
        // In turns, so that what disturbs the one disturbs the other.
        for (times, called) in [(&mut known, ada.name.clone()), (&mut unknown, name(&format!("nobody{n}"))?)]
        {
            let bound = Bound { name: called, relay: RELAY };
            let conn = stage.connect();
            let (_, start) = begin(&bound)?;
            let answer = times.of(|| stage.says(conn, start));
            if !matches!(answer.as_slice(), [ToDevice::PasswordChallenge(_)]) {
                bail!("the relay answers {answer:?}");
            }
            stage.relay.gone(conn);
        }
    }
    table.times("sign in by password, both sides, no network", &whole, "Argon2id alone, 64 MiB", &stretching);
    table.times("the relay's answer to KE1, a name with a password", &known, "one that nobody has", &unknown);
    Ok(())
}

fn begin(bound: &Bound) -> anyhow::Result<(SignIn, ToRelay)> {
    let password = Zeroizing::new(PASSWORD.to_string());
    SignIn::begin(bound.clone(), EXPORTER, password, &mut OsRng).map_err(|why| anyhow!("{why}"))
}

/// A relay without sockets.
struct Stage {
    relay: Relay,
    conns: u64,
    now: Now,
}

impl Stage {
    fn new() -> Self {
        let mut config = Config::default();
        let free = Pace { burst: 1_000_000, every_seconds: 1, a_day: 1_000_000, then_every_seconds: 1 };
        let limits = &mut config.limits;
        (limits.guesses_name, limits.guesses_network, limits.guesses_all) = (free, free, free);
        let relay = Relay::in_memory(config, RELAY, Box::new(OsRng));
        Self { relay, conns: 0, now: Now { wall: Millis(1_800_000_000_000), mono: Millis(0) } }
    }

    fn connect(&mut self) -> Conn {
        self.conns += 1;
        let conn = Conn(self.conns);
        self.relay.connected(conn, EXPORTER, IpAddr::V4(Ipv4Addr::LOCALHOST), self.now);
        conn
    }

    fn says(&mut self, conn: Conn, frame: ToRelay) -> Vec<ToDevice> {
        self.relay.frame(conn, frame, self.now);
        let outs = self.relay.commit().unwrap_or_default();
        let theirs = outs.into_iter().filter_map(|out| match out {
            Out::Frame(to, frame) if to == conn => Some(frame),
            _ => None,
        });
        theirs.collect()
    }

    /// An account with a password and an empty backup.
    fn register(&mut self, device: &Identity, bound: &Bound) -> anyhow::Result<()> {
        let conn = self.connect();
        let login = device.login(bound.name.clone(), true, &RELAY, &EXPORTER);
        self.says(conn, ToRelay::Authenticate(login));
        let wrong = |why| anyhow!("{why}");
        let password = Zeroizing::new(PASSWORD.to_string());
        let (registration, request) = Registration::begin(password, &mut OsRng).map_err(wrong)?;
        let answer = self.says(conn, ToRelay::RegisterPassword { ask: Ask(1), request });
        let Some(ToDevice::PasswordAnswer { answer, .. }) = answer.into_iter().next() else {
            bail!("no answer")
        };
        let registered = registration.finish(&answer, bound, COST, &mut OsRng).map_err(wrong)?;
        let keys = Keys::generate(device.peer().identity, &mut OsRng);
        let epoch = Epoch([1; 16]);
        let state = State { head: None, contacts: Vec::new(), settings: String::new() }.encode();
        let state =
            seal_state(&keys.state, &state, bound, epoch, &mut OsRng).map_err(|why| anyhow!("{why}"))?;
        let sealed = keys.seal(&registered.export, bound, epoch, &mut OsRng);
        let set = Set { record: registered.record, epoch, keys: sealed, state };
        self.says(conn, ToRelay::SetPassword { ask: Ask(2), set });
        let first = device.begins(&bound.name);
        let list = DeviceList::begin(&first).context("a list of one")?;
        let second = device.recovers(&list, Some(public(&keys.recovery))).context("signed by that one")?;
        let versions = vec![first, second];
        let done = self.says(conn, ToRelay::PublishDevices { ask: Ask(3), versions });
        if done == [ToDevice::Done(Ask(3))] { Ok(()) } else { bail!("the relay answers {done:?}") }
    }

    /// From KE1 to the opened backup; the device is not added, for there is room for sixteen only.
    fn sign_in(&mut self, bound: &Bound) -> anyhow::Result<()> {
        let conn = self.connect();
        let (mut login, mut send) = begin(bound)?;
        loop {
            let answer = self.says(conn, send).into_iter().next().context("the relay says nothing")?;
            let next = login.frame(answer, &mut OsRng).map_err(|why| anyhow!("{why}"))?;
            let next = match next {
                Some(Next::Stretch(stretch)) => login.stretched(stretch.run(COST, &mut OsRng)),
                Some(next) => Ok(next),
                None => bail!("the relay says something else"),
            };
            match next.map_err(|why| anyhow!("{why}"))? {
                Next::Send(frame) => send = frame,
                Next::Enroll(..) => {
                    self.relay.gone(conn);
                    return Ok(());
                }
                Next::Stretch(_) | Next::Done => bail!("out of order"),
            }
        }
    }
}
