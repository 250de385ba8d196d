//! The terminal: what it can do, entering and leaving it, its bytes both ways.
//!
//! | module | what lives there |
//! |---|---|
//! | [`answer`], [`caps`] | what it is asked and answers; what it can do |
//! | [`input`], [`keys`] | bytes into keys, pastes and answers, pure; reading them |
//! | [`out`] | writing without waiting |
//! | [`say`] | clipboard, notifications, title, links |

pub mod answer;
pub mod caps;
pub mod input;
pub mod keys;
pub mod out;
pub mod say;

pub use caps::{Answers, Caps, Cells, Depth, Image, Images, Mux};
pub use say::{Alert, Hyperlink};

use crossterm::cursor::Show;
use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste, EnableFocusChange,
    EnableMouseCapture, KeyboardEnhancementFlags, PopKeyboardEnhancementFlags, PushKeyboardEnhancementFlags,
};
use crossterm::terminal::{self, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{execute, queue};
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread::{self, ThreadId};

/// The terminal while the client has it: raw, alternate screen, pasted text and focus reported.
/// Dropping it gives it back.
pub struct Term(());

impl Term {
    /// Takes the terminal. A panic of this thread gives it back before its message is printed; what
    /// other threads have to say then waits until it is given back.
    ///
    /// # Errors
    /// Those of the terminal.
    pub fn enter(mouse: bool) -> io::Result<Self> {
        hook();
        *open(&OWNER) = Some(thread::current().id());
        TAKEN.store(true, Ordering::SeqCst);
        terminal::enable_raw_mode()?;
        let term = Self(());
        let mut out = io::stdout();
        out.write_all(PUSH_TITLE)?;
        queue!(out, EnterAlternateScreen, EnableBracketedPaste, EnableFocusChange)?;
        // Terminals without it ignore it; asking first would cost a round trip over ssh.
        execute!(out, PushKeyboardEnhancementFlags(KEYBOARD))?;
        if mouse {
            execute!(out, EnableMouseCapture)?;
        }
        Ok(term)
    }

    /// Gives the terminal back; taking it again needs [`Term::enter`].
    pub fn restore(self) {
        // By dropping it.
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        restore();
    }
}

/// Columns and rows; the usual ones where the terminal does not know them.
pub fn size() -> (u16, u16) {
    or_usual(terminal::size().unwrap_or_default())
}

fn or_usual((columns, rows): (u16, u16)) -> (u16, u16) {
    (if columns == 0 { 80 } else { columns }, if rows == 0 { 24 } else { rows })
}

/// The bytes that turn mouse reporting on or off.
pub fn mouse(on: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let done = if on { queue!(out, EnableMouseCapture) } else { queue!(out, DisableMouseCapture) };
    debug_assert!(done.is_ok(), "a Vec takes all bytes");
    out
}

/// Gives the terminal back, in whatever state it is. Doing it twice changes nothing.
pub fn restore() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout();
    // There is nobody left to tell when the terminal is gone.
    let _ = out.write_all(&leaving(BORROWED.swap(0, Ordering::SeqCst), SHOWN.swap(0, Ordering::SeqCst)));
    let _ = out.flush();
    let _ = terminal::disable_raw_mode();
    let panics = std::mem::take(&mut *open(&PANICS));
    for panic in panics {
        let _ = writeln!(io::stderr(), "{panic}");
    }
}

/// True once after another thread than the terminal's own failed.
pub fn failed() -> bool {
    FAILED.swap(false, Ordering::SeqCst)
}

/// Notes which entries of the palette are set for pictures, so that they are put back whatever
/// happens; none with `count` 0.
pub fn borrow_palette(first: u8, count: u8) {
    BORROWED.store(u16::from_be_bytes([first, count]), Ordering::SeqCst);
}

/// The number of the image that a picture is, for terminals that number them: another one for each
/// process, since programs may share a window.
pub fn image_id() -> u32 {
    0x0073_0000 | (std::process::id() & 0xFFFF)
}

/// How many images that stay where they are the terminal keeps at once.
pub const STILLS: u8 = 8;

/// The number of one of them.
pub fn still_id(number: u8) -> u32 {
    (u32::from(number) + 1) << 24 | image_id()
}

/// Notes whether an image is on the screen, so that it is taken away whatever happens.
pub fn borrow_image(is: bool) {
    borrow(0, is);
}

/// The same for one that stays where it is.
pub fn borrow_still(number: u8, is: bool) {
    borrow(number.min(STILLS - 1) + 1, is);
}

fn borrow(bit: u8, is: bool) {
    if is {
        SHOWN.fetch_or(1 << bit, Ordering::SeqCst);
    } else {
        SHOWN.fetch_and(!(1 << bit), Ordering::SeqCst);
    }
}

/// The bytes that undo everything that [`Term::enter`] and pictures did: which entries of the palette
/// they set, and which images there are: the one that moves, and those that stay, a bit each.
fn leaving(borrowed: u16, images: u16) -> Vec<u8> {
    // What was being written may have been cut in the midst of a sequence, or of a frame.
    let mut out = b"\x18\x1b[?2026l".to_vec();
    let [first, count] = borrowed.to_be_bytes();
    if count > 0 {
        out.extend_from_slice(b"\x1b]104");
        for entry in first..=first.saturating_add(count - 1) {
            out.extend_from_slice(format!(";{entry}").as_bytes());
        }
        out.extend_from_slice(b"\x1b\\");
    }
    for bit in (0..=STILLS).filter(|bit| images >> bit & 1 == 1) {
        let id = bit.checked_sub(1).map_or_else(image_id, still_id);
        out.extend(crate::media::tty::inline::forget(id));
    }
    let done = queue!(
        out,
        PopKeyboardEnhancementFlags,
        DisableMouseCapture,
        DisableFocusChange,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        Show
    );
    debug_assert!(done.is_ok(), "a Vec takes all bytes");
    out.extend_from_slice(b"\x1b[0m");
    out.extend_from_slice(POP_TITLE);
    out
}

fn hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if *open(&OWNER) == Some(thread::current().id()) {
                restore();
                before(panic);
                return;
            }
            // The client goes on: its screen stays as it is.
            FAILED.store(true, Ordering::SeqCst);
            if TAKEN.load(Ordering::SeqCst) && io::stderr().is_terminal() {
                let mut panics = open(&PANICS);
                if panics.len() < PANICS_MAX {
                    let name = thread::current().name().unwrap_or("without a name").to_owned();
                    panics.push(format!("thread {name} {panic}"));
                }
            } else {
                before(panic);
            }
        }));
    });
}

/// What is in there is whole whoever failed with it.
fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keys that cannot be mistaken for others, and with them where they are on a keyboard of Latin letters.
const KEYBOARD: KeyboardEnhancementFlags = KeyboardEnhancementFlags::DISAMBIGUATE_ESCAPE_CODES
    .union(KeyboardEnhancementFlags::REPORT_ALTERNATE_KEYS);
/// The thread that took the terminal last.
static OWNER: Mutex<Option<ThreadId>> = Mutex::new(None);
/// Another thread failed, and nobody was told yet.
static FAILED: AtomicBool = AtomicBool::new(false);
/// What failing threads had to say while the screen was in use.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// The first ones say enough.
const PANICS_MAX: usize = 16;

/// The terminal is ours; whoever gives it back first does it alone.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Entries of the palette that pictures set: the first, and how many.
static BORROWED: AtomicU16 = AtomicU16::new(0);
/// Images on the screen that do not go with the text.
static SHOWN: AtomicU16 = AtomicU16::new(0);
/// xterm's title stack.
const PUSH_TITLE: &[u8] = b"\x1b[22;2t";
const POP_TITLE: &[u8] = b"\x1b[23;2t";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_failed_took_the_screen_from_the_client() {
        hook();
        *open(&OWNER) = Some(thread::current().id());
        TAKEN.store(true, Ordering::SeqCst);
        let other =
            thread::Builder::new().name("other".into()).spawn(|| "none".parse::<u8>().expect("no number"));
        assert!(other.expect("a thread").join().is_err());
        assert!(TAKEN.swap(false, Ordering::SeqCst), "the terminal is still the client's");
        assert!(failed(), "and it hears of it");
        assert!(open(&PANICS).iter().all(|panic| panic.starts_with("thread ")));
    }

    #[test]
    fn a_terminal_of_no_columns_and_rows_showed_nothing() {
        assert_eq!(or_usual((0, 0)), (80, 24));
        assert_eq!(or_usual((100, 0)), (100, 24));
        assert_eq!(or_usual((20, 6)), (20, 6));
    }

    #[test]
    fn keys_say_where_they_are_on_a_latin_keyboard() {
        let mut bytes = Vec::new();
        queue!(bytes, PushKeyboardEnhancementFlags(KEYBOARD)).expect("a Vec takes all bytes");
        assert_eq!(bytes, b"\x1b[>5u");
    }

    #[test]
    fn leaving_undoes_everything() {
        let bytes = String::from_utf8(leaving(u16::from_be_bytes([16, 3]), 0b101)).expect("ASCII");
        let little = String::from_utf8(leaving(0, 0)).expect("ASCII");
        assert!(!little.contains("]104") && !little.contains("\x1b_G"), "what was not touched");
        let image = format!("\x1b_Ga=d,d=I,i={},q=2\x1b\\", image_id());
        let at = |part: &str| bytes.find(part).unwrap_or_default();
        assert!((1..at("\x1b[?1049l")).contains(&at(&image)), "the image goes from the screen that it is on");
        assert!(
            bytes.contains(&format!("a=d,d=I,i={},", still_id(1)))
                && !bytes.contains(&still_id(0).to_string())
        );
        for undone in [
            "\x1b[<1u",
            "\x1b[?1006l",
            "\x1b[?1004l",
            "\x1b[?2004l",
            "\x1b[?1049l",
            "\x1b[?25h",
            "\x1b[23;2t",
            "\x1b[?2026l",
            "\x1b]104;16;17;18\x1b\\",
        ] {
            assert!(bytes.contains(undone), "{undone:?} in {bytes:?}");
        }
    }
}
