//! Other programs of the project as child processes, and what the system says about them.

use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::Child;

/// A program that was built beside this one.
pub fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        bail!("{} is not built: run `cargo build --release --workspace --bins` first", path.display());
    }
    Ok(path)
}

/// A child that does not outlive this.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Bytes of memory that a process has resident.
pub fn resident(pid: u32) -> anyhow::Result<u64> {
    let kib = field(Path::new(&format!("/proc/{pid}/status")), "VmRSS:")?;
    Ok(kib * 1024)
}

/// How often the threads of a process were switched to.
pub fn switches(pid: u32) -> anyhow::Result<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        sum += field(&task?.path().join("status"), "voluntary_ctxt_switches:")?;
    }
    Ok(sum)
}

/// CPU time of a process in ticks of 10 ms, in user and system mode together.
pub fn ticks(pid: u32) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in brackets may hold anything; utime and stime are fields 14 and 15 (proc(5)).
    let (_, rest) = stat.rsplit_once(") ").context("no name in /proc/PID/stat")?;
    let times = rest.split(' ').skip(11).take(2).map(|time| time.parse::<u64>().unwrap_or(0));
    Ok(times.sum())
}

fn field(path: &Path, name: &str) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).context("no such field")?;
    Ok(line.split_whitespace().next().unwrap_or("").parse()?)
}
