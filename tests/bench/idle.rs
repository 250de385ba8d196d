//! The real client on a terminal of its own, logged in, with nobody doing anything.

use crate::figure::{Table, mib};
use crate::people::Place;
use crate::process::{beside, resident, switches, ticks};
use anyhow::{anyhow, bail};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use rand_core::OsRng;
use std::io::{Read, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use subrosa::chat::talk::ACCOUNT;
use subrosa_relay::metrics::Count;
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::Identity;
use subrosa_shared::session::vault::Cost;
use subrosa_shared::store::Batch;
use subrosa_shared::store::profile::Profile;

/// How long nothing happens.
const SPAN: Duration = Duration::from_secs(10);
/// Until prekeys are made and published and the screen is drawn.
const SETTLE: Duration = Duration::from_secs(3);
const PASSPHRASE: &str = "correct horse";

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let place = Place::start(None)?;
    let profile = dir.path().join("ada");
    make(&profile, place.server().link())?;

    let size = PtySize { rows: 36, cols: 120, pixel_width: 0, pixel_height: 0 };
    let pty = native_pty_system().openpty(size).map_err(|error| anyhow!("no terminal: {error}"))?;
    let mut command = CommandBuilder::new(beside("subrosa")?);
    command.args(["--profile", &profile.display().to_string()]);
    command.env("TERM", "xterm-256color");
    command.env("LC_ALL", "C.UTF-8");
    let child = pty.slave.spawn_command(command).map_err(|error| anyhow!("not started: {error}"))?;
    let child = OnTerminal(child);
    drop(pty.slave);
    let mut output = pty.master.try_clone_reader().map_err(|error| anyhow!("no output: {error}"))?;
    // Ends with the terminal.
    let reading = thread::spawn(move || {
        let mut buffer = [0; 4096];
        while output.read(&mut buffer).is_ok_and(|n| n > 0) {}
    });
    let mut keys = pty.master.take_writer().map_err(|error| anyhow!("no input: {error}"))?;
    write!(keys, "{PASSPHRASE}\r")?;

    let begun = Instant::now();
    while place.server().metrics().get(Count::Logins) == 0 {
        if begun.elapsed() > Duration::from_secs(60) {
            bail!("the client did not log in");
        }
        thread::sleep(Duration::from_millis(50));
    }
    thread::sleep(SETTLE);
    let pid = child.0.process_id().ok_or_else(|| anyhow!("the client ended"))?;
    let (ticks_before, switches_before) = (ticks(pid)?, switches(pid)?);
    thread::sleep(SPAN);
    let (ticks, switches) = (ticks(pid)? - ticks_before, switches(pid)?.saturating_sub(switches_before));
    table.value("memory of an idle client, on a terminal", &mib(resident(pid)?), "", "");
    let awake = format!("{switches} wake-ups");
    table.value("CPU of an idle client in 10 s", &format!("{} ms", ticks * 10), &awake, "");
    drop(child);
    drop((keys, pty.master));
    let _ = reading.join();
    Ok(())
}

/// A profile as the first run makes it, with a passphrase that is cheap to check.
fn make(dir: &Path, link: &RelayLink) -> anyhow::Result<()> {
    let profile = Profile::create(dir, PASSPHRASE, Cost::TINY, &mut OsRng)?;
    let mut batch = Batch::default();
    batch.put(ACCOUNT, *b"name", b"ada".to_vec());
    batch.put(ACCOUNT, *b"relay", link.to_string().into_bytes());
    batch.put(ACCOUNT, *b"hosting", vec![0]);
    batch.put(ACCOUNT, *b"identity", Identity::generate(&mut OsRng).seed().to_vec());
    profile.store.commit(&batch)?;
    Ok(())
}

/// A child on a terminal that does not outlive this.
struct OnTerminal(Box<dyn portable_pty::Child + Send + Sync>);

impl Drop for OnTerminal {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
