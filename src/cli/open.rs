//! What commands share that look into a database beside the running service.

use super::simulator;
use crate::app::{App, Shared, StartError};
use crate::config::{Config, Place};
use crate::stripe::Client;
use anyhow::Context;
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

/// The database of `DATABASE_URL`; an SQLite file is made if there is none. Nothing else need be configured.
///
/// # Errors
/// What is wrong with the address.
pub(super) fn store() -> anyhow::Result<Store> {
    Ok(Store::open(Place::from_env()?.database_url.expose_secret())?)
}

/// The same for a database that must be there.
///
/// # Errors
/// [`NoDatabase`], or what is wrong with the address.
pub(super) fn existing() -> anyhow::Result<Store> {
    let place = Place::from_env()?;
    match Store::missing_file(place.database_url.expose_secret()) {
        Some(path) => Err(NoDatabase(path).into()),
        None => Ok(Store::open(place.database_url.expose_secret())?),
    }
}

/// A second writer on the same file is refused: SQLite has one, and that is the service, or this command.
///
/// # Errors
/// If the file is in use.
pub(super) fn only_one(store: &Store) -> anyhow::Result<Option<std::fs::File>> {
    let Store::Sqlite { path, .. } = store else { return Ok(None) };
    let lock = path.with_extension("serve.lock");
    let mut private = std::fs::OpenOptions::new();
    private.write(true).create(true).truncate(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut private, 0o600);
    let file = private.open(&lock).with_context(|| format!("cannot write {}", lock.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => anyhow::bail!(
            "{} is in use by another checkout-backend: stop it, or set DATABASE_URL to another file",
            path.display()
        ),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", lock.display()))
        }
    }
}

/// The same for a PostgreSQL database, as far as its server tells.
///
/// # Errors
/// If the service is connected to it.
pub(super) async fn nobody_connected(store: &Store) -> anyhow::Result<()> {
    match store.others_connected().await? {
        0 => Ok(()),
        count => anyhow::bail!(
            "{} is in use by another checkout-backend ({count} connections): stop every instance first",
            store.place()
        ),
    }
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
