//! The binary `stripe-sim`: all else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    stripe_sim::cli::main()
}
