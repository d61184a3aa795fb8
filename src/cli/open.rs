//! What commands share that look into a database beside the running service.

use crate::app::{App, Shared};
use crate::clock::Clock;
use crate::config::Config;
use crate::store::Store;
use secrecy::{ExposeSecret, SecretString};

/// The port of the simulated Stripe that `serve` runs, if nobody chose another.
const SIMULATOR_PORT: u16 = 12111;

/// The program's parts, without serving anything. The schema must be up to date.
///
/// # Errors
/// What keeps it from being used.
pub async fn app(config: Config) -> anyhow::Result<Shared> {
    let store = Store::open(config.database_url.expose_secret())?;
    store.ready().await?;
    parts(config, store).await
}

async fn parts(config: Config, store: Store) -> anyhow::Result<Shared> {
    let (base, key) = match &config.stripe_secret_key {
        Some(key) => (config.stripe_api_base.clone(), key.clone()),
        None => {
            let port = config.simulator_port.filter(|port| *port != 0).unwrap_or(SIMULATOR_PORT);
            (format!("http://127.0.0.1:{port}"), SecretString::from("sk_test_simulated"))
        }
    };
    Ok(App::start(config, store, &base, key, Clock::system()).await?)
}
