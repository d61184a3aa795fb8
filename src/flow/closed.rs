//! After a backup was restored nothing is sold until Stripe has been asked about everything since: seats that were
//! sold after the backup would look free.
//!
//! **Invariants.** That a database was restored stands in itself, so whoever opens it knows. Only a reconciliation
//! that could read everything takes it away, and only of the restoration that it knew of.

use super::reconcile::{self, Options, ReconcileError};
use crate::app::App;
use clock::Timestamp;
use std::time::Duration;
use store::{Store, StoreError, Tx};

/// The mark that a restoration leaves. Its value is when the backup was taken, in microseconds since 1970, and which
/// restoration it was.
const RESTORED: &str = "restored";

/// A restoration that no reconciliation has followed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// When the backup was taken: of what came later the database knows nothing.
    pub taken_at: Timestamp,
    /// When it was restored.
    pub at: Timestamp,
    value: String,
}

/// Leaves the mark, in the transaction that restores.
///
/// # Errors
/// [`StoreError`].
pub async fn close(tx: &mut Tx, taken_at: Timestamp, now: Timestamp) -> Result<(), StoreError> {
    tx.set_mark(RESTORED, &format!("{} {}", taken_at.as_micros(), clock::new_id()), now).await
}

/// The restoration that no reconciliation has followed yet.
///
/// # Errors
/// [`StoreError`].
pub async fn restored(app: &App) -> Result<Option<Restored>, StoreError> {
    restored_in(&app.store).await
}

async fn restored_in(store: &Store) -> Result<Option<Restored>, StoreError> {
    let mut tx = store.read().await?;
    let restored = look(&mut tx).await?;
    tx.rollback().await?;
    Ok(restored)
}

/// The same in a transaction: what is decided on it is decided on what stands there now.
///
/// # Errors
/// [`StoreError`].
pub async fn look(tx: &mut Tx) -> Result<Option<Restored>, StoreError> {
    Ok(tx.mark(RESTORED).await?.map(|(value, at)| {
        let taken_at = value.split(' ').next().and_then(|micros| micros.parse().ok());
        // A mark that cannot be read closes as well, and has everything asked for.
        Restored { taken_at: Timestamp::from_micros(taken_at.unwrap_or(0)), at, value }
    }))
}

/// Everything since that restoration's backup has been asked for. `false` if it is not the last one any more.
///
/// # Errors
/// [`StoreError`].
pub async fn open(app: &App, restored: Restored) -> Result<bool, StoreError> {
    let mut tx = app.store.begin().await?;
    let opened = tx.clear_mark(RESTORED, &restored.value).await?;
    tx.commit().await?;
    Ok(opened)
}

/// How long a start waits before it reconciles by itself: whoever restored may want to do that, and read the report.
const PATIENCE: Duration = Duration::from_secs(20);

/// Reconciles by itself if nobody did after a restoration.
///
/// # Errors
/// [`ReconcileError`]: the storefront stays closed, and it is tried again.
pub async fn follow_restoration(app: &App) -> Result<(), ReconcileError> {
    if app.counters.uptime() >= PATIENCE && restored(app).await?.is_some() {
        reconcile::run(app, Options::default()).await?;
    }
    Ok(())
}
