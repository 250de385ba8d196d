//! The `subrosa-relay` program.

use anyhow::Context;
use clap::{Parser, Subcommand};
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use subrosa_relay::config::Config;
use subrosa_relay::server::{self, Server};
use tracing_subscriber::EnvFilter;

/// The headless subrosa relay: carries sealed envelopes and live pictures that it cannot read.
#[derive(Parser)]
#[command(version, about, after_help = AFTER)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a relay. Prints the link to hand out when it is ready; SIGTERM or Ctrl+C end it cleanly
    Run(Run),
    /// Print the link of the relay in a data folder
    Link(Link),
}

#[derive(clap::Args)]
struct Run {
    /// Settings; config/relay.toml lists them all with their defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and UDP port to listen on; port 0 lets the system choose [default: [::]:4433]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Folder of accounts, mailboxes and the relay's key [default: subrosa-relay-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Host name or address to write in the link [default: this machine's address]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
}

#[derive(clap::Args)]
struct Link {
    /// Settings, for the data folder
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder [default: subrosa-relay-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

const AFTER: &str = "\
Open the UDP port in the firewall, and hand the printed link to friends.
The log goes to stderr; RUST_LOG=debug says more. It never holds what people say.";

fn main() -> ExitCode {
    let args = Args::parse();
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,subrosa_relay=info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(colours).with_env_filter(filter).init();
    let done = match args.command {
        Command::Run(run) => start(run),
        Command::Link(link) => print_link(link),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("subrosa-relay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(run: Run) -> anyhow::Result<()> {
    let mut config = server::config_from(run.config.as_deref())?;
    config.listen = run.listen.unwrap_or(config.listen);
    config.data = run.data.or(config.data);
    config.host = run.host.or(config.host);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> anyhow::Result<()> {
    // Before the relay is ready, so that a signal right after the line is not missed.
    let mut signals = Signals::new()?;
    let mut server = Server::start(config).await?;
    println!("{}", server.link());
    tracing::info!(address = %server.local_addr(), "ready");
    loop {
        tokio::select! {
            biased;
            // 1. Asked to end, or how it goes.
            asked = signals.next() => match asked {
                Asked::End => {
                    server.shutdown().await;
                    return Ok(());
                }
                #[cfg(unix)]
                Asked::Report => tracing::info!(metrics = %server.metrics(), "so far"),
            },
            // 2. The disk failed: whatever is not on it was not accepted.
            error = server.failed() => {
                return Err(error).context("the relay stopped, since its store failed; what it accepted is safe");
            }
        }
    }
}

fn print_link(link: Link) -> anyhow::Result<()> {
    let config = server::config_from(link.config.as_deref())?;
    let data =
        link.data.or(config.data).context("this relay keeps nothing on disk, so it has no lasting link")?;
    let text = server::stored_link(&data).with_context(|| {
        format!("no relay has run in {} yet; start one with `subrosa-relay run`", data.display())
    })?;
    println!("{text}");
    Ok(())
}

/// What a signal asks for.
enum Asked {
    /// SIGTERM or SIGINT.
    End,
    /// SIGUSR1: log the counters.
    #[cfg(unix)]
    Report,
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    report: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            report: signal(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
            _ = self.report.recv() => Asked::Report,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Asked {
        // Without a handler there is nothing to wait for: the system ends the program.
        match tokio::signal::ctrl_c().await {
            Ok(()) => Asked::End,
            Err(_) => std::future::pending().await,
        }
    }
}
