//! The command line. One file for each command; results go to standard output, messages to standard error.
//!
//! Exit codes: 0 fine, 1 failed, 2 misuse (wrong arguments or configuration).

pub mod adopt;
pub mod backup;
pub mod doctor;
pub mod events;
pub mod explain;
pub mod gdpr;
pub mod import;
pub mod migrate;
pub mod migrate_db;
mod open;
pub mod reconcile;
pub mod restore;
pub mod seed;
pub mod serve;
mod simulator;
mod transferred;
pub mod trigger;
pub mod users;

use crate::config::{Config, ConfigError};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::io::Write;
use std::process::ExitCode;
use stripe_sim::cli::SimulateArgs;

/// Misuse: wrong arguments or configuration.
pub const MISUSE: u8 = 2;

/// A command that cannot be carried out as it was typed: exit 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misuse(String);

/// A payments backend for Stripe Checkout.
#[derive(Debug, Parser)]
#[command(name = "checkout-backend", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service (the default)
    #[command(after_help = serve::EXAMPLES)]
    Serve(serve::Args),
    /// Look at the database's schema, or bring it up to date
    #[command(after_help = "Examples:\n  checkout-backend migrate status\n  checkout-backend migrate deploy")]
    Migrate(migrate::Args),
    /// Make the ADMIN of ADMIN_EMAIL and ADMIN_PASSWORD; safe to repeat
    #[command(
        after_help = "Example:\n  ADMIN_EMAIL=ada@my-company.com ADMIN_PASSWORD_FILE=ada.txt checkout-backend seed"
    )]
    Seed,
    /// Make and change the accounts of people who sign in
    #[command(subcommand, after_help = users::EXAMPLES)]
    Users(users::Args),
    /// Ask Stripe for what was missed, and apply it
    #[command(after_help = reconcile::EXAMPLE)]
    Reconcile(reconcile::Args),
    /// Look at the ledger, or judge an event again
    #[command(subcommand, after_help = events::EXAMPLES)]
    Events(events::Args),
    /// Tell the whole story of a booking, in words
    #[command(after_help = explain::EXAMPLE)]
    Explain(explain::Args),
    /// Check configuration, database, clock, Stripe and ledger; say what to do
    #[command(after_help = doctor::EXAMPLE)]
    Doctor(doctor::Args),
    /// Take over the bookings, ledger and accounts of another program
    #[command(subcommand, after_help = import::EXAMPLES)]
    Import(import::Args),
    /// Copy a whole database into an empty one, also of the other engine
    #[command(after_help = migrate_db::EXAMPLE)]
    MigrateDb(migrate_db::Args),
    /// Write the whole database into one file, while the service runs
    #[command(after_help = backup::EXAMPLE)]
    Backup(backup::Args),
    /// Put a backup into an empty database
    #[command(after_help = restore::EXAMPLE)]
    Restore(restore::Args),
    /// Say that the database is at home here: mails leave from where it is at home, not from its copies
    #[command(after_help = adopt::EXAMPLE)]
    Adopt(adopt::Args),
    /// Export what is kept about a person, or forget it
    #[command(subcommand, after_help = gdpr::EXAMPLES)]
    Gdpr(gdpr::Args),
    /// Make an event happen in the simulated Stripe, which delivers it to the running service
    #[command(after_help = trigger::EXAMPLE)]
    Trigger(trigger::Args),
    /// Run the simulated Stripe on its own, for any project
    ///
    /// Point the official library at the printed address and use any key that begins with sk_test_. The page at
    /// that address shows what happens; the README of crates/stripe-sim describes everything.
    #[command(
        after_help = "Example:\n  checkout-backend simulate --webhook-url http://localhost:4242/webhook"
    )]
    Simulate(SimulateArgs),
    /// Print the description of the HTTP interface, OpenAPI 3.1
    #[command(after_help = "Example:\n  checkout-backend openapi > openapi.json")]
    Openapi,
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  checkout-backend completions bash > /etc/bash_completion.d/checkout-backend"
    )]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Runs the program with this process's arguments and environment.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::from_arg_matches(&command_line().get_matches()).unwrap_or_else(|error| error.exit());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("checkout-backend: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli.command.unwrap_or(Command::Serve(serve::Args::default())))) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("checkout-backend: {error:#}");
            // What another start would not find better.
            let misuse = error.is::<ConfigError>() || error.is::<Misuse>() || error.is::<serve::Unfit>();
            if misuse { ExitCode::from(MISUSE) } else { ExitCode::FAILURE }
        }
    }
}

/// What can be typed. The help of the whole shows an example of each command: the first of its own.
fn command_line() -> clap::Command {
    let command = Cli::command();
    let examples: String = command.get_subcommands().filter_map(first_example).collect();
    command.after_help(format!("Examples:\n{examples}\n`checkout-backend help COMMAND` shows more."))
}

fn first_example(command: &clap::Command) -> Option<String> {
    let help = command.get_after_help()?.to_string();
    let mut example = String::new();
    for line in help.lines().skip(1) {
        example.push_str(line);
        example.push('\n');
        if !line.ends_with('\\') {
            break;
        }
    }
    Some(example)
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => serve::run(args, Config::from_env()?).await,
        Command::Migrate(args) => migrate::run(args).await,
        Command::Seed => seed::run(Config::from_env()?).await,
        Command::Users(args) => users::run(args).await,
        Command::Reconcile(args) => reconcile::run(args, open::config()?).await,
        Command::Events(args) => events::run(args, open::config()?).await,
        Command::Explain(args) => explain::run(args, open::config()?).await,
        Command::Doctor(args) => doctor::run(args).await,
        Command::Import(args) => import::run(args).await,
        Command::MigrateDb(args) => migrate_db::run(args).await,
        Command::Adopt(args) => adopt::run(args, open::config()?).await,
        Command::Backup(args) => backup::run(args).await,
        Command::Restore(args) => restore::run(args).await,
        Command::Gdpr(args) => gdpr::run(args, open::config()?).await,
        Command::Trigger(args) => trigger::run(args).await,
        Command::Simulate(args) => stripe_sim::cli::simulate(args).await,
        Command::Openapi => {
            let mut document = serde_json::to_vec_pretty(crate::http::openapi::document())?;
            document.push(b'\n');
            print(&document)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "checkout-backend", &mut script);
            print(&script)
        }
    }
}

/// Writes data to standard output. A reader that has gone is no failure of ours.
///
/// # Errors
/// What writing says, but for a closed pipe.
pub fn print(data: &[u8]) -> anyhow::Result<ExitCode> {
    match std::io::stdout().lock().write_all(data) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every example in the help of `command` and of the commands below it.
    fn examples(command: &clap::Command) -> Vec<String> {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default().replace("\\\n", " ");
        let own =
            help.lines().skip(1).filter(|line| line.starts_with("  ")).map(|line| line.trim().to_owned());
        own.chain(command.get_subcommands().flat_map(examples)).collect()
    }

    #[test]
    fn every_example_is_one_that_the_program_takes() {
        let all = examples(&command_line());
        assert!(all.len() > 30, "{all:?}");
        for example in all {
            // Settings stand in front, and a file for what comes out behind.
            let typed = example.split(" > ").next().unwrap_or_default();
            let words = typed.split_whitespace().skip_while(|word| word.contains('='));
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{example}\n{error}");
            }
        }
    }
}
