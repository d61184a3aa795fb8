//! `users …`: who may sign in. Passwords come from a prompt, a pipe or a file, never from an argument,
//! which everybody on the machine could read.

use super::{open, print};
use crate::config::Config;
use crate::flow::accounts::{Accounts, Actor};
use anyhow::{Context, bail};
use clap::Subcommand;
use clock::Clock;
use domain::account::User;
use domain::role::Role;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use secrecy::{ExposeSecret, SecretString};
use std::fmt::Write;
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use store::Store;

/// What help shows.
pub const EXAMPLES: &str = "Examples:
  checkout-backend users create ada@my-company.com --role ADMIN
  checkout-backend users create ada@my-company.com --role OPS --password-file ada.txt
  checkout-backend users list
  checkout-backend users set-role ada@my-company.com READONLY
  checkout-backend users set-password ada@my-company.com
  checkout-backend users unlock ada@my-company.com
  checkout-backend users disable ada@my-company.com";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Args {
    /// Make an account
    #[command(after_help = "Example:\n  checkout-backend users create ada@my-company.com --role ADMIN")]
    Create {
        /// The person's e-mail address
        email: String,
        /// READONLY, OPS or ADMIN
        #[arg(long, value_parser = role, default_value = "READONLY")]
        role: Role,
        /// A file whose first line is the password; without it, it is asked for
        #[arg(long)]
        password_file: Option<PathBuf>,
    },
    /// Print every account: address, role, active or disabled, since when
    #[command(after_help = "Example:\n  checkout-backend users list")]
    List,
    /// Let nobody sign in with this account, and end its sessions
    #[command(after_help = "Example:\n  checkout-backend users disable ada@my-company.com")]
    Disable {
        /// The person's e-mail address
        email: String,
    },
    /// Let the account's owner sign in again
    #[command(after_help = "Example:\n  checkout-backend users enable ada@my-company.com")]
    Enable {
        /// The person's e-mail address
        email: String,
    },
    /// Forgive failed sign-ins: the account's owner need not wait for what strangers tried
    #[command(after_help = "Example:\n  checkout-backend users unlock ada@my-company.com")]
    Unlock {
        /// The person's e-mail address
        email: String,
    },
    /// Change what somebody may do, from the next request on
    #[command(after_help = "Example:\n  checkout-backend users set-role ada@my-company.com READONLY")]
    SetRole {
        /// The person's e-mail address
        email: String,
        /// READONLY, OPS or ADMIN
        #[arg(value_parser = role)]
        role: Role,
    },
    /// Set a new password and end the account's sessions
    #[command(after_help = "Example:\n  checkout-backend users set-password ada@my-company.com")]
    SetPassword {
        /// The person's e-mail address
        email: String,
        /// A file whose first line is the password; without it, it is asked for
        #[arg(long)]
        password_file: Option<PathBuf>,
    },
}

fn role(text: &str) -> Result<Role, String> {
    Role::parse(&text.to_uppercase()).ok_or_else(|| "give READONLY, OPS or ADMIN".to_owned())
}

/// Runs one of the commands.
///
/// # Errors
/// Whatever keeps it from being done.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let accounts = match args {
        Args::Create { .. } => made(&Config::from_env()?).await?,
        _ => existing(&open::config()?).await?,
    };
    match args {
        Args::Create { email, role, password_file } => {
            let password = read_password(password_file.as_deref())?;
            let user = accounts.create(&email, password.expose_secret(), role, Actor::CLI).await?;
            eprintln!("{} can sign in now, as {}.", user.email, user.role);
        }
        Args::List => return print(table(&accounts.list().await?).as_bytes()),
        Args::Disable { email } => {
            let user = accounts.find_by_email(&email).await?;
            accounts.set_active(user.id, false, Actor::CLI).await?;
            eprintln!("{} can no longer sign in.", user.email);
        }
        Args::Enable { email } => {
            let user = accounts.find_by_email(&email).await?;
            accounts.set_active(user.id, true, Actor::CLI).await?;
            eprintln!("{} can sign in again.", user.email);
        }
        Args::Unlock { email } => {
            let user = accounts.find_by_email(&email).await?;
            accounts.unlock(&user, Actor::CLI).await?;
            eprintln!("{} can sign in at once, from anywhere.", user.email);
        }
        Args::SetRole { email, role } => {
            let user = accounts.find_by_email(&email).await?;
            accounts.set_role(user.id, role, Actor::CLI).await?;
            eprintln!("{} is {role} now.", user.email);
        }
        Args::SetPassword { email, password_file } => {
            let user = accounts.find_by_email(&email).await?;
            let password = read_password(password_file.as_deref())?;
            accounts.set_password(user.id, password.expose_secret(), Actor::CLI).await?;
            eprintln!("{} has a new password, and was signed out everywhere.", user.email);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The accounts of a database that is there.
async fn existing(config: &Config) -> anyhow::Result<Accounts> {
    let store = Store::open(config.database_url.expose_secret())?;
    store.ready().await?;
    Ok(Accounts::new(store, Clock::system(), config))
}

/// The accounts of the configured database, which is made and whose schema is brought up to date if need be:
/// the first account may come before the first start.
///
/// # Errors
/// If the database cannot be used.
pub(super) async fn made(config: &Config) -> anyhow::Result<Accounts> {
    let clock = Clock::system();
    let store = Store::open(config.database_url.expose_secret())?;
    store.migrate(clock.now()).await?;
    Ok(Accounts::new(store, clock, config))
}

fn table(users: &[User]) -> String {
    let width = users.iter().map(|user| user.email.chars().count()).max().unwrap_or(0);
    users.iter().fold(String::new(), |mut text, user| {
        let state = if user.active { "active" } else { "disabled" };
        let _ =
            writeln!(text, "{:width$}  {:8}  {state:8}  {}", user.email, user.role.as_str(), user.created_at);
        text
    })
}

fn read_password(file: Option<&Path>) -> anyhow::Result<SecretString> {
    if let Some(path) = file {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        return first_line(&text);
    }
    if !std::io::stdin().is_terminal() {
        return line();
    }
    let password = ask("Password: ")?;
    let again = ask("The same again: ")?;
    if password.expose_secret() != again.expose_secret() {
        bail!("these were two different passwords: nothing was changed");
    }
    Ok(password)
}

/// Asks without showing what is typed.
fn ask(question: &str) -> anyhow::Result<SecretString> {
    eprint!("{question}");
    let stdin = std::io::stdin();
    let shown = tcgetattr(&stdin)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &hidden)?;
    let answer = line();
    tcsetattr(&stdin, OptionalActions::Flush, &shown)?;
    eprintln!();
    answer
}

fn line() -> anyhow::Result<SecretString> {
    let mut text = String::new();
    std::io::stdin().lock().read_line(&mut text)?;
    first_line(&text)
}

fn first_line(text: &str) -> anyhow::Result<SecretString> {
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(SecretString::from(line.to_owned())),
        _ => bail!("there is no password: nothing was changed"),
    }
}
