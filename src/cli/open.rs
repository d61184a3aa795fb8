//! What commands share that look into a database beside the running service.

use super::simulator;
use crate::app::{App, Shared, StartError};
use crate::config::{Config, Place};
use crate::stripe::Client;
use clock::Clock;
use secrecy::{ExposeSecret, SecretString};
use std::path::PathBuf;
use store::Store;
use store::outbox::Audience;

/// There is nothing to look into.
#[derive(Debug, thiserror::Error)]
#[error("there is no database at {}: is this the right folder?", .0.display())]
pub(super) struct NoDatabase(PathBuf);

/// The configuration of a command that needs a database which is there. Where there is none nothing is made,
/// neither a database nor secrets: an empty answer would look like a true one.
///
/// # Errors
/// [`NoDatabase`], or what is wrong with the configuration.
pub(super) fn config() -> anyhow::Result<Config> {
    // What is wrong with the address is told below, with all else that is wrong.
    if let Ok(place) = Place::from_env()
        && let Some(path) = Store::missing_file(place.database_url.expose_secret())
    {
        return Err(NoDatabase(path).into());
    }
    Ok(Config::from_env()?)
}

/// The program's parts, without serving anything. The schema must be up to date.
///
/// # Errors
/// What keeps it from being used.
pub(super) async fn app(config: Config) -> anyhow::Result<Shared> {
    let store = Store::open(config.database_url.expose_secret())?;
    store.ready().await?;
    parts(config, store).await
}

async fn parts(config: Config, store: Store) -> anyhow::Result<Shared> {
    let (base, key) = stripe_of(&config);
    match App::start(config, store, &base, key, Audience::ToBeChosen, Clock::system()).await {
        Ok(app) => Ok(app),
        Err(StartError::Store(error)) => Err(error.into()),
        Err(error) => Err(error.into()),
    }
}

/// Stripe's API alone, real or simulated.
///
/// # Errors
/// What keeps the HTTP client from being made.
pub(super) fn stripe(config: &Config) -> anyhow::Result<Client> {
    let (base, key) = stripe_of(config);
    Ok(Client::new(&base, key)?)
}

fn stripe_of(config: &Config) -> (String, SecretString) {
    match &config.stripe_secret_key {
        Some(key) => (config.stripe_api_base.clone(), key.clone()),
        None => {
            // Nobody listens on port 0. The usual port would be another project's.
            let port = simulator::port(config).unwrap_or(0);
            (format!("http://127.0.0.1:{port}"), SecretString::from("sk_test_simulated"))
        }
    }
}
