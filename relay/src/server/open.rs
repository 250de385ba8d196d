//! What a relay needs before it runs: its store, its keys, its socket; and why it does not start.

use super::wall;
use crate::accounts;
use crate::admin;
use crate::admin::tap::Tapped;
use crate::blobs;
use crate::config::Config;
use crate::listener::Key;
use crate::passwords::Setup;
use crate::private;
use crate::records;
use crate::relay::Relay;
use rand_core::{CryptoRngCore, OsRng};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use subrosa_shared::store;

/// Why a relay does not start or run: a sentence with the next step.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that cannot work.
    #[error("the configuration cannot work: {0}")]
    Config(&'static str),
    /// The address is taken.
    #[error("another program listens on UDP {0}; stop it, or choose another address with --listen")]
    InUse(SocketAddr),
    /// The address may not or cannot be listened on.
    #[error("cannot listen on UDP {address}: {why}; choose another address with --listen")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// What the system said.
        why: std::io::Error,
    },
    /// Another relay runs on the folder.
    #[error("another relay is using {0}; stop it, or choose another folder with --data")]
    Locked(PathBuf),
    /// The folder cannot be used.
    #[error(
        "cannot use the data folder {path}: {why}; check its owner and permissions, or choose another with --data"
    )]
    Folder {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// The disk has no room.
    #[error("the disk under {0} is full; make room and start again")]
    Full(PathBuf),
    /// The store cannot be read; nothing was touched.
    #[error(
        "cannot open the store in {path}: {why}; nothing was changed. Restore it from a backup, or choose another folder with --data"
    )]
    Store {
        /// Which folder.
        path: PathBuf,
        /// What is wrong with it.
        why: store::Error,
    },
    /// The relay's key cannot be read.
    #[error("{0} is not a relay's key; restore it from a backup (a new key would lock out all clients)")]
    Key(PathBuf),
    /// The secret behind the passwords cannot be read.
    #[error(
        "{0} is not a relay's password secret; restore it from a backup (a new one would void every password)"
    )]
    Opaque(PathBuf),
    /// A file of the relay's is gone, and it cannot be what it was without it.
    #[error(
        "{0} is missing, and people have accounts here; restore it from a backup. To begin as another relay, which none of them knows, move the data folder away"
    )]
    Missing(PathBuf),
    /// The figures cannot be served there.
    #[error("cannot serve figures on TCP {address}: {why}; choose another address for http in [metrics]")]
    Figures {
        /// Which one.
        address: SocketAddr,
        /// What the system said.
        why: std::io::Error,
    },
    /// TLS or the system refuses to work.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

/// Apart from the records of passwords, so that a stolen store alone cannot be guessed at.
const OPAQUE_FILE: &str = "relay.opaque";

/// Reads what is kept, or begins anew.
pub(super) fn open(config: &Config) -> Result<(Key, Relay, Option<Arc<Tapped>>), Error> {
    let rng: Box<dyn CryptoRngCore + Send> = Box::new(OsRng);
    let Some(data) = &config.data else {
        let key = Key::new()?;
        let relay = Relay::in_memory(config.clone(), key.fingerprint(), rng);
        return Ok((key, relay, None));
    };
    let folder = |why| Error::Folder { path: data.clone(), why };
    private::folder(data).map_err(folder)?;
    let refused = |why| match why {
        store::Error::Locked => Error::Locked(data.clone()),
        store::Error::Full => Error::Full(data.clone()),
        store::Error::Io(why) => folder(why),
        why => Error::Store { path: data.clone(), why },
    };
    // First the store, whose lock says that no other relay makes a key here at this moment.
    let kv = records::open(data, records::Use::Run).map_err(refused)?;
    if kv.was_cut_off() {
        tracing::info!("the last write before this start was cut off; nothing of it had been acknowledged");
    }
    let begun = accounts::any(&kv).map_err(refused)?;
    let there =
        |path: &Path| if begun && !path.exists() { Err(Error::Missing(path.to_path_buf())) } else { Ok(()) };
    let path = data.join("relay.key");
    there(&path)?;
    let key = Key::read_or_make(&path).map_err(|why| match why.kind() {
        std::io::ErrorKind::InvalidData => Error::Key(path.clone()),
        _ => Error::Folder { path: path.clone(), why },
    })?;
    let path = data.join(OPAQUE_FILE);
    there(&path)?;
    let setup = Setup::read_or_make(&path, &mut OsRng).map_err(|why| match why.kind() {
        std::io::ErrorKind::InvalidData => Error::Opaque(path.clone()),
        _ => Error::Folder { path: path.clone(), why },
    })?;
    let files = blobs::Place::Folder(data.join(blobs::FOLDER));
    let kv = Arc::new(Tapped::new(kv));
    let relay = Relay::over(config.clone(), key.fingerprint(), setup, kv.clone(), files, rng);
    let mut relay = relay.map_err(refused)?;
    if let Some(remark) = admin::restore::remark(data, wall()) {
        tracing::warn!("{remark}");
        relay.remark(remark);
    }
    Ok((key, relay, Some(kv)))
}

/// On a machine without IPv6 "every address" is every IPv4 address.
pub(super) fn bind(listen: SocketAddr) -> Result<(UdpSocket, SocketAddr), Error> {
    let bound = match UdpSocket::bind(listen) {
        Err(error)
            if listen.ip() == Ipv6Addr::UNSPECIFIED && error.kind() != std::io::ErrorKind::AddrInUse =>
        {
            let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, listen.port()));
            UdpSocket::bind(listen).map(|socket| (socket, listen))
        }
        bound => bound.map(|socket| (socket, listen)),
    };
    let bound = bound.map_err(|why| match why.kind() {
        std::io::ErrorKind::AddrInUse => Error::InUse(listen),
        _ => Error::Listen { address: listen, why },
    })?;
    // As much as the system grants: what honest people send waits behind a flood instead of being lost.
    let granted = quinn::udp::UdpSocketState::new((&bound.0).into())
        .and_then(|state| state.set_recv_buffer_size((&bound.0).into(), RECEIVE));
    if let Err(error) = granted {
        tracing::debug!(%error, "the socket keeps its small buffer");
    }
    Ok(bound)
}

/// Bytes of datagrams that wait to be read.
const RECEIVE: usize = 4 << 20;

/// The best guess of what others call this machine. Connecting a UDP socket sends nothing; it only
/// asks the system which of its addresses it would use (towards a documentation address).
pub(super) fn host(listen: SocketAddr) -> String {
    if !listen.ip().is_unspecified() {
        return listen.ip().to_string();
    }
    let outgoing = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
        socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_unspecified())
    };
    outgoing().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)).to_string()
}
