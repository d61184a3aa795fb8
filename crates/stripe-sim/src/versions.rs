//! API versions: which ones there can be, and how objects looked before the newest.
//!
//! Objects are kept and made as of [`NEWEST`]. What a request or an endpoint of an older version sees differs in
//! the members that [`CHANGES`] lists, on the objects that are simulated. The README's table is made of the same list.

use crate::objects;
use crate::rules::refunds;
use crate::world::World;
use serde_json::{Map, Value, json};

/// The API version whose shapes `objects` makes.
pub const NEWEST: &str = "2026-10-28.endive";

/// Stripe's first dated version is of this year.
const FIRST_YEAR: i16 = 2011;
/// From this day on versions have a name behind the date.
const FIRST_NAMED: &str = "2024-09-30";

/// From this version on `payment_method_types` is no parameter of a session any more.
pub(crate) const WITHOUT_METHOD_TYPES: &str = "2026-09-30";
/// By which requests of Stripe's command line tool are judged that name none: those of its fixtures.
pub(crate) const OF_CLI: &str = "2026-03-25.dahlia";
/// From this version on `ui_mode` has its present names.
pub(crate) const NEW_UI_MODES: &str = "2026-03-25";
/// From this version on intents are captured asynchronously if nothing else is asked.
pub(crate) const ASYNC_CAPTURE: &str = "2024-04-10";
/// From this version on intents take dynamic payment methods if nothing else is asked.
pub(crate) const DYNAMIC_METHODS: &str = "2023-08-16";
/// From this version on a promotion code names what it promotes.
pub(crate) const PROMOTIONS: &str = "2025-09-30";

/// Whether a text can be a version: a real day since Stripe's first one and at most a year after the newest known,
/// with the name that versions have since 2024, and betas behind it.
pub(crate) fn is_version(text: &str) -> bool {
    let mut parts = text.split(';');
    let dated = parts.next().unwrap_or_default().trim();
    let beta = |part: &str| {
        let word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        part.trim().split_once('=').is_some_and(|(name, value)| word(name) && word(value))
    };
    if text.len() > 500 || !parts.all(beta) {
        return false;
    }
    let (date, name) = dated.split_once('.').map_or((dated, None), |(date, name)| (date, Some(name)));
    let parsed = (date.len() == 10).then(|| date.parse::<jiff::civil::Date>().ok()).flatten();
    let Some(day) = parsed else { return false };
    let newest = NEWEST.get(..4).and_then(|year| year.parse().ok()).unwrap_or(i16::MAX);
    let named = name.is_none_or(|n| {
        date >= FIRST_NAMED && (3..=20).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_lowercase())
    });
    (FIRST_YEAR..=newest + 1).contains(&day.year()) && named
}

/// The sentence that a refusal carries if another version would have taken the request.
pub(crate) fn judged_by(version: &str, asked: bool) -> String {
    let whose = if asked {
        "the request's Stripe-Version"
    } else {
        "the account's default, because the request has no Stripe-Version; --api-version sets another"
    };
    format!(" (Judged by API version {version}: {whose}.)")
}

/// One change of an object's members.
struct Change {
    /// The first version without the older look.
    since: &'static str,
    object: &'static str,
    /// For the README, which is tested against it.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the test of the README reads it"))]
    about: &'static str,
    /// Gives the object its older look.
    undo: fn(&World, &mut Map<String, Value>),
}

/// Every change since 2022-11-15 to members that simulated objects have, oldest first, and the two of that version
/// itself. Members that only came are sent to everybody: a library ignores what it does not know.
static CHANGES: [Change; 8] = [
    Change {
        since: "2022-11-15",
        object: "charge",
        about: "`refunds` is there without being asked for",
        undo: |world, charge| {
            let refunds = charge.get("id").and_then(Value::as_str).map(|id| refunds::of_charge(world, id));
            if let Some(refunds) = refunds {
                charge.entry("refunds").or_insert(refunds);
            }
        },
    },
    Change {
        since: "2022-11-15",
        object: "payment_intent",
        about: "`charges` lists all attempts",
        undo: |world, intent| {
            let Some(id) = intent.get("id").and_then(Value::as_str).map(str::to_owned) else { return };
            let of = world.charges.iter().rev().filter(|c| c.payment_intent.as_ref() == Some(&id));
            let charges: Vec<Value> = of.take(10).map(|c| objects::charge(world, c)).collect();
            let url = format!("/v1/charges?payment_intent={id}");
            let mut list = objects::list(&url, charges, false);
            shape(world, &mut list, "2022-08-01"); // who sees this list sees its charges as old
            intent.insert("charges".into(), list);
        },
    },
    Change {
        since: "2024-04-10",
        object: "product",
        about: "`marketing_features` is called `features`",
        undo: |_, product| {
            if let Some(features) = product.remove("marketing_features") {
                product.insert("features".into(), features);
            }
        },
    },
    Change {
        since: "2025-03-31",
        object: "checkout.session",
        about: "`shipping_details` is there, not in `collected_information`",
        undo: |_, session| {
            let collected = session.get("collected_information");
            let details = collected.and_then(|c| c.get("shipping_details")).cloned().unwrap_or(Value::Null);
            session.insert("shipping_details".into(), details);
            session.remove("collected_information");
        },
    },
    Change {
        since: "2025-03-31",
        object: "charge",
        about: "`invoice` is there, null",
        undo: without_invoice,
    },
    Change {
        since: "2025-03-31",
        object: "payment_intent",
        about: "`invoice` is there, null",
        undo: without_invoice,
    },
    Change {
        since: PROMOTIONS,
        object: "promotion_code",
        about: "`coupon` holds the coupon itself, instead of `promotion`",
        undo: |world, code| {
            let promoted = code.remove("promotion").and_then(|mut p| p.get_mut("coupon").map(Value::take));
            let coupon = match promoted {
                Some(Value::String(id)) => world.object(&id).unwrap_or(Value::Null),
                other => other.unwrap_or(Value::Null),
            };
            code.insert("coupon".into(), coupon);
        },
    },
    Change {
        since: NEW_UI_MODES,
        object: "checkout.session",
        about: "`ui_mode` is `hosted`, `embedded`, `custom` instead of `hosted_page`, `embedded_page`, `elements`",
        undo: |_, session| {
            let old = match session.get("ui_mode").and_then(Value::as_str) {
                Some("hosted_page") => "hosted",
                Some("embedded_page") => "embedded",
                Some("elements") => "custom",
                _ => return,
            };
            session.insert("ui_mode".into(), json!(old));
        },
    },
];

fn without_invoice(_: &World, members: &mut Map<String, Value>) {
    members.entry("invoice").or_insert(Value::Null);
}

/// Gives `value` and all objects in it the look that they had in `version`. Events keep the one they were made in.
pub(crate) fn shape(world: &World, value: &mut Value, version: &str) {
    if version < NEWEST {
        walk(world, value, version);
    }
}

fn walk(world: &World, value: &mut Value, version: &str) {
    match value {
        Value::Array(entries) => entries.iter_mut().for_each(|entry| walk(world, entry, version)),
        Value::Object(members) => {
            if members.get("object").and_then(Value::as_str) == Some("event") {
                return;
            }
            for inner in members.values_mut().filter(|v| v.is_object() || v.is_array()) {
                walk(world, inner, version);
            }
            let Some(kind) = members.get("object").and_then(Value::as_str).map(str::to_owned) else { return };
            // Newest first: each undoes the step before it.
            for change in CHANGES.iter().rev().filter(|c| c.object == kind && version < c.since) {
                (change.undo)(world, members);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_day_that_stripe_has_had_with_its_name_and_betas() {
        for good in [
            "2011-06-21",
            "2020-08-27",
            "2023-10-16",
            "2023-10-16; foo_beta=v1",
            "2023-10-16;a_beta=v2; b_beta=v1",
            "2024-09-30.acacia",
            "2026-10-28.endive",
            "2026-10-28.preview",
        ] {
            assert!(is_version(good), "{good}");
        }
        for absurd in [
            "",
            "yesterday",
            "2023-13-01",
            "2023-02-30",
            "1999-01-01",
            "9999-01-01",
            "2023-10-16.",
            "2023-10-16.endive",
            "2026-10-28.Endive",
            "2026-10-28.x.y",
            "2023-10-16; ",
            "2023-10-16; beta",
            "2023-10-16, x=1",
            "23-10-16",
            "2023-10-16T00:00:00",
            "+2023-10-16",
        ] {
            assert!(!is_version(absurd), "{absurd}");
        }
    }

    #[test]
    fn the_changes_stand_in_the_readme() {
        let readme = include_str!("../README.md");
        for change in &CHANGES {
            let row = format!("| before `{}` | `{}` | {} |", change.since, change.object, change.about);
            assert!(readme.contains(&row), "missing in the README:\n{row}");
        }
        assert!(CHANGES.is_sorted_by_key(|change| change.since));
    }
}
