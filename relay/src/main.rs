//! The `subrosa-relay` program.

use anyhow::Context;
use clap::{Parser, Subcommand};
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use subrosa_relay::admin::systemd::{self, Told};
use subrosa_relay::admin::{Again, ask, offline, restore, top};
use subrosa_relay::config::Config;
use subrosa_relay::log;
use subrosa_relay::server::{self, Server};
use subrosa_shared::protocol::link::RelayLink;

/// Nearly all that the relay allocates is freed by another thread than took it, which the allocators of many
/// systems are slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    Link(Folder),
    /// Watch the relay that runs on a data folder: connections, rates, refusals, mailboxes, disk
    Top(Top),
    /// Let the relay that runs on a data folder read its settings once more, as SIGHUP does
    Reload(Folder),
    /// Look whether everything in a data folder holds together; no relay may run on it, and nothing is changed
    Check(Folder),
    /// Write all that a relay keeps to a new file, also while it runs. The file holds the relay's keys: keep it
    /// as you keep the data folder
    Backup(Backup),
    /// Make a data folder from a backup; the folder must be empty or not there
    Restore(Backup),
    /// Print a link with an invitation, for a relay with registration = "invite"; list and revoke invitations
    Invite(Invite),
    /// End the relay that runs on a data folder, as SIGTERM does: nothing is lost, everyone is told when to come back
    Drain(Folder),
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
struct Folder {
    /// Settings, for the data folder
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder [default: subrosa-relay-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(clap::Args)]
struct Invite {
    #[command(subcommand)]
    what: Option<Invites>,
    /// Accounts that may be opened with it
    #[arg(long, value_name = "N", default_value_t = 1)]
    uses: u32,
    /// How long it holds: a number and m, h or d
    #[arg(long = "for", value_name = "TIME", default_value = "7d", value_parser = seconds)]
    time: u64,
    #[command(flatten)]
    folder: Folder,
}

#[derive(Subcommand)]
enum Invites {
    /// Those that hold, by id: accounts and time left
    List(Folder),
    /// Void one
    Revoke {
        /// As `list` shows it
        id: String,
        #[command(flatten)]
        folder: Folder,
    },
}

fn seconds(text: &str) -> Result<u64, String> {
    let units = [('m', 60), ('h', 3600), ('d', 24 * 3600)];
    let found = units.iter().find_map(|(letter, seconds)| {
        let count: u64 = text.strip_suffix(*letter)?.parse().ok()?;
        count.checked_mul(*seconds).filter(|seconds| *seconds > 0)
    });
    found.ok_or_else(|| "a number and m, h or d, as in 30m, 12h or 7d".into())
}

#[derive(clap::Args)]
struct Backup {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    folder: Folder,
}

#[derive(clap::Args)]
struct Top {
    #[command(flatten)]
    folder: Folder,
    /// Ask by HTTP there, in place of the socket in the data folder
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,
    /// Print the figures once, as text, and end
    #[arg(long)]
    once: bool,
}

impl Folder {
    fn data(self) -> anyhow::Result<PathBuf> {
        let config = server::config_from(self.config.as_deref())?;
        self.data.or(config.data).context("this relay keeps nothing on disk: there is no data folder")
    }
}

const AFTER: &str = "\
Open the UDP port in the firewall, and hand the printed link to friends.
The log goes to stderr; RUST_LOG=debug says more. It never holds what people say.";

fn main() -> ExitCode {
    #[cfg(unix)]
    subrosa_relay::dumps::never();
    let args = Args::parse();
    let done = match args.command {
        Command::Run(run) => start(run),
        Command::Link(folder) => print_link(folder),
        Command::Top(top) => show_top(top),
        Command::Reload(folder) => {
            let said = folder.data().and_then(|data| Ok(ask::text(&data, "reload")?));
            said.map(|said| print!("{said}"))
        }
        Command::Check(folder) => check(folder),
        Command::Backup(args) => backup(args),
        Command::Restore(args) => restore(args),
        Command::Invite(args) => invite(args),
        Command::Drain(folder) => drain(folder),
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
    let read = move || {
        let mut config = server::config_from(run.config.as_deref())?;
        config.listen = run.listen.unwrap_or(config.listen);
        config.data = run.data.clone().or(config.data);
        config.host = run.host.clone().or(config.host);
        Ok(config)
    };
    let config = read()?;
    log::start(&config.log);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(config.threads()).enable_all().build()?;
    runtime.block_on(serve(config, Arc::new(read)))
}

async fn serve(config: Config, again: Again) -> anyhow::Result<()> {
    // Before the relay is ready, so that a signal right after the line is not missed.
    let mut signals = Signals::new()?;
    let mut server = Server::start_from(config, Some(again)).await?;
    println!("{}", server.link());
    tracing::info!(port = server.local_addr().port(), "ready");
    if let Some(address) = server.figures_address() {
        tracing::info!("figures at http://{address}/metrics");
    }
    tell(Told::Ready);
    loop {
        let end = server.asked_to_end();
        let asked = tokio::select! {
            biased;
            // 1. Asked to end, or something else.
            asked = signals.next() => asked,
            () = end => Asked::End,
            // 2. The disk failed: whatever is not on it was not accepted.
            error = server.failed() => {
                return Err(error).context("the relay stopped, since its store failed; what it accepted is safe");
            }
        };
        match asked {
            Asked::End => {
                tell(Told::Stopping);
                server.shutdown().await;
                return Ok(());
            }
            #[cfg(unix)]
            Asked::Reload => match server.reload().await {
                Ok(said) => tracing::info!("settings read again: {}", said.trim()),
                Err(why) => tracing::error!("{why}"),
            },
            #[cfg(unix)]
            Asked::Report => tracing::info!(metrics = %server.metrics(), "so far"),
        }
    }
}

/// A relay that systemd does not hear of is as good as any.
fn tell(told: Told) {
    if let Err(error) = systemd::tell(told) {
        tracing::warn!(%error, "systemd does not listen");
    }
}

fn print_link(folder: Folder) -> anyhow::Result<()> {
    let data = folder.data()?;
    match server::stored_link(&data) {
        Ok(text) => println!("{text}"),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("the link in {} cannot be read", data.display()));
        }
        // The key is in a backup; the link names an address, which may be another where it is restored.
        Err(_) if data.join("relay.key").exists() => anyhow::bail!(
            "the relay whose key is in {} has not run there yet, and its link names the address that it has then; start it with `subrosa-relay run`, which prints the link",
            data.display()
        ),
        Err(_) => {
            anyhow::bail!("no relay has run in {} yet; start one with `subrosa-relay run`", data.display())
        }
    }
    Ok(())
}

fn show_top(args: Top) -> anyhow::Result<()> {
    let from = match args.metrics {
        Some(address) => top::Source::Http(address),
        None => top::Source::Data(args.folder.data()?),
    };
    if args.once {
        let mut once = top::Top::default();
        once.hear(&from.figures()?, Default::default());
        print!("{}", once.plain());
        return Ok(());
    }
    anyhow::ensure!(
        std::io::stdout().is_terminal() && std::io::stdin().is_terminal(),
        "top needs a terminal; --once prints the figures as text"
    );
    let colours = std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let shown = runtime.block_on(top::run(from, colours));
    // A relay that hangs is not waited for.
    runtime.shutdown_background();
    Ok(shown?)
}

fn check(folder: Folder) -> anyhow::Result<()> {
    let data = folder.data()?;
    let found = offline::check(&data)?;
    println!("{found}");
    anyhow::ensure!(
        found.is_well(),
        "{} does not hold together; a relay started on it may refuse people, so restore a backup if you have one",
        data.display()
    );
    Ok(())
}

fn backup(args: Backup) -> anyhow::Result<()> {
    let summary = offline::backup(&args.folder.data()?, &args.file)?;
    println!("{}: {}", args.file.display(), about(&summary));
    println!("It holds the relay's keys: keep it as you keep the data folder.");
    Ok(())
}

fn restore(args: Backup) -> anyhow::Result<()> {
    let data = args.folder.data()?;
    let summary = restore::restore(&args.file, &data, server::wall())?;
    println!("{}: {}", data.display(), about(&summary));
    println!(
        "`subrosa-relay check` names fewer records, mostly because one-time prekeys are dropped: devices leave new ones."
    );
    println!(
        "Everyone is told at login that the relay went back in time; start it with `subrosa-relay run`."
    );
    println!("Invitations are as they were at that time: look with `subrosa-relay invite list`.");
    Ok(())
}

fn about(summary: &restore::Summary) -> String {
    let restore::Summary { records, files, file_bytes, .. } = summary;
    format!("{records} records, {files} sealed files of {file_bytes} bytes together")
}

fn invite(args: Invite) -> anyhow::Result<()> {
    let (folder, question) = match args.what {
        None => {
            let data = args.folder.data()?;
            let said = ask::text(&data, &format!("invite new {} {}", args.uses, args.time))?;
            let mut lines = said.lines();
            let invite = lines.next().unwrap_or_default().parse()?;
            let link: RelayLink = server::stored_link(&data)?.parse()?;
            println!("{}", RelayLink { invite: Some(invite), ..link });
            if let Some(note) = lines.next().filter(|note| !note.is_empty()) {
                eprintln!("{note}");
            }
            return Ok(());
        }
        Some(Invites::List(folder)) => (folder, String::from("invite list")),
        Some(Invites::Revoke { id, folder }) => (folder, format!("invite revoke {id}")),
    };
    print!("{}", ask::text(&folder.data()?, &question)?);
    Ok(())
}

fn drain(folder: Folder) -> anyhow::Result<()> {
    let data = folder.data()?;
    ask::text(&data, "drain")?;
    println!("the relay takes nothing new and ends; those who are connected come back when it runs again");
    Ok(())
}

/// What a signal asks for.
enum Asked {
    /// SIGTERM or SIGINT.
    End,
    /// SIGHUP: read the settings once more.
    #[cfg(unix)]
    Reload,
    /// SIGUSR1: log the counters.
    #[cfg(unix)]
    Report,
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    report: tokio::signal::unix::Signal,
    reload: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            report: signal(SignalKind::user_defined1())?,
            reload: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
            _ = self.report.recv() => Asked::Report,
            _ = self.reload.recv() => Asked::Reload,
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
