//! Every setting of a relay, with its default.

use crate::outbox;
use serde::{Deserialize, Deserializer};
use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use subrosa_shared::protocol::link;
use subrosa_shared::protocol::media::DATAGRAM_MAX;

/// A relay's settings; `config/relay.toml` explains each.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and UDP port to listen on; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Folder of accounts, mailboxes and the relay's key. `None` (empty in the file) keeps everything
    /// in memory and forgets it at the end.
    #[serde(deserialize_with = "path_or_none")]
    pub data: Option<PathBuf>,
    /// Host name or address written in the link. `None` (empty in the file) means the listen address,
    /// or where that names none, the address this machine uses towards the internet.
    #[serde(deserialize_with = "text_or_none")]
    pub host: Option<String>,
    /// Threads that carry packets; 0 means half as many as there are processors. What they hand to each other
    /// costs more than most of what they do, and the mailboxes have a thread of their own.
    pub threads: u16,
    /// A line for everyone who logs in, at most 500 bytes.
    pub motd: String,
    /// Whether free names may be taken.
    pub registration: Registration,
    /// Bounds of everything that grows.
    pub limits: Limits,
    /// The QUIC link.
    pub link: Link,
    /// Figures for whoever watches the relay.
    pub metrics: Metrics,
    /// What is written to standard error.
    pub log: Log,
}

/// Figures for whoever watches the relay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Address and TCP port of `/metrics`, `/healthz` and `/readyz`, plain HTTP. `None` (empty in the file)
    /// serves them nowhere.
    #[serde(deserialize_with = "address_or_none")]
    pub http: Option<SocketAddr>,
}

/// What is written to standard error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// Whether lines hold names of accounts and addresses of people.
    pub names: bool,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// Who may open an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Whoever has the link.
    Open,
    /// Whoever has a link with an invitation; `subrosa-relay invite` makes them.
    Invite,
    /// Nobody; those who are here stay.
    Closed,
}

/// What one device, one address or all together may use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Accounts; they stay for ever, with what their devices left for others and their backups.
    pub accounts: u32,
    /// Envelopes waiting in one mailbox.
    pub mailbox_envelopes: u32,
    /// Bytes waiting in one mailbox, heads and bodies.
    pub mailbox_bytes: u64,
    /// Bytes waiting in all mailboxes together, a shared body counted once.
    pub total_bytes: u64,
    /// Rooms of several people that one account has begun; those that nobody changed for a year do not
    /// count.
    pub room_heads: u32,
    /// Days until an envelope that nobody fetched is dropped.
    pub expiry_days: u32,
    /// Envelopes delivered to a device and not acknowledged.
    pub window_envelopes: u32,
    /// Bytes delivered to a device and not acknowledged; one envelope may pass it.
    pub window_bytes: u32,
    /// One-time prekeys kept for a device.
    pub prekeys: u32,
    /// Envelopes from a device.
    pub sends: Rate,
    /// Bytes of envelopes from a device, each recipient's head counted.
    pub send_bytes: Rate,
    /// Prekeys claimed by a device.
    pub claims: Rate,
    /// Names looked up by a device.
    pub lookups: Rate,
    /// Frames of any kind from a device; past it the connection is closed.
    pub frames: Rate,
    /// Accounts opened from one network (IPv4 address, IPv6 /64).
    pub registrations: Rate,
    /// Bytes of live media from a device; past it datagrams are dropped.
    pub media_bytes: Rate,
    /// Password logins to one name. The right password costs nothing.
    pub guesses_name: Pace,
    /// Password logins from one network (IPv4 /24, IPv6 /56).
    pub guesses_network: Pace,
    /// Password logins in all.
    pub guesses_all: Pace,
    /// Passwords set from a device.
    pub passwords: Rate,
    /// Backups stored by a device.
    pub backups: Rate,
    /// Bytes of one sealed file.
    pub file_bytes: u64,
    /// Bytes of all files of one account.
    pub account_file_bytes: u64,
    /// Bytes of all files together.
    pub total_file_bytes: u64,
    /// Days until a complete file is dropped.
    pub file_days: u32,
    /// Hours without a byte until a file that is not complete is dropped.
    pub half_file_hours: u32,
    /// Bytes of files from an account.
    pub file_up: Rate,
    /// Bytes of files to a device.
    pub file_down: Rate,
    /// Transfers that a device begins, goes on with or asks about.
    pub file_requests: Rate,
    /// Tracks that a device has open.
    pub tracks: u32,
    /// Devices that watch one track.
    pub watchers: u32,
    /// Tracks that a device watches.
    pub watching: u32,
}

/// So many a minute on average, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// On average.
    pub per_minute: u32,
    /// At once, after a pause.
    pub burst: u32,
}

/// So many at once, then one in so many seconds; past so many on a day (UTC) slower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// At once, after a pause.
    pub burst: u32,
    /// Seconds until one more.
    pub every_seconds: u32,
    /// On a day at that pace.
    pub a_day: u32,
    /// Seconds until one more, after that.
    pub then_every_seconds: u32,
}

/// The QUIC link.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Link {
    /// Connections in all.
    pub connections: u32,
    /// Connections from one network (IPv4 address, IPv6 /64).
    pub connections_per_address: u32,
    /// Handshakes taken on in all; half of the burst is kept for clients that were connected before.
    pub handshakes: Rate,
    /// Handshakes taken on from one network.
    pub handshakes_per_address: Rate,
    /// Seconds that a connection has to log in; its handshake may take four times as long.
    pub login_seconds: u32,
    /// Seconds without a sign of life until a connection counts as gone.
    pub idle_seconds: u32,
    /// Bytes of live media that wait for one viewer, one datagram at least; what does not fit is dropped and the
    /// viewer gets the next keyframe.
    pub media_buffer: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv6Addr::UNSPECIFIED, link::PORT)),
            data: Some(PathBuf::from("subrosa-relay-data")),
            host: None,
            threads: 0,
            motd: String::new(),
            registration: Registration::Open,
            limits: Limits::default(),
            link: Link::default(),
            metrics: Metrics::default(),
            log: Log::default(),
        }
    }
}

impl Config {
    /// How many threads carry packets, of this machine when the settings do not say: one at least.
    pub fn threads(&self) -> usize {
        match self.threads {
            0 => (std::thread::available_parallelism().map_or(1, usize::from) / 2).max(1),
            threads => threads.into(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            accounts: 10_000,
            mailbox_envelopes: 20_000,
            mailbox_bytes: 64 << 20,
            total_bytes: 4 << 30,
            room_heads: 200,
            expiry_days: 30,
            window_envelopes: 64,
            window_bytes: 512 << 10,
            prekeys: 100,
            sends: Rate { per_minute: 30_000, burst: 5_000 },
            send_bytes: Rate { per_minute: 240_000_000, burst: 64_000_000 },
            claims: Rate { per_minute: 120, burst: 400 },
            lookups: Rate { per_minute: 120, burst: 200 },
            frames: Rate { per_minute: 120_000, burst: 20_000 },
            registrations: Rate { per_minute: 5, burst: 50 },
            media_bytes: Rate { per_minute: 60_000_000, burst: 2_000_000 },
            guesses_name: Pace { burst: 5, every_seconds: 180, a_day: 20, then_every_seconds: 1800 },
            guesses_network: Pace { burst: 20, every_seconds: 60, a_day: 200, then_every_seconds: 600 },
            guesses_all: Pace { burst: 300, every_seconds: 1, a_day: 20_000, then_every_seconds: 5 },
            passwords: Rate { per_minute: 1, burst: 5 },
            backups: Rate { per_minute: 6, burst: 20 },
            file_bytes: 100 << 20,
            account_file_bytes: 1 << 30,
            total_file_bytes: 8 << 30,
            file_days: 30,
            half_file_hours: 72,
            file_up: Rate { per_minute: 3_000_000_000, burst: 500_000_000 },
            file_down: Rate { per_minute: 3_000_000_000, burst: 500_000_000 },
            file_requests: Rate { per_minute: 120, burst: 240 },
            tracks: 4,
            watchers: 128,
            watching: 64,
        }
    }
}

impl Default for Link {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: 200,
            handshakes: Rate { per_minute: 12_000, burst: 200 },
            handshakes_per_address: Rate { per_minute: 600, burst: 100 },
            login_seconds: 5,
            idle_seconds: 30,
            media_buffer: 32 << 10,
        }
    }
}

/// Why a configuration cannot be used; the text names file, line and key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {why}; check the path given with --config")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// The file is not a configuration.
    #[error(
        "{path} is not a valid configuration: {why}\nconfig/relay.toml lists every setting with its default"
    )]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Line, key and what was expected there.
        why: Box<toml::de::Error>,
    },
    /// A value that cannot work.
    #[error("{path}: {what}")]
    Value {
        /// Which file.
        path: PathBuf,
        /// Which key, and what it must be.
        what: &'static str,
    },
}

impl Config {
    /// Reads a file; settings that it leaves out have their defaults.
    ///
    /// # Errors
    /// [`Error`], a sentence with the next step.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|why| Error::Read { path: path.to_path_buf(), why })?;
        let config: Self = toml::from_str(&text)
            .map_err(|why| Error::Parse { path: path.to_path_buf(), why: Box::new(why) })?;
        match config.fault() {
            Some(what) => Err(Error::Value { path: path.to_path_buf(), what }),
            None => Ok(config),
        }
    }

    /// What differs in other settings: what a running relay takes over, and what only the next start does.
    pub fn differences(&self, new: &Self) -> (Vec<&'static str>, Vec<&'static str>) {
        let named = |differs: &[(bool, &'static str)]| {
            differs.iter().filter(|(differs, _)| *differs).map(|(_, name)| *name).collect()
        };
        let live = named(&[
            (self.limits != new.limits, "[limits]"),
            (self.motd != new.motd, "motd"),
            (self.registration != new.registration, "registration"),
        ]);
        let later = named(&[
            (self.listen != new.listen, "listen"),
            (self.threads != new.threads, "threads"),
            (self.data != new.data, "data"),
            (self.host != new.host, "host"),
            (self.link != new.link, "[link]"),
            (self.metrics != new.metrics, "[metrics]"),
            (self.log != new.log, "[log]"),
        ]);
        (live, later)
    }

    /// The first value that cannot work, as a sentence.
    pub fn fault(&self) -> Option<&'static str> {
        let limits = &self.limits;
        let rates = [
            limits.sends,
            limits.send_bytes,
            limits.claims,
            limits.lookups,
            limits.frames,
            limits.registrations,
            limits.media_bytes,
            limits.passwords,
            limits.backups,
            limits.file_up,
            limits.file_down,
            limits.file_requests,
            self.link.handshakes,
            self.link.handshakes_per_address,
        ];
        let paces = [limits.guesses_name, limits.guesses_network, limits.guesses_all];
        if self.motd.len() > 500 {
            Some("motd must be at most 500 bytes")
        } else if self.threads > THREADS_MAX {
            Some("threads must be at most 256")
        } else if rates.iter().any(|rate| rate.per_minute == 0 || rate.burst == 0) {
            Some("per_minute and burst of every rate in [limits] and [link] must be 1 or more")
        } else if paces.iter().any(|pace| {
            pace.burst == 0 || pace.every_seconds == 0 || pace.then_every_seconds < pace.every_seconds
        }) {
            Some(
                "burst and every_seconds of the guesses in [limits] must be 1 or more, and then_every_seconds not less",
            )
        } else if limits.window_envelopes == 0 || limits.window_bytes == 0 {
            Some("window_envelopes and window_bytes in [limits] must be 1 or more")
        } else if limits.window_envelopes > WINDOW_MAX {
            Some("window_envelopes in [limits] must be at most 1024")
        } else if limits.window_bytes > WINDOW_BYTES_MAX {
            Some("window_bytes in [limits] must be at most 4194304")
        } else if self.link.login_seconds == 0 || self.link.idle_seconds == 0 {
            Some("login_seconds and idle_seconds in [link] must be 1 or more")
        } else if (self.link.media_buffer as usize) < DATAGRAM_MAX {
            Some("media_buffer in [link] must be at least 1120, one datagram")
        } else {
            None
        }
    }
}

/// More only wait for each other.
const THREADS_MAX: u16 = 256;

/// The outgoing queue of a connection has room for this window and as many answers and notices.
const WINDOW_MAX: u32 = 1024;

/// Nor may its bytes take more than half of what may wait there.
const WINDOW_BYTES_MAX: u32 = (outbox::BYTES / 2) as u32;

fn text_or_none<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    Ok(Some(String::deserialize(d)?).filter(|text| !text.is_empty()))
}

fn address_or_none<'de, D: Deserializer<'de>>(d: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = text_or_none(d)?;
    let wanted = |_| serde::de::Error::custom("expected ADDRESS:PORT, as 127.0.0.1:9433, or nothing");
    text.map(|text| text.parse().map_err(wanted)).transpose()
}

fn path_or_none<'de, D: Deserializer<'de>>(d: D) -> Result<Option<PathBuf>, D::Error> {
    Ok(text_or_none(d)?.map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = include_str!("../../config/relay.toml");

    #[test]
    fn the_file_lists_every_setting_with_its_default() {
        assert_eq!(toml::from_str::<Config>(FILE).expect("parses"), Config::default());
        // `Debug` names every field, so a new one that the file does not mention is found.
        for part in format!("{:?}", Config::default()).split(['{', '}', ',', ' ', '(', ')']) {
            if let Some(field) = part.strip_suffix(':').filter(|field| !field.is_empty()) {
                let set = format!("{field} = ");
                assert!(FILE.contains(&set) || FILE.contains(&format!("[{field}]")), "{field}");
            }
        }
    }

    #[test]
    fn every_setting_is_either_taken_over_or_named() {
        let old = Config::default();
        assert_eq!(old.differences(&old), (vec![], vec![]));
        let new: Config = toml::from_str(
            "listen = '[::]:1'\nthreads = 3\ndata = 'b'\nhost = 'c'\nmotd = 'd'\nregistration = 'closed'\n\
             [limits]\nprekeys = 1\n[link]\nconnections = 1\n[metrics]\nhttp = '127.0.0.1:1'\n[log]\nnames = true\n",
        )
        .expect("parses");
        let (live, later) = old.differences(&new);
        assert_eq!(live, ["[limits]", "motd", "registration"]);
        assert_eq!(later, ["listen", "threads", "data", "host", "[link]", "[metrics]", "[log]"]);
        // A new setting belongs into one of the two: `Debug` names every field of the first level.
        let Config {
            listen: _,
            data: _,
            host: _,
            threads: _,
            motd: _,
            registration: _,
            limits: _,
            link: _,
            metrics: _,
            log: _,
        } = new;
    }

    #[test]
    fn a_bad_file_names_its_key_and_line() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("relay.toml");
        for (text, says) in [
            ("listen = \"[::]:1\"\nlisten_on = 4\n", ["listen_on", "line 2"]),
            ("[limits]\nprekeys = \"many\"\n", ["prekeys", "line 2"]),
            ("[limits]\nwindow_bytes = 0\n", ["window_bytes", "1 or more"]),
            ("[limits]\nwindow_bytes = 4194305\n", ["window_bytes", "4194304"]),
            ("[link]\nmedia_buffer = 1119\n", ["media_buffer", "1120"]),
            ("[limits]\nwindow_envelopes = 1025\n", ["window_envelopes", "1024"]),
            ("threads = 1000\n", ["threads", "256"]),
            ("[metrics]\nhttp = \"here\"\n", ["127.0.0.1:9433", "line 2"]),
            ("[log]\nformat = \"xml\"\n", ["text", "line 2"]),
        ] {
            std::fs::write(&path, text).expect("written");
            let error = Config::read(&path).expect_err("bad").to_string();
            assert!(says.iter().all(|part| error.contains(part)), "{error}");
        }
        std::fs::write(&path, "[limits]\nwindow_envelopes = 1024\nwindow_bytes = 4194304").expect("written");
        Config::read(&path).expect("as much as they may be");
        let error = Config::read(&dir.path().join("none.toml")).expect_err("missing").to_string();
        assert!(error.contains("none.toml") && error.contains("--config"), "{error}");
    }
}
