//! `subrosa export` and `subrosa import`: without a relay, and without a screen.

use super::history::{self, Form};
use super::keyfile::{self, TEXT_MAX};
use super::{Existing, Job, keys};
use crate::chat::counted;
use crate::chat::room::{Kept, ROOMS};
use crate::lock::apart;
use crate::passphrase::ask;
use crate::rpc::place::Place;
use crate::start;
use crate::ui::command::Secret;
use crate::ui::text;
use rand_core::OsRng;
use std::fs::File;
use std::io::{BufRead, IsTerminal, Read, Write, stderr, stdin};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use subrosa_shared::id::RoomId;
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::store::profile::{Presence, Profile};
use subrosa_shared::store::{Order, Store};
use zeroize::Zeroizing;

/// What is exported.
#[derive(clap::Subcommand)]
pub enum Export {
    /// Keys, account and contacts, sealed under a passphrase, to go on with on another machine
    Keys {
        /// A new file
        file: PathBuf,
    },
    /// Conversations, readable by whoever gets the file
    History {
        /// The file; what its name ends in (.txt, .md, .json) says how it is written
        file: PathBuf,
        /// Only the conversation with that person, or of that room: '#name' or '#number' (in quotes)
        #[arg(long, value_name = "NAME", value_parser = Place::parse)]
        with: Option<Place>,
        /// How it is written
        #[arg(long, value_enum)]
        form: Option<Form>,
        /// A file that is there is replaced
        #[arg(long)]
        replace: bool,
    },
}

/// Runs `subrosa export`.
///
/// # Errors
/// A sentence with the next step.
pub async fn export(dir: &Path, what: Export) -> Result<(), String> {
    if start::look(dir)? == Presence::Absent {
        return Err(format!("there is no profile in {}: nothing to export", dir.display()));
    }
    let passphrase = secret("SUBROSA_PASSPHRASE", "passphrase of the profile: ")?;
    let folder = dir.to_path_buf();
    let opened = apart(move || Profile::open(&folder, &passphrase)).await;
    let profile = opened.map_err(|error| start::sentence(dir, &error))?;
    let job = match what {
        Export::Keys { file } => {
            let passphrase = twice("SUBROSA_EXPORT_PASSPHRASE", "passphrase of the key file")?;
            Job::Keys { path: file, passphrase: Secret(passphrase) }
        }
        Export::History { file, with, form, replace } => {
            Job::History(job(&profile.store, file, with.as_ref(), form, replace)?)
        }
    };
    let store = profile.store.clone();
    let done = apart(move || {
        let shown = stderr().is_terminal();
        let mut said = |text: String| {
            if shown {
                eprint!("\r{text}\x1b[K");
            }
        };
        let done = job.run(&store, &AtomicBool::new(false), &mut said);
        if shown {
            eprint!("\r\x1b[K");
        }
        done
    });
    println!("{}", done.await?);
    Ok(())
}

/// Runs `subrosa import`.
///
/// # Errors
/// A sentence with the next step; then there is no profile yet.
pub async fn import(dir: &Path, file: &Path, sure: bool) -> Result<(), String> {
    let mut text = String::new();
    let read = File::open(file).and_then(|file| file.take(TEXT_MAX as u64 * 2).read_to_string(&mut text));
    let at = file.display();
    match read {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            return Err(format!("{at}: {}", keyfile::Error::Foreign));
        }
        Err(error) => return Err(format!("{at} cannot be read: {error}")),
        Ok(_) => {}
    }
    keyfile::parse(&text).map_err(|error| format!("{at}: {error}"))?;
    if start::look(dir)? != Presence::Absent {
        return Err(format!(
            "{} holds a profile already, and an import makes a new one: name another with --profile NEW",
            dir.display()
        ));
    }
    let passphrase = secret("SUBROSA_EXPORT_PASSPHRASE", "passphrase of the key file: ")?;
    let opened = apart(move || keyfile::open(&text, &passphrase)).await;
    let keys = opened.map_err(|error| format!("{at}: {error}"))?;
    if keys.relay.parse::<RelayLink>().is_err() {
        return Err(format!("{at}: {}", keyfile::Error::Damaged));
    }
    let name = text::line(keys.name.as_str());
    let people = counted(keys.people.len() as u64, "person", "people");
    eprintln!("{at} holds the account '{name}' and {people}. {WARNING}");
    if !sure {
        eprint!("Type yes to go on: ");
        // A question that cannot be shown is answered by nobody.
        let _ = stderr().flush();
        let mut answer = String::new();
        let read = stdin().lock().read_line(&mut answer);
        if read.is_err() || answer.trim() != "yes" {
            return Err("not confirmed: nothing was made here".into());
        }
    }
    let passphrase = twice("SUBROSA_PASSPHRASE", "passphrase of the new profile")?;
    let folder = dir.to_path_buf();
    let made = apart(move || {
        let profile = Profile::create(&folder, &passphrase, start::cost(), &mut OsRng)?;
        let furnished = profile.store.commit(&keys::furnish(&keys, &mut OsRng));
        if furnished.is_err() {
            // A profile without an account opens for nobody.
            let _ = profile.burn();
        }
        furnished
    });
    made.await.map_err(|error| start::sentence(dir, &error))?;
    println!("The account '{name}' is here now: start subrosa to connect.");
    Ok(())
}

/// Said before an import.
const WARNING: &str = "\
The old machine must not go on: one account on two machines is connected on one of them only, whichever came \
last, and what is sent to it is then lost on the other. Burn the old profile (/burn) once this one works. \
Conversations are not in the file, and encrypted sessions begin anew: contacts see a grey line about that.";

fn job(
    store: &Store,
    path: PathBuf,
    with: Option<&Place>,
    form: Option<Form>,
    replace: bool,
) -> Result<history::Job, String> {
    let unreadable = |what: &dyn std::fmt::Display| format!("the store cannot be read: {what}");
    let me = keys::gather(store).map_err(|error| unreadable(&error))?.name.to_string();
    let rows = store
        .records
        .scan(ROOMS, &[], &[], Order::Forward, usize::MAX)
        .map_err(|error| unreadable(&error))?;
    let mut rooms = Vec::new();
    for (key, value) in rows {
        let kept: Kept =
            postcard::from_bytes(&value).map_err(|_| unreadable(&"a conversation is damaged"))?;
        let id = key.try_into().map_err(|_| unreadable(&"a conversation is damaged"))?;
        if let Some(Place::Person(name)) = with
            && kept.with.as_ref() != Some(name)
        {
            continue;
        }
        let told = history::Told::kept(store, RoomId(id), &kept)?;
        if !matches!(with, Some(Place::Room(room)) if kept.with.is_some() || !told.is_called(room)) {
            rooms.push(told);
        }
    }
    match with {
        Some(Place::Person(name)) if rooms.is_empty() => {
            return Err(format!("there is no conversation with {name}: nothing was written"));
        }
        Some(room) if rooms.is_empty() => {
            return Err(format!("there is no room {room}: nothing was written"));
        }
        Some(Place::Room(_)) if rooms.len() > 1 => {
            let numbers: Vec<String> = rooms.iter().map(history::Told::number).collect();
            return Err(format!(
                "several rooms are called so: say which by its number, {}; nothing was written",
                numbers.join(" or ")
            ));
        }
        _ => {}
    }
    let form = form.unwrap_or_else(|| Form::of(&path));
    let existing = if replace { Existing::Replace } else { Existing::Keep };
    Ok(history::Job { path, form, existing, me, rooms })
}

/// From the environment, or from the person.
fn secret(variable: &str, prompt: &str) -> Result<Zeroizing<String>, String> {
    if let Ok(secret) = std::env::var(variable) {
        return Ok(Zeroizing::new(secret));
    }
    ask(prompt)
        .map_err(|_| {
            format!("there is no terminal to ask for the {}: set {variable}", prompt.trim_end_matches(": "))
        })?
        .filter(|secret| !secret.is_empty())
        .ok_or_else(|| "no passphrase was given; nothing was done".into())
}

/// The same for a new one, which is typed twice.
fn twice(variable: &str, what: &str) -> Result<Zeroizing<String>, String> {
    let given = std::env::var_os(variable).is_some();
    let first = secret(variable, &format!("new {what}: "))?;
    if first.chars().count() < PASSPHRASE_MIN {
        return Err(format!(
            "a passphrase has at least {PASSPHRASE_MIN} characters, several words are good; nothing was done"
        ));
    }
    if !given && *secret(variable, "once more: ")? != *first {
        return Err("the two passphrases differ; nothing was done".into());
    }
    Ok(first)
}

/// The shortest passphrase of a key file or a new profile.
pub const PASSPHRASE_MIN: usize = 8;
