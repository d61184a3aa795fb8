//! Where a database is at home: at which address, and whether with real money. A copy of it that is started somewhere
//! else (staging, a developer's machine) must not write to production's customers.
//!
//! **Invariants.** The first service that runs on a database makes that its home. Nothing leaves from anywhere else
//! until somebody has said that it moved; what waits goes on waiting.

use crate::app::App;
use crate::config::Config;
use domain::home::Home;
use store::{StoreError, Tx};

/// The mark.
const HOME: &str = "home";

/// Where this service is.
#[must_use]
pub fn here(config: &Config) -> Home {
    Home { address: config.app_url.clone(), live: config.livemode() }
}

/// Where the database is at home, if it is not here.
///
/// # Errors
/// [`StoreError`].
pub async fn elsewhere(app: &App) -> Result<Option<Home>, StoreError> {
    let mut tx = app.store.read().await?;
    let kept = tx.mark(HOME).await?;
    tx.rollback().await?;
    Ok(kept.and_then(|(text, _)| Home::parse(&text)).filter(|home| !home.is_at(&here(&app.config))))
}

/// Whether what is told is told from here; makes this the home of a database that has none.
///
/// # Errors
/// [`StoreError`].
pub async fn is_here(tx: &mut Tx, app: &App) -> Result<bool, StoreError> {
    let here = here(&app.config);
    match tx.mark(HOME).await? {
        None => {
            tx.set_first_mark(HOME, &here.to_string(), app.clock.now()).await?;
            Ok(true)
        }
        Some((text, _)) => {
            let home = Home::parse(&text);
            let at_home = home.as_ref().is_none_or(|home| home.is_at(&here));
            // From now on with real money, say: a copy with a test key is told apart.
            if at_home && text != here.to_string() && here.live {
                tx.set_mark(HOME, &here.to_string(), app.clock.now()).await?;
            }
            Ok(at_home)
        }
    }
}

/// Makes this the home, and forgets what waits if `discard`. Returns how many that were.
///
/// # Errors
/// [`StoreError`].
pub async fn adopt(app: &App, discard: bool) -> Result<u64, StoreError> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    let discarded = if discard { tx.discard_waiting(now).await? } else { 0 };
    tx.set_mark(HOME, &here(&app.config).to_string(), now).await?;
    tx.commit().await?;
    Ok(discarded)
}
