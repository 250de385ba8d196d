//! What a machine does not let us test is said. Other packages include it by its path.

use std::io::Write;

/// Says which test is skipped, and why. Straight to standard error: what a test prints is shown only when it
/// fails.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Where nobody reads, nobody misses it.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}
