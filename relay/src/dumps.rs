//! What lies in memory stays out of files when a program dies.

use rustix::process::{Resource, Rlimit, setrlimit};

/// From here on the system writes no core dump of this program, nor of what it starts: the keys would lie in it in
/// clear. One byte and not none: where dumps go to another program, Linux heeds that limit alone (`fs/coredump.c`).
pub fn never() {
    let most = Some(1);
    // Where it may not be set there is none already.
    let _ = setrlimit(Resource::Core, Rlimit { current: most, maximum: most });
}
