//! The default build from nothing: `cargo build --release` into an empty folder.
//!
//! Takes minutes, so it runs only when it is named. Sources of dependencies are downloaded before.

use crate::figure::{Table, mib, shown};
use anyhow::{Context, bail};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?;
    let target = tempfile::tempdir()?;
    let cargo = || {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(root).env("CARGO_TARGET_DIR", target.path());
        cargo
    };
    run(cargo().args(["fetch", "--locked"]))?;
    let tree = cargo().args(["tree", "--locked", "-e", "normal,build", "--prefix", "none"]).output()?;
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    let crates: BTreeSet<_> =
        tree.lines().map(|line| line.trim_end_matches(" (*)")).filter(|line| !line.is_empty()).collect();
    let begun = Instant::now();
    run(cargo().args(["build", "--release", "--locked", "--quiet"]))?;
    let took = begun.elapsed();
    let size = std::fs::metadata(target.path().join("release/subrosa"))?.len();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let what = format!("default build from nothing, {cores} cores");
    table.value(&what, &shown(took), &format!("{} crates", crates.len()), "");
    table.value("the client's file", &mib(size), "", "");
    Ok(())
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status()?;
    if !status.success() {
        bail!("cargo ended with {status}");
    }
    Ok(())
}
