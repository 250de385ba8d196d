//! From a folder and a passphrase to everything that a client is made of.

use crate::app::Parts;
use crate::chat::backup::SETTINGS;
use crate::chat::link::Linked;
use crate::chat::talk::{ACCOUNT, Account};
use crate::config::Config;
use crate::lock::{Closed, apart};
use crate::login::{Next, Problem, Restored, SignIn};
use crate::net::visit::Visit;
use crate::term::Caps;
use crate::ui::setup::RelayChoice;
use rand_core::OsRng;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use subrosa_relay::listener::Key;
use subrosa_relay::server::Server;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::frame::{ToDevice, ToRelay};
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::Identity;
use subrosa_shared::session::opaque::{self, Bound};
use subrosa_shared::session::vault::Cost;
use subrosa_shared::store::burn;
use subrosa_shared::store::profile::{Presence, Profile};
use subrosa_shared::store::{Batch, Error, Store};
use zeroize::Zeroizing;

/// An open profile and what runs with it.
pub struct Opened {
    /// Holds the lock and the store.
    pub profile: Profile,
    /// Who and where.
    pub account: Account,
    /// Keys of this device.
    pub identity: Identity,
    /// The relay, when this client hosts it.
    pub server: Option<Server>,
}

impl Opened {
    /// What the client is made of, and what must be kept as long as it runs.
    pub fn into_parts(self, config: Config, caps: Caps) -> (Parts, RelayLink, Held) {
        let relay =
            self.account.relay.parse().expect("read or written as a link when the profile was opened");
        let store = self.profile.store.clone();
        // Without it nobody is asked for the passphrase, and the profile was opened by it just now.
        let search = self.profile.dek().search_key();
        let account = Account { header: self.profile.header().ok(), search, ..self.account };
        let parts = Parts {
            account,
            identity: self.identity,
            store,
            config,
            caps,
            rng: Box::new(OsRng),
            vault: true,
        };
        (parts, relay, Held { profile: self.profile, server: self.server })
    }
}

/// The profile's lock and the hosted relay of a running client.
pub struct Held {
    profile: Profile,
    server: Option<Server>,
}

impl Held {
    /// Takes the keys out of memory. The client must have let go of its store.
    pub fn lock(self) -> Closed {
        Closed::new(self.profile.lock_up(), self.server)
    }

    /// Ends the hosted relay, telling whoever is connected.
    pub async fn close(self) {
        if let Some(server) = self.server {
            server.shutdown().await;
        }
    }
}

/// What a folder holds, as far as this program may use it. A burn that was cut off is finished.
///
/// # Errors
/// A sentence with the next step.
pub fn look(dir: &Path) -> Result<Presence, String> {
    match Profile::exists(dir) {
        Ok(Presence::Burning) => {
            burn::burn(dir).map_err(|error| sentence(dir, &error))?;
            Ok(Presence::Absent)
        }
        Ok(Presence::Foreign(what)) => Err(format!(
            "{} is no subrosa profile: {what}. Nothing was touched; name another folder with --profile",
            dir.display()
        )),
        Ok(presence) => Ok(presence),
        Err(error) => Err(sentence(dir, &error)),
    }
}

/// Makes a profile: keys, account, relay. Takes about a second, by intent: that is what a thief pays
/// for each guess of the passphrase.
///
/// # Errors
/// A sentence with the next step.
pub async fn create(
    dir: &Path,
    name: AccountName,
    passphrase: Zeroizing<String>,
    relay: RelayChoice,
) -> Result<Opened, String> {
    let folder = dir.to_path_buf();
    let profile = apart(move || Profile::create(&folder, &passphrase, cost(), &mut OsRng))
        .await
        .map_err(|error| sentence(dir, &error))?;
    match furnish(dir, &profile.store, name, relay).await {
        Ok((account, identity, server)) => Ok(Opened { profile, account, identity, server }),
        Err(why) => {
            // A profile without an account opens for nobody: the next try begins anew.
            let _ = profile.burn();
            let _ = std::fs::remove_dir_all(dir.join(RELAY));
            Err(why)
        }
    }
}

/// Makes the profile of a device that is to be linked to an account.
///
/// # Errors
/// A sentence with the next step; then there is no profile.
pub async fn linked(
    dir: &Path,
    linked: &Linked,
    relay: &RelayLink,
    identity: &Identity,
    passphrase: Zeroizing<String>,
) -> Result<(), String> {
    let folder = dir.to_path_buf();
    let profile = apart(move || Profile::create(&folder, &passphrase, cost(), &mut OsRng))
        .await
        .map_err(|error| sentence(dir, &error))?;
    let mut batch = Batch::default();
    linked.write(&relay.to_string(), identity, &mut batch);
    let written = profile.store.commit(&batch);
    if written.is_err() {
        // A profile without an account opens for nobody: the next try begins anew.
        let _ = profile.burn();
    }
    written.map_err(|error| sentence(dir, &error))
}

/// Keys, account and relay of a new profile.
async fn furnish(
    dir: &Path,
    store: &Store,
    name: AccountName,
    relay: RelayChoice,
) -> Result<(Account, Identity, Option<Server>), String> {
    let (server, link) = match relay {
        RelayChoice::Here => {
            let server = host(dir, None).await?;
            let link = server.link().clone();
            (Some(server), link)
        }
        RelayChoice::Link(link) => (None, link),
    };
    let identity = Identity::generate(&mut OsRng);
    let hosting = server.is_some();
    let mut batch = Batch::default();
    write_account(&mut batch, &name, &link, hosting, &identity);
    store.commit(&batch).map_err(|error| sentence(dir, &error))?;
    Ok((
        Account { name, relay: link.to_string(), hosting, header: None, search: Zeroizing::default() },
        identity,
        server,
    ))
}

/// Signs in by password and makes a profile of what the backup holds: people, settings, and a device
/// of its own that the account's list names. Nothing is made before the password was right, and all of it
/// is on the disk before the account has one device more.
///
/// # Errors
/// [`NotIn`]; the same for a wrong password and for a name that nobody has. Then there is no profile.
pub async fn sign_in(
    dir: &Path,
    name: AccountName,
    password: Zeroizing<String>,
    passphrase: Zeroizing<String>,
    relay: RelayLink,
) -> Result<Opened, NotIn> {
    prove(name, password, relay).await?.keep(dir, passphrase).await
}

/// Whom the password let in, before anything of it is on this disk.
pub struct LetIn {
    visit: Visit,
    login: SignIn,
    restored: Box<Restored>,
    /// The list with the new device.
    version: ToRelay,
    name: AccountName,
    relay: RelayLink,
}

/// The first half of [`sign_in`]: proves the password. It may be dropped at any time; nothing is left of it.
///
/// # Errors
/// [`NotIn`]; the same for a wrong password and for a name that nobody has.
pub async fn prove(name: AccountName, password: Zeroizing<String>, relay: RelayLink) -> Result<LetIn, NotIn> {
    let mut visit = Visit::connect(&relay).await?;
    let bound = Bound { name: name.clone(), relay: relay.fingerprint };
    let (mut login, first) = SignIn::begin(bound, visit.exporter, password, &mut OsRng).map_err(problem)?;
    let (restored, version) = restored(&mut visit, &mut login, first).await?;
    Ok(LetIn { visit, login, restored, version, name, relay })
}

impl LetIn {
    /// The second half of [`sign_in`], which is carried through: makes the profile, and then the device.
    ///
    /// # Errors
    /// [`NotIn`]; then there is no profile.
    pub async fn keep(self, dir: &Path, passphrase: Zeroizing<String>) -> Result<Opened, NotIn> {
        let Self { mut visit, mut login, restored, version, name, relay } = self;
        let identity = Identity::from_seed(&restored.identity.seed());
        let mut batch = Batch::default();
        write_account(&mut batch, &name, &relay, false, &identity);
        restored.write(&mut batch, &mut OsRng);
        let folder = dir.to_path_buf();
        let profile = apart(move || Profile::create(&folder, &passphrase, cost(), &mut OsRng))
            .await
            .map_err(|error| sentence(dir, &error))?;
        let written = profile.store.commit(&batch).map_err(|error| NotIn::from(sentence(dir, &error)));
        let listed = match written {
            Ok(()) => enlist(&mut visit, &mut login, &version).await,
            Err(why) => Err(why),
        };
        if let Err(why) = listed {
            // A profile of no device opens for nobody: the next try begins anew.
            let _ = profile.burn();
            return Err(why);
        }
        let relay = relay.to_string();
        let account = Account { name, relay, hosting: false, header: None, search: Zeroizing::default() };
        Ok(Opened { profile, account, identity, server: None })
    }
}

/// Proves the password; what the backup holds, and the list with the new device, to be sent once that is
/// on the disk.
async fn restored(
    visit: &mut Visit,
    login: &mut SignIn,
    first: ToRelay,
) -> Result<(Box<Restored>, ToRelay), NotIn> {
    let mut next = Next::Send(first);
    loop {
        next = match next {
            Next::Send(frame) => {
                visit.send(&frame).await?;
                loop {
                    let frame = visit.receive().await?;
                    if let Some(next) = login.frame(frame, &mut OsRng).map_err(problem)? {
                        break next;
                    }
                }
            }
            Next::Stretch(stretch) => {
                let proved = apart(move || stretch.run(opaque::COST, &mut OsRng)).await;
                login.stretched(proved).map_err(problem)?
            }
            Next::Enroll(restored, version) => return Ok((restored, version)),
            Next::Done => return Err(String::from("the relay let nobody in; try again").into()),
        };
    }
}

/// Hands the list with the new device to the relay. Who is cut off before the answer may be in it: what was
/// written stays, and its first login shows it.
///
/// # Errors
/// [`NotIn`]: the device is in no list.
async fn enlist(visit: &mut Visit, login: &mut SignIn, version: &ToRelay) -> Result<(), NotIn> {
    visit.send(version).await?;
    let answered = async {
        loop {
            let Ok(frame) = visit.receive().await else { return Ok(()) };
            // An end of the connection is no answer.
            let answer = matches!(frame, ToDevice::Refused { ask: Some(_), .. });
            match login.frame(frame, &mut OsRng) {
                Err(why) if answer => return Err(problem(why)),
                Ok(None) => {}
                Ok(Some(_)) | Err(_) => return Ok(()),
            }
        }
    };
    tokio::time::timeout(LISTS, answered).await.unwrap_or(Ok(()))
}

/// How long a new device waits to hear that it is listed, whatever else the relay says meanwhile.
pub(crate) const LISTS: Duration = Duration::from_secs(30);

/// Why a password signed nobody in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotIn {
    /// A sentence with the next step.
    pub said: String,
    /// It may be tried again after this.
    pub wait: Option<Duration>,
}

impl From<String> for NotIn {
    fn from(said: String) -> Self {
        Self { said, wait: None }
    }
}

/// A problem as a sentence; one that passes with the time it passes at.
fn problem(problem: Problem) -> NotIn {
    let Problem::Wait(millis) = problem else { return problem.to_string().into() };
    let wait = Duration::from_millis(millis.into());
    let at = jiff::Zoned::now().checked_add(wait);
    let said = at.map_or(problem.to_string(), |at| format!("{problem}, at {}", at.strftime("%H:%M")));
    NotIn { said, wait: Some(wait) }
}

/// The settings of an open profile: those of the file, and those that came with a backup where there is none.
pub fn settings_of(store: &Store, config: Config) -> Config {
    if config.from_file { config } else { kept_settings(store).unwrap_or(config) }
}

fn kept_settings(store: &Store) -> Option<Config> {
    let bytes = store.records.get(ACCOUNT, SETTINGS).ok()??;
    Config::parse(&String::from_utf8(bytes).ok()?).ok()
}

fn write_account(
    batch: &mut Batch,
    name: &AccountName,
    relay: &RelayLink,
    hosting: bool,
    identity: &Identity,
) {
    batch.put(ACCOUNT, *b"name", name.as_str().as_bytes().to_vec());
    batch.put(ACCOUNT, *b"relay", relay.to_string().into_bytes());
    batch.put(ACCOUNT, *b"hosting", vec![u8::from(hosting)]);
    batch.put(ACCOUNT, *b"identity", identity.seed().to_vec());
}

/// Opens a profile with its passphrase; `moved` says where its relay is by now.
///
/// # Errors
/// A sentence with the next step; a wrong passphrase is [`WRONG_PASSPHRASE`].
pub async fn open(
    dir: &Path,
    passphrase: Zeroizing<String>,
    moved: Option<RelayLink>,
) -> Result<Opened, String> {
    let folder = dir.to_path_buf();
    let profile =
        apart(move || Profile::open(&folder, &passphrase)).await.map_err(|error| sentence(dir, &error))?;
    let (mut account, identity) = read_account(&profile.store).map_err(|error| sentence(dir, &error))?;
    if let Some(link) = moved {
        follow(dir, &profile.store, &mut account, link)?;
    }
    let server = if account.hosting {
        let old: RelayLink =
            account.relay.parse().map_err(|_| sentence(dir, &Error::Damaged("the relay's link".into())))?;
        // Another one would begin in an empty folder.
        if !holds(dir, &old) {
            return Err(format!(
                "{} does not hold the relay that this profile hosts: where that has moved, start with its link of \
                 now (subrosa --relay LINK), otherwise put its folder back; where it is lost for good, \
                 subrosa --relay {old} opens what is stored. The profile was not changed",
                dir.join(RELAY).display()
            ));
        }
        let server = host(dir, Some(old.port)).await?;
        let link = server.link().to_string();
        if link != account.relay {
            // The machine's address changed: the link to hand out is another, the key is the same.
            let mut batch = Batch::default();
            batch.put(ACCOUNT, *b"relay", link.clone().into_bytes());
            profile.store.commit(&batch).map_err(|error| sentence(dir, &error))?;
            account.relay = link;
        }
        Some(server)
    } else {
        None
    };
    Ok(Opened { profile, account, identity, server })
}

/// Goes on where this link says that the profile's relay is by now; then it is not hosted here any more.
///
/// # Errors
/// A sentence with the next step; then nothing has changed.
fn follow(dir: &Path, store: &Store, account: &mut Account, link: RelayLink) -> Result<(), String> {
    let old = account.relay.parse::<RelayLink>().map_err(|error| error.to_string())?;
    if link.fingerprint != old.fingerprint {
        return Err("that link has another key than this profile's relay, so it is another relay's: begin \
                    with it as somebody new (subrosa --profile NEW --relay LINK), or start without --relay"
            .into());
    }
    if account.hosting && holds(dir, &old) {
        return Err(format!(
            "this profile hosts its relay itself: start without --relay. Where another machine runs it by now, move \
             {} away first",
            dir.join(RELAY).display()
        ));
    }
    // Who is not registered yet may need the invitation still.
    let link = RelayLink { invite: link.invite.or(old.invite), ..link };
    let relay = link.to_string();
    let mut batch = Batch::default();
    batch.put(ACCOUNT, *b"relay", relay.clone().into_bytes());
    batch.put(ACCOUNT, *b"hosting", vec![0]);
    let written = store.commit(&batch);
    written.map_err(|error| format!("the relay's link could not be written: {error}"))?;
    (account.relay, account.hosting) = (relay, false);
    Ok(())
}

/// Said when the passphrase is not the profile's.
pub const WRONG_PASSPHRASE: &str = "that is not the passphrase of this profile; try again";

/// The folder of a profile: a name stands for a folder in the user's data directory, anything with a
/// separator for itself.
///
/// # Errors
/// A sentence, when the name is empty or the system has no home for the user.
pub fn folder(profile: Option<&str>) -> Result<PathBuf, String> {
    let name = profile.unwrap_or("default");
    if name.is_empty() {
        return Err("a profile has a name: --profile NAME, or leave it out".into());
    }
    if name.contains(std::path::MAIN_SEPARATOR) || name == "." || name == ".." {
        return Ok(PathBuf::from(name));
    }
    let home = directories::ProjectDirs::from("", "", "subrosa")
        .ok_or("this user has no home directory: name the profile's folder with --profile ./FOLDER")?;
    Ok(home.data_dir().join(name))
}

/// Runs the relay that lives in a profile. With a port, on that port, so that the link stays true.
async fn host(dir: &Path, port: Option<u16>) -> Result<Server, String> {
    // Tests run beside each other: in debug builds they ask for any free port.
    let any = cfg!(debug_assertions) && std::env::var_os("SUBROSA_TEST_ANY_PORT").is_some();
    let usual = if any { 0 } else { subrosa_shared::protocol::link::PORT };
    let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port.unwrap_or(usual)));
    let config = |listen| subrosa_relay::config::Config {
        listen,
        data: Some(dir.join(RELAY)),
        ..subrosa_relay::config::Config::default()
    };
    match Server::start(config(listen)).await {
        Ok(server) => Ok(server),
        // Another relay on this machine: the first time any free port does.
        Err(_) if port.is_none() => {
            Server::start(config((Ipv4Addr::UNSPECIFIED, 0).into())).await.map_err(|error| error.to_string())
        }
        Err(subrosa_relay::server::Error::InUse(address)) => Err(format!(
            "another program has UDP port {} of the relay that this client hosts: close it (another subrosa, \
             or subrosa-relay?) and start again",
            address.port()
        )),
        Err(error) => Err(format!("the hosted relay does not start: {error}")),
    }
}

/// Folder of a hosted relay in its profile.
const RELAY: &str = "relay";

/// Whether the relay of this link lies in a profile.
fn holds(dir: &Path, link: &RelayLink) -> bool {
    let path = dir.join(RELAY).join("relay.key");
    path.exists()
        && match Key::read_or_make(&path) {
            Ok(key) => key.fingerprint() == link.fingerprint,
            // What is wrong with it is said when it starts.
            Err(_) => true,
        }
}

pub(crate) fn read_account(store: &Store) -> Result<(Account, Identity), Error> {
    let get = |key: &[u8]| store.records.get(ACCOUNT, key);
    let text = |key: &[u8]| -> Result<String, Error> {
        let bytes = get(key)?
            .ok_or_else(|| Error::Damaged("its making was cut off before there was an account".into()))?;
        String::from_utf8(bytes).map_err(|_| Error::Damaged("the account".into()))
    };
    let damaged = || Error::Damaged("the account".into());
    let seed = Zeroizing::new(get(b"identity")?.ok_or_else(damaged)?);
    let identity = Identity::from_seed(seed.as_slice().try_into().map_err(|_| damaged())?);
    let account = Account {
        name: AccountName::parse(&text(b"name")?).map_err(|_| damaged())?,
        relay: text(b"relay")?,
        hosting: get(b"hosting")? == Some(vec![1]),
        header: None,
        search: Zeroizing::default(),
    };
    Ok((account, identity))
}

/// What deriving the key costs. Tests in debug builds ask for less.
pub(crate) fn cost() -> Cost {
    let small = cfg!(test) || cfg!(debug_assertions) && std::env::var_os("SUBROSA_TEST_VAULT_COST").is_some();
    if small { Cost { memory_kib: 64, passes: 1, lanes: 1 } } else { Cost::DEFAULT }
}

pub(crate) fn sentence(dir: &Path, error: &Error) -> String {
    let dir = dir.display();
    match error {
        Error::WrongKey => WRONG_PASSPHRASE.into(),
        Error::Locked => format!("another subrosa has {dir} open: close it first, or use --profile OTHER"),
        Error::Foreign(what) => {
            format!(
                "{dir} is no subrosa profile: {what}. Nothing was touched; name another folder with --profile"
            )
        }
        Error::Damaged(what) => format!(
            "the profile in {dir} is damaged: {what}. Nothing was changed; restore the folder from a copy, \
             or begin a new one with --profile NEW"
        ),
        Error::Newer { found, known } => format!(
            "the profile in {dir} was written by a newer subrosa (schema {found}, this one knows {known}): update subrosa"
        ),
        Error::Full => format!("the disk of {dir} is full: free some space, then start again"),
        Error::Io(error) => format!("{dir} could not be used: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::sync::Arc;
    use subrosa_shared::store::memory::{Memory, MemorySlots};

    fn passphrase() -> Zeroizing<String> {
        Zeroizing::new("correct horse".into())
    }

    #[tokio::test]
    async fn a_taken_port_of_a_hosted_relay_is_named_and_the_profile_opens_once_it_is_free() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path().join("profile");
        let name = AccountName::parse("ada").expect("valid");
        let made = create(&dir, name, passphrase(), RelayChoice::Here).await.expect("a profile");
        let link = made.account.relay.clone();
        let (_, relay, held) = made.into_parts(Config::default(), Caps::detect(|_| None, &Config::default()));
        held.close().await;
        // The endpoint's own task lets go of the socket when it next runs.
        let other = tokio::time::timeout(std::time::Duration::from_secs(20), async {
            loop {
                match UdpSocket::bind((Ipv4Addr::UNSPECIFIED, relay.port)) {
                    Ok(socket) => return socket,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        });
        let other = other.await.expect("the port is free again");
        let why = open(&dir, passphrase(), None).await.err().expect("the port is taken");
        assert!(why.contains(&format!("UDP port {}", relay.port)), "{why}");
        drop(other);
        let opened = open(&dir, passphrase(), None).await.expect("opens");
        assert_eq!((opened.account.name.as_str(), opened.account.relay), ("ada", link));
    }

    #[tokio::test]
    async fn a_profile_could_not_follow_its_relay_to_another_port() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path().join("profile");
        let name = AccountName::parse("ada").expect("valid");
        let old = RelayLink { host: "relay.invalid".into(), port: 4433, fingerprint: [7; 32], invite: None };
        let choice = RelayChoice::Link(old.clone());
        drop(create(&dir, name, passphrase(), choice).await.expect("a profile"));
        let other = RelayLink { fingerprint: [8; 32], ..old.clone() };
        let why = open(&dir, passphrase(), Some(other)).await.err().expect("another relay");
        assert!(why.contains("--profile NEW"), "{why}");
        let opened = open(&dir, passphrase(), None).await.expect("opens");
        assert_eq!(opened.account.relay, old.to_string());
        drop(opened);
        let new = RelayLink { host: "192.0.2.7".into(), port: 4434, ..old };
        drop(open(&dir, passphrase(), Some(new.clone())).await.expect("opens"));
        let again = open(&dir, passphrase(), None).await.expect("opens");
        assert_eq!(again.account.relay, new.to_string());
    }

    #[tokio::test]
    async fn a_host_whose_relay_had_moved_away_became_another_relays() {
        let folder = tempfile::tempdir().expect("a folder");
        let (dir, moved) = (folder.path().join("profile"), folder.path().join("moved.key"));
        let fingerprint = Key::read_or_make(&moved).expect("made").fingerprint();
        let old = RelayLink { host: "192.0.2.6".into(), port: 4433, fingerprint, invite: None };
        let name = AccountName::parse("ada").expect("valid");
        let made = create(&dir, name, passphrase(), RelayChoice::Link(old.clone())).await.expect("a profile");
        let mut batch = Batch::default();
        batch.put(ACCOUNT, *b"hosting", vec![1]);
        made.profile.store.commit(&batch).expect("written");
        drop(made);
        let why = open(&dir, passphrase(), None).await.err().expect("it is gone");
        assert!(why.contains("--relay LINK") && !dir.join(RELAY).exists(), "{why}");
        assert!(why.contains(&format!("subrosa --relay {old} opens")), "{why}");
        // Another one in its place, then a copy of it.
        let key = dir.join(RELAY).join("relay.key");
        std::fs::create_dir(dir.join(RELAY)).expect("made");
        Key::read_or_make(&key).expect("made");
        let why = open(&dir, passphrase(), None).await.err().expect("it is not that one");
        assert!(why.contains("--relay LINK"), "{why}");
        std::fs::copy(&moved, &key).expect("copied");
        let new = RelayLink { host: "192.0.2.7".into(), ..old };
        let why = open(&dir, passphrase(), Some(new.clone())).await.err().expect("it is here");
        assert!(why.contains("away first"), "{why}");
        std::fs::remove_dir_all(dir.join(RELAY)).expect("removed");
        let opened = open(&dir, passphrase(), Some(new.clone())).await.expect("it follows");
        assert!(opened.server.is_none());
        drop(opened);
        let again = open(&dir, passphrase(), None).await.expect("opens");
        assert_eq!((&again.account.relay, again.account.hosting), (&new.to_string(), false));
        // Where its relay is lost for good, what is stored still opens.
        again.profile.store.commit(&batch).expect("written");
        drop(again);
        let why = open(&dir, passphrase(), None).await.err().expect("it is gone");
        assert!(why.contains(&format!("subrosa --relay {new} opens")), "{why}");
        let opened = open(&dir, passphrase(), Some(new)).await.expect("it opens");
        assert!(opened.server.is_none() && !opened.account.hosting);
    }

    #[test]
    fn a_profile_without_a_name_was_the_folder_of_all_profiles() {
        assert!(folder(Some("")).expect_err("no name").contains("--profile NAME"));
    }

    #[test]
    fn settings_that_came_with_a_backup_hold_where_no_file_says_anything() {
        let store = Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) };
        let usual = Config::default();
        assert_eq!(settings_of(&store, usual.clone()), usual, "nothing came");
        let mut batch = Batch::default();
        batch.put(ACCOUNT, SETTINGS, b"[screen]\nsidebar = 31\n".to_vec());
        store.commit(&batch).expect("memory");
        assert_eq!(settings_of(&store, usual.clone()).screen.sidebar, 31);
        let of_file = Config { from_file: true, ..usual };
        assert_eq!(settings_of(&store, of_file.clone()), of_file, "a file that says what is usual is one");
    }

    #[tokio::test]
    async fn a_profile_whose_making_failed_can_be_made_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path().join("profile");
        let profile = Profile::create(&dir, "correct horse", cost(), &mut OsRng).expect("a profile");
        profile.burn().expect("burns");
        let name = AccountName::parse("ada").expect("valid");
        let relay =
            RelayLink { host: "relay.invalid".into(), port: 4433, fingerprint: [7; 32], invite: None };
        assert!(create(&dir, name, passphrase(), RelayChoice::Link(relay)).await.is_ok());
    }
}
