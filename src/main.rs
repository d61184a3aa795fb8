//! The binary: parse, dispatch, exit code. All else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    checkout_backend::cli::main()
}
