//! A passphrase asked for on the terminal.

use crate::export::cli::PASSPHRASE_MIN;
use crossterm::event::{Event as Input, KeyCode, KeyEventKind, KeyModifiers};
use zeroize::Zeroizing;

/// The passphrase of a profile that is made now: from the environment, or asked twice on the terminal.
///
/// # Errors
/// A sentence with the next step.
pub(crate) async fn new() -> Result<Zeroizing<String>, String> {
    if let Ok(passphrase) = std::env::var("SUBROSA_PASSPHRASE") {
        return long_enough(Zeroizing::new(passphrase));
    }
    eprintln!("a passphrase protects the profile on this machine; it is asked twice");
    let asked =
        tokio::task::spawn_blocking(|| Ok::<_, std::io::Error>((ask("passphrase: ")?, ask("again: ")?)));
    match asked.await.map_err(|error| error.to_string())? {
        Ok((Some(first), Some(second))) if first != second => {
            Err("the two passphrases differ: try again".into())
        }
        Ok((Some(passphrase), Some(_))) => long_enough(passphrase),
        Ok(_) => Err("no passphrase was given".into()),
        Err(_) => Err("there is no terminal to ask for a passphrase: set SUBROSA_PASSPHRASE".into()),
    }
}

fn long_enough(passphrase: Zeroizing<String>) -> Result<Zeroizing<String>, String> {
    if passphrase.chars().count() < PASSPHRASE_MIN {
        return Err(format!(
            "a passphrase has at least {PASSPHRASE_MIN} characters, several words are good; nothing was done"
        ));
    }
    Ok(passphrase)
}

/// Asks on the terminal, whatever standard input is, without echo. `None` when the person leaves.
pub(crate) fn ask(prompt: &str) -> std::io::Result<Option<Zeroizing<String>>> {
    let quiet = Quiet::enter()?;
    eprint!("{prompt}");
    let mut typed = Zeroizing::new(String::new());
    let given = loop {
        let key = match crossterm::event::read()? {
            Input::Key(key) if key.kind != KeyEventKind::Release => key,
            _ => continue,
        };
        let held = key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
        match key.code {
            KeyCode::Enter => break true,
            KeyCode::Esc => break false,
            KeyCode::Char('c' | 'd') if held => break false,
            KeyCode::Char('u') if held => typed.clear(),
            KeyCode::Char(c) if !held => typed.push(c),
            KeyCode::Backspace => drop(typed.pop()),
            _ => {}
        }
    };
    drop(quiet);
    eprintln!();
    Ok(given.then_some(typed))
}

/// A terminal that does not echo, until dropped.
struct Quiet;

impl Quiet {
    fn enter() -> std::io::Result<Self> {
        crossterm::terminal::enable_raw_mode()?;
        Ok(Self)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = crossterm::terminal::disable_raw_mode();
    }
}
