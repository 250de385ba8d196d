//! `subrosa burn`: destroys a profile without opening it.

use crate::files::saver;
use crate::start;
use crate::ui::text;
use std::io::{BufRead, Write, stderr, stdin};
use std::path::{Path, PathBuf};
use subrosa_shared::id::MessageId;
use subrosa_shared::store::profile::{Presence, Profile};
use subrosa_shared::store::{Error, burn};

/// The last words.
pub const GOODBYE: &str = "\
Everything is gone: keys, conversations, settings. What is left of them elsewhere nobody can open any more.
The relay was not told: it keeps the account's name, and what waits there until that expires.
Goodbye.";

/// Asks twice and destroys the profile in a folder; finishes one that was cut off without asking.
///
/// # Errors
/// A sentence with the next step; nothing was touched unless it says so.
pub fn run(dir: &Path) -> Result<(), String> {
    match Profile::exists(dir).map_err(|error| start::sentence(dir, &error))? {
        Presence::Absent => return Err(format!("there is no profile in {}: nothing to burn", dir.display())),
        Presence::Foreign(what) => return Err(start::sentence(dir, &Error::Foreign(what))),
        Presence::Burning => eprintln!("A burn was cut off here; it is finished now."),
        _ => {
            let name =
                dir.file_name().map_or_else(|| "it".into(), |name| name.to_string_lossy().into_owned());
            let name = text::line(&name);
            eprintln!(
                "This destroys the profile in {}, for good: keys, conversations, settings, and the relay that it \
                 hosts, if it does. No passphrase brings any of it back.",
                dir.display()
            );
            ask(&format!("Type the profile's name ({name}) to go on: "), &name)?;
            ask("There is no way back. Type BURN: ", "BURN")?;
        }
    }
    burn::burn(dir).map_err(|error| match error {
        Error::Locked => {
            format!("{}; or type /burn there. Nothing was touched", start::sentence(dir, &error))
        }
        Error::Foreign(_) => start::sentence(dir, &error),
        error => unfinished(&error),
    })?;
    println!("{GOODBYE}");
    Ok(())
}

/// Removes what there is of files that came in part: they are readable, and nobody would go on with them.
pub fn halves(halves: &[(MessageId, PathBuf)]) {
    for (id, folder) in halves {
        saver::remove(*id, folder);
    }
}

/// What is said when it could not be carried through.
pub fn unfinished(error: &Error) -> String {
    format!("the burn was cut off ({error}): `subrosa burn` finishes it, and so does the next start")
}

fn ask(question: &str, wanted: &str) -> Result<(), String> {
    // A question that cannot be shown is answered by nobody.
    eprint!("{question}");
    let _ = stderr().flush();
    let mut answer = String::new();
    let mut lines = stdin().lock();
    lines
        .read_line(&mut answer)
        .map_err(|error| format!("no answer could be read ({error}); nothing was touched"))?;
    if answer.trim() == wanted { Ok(()) } else { Err("not confirmed; nothing was touched".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_a_folder_is_no_profile_was_said_only_behind_both_questions() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("letter"), "dear ben").expect("written");
        let why = run(dir.path()).expect_err("no profile");
        assert!(why.contains("is no subrosa profile"), "{why}");
    }
}
