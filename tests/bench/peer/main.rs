//! The least that a relay could be, as a program by itself, so that its CPU can be counted: with the relay's
//! settings, threads and allocator, and nothing of what makes it a relay. `bench` starts it.

mod bare;
mod frame;
mod keeper;

use anyhow::bail;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use subrosa_relay::listener::{Key, server_config};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One of the two, until it is killed.
fn main() -> anyhow::Result<()> {
    let named: Vec<_> = std::env::args_os().skip(1).collect();
    let threads = subrosa_relay::config::Config::default().threads();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    match named.as_slice() {
        [kind] if kind == "bare" => runtime.block_on(bare::run()),
        [kind, log] if kind == "keeper" => runtime.block_on(keeper::run(Path::new(log))),
        _ => bail!("peer is for `bench` to start, as `peer bare` or `peer keeper LOG`"),
    }
}

/// A server on loopback as the relay makes one; it prints its port and the fingerprint of its certificate.
fn listen() -> anyhow::Result<quinn::Endpoint> {
    let key = Key::new()?;
    let config = server_config(&key, &subrosa_relay::config::Link::default())?;
    let endpoint = quinn::Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into())?;
    println!("{} {}", endpoint.local_addr()?.port(), data_encoding::HEXLOWER.encode(&key.fingerprint()));
    std::io::stdout().flush()?;
    Ok(endpoint)
}
