//! When bookings begin: their date and time in the business's time zone, by its rules of today.
//!
//! The instant is kept beside them for lists. Zones are corrected and their rules change: then it is reckoned anew.

use crate::app::App;
use domain::slot::Slot;
use std::time::Duration;
use store::StoreError;

/// The mark: the zone in which every booking was reckoned.
const ZONE: &str = "time_zone";
/// What began longer ago stays as it was when only rules changed.
const BEGUN: Duration = Duration::from_secs(2 * 86_400);

/// Reckons anew what does not fit any more: everything if the zone is another one, else what is still to come.
/// Returns of how many slots.
///
/// # Errors
/// [`StoreError`].
pub async fn reckon(app: &App) -> Result<usize, StoreError> {
    let zone = &app.config.timezone;
    let name = zone.iana_name().unwrap_or("UTC");
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    let same = tx.mark(ZONE).await?.is_some_and(|(kept, _)| kept == name);
    let slots = tx.slots_after(same.then(|| now.minus(BEGUN))).await?;
    let mut changed = 0;
    for (date, time, kept) in slots {
        let Some(starts_at) = Slot::parse(&date, &time).ok().and_then(|slot| slot.starts_at(zone).ok())
        else {
            tracing::warn!(module = "zone", action = "zone.no_such_time", date, time, zone = name);
            continue;
        };
        if starts_at != kept {
            tx.move_slot(&date, &time, kept, starts_at).await?;
            changed += 1;
        }
    }
    if !same {
        tx.set_mark(ZONE, name, now).await?;
    }
    tx.commit().await?;
    if changed > 0 {
        tracing::warn!(module = "zone", action = "zone.reckoned_anew", slots = changed, zone = name);
    }
    Ok(changed)
}
