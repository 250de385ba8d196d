//! A locked client on the terminal: waits for the passphrase.

use crate::cli::{no_terminal, whole_screen};
use crate::lock::{Closed, wait_after};
use crate::start::{Opened, WRONG_PASSPHRASE};
use crate::stop::Stop;
use crate::term::input::Input;
use crate::term::keys::Keys;
use crate::term::{Term, say};
use crate::ui::lock::{LockScreen, LockStep, draw_lock};
use crate::ui::theme::Theme;
use crossterm::event::{Event as Did, KeyEventKind};
use crossterm::execute;
use crossterm::terminal::{Clear, ClearType};
use std::io::{Write, stdout};
use std::time::{Duration, Instant};

/// Shows the lock screen until the profile is open again; `None` when the person leaves. In a box, so
/// that moving what was opened leaves no keys on the stack.
///
/// # Errors
/// Those of the terminal, as a sentence.
pub async fn unlock(closed: Closed, theme: &Theme, stop: &mut Stop) -> Result<Option<Box<Opened>>, String> {
    let mut terminal = whole_screen().map_err(no_terminal)?;
    let mut keys = Keys::open().map_err(no_terminal)?;
    let _term = Term::enter(false).map_err(no_terminal)?;
    // The one that the client set is gone with it.
    stdout().write_all(&say::title("subrosa")).map_err(no_terminal)?;
    let mut screen = LockScreen::default();
    let mut closed = Some(closed);
    let (mut wrong, mut not_before, mut given) = (0, None::<Instant>, None);
    loop {
        let left = not_before.map(|at| at.saturating_duration_since(Instant::now()));
        match left {
            Some(Duration::ZERO) => {
                not_before = None;
                screen.may_try();
                continue;
            }
            Some(left) => screen.waits(left, given.is_some()),
            None => {}
        }
        if not_before.is_none()
            && let Some(passphrase) = given.take()
            && let Some(locked) = closed.take()
        {
            screen.busy();
            terminal.draw(|frame| draw_lock(&screen, theme, frame)).map_err(no_terminal)?;
            match locked.open(passphrase).await {
                Ok(opened) => return Ok(Some(Box::new(opened))),
                Err((locked, why)) => {
                    closed = Some(locked);
                    screen.problem(&why);
                    if why == WRONG_PASSPHRASE {
                        wrong += 1;
                        not_before = Some(Instant::now() + wait_after(wrong));
                    }
                }
            }
            continue;
        }
        terminal.draw(|frame| draw_lock(&screen, theme, frame)).map_err(no_terminal)?;
        let tick = left.map(|left| left.min(TICK));
        let input = tokio::select! {
            biased;
            () = stop.asked() => break,
            input = keys.next() => input,
            () = tokio::time::sleep(tick.unwrap_or_default()), if tick.is_some() => continue,
        };
        match input {
            Some(Ok(Input::Event(Did::Key(key)))) if key.kind != KeyEventKind::Release => {
                match screen.key(key) {
                    LockStep::Stay => {}
                    LockStep::Quit => break,
                    LockStep::Unlock(passphrase) => given = Some(passphrase),
                }
            }
            Some(Ok(Input::Event(Did::Paste(text)))) => screen.paste(&text),
            Some(Ok(Input::Event(Did::Resize(..)))) => {
                terminal = whole_screen().map_err(no_terminal)?;
                execute!(stdout(), Clear(ClearType::All)).map_err(no_terminal)?;
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => break,
        }
    }
    if let Some(closed) = closed {
        closed.close().await;
    }
    Ok(None)
}

/// How often the seconds that are left are drawn.
const TICK: Duration = Duration::from_millis(500);
