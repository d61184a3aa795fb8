//! What can be typed, for the binary `stripe-sim` and for programs that have the same commands under names of
//! their own. Standard output is for programs, standard error for people.
//!
//! Exit codes: 0 fine, 1 failed, 2 misuse.

mod simulate;
mod trigger;

pub use simulate::{SimulateArgs, simulate};
pub use trigger::{TriggerArgs, trigger};

use clap::{Parser, Subcommand};
use std::io::Write;
use std::process::ExitCode;

/// Misuse: wrong arguments.
const MISUSE: u8 = 2;

/// The port if none is given.
pub const USUAL_PORT: u16 = 12111;

/// A simulated Stripe for your own machine: keeps state, has a payment page, delivers signed webhooks.
///
/// Point an official library at the printed address and use any key that begins with sk_test_. The page at that
/// address shows what happens.
#[derive(Debug, Parser)]
#[command(
    name = "stripe-sim",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  stripe-sim --webhook-url http://localhost:4242/webhook\n  stripe-sim trigger checkout.session.completed"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    simulate: SimulateArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an event happen in the simulated Stripe that runs, which delivers it
    Trigger {
        #[command(flatten)]
        args: TriggerArgs,
        /// Where the simulated Stripe listens.
        #[arg(long, default_value_t = USUAL_PORT)]
        port: u16,
    },
}

/// Runs `stripe-sim` with this process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("stripe-sim: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        match cli.command {
            None => simulate(cli.simulate).await,
            Some(Command::Trigger { args, port }) => trigger(args, port).await,
        }
    });
    done.unwrap_or_else(|error| {
        eprintln!("stripe-sim: {error:#}");
        ExitCode::FAILURE
    })
}

/// Writes data to standard output. A reader that has gone is no failure of ours.
fn print(data: &[u8]) -> anyhow::Result<ExitCode> {
    match std::io::stdout().lock().write_all(data) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}
