//! `bench`: the figures that subrosa is judged by, each beside something simpler measured in the same
//! run. It reports and never fails on time.
//!
//! | file | figure |
//! |---|---|
//! | `keystroke` | a key on one machine to the line on the other |
//! | `seal` | one text sealed and opened |
//! | `login` | signing in by password; the relay's answer to a name that nobody has |
//! | `devices` | bytes to link a device; a long history from another device |
//! | `cold` | start to first screen with a long history, and scrolling in it |
//! | `search` | finding something in 100,000 messages, and what the index costs |
//! | `relay` | a relay with up to 10,000 idle clients: memory, handshakes |
//! | `forward` | a relayed datagram of live media, to 1, 2, 8, 32, 100 |
//! | `link` | live media over a line of 10 Mbit/s, 50 ms, 2 % loss |
//! | `stored` | envelopes accepted, safe from a power cut |
//! | `broker` | such a datagram beside Mosquitto and NATS over TLS (`nats`), when they are installed |
//! | `hostile` | a text between honest people while others attack the relay, and its memory |
//! | `idle` | memory and CPU of an idle client |
//! | `wire` | bytes on the network for texts and calls |
//! | `call` | a whole call: bytes on the network and to the terminal, CPU of each side (`sides`) |
//! | `rooms` | a text to a room of 2, 10 and 100: bytes, CPU and time; joining the room of 100 |
//! | `files` | a file of 1 GB: how fast, and how much memory meanwhile |
//! | `codec` | pictures on the wire, beside other codecs; its comparisons are printed first |
//! | `terminal` | pictures written to a terminal, beside other ways to write them |
//! | `sheet` | draws each way to show a picture into `client/assets/modes.png`; only when it is named |
//! | `build` | the default build from nothing; only when it is named |
//! | `train` | writes the codec's tables anew; only when it is named |

mod bare;
mod broker;
mod build;
mod call;
mod codec;
mod cold;
mod devices;
mod figure;
mod files;
mod flood;
mod forward;
mod hostile;
mod idle;
mod keeper;
mod keystroke;
mod link;
mod login;
mod nats;
mod people;
mod process;
mod raw;
mod relay;
mod rooms;
mod seal;
mod search;
mod sides;
mod stored;
mod terminal;
mod train;
mod wire;

use figure::Table;
use std::process::ExitCode;

/// As in the client: what is freed is wiped, and that costs time.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

type Measure = fn(&mut Table) -> anyhow::Result<()>;

/// In the order in which they are printed.
const FIGURES: &[(&str, Measure)] = &[
    ("keystroke", keystroke::measure),
    ("seal", seal::measure),
    ("login", login::measure),
    ("devices", devices::measure),
    ("cold", cold::measure),
    ("search", search::measure),
    ("relay", relay::measure),
    ("forward", forward::measure),
    ("link", link::measure),
    ("stored", stored::measure),
    ("broker", broker::measure),
    ("hostile", hostile::measure),
    ("idle", idle::measure),
    ("wire", wire::measure),
    ("call", call::measure),
    ("rooms", rooms::measure),
    ("files", files::measure),
    ("codec", codec::measure),
    ("terminal", terminal::measure),
];

/// Only when they are asked for.
const NAMED: [(&str, Measure); 3] =
    [("build", build::measure), ("sheet", terminal::sheet), ("train", train::measure)];

fn main() -> ExitCode {
    let named: Vec<String> = std::env::args().skip(1).collect();
    if let [argument, rest @ ..] = named.as_slice()
        && argument == flood::ARGUMENT
    {
        return match flood::run(rest) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("bench: the flood ended: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let known = || FIGURES.iter().chain(&NAMED);
    if let Some(name) = named.iter().find(|name| !known().any(|(known, _)| known == name)) {
        let names: Vec<_> = known().map(|(name, _)| *name).collect();
        eprintln!("bench: no figure {name}; there are {}", names.join(", "));
        return ExitCode::FAILURE;
    }
    let mut table = Table::default();
    let mut failed = false;
    for (name, measure) in known() {
        let asked = named.iter().any(|n| n == name);
        let wanted = asked || named.is_empty() && NAMED.iter().all(|(other, _)| other != name);
        if wanted {
            eprintln!("bench: {name}…");
            if let Err(error) = measure(&mut table) {
                eprintln!("bench: {name} could not be measured: {error:#}");
                failed = true;
            }
        }
    }
    if cfg!(debug_assertions) {
        eprintln!("bench: this is a debug build, its figures mean nothing");
    }
    print!("{table}");
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
