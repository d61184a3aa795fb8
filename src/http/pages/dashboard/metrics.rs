//! `/dashboard/metrics`: the numbers of `GET /admin/metrics`, for eyes.

use super::{Fact, Page};
use crate::app::Shared;
use crate::http::error::Problem;
use crate::http::pages::{format, i18n};
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use domain::payment::Outcome;

#[derive(Template)]
#[template(path = "dashboard/metrics.html")]
struct Metrics {
    page: Page,
    groups: Vec<Group>,
}

struct Group {
    name: &'static str,
    tiles: Vec<Fact>,
}

/// The numbers.
pub async fn show(State(app): State<Shared>, page: Page) -> Result<Response, Problem> {
    let (t, counters) = (page.t, &app.counters);
    let mut tx = app.store.read().await?;
    let open_cases = tx.count_open_cases().await?;
    tx.rollback().await?;
    let webhook = counters.webhook();
    let mut webhooks = vec![
        Fact::new(t.received, webhook.received.to_string()),
        Fact::new(t.duplicates, webhook.duplicates.to_string()),
        Fact::new(t.errors, webhook.errors.to_string()),
    ];
    let outcomes = counters.outcomes().filter_map(|(word, count)| Some((Outcome::parse(word)?, count)));
    for (outcome, count) in outcomes.filter(|(outcome, _)| *outcome != Outcome::Duplicate) {
        webhooks.push(Fact::new(i18n::outcome(page.lang, outcome), count.to_string()));
    }
    let secrets = counters.secrets_last_used().take(app.config.webhook_secrets.len());
    let secret = |(n, used): (usize, Option<_>)| {
        let used = used.map(|at| format::moment(page.lang, &app.config.timezone, at));
        Fact::new(&format!("{} {n}", t.secret), used.unwrap_or_else(|| t.never_used.to_owned()))
    };
    let groups = vec![
        Group { name: t.webhooks_title, tiles: webhooks },
        Group { name: t.waiting_title, tiles: vec![Fact::new(t.open_cases, open_cases.to_string())] },
        Group {
            name: t.runtime_title,
            tiles: vec![
                Fact::new(t.uptime, i18n::duration(page.lang, counters.uptime())),
                Fact::new(t.http5xx, counters.http_5xx().to_string()),
                Fact::new(t.version, app.config.app_version.as_str()),
                Fact::new(t.database, app.store.engine()),
            ],
        },
        Group { name: t.secret_used, tiles: (1..).zip(secrets).map(secret).collect() },
    ];
    let metrics = Metrics { page, groups };
    Ok(metrics.page.show(&metrics))
}
