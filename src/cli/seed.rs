//! `seed`: the first ADMIN, from the configuration.

use super::{MISUSE, users};
use crate::config::Config;
use crate::flow::accounts::Actor;
use secrecy::ExposeSecret;
use std::process::ExitCode;

/// Makes the ADMIN of `ADMIN_EMAIL` with `ADMIN_PASSWORD`. An account that is there is left as it is.
///
/// # Errors
/// Whatever keeps it from being made.
pub async fn run(config: Config) -> anyhow::Result<ExitCode> {
    let (Some(email), Some(password)) = (&config.admin_email, &config.admin_password) else {
        eprintln!("checkout-backend: set ADMIN_EMAIL and ADMIN_PASSWORD (or ADMIN_PASSWORD_FILE) first");
        return Ok(ExitCode::from(MISUSE));
    };
    let accounts = users::made(&config).await?;
    if accounts.seed(email, password.expose_secret(), Actor::CLI).await? {
        eprintln!("{email} can sign in now, as ADMIN.");
    } else {
        eprintln!("{email} has an account already: nothing was changed.");
    }
    Ok(ExitCode::SUCCESS)
}
