//! The `subrosa` program.

use std::process::ExitCode;

/// Secrets that are freed are wiped, whoever allocated them: snow does not do it itself.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    subrosa_relay::dumps::never();
    subrosa::cli::main()
}
