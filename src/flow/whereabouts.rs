//! What `doctor` says of where a database is and how it got there.

use super::{closed, home, import};
use crate::app::App;
use crate::config::zones::{self, Rules};
use store::StoreError;

/// Something to know, and, if something is to be done, what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// What was looked at.
    pub check: &'static str,
    /// What was found.
    pub message: String,
    /// What to do about it; none if it is fine.
    pub fix: Option<String>,
}

/// All of it.
///
/// # Errors
/// [`StoreError`].
pub async fn remarks(app: &App) -> Result<Vec<Remark>, StoreError> {
    Ok(vec![at_home(app).await?, after_a_restoration(app).await?, moved_in(app).await?, time_zone(app)])
}

async fn at_home(app: &App) -> Result<Remark, StoreError> {
    let here = home::here(&app.config);
    Ok(match home::elsewhere(app).await? {
        None => Remark { check: "home", message: "mails and notifications leave from here".to_owned(), fix: None },
        Some(home) => Remark {
            check: "home",
            message: format!(
                "this database is at home at {} ({}), and this is {} ({}): nobody is told anything from here",
                home.address,
                mode(home.live),
                here.address,
                mode(here.live)
            ),
            fix: Some(
                "if it has moved here: checkout-backend adopt; if it is a copy, and nobody is to hear of what waits \
                 in it: checkout-backend adopt --discard"
                    .to_owned(),
            ),
        },
    })
}

fn mode(live: bool) -> &'static str {
    if live { "live" } else { "test" }
}

async fn after_a_restoration(app: &App) -> Result<Remark, StoreError> {
    let check = "restored";
    Ok(match closed::restored(app).await? {
        None => {
            Remark { check, message: "no restored backup waits for a reconciliation".to_owned(), fix: None }
        }
        Some(restored) => Remark {
            check,
            message: format!(
                "restored at {} from a backup of {}: nothing is sold until Stripe has been asked about everything since",
                restored.at, restored.taken_at
            ),
            fix: Some("checkout-backend reconcile".to_owned()),
        },
    })
}

async fn moved_in(app: &App) -> Result<Remark, StoreError> {
    let check = "original";
    let mut tx = app.store.read().await?;
    let there = tx.has_original_tables().await?;
    let done = tx.mark(import::MARK).await?.is_some();
    tx.rollback().await?;
    Ok(if there && !done {
        Remark {
            check,
            message: "the original service's table \"Booking\" is in this database, and nothing of it was taken over: \
                      what was sold there is sold again here"
                .to_owned(),
            fix: Some("checkout-backend import node --from \"$DATABASE_URL\" --dry-run".to_owned()),
        }
    } else {
        Remark {
            check,
            message: "nothing of the original service waits to be taken over".to_owned(),
            fix: None,
        }
    })
}

fn time_zone(app: &App) -> Remark {
    let name = app.config.timezone.iana_name().unwrap_or("UTC");
    let rules = Rules::of(name);
    let release = rules.release.clone().unwrap_or_else(|| "of an unknown release".to_owned());
    let whose = match &rules.folder {
        Some(folder) => format!("the system's tzdata in {}, {release}", folder.display()),
        None => format!("the program's own tzdata, {release}: the system has none"),
    };
    let this_year = jiff::tz::TimeZone::UTC.to_datetime(app.clock.now().to_jiff()).year();
    // Some years have no release at all; two without one are rare.
    let old = rules.year().is_some_and(|year| year + 2 <= this_year);
    Remark {
        check: "time-zone",
        message: format!("{name} by {whose}; the program's own is {}", zones::bundled_release()),
        fix: old.then(|| "bring the system's package tzdata up to date, and restart".to_owned()),
    }
}
