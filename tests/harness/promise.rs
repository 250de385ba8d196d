//! What a relay promises to devices, and whether a data folder still holds it.

use super::device::{Device, envelope, id, key, name};
use std::path::Path;
use std::sync::Arc;
use subrosa_relay::accounts::{Accounts, Owner};
use subrosa_relay::config::Limits;
use subrosa_relay::mailbox::{Mailbox, Quota, Sled};
use subrosa_shared::id::{EnvelopeId, Seq};
use subrosa_shared::protocol::auth::Cert;
use subrosa_shared::protocol::blob::BlobId;
use subrosa_shared::protocol::envelope::Outgoing;
use subrosa_shared::protocol::frame::{ToDevice, ToRelay};
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::store::Kv;

/// Settings that let three devices do what many do elsewhere.
pub const CONFIG: &str = "
[limits]
sends = { per_minute = 1000000, burst = 100000 }
send_bytes = { per_minute = 1000000000, burst = 100000000 }
frames = { per_minute = 1000000, burst = 100000 }
";

/// What the relay said, or was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promise {
    /// It knows the device.
    Welcome(u8),
    /// The envelope is in the mailboxes of these.
    Accepted(EnvelopeId, Vec<u8>),
    /// Said by the device: its mailbox may forget everything up to there.
    Forget(u8, Seq),
    /// So much of the file is there.
    Stored(u64),
}

const DEVICES: std::ops::RangeInclusive<u8> = 1..=3;
const FILE: BlobId = BlobId([9; 16]);

/// A conversation of three, with a file; each promise is noted as soon as it is heard, and what a device
/// says before it is said.
///
/// # Panics
/// When the relay does not play along.
pub async fn talk(link: &str, mut notes: impl FnMut(Promise)) {
    let link: RelayLink = link.parse().expect("a link");
    let mut devices = Vec::new();
    for number in DEVICES {
        devices.push(Device::join(&link, number).await);
        notes(Promise::Welcome(number));
    }
    let [ada, ben, cy] = devices.as_mut_slice() else { panic!("three joined") };
    let mut number = 0;
    let mut next = |to: &[u8], head, body| -> Outgoing {
        number += 1;
        envelope(number, to, head, body)
    };
    // One by one.
    for round in 0..12 {
        ada.say(&ToRelay::Send(next(&[2, 3], 100, 700))).await;
        accepted(ada, 1, &[2, 3], &mut notes).await;
        if round % 4 == 3 {
            forgets(ben, 2, 4, &mut notes).await;
        }
    }
    // Many at once, in both directions.
    for _ in 0..4 {
        for _ in 0..8 {
            ada.say(&ToRelay::Send(next(&[2], 300, 0))).await;
        }
        accepted(ada, 8, &[2], &mut notes).await;
        for _ in 0..3 {
            ben.say(&ToRelay::Send(next(&[1], 50, 2000))).await;
        }
        forgets(ben, 2, 5, &mut notes).await;
        accepted(ben, 3, &[1], &mut notes).await;
    }
    ada.uploads(FILE, &file(), |stored| notes(Promise::Stored(stored))).await;
    cy.say(&ToRelay::Send(next(&[1, 2], 80, 5000))).await;
    accepted(cy, 1, &[1, 2], &mut notes).await;
}

async fn accepted(device: &mut Device, count: usize, to: &[u8], notes: &mut impl FnMut(Promise)) {
    for _ in 0..count {
        let accepted = |frame: &ToDevice| match frame {
            ToDevice::Accepted(id) => Some(*id),
            _ => None,
        };
        let id = device.hears(accepted).await;
        notes(Promise::Accepted(id, to.to_vec()));
    }
}

async fn forgets(device: &mut Device, number: u8, count: usize, notes: &mut impl FnMut(Promise)) {
    let mut last = Seq(0);
    for _ in 0..count {
        let delivered = |frame: &ToDevice| match frame {
            ToDevice::Deliver(delivery) => Some(delivery.seq),
            _ => None,
        };
        last = device.hears(delivered).await;
    }
    notes(Promise::Forget(number, last));
    device.say(&ToRelay::Ack(last)).await;
}

/// Whether records and the folder around them hold all of these promises, in the order in which they were
/// noted, and nothing twice.
///
/// # Errors
/// What is missing.
pub fn held(records: &Arc<dyn Kv>, data: &Path, promises: &[&Promise]) -> Result<(), String> {
    let mailbox = Sled::new(records.clone(), Quota::from(&Limits::default()));
    let accounts = Accounts::new(records.clone(), 100);
    for device in DEVICES {
        let forgotten = promises.iter().filter_map(|promise| match promise {
            Promise::Forget(number, seq) if *number == device => Some(seq.0),
            _ => None,
        });
        let forgotten = forgotten.max().unwrap_or(0);
        let waiting =
            mailbox.after(id(device), Seq(0), 1000, usize::MAX).map_err(|error| error.to_string())?;
        let waiting: Vec<EnvelopeId> = waiting.into_iter().map(|waiting| waiting.delivery.id).collect();
        let mut once = waiting.clone();
        once.sort();
        once.dedup();
        if once.len() < waiting.len() {
            return Err(format!("something waits twice for device {device}"));
        }
        let wanted = promises.iter().filter_map(|promise| match promise {
            Promise::Accepted(id, to) if to.contains(&device) => Some(*id),
            _ => None,
        });
        // Numbers of a mailbox count what was put into it, from one on.
        for id in wanted.skip(forgotten as usize) {
            if !waiting.contains(&id) {
                return Err(format!("{id:?} does not wait for device {device} any more"));
            }
        }
    }
    for promise in promises {
        match promise {
            Promise::Welcome(number) => {
                let peer = Cert::sign(&key(*number), &[*number; 32]).verify().expect("ours");
                match accounts.owner(&name(*number), &peer) {
                    Ok(Owner::This) => {}
                    other => return Err(format!("the account of device {number} is gone: {other:?}")),
                }
            }
            Promise::Stored(count) => {
                let name: String = FILE.0.iter().map(|byte| format!("{byte:02x}")).collect();
                let bytes =
                    std::fs::read(data.join("files").join(name)).map_err(|error| error.to_string())?;
                if bytes.get(..*count as usize) != file().get(..*count as usize) {
                    return Err(format!("the file is not what it was in its first {count} bytes"));
                }
            }
            Promise::Accepted(..) | Promise::Forget(..) => {}
        }
    }
    Ok(())
}

fn file() -> Vec<u8> {
    (0..150_000u32).map(|at| (at % 251) as u8).collect()
}
