//! The one account that there is: its id, and how it looks to buyers.

use super::error::{StripeError, clip};
use super::world::World;
use serde_json::{Value, json};

/// Its id, which a request may also name in `Stripe-Account`.
pub(crate) const ID: &str = "acct_1SimulatedStripe";
/// The colour of buttons if none is given.
pub(crate) const COLOR: &str = "#0074d4";
/// When the account was opened: it is older than everything in it.
const CREATED: i64 = 1_400_000_000;

/// How the merchant looks on the payment page.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub name: String,
    /// `#rrggbb`.
    pub color: String,
    pub logo: Option<Logo>,
}

/// A picture that the simulator serves itself.
#[derive(Debug, Clone)]
pub struct Logo {
    /// `image/png` and the like.
    pub kind: &'static str,
    pub bytes: bytes::Bytes,
}

impl Default for Account {
    fn default() -> Self {
        Self { name: "Simulated Stripe".to_owned(), color: COLOR.to_owned(), logo: None }
    }
}

/// Whether a text is `#rrggbb`.
pub(crate) fn is_color(text: &str) -> bool {
    text.strip_prefix('#').is_some_and(|hex| hex.len() == 6 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The kind of picture, by its first bytes.
pub(crate) fn picture(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

/// The account as the API shows it.
pub(crate) fn object(world: &World) -> Value {
    let account = &world.account;
    let nothing_due = json!({
        "alternatives": [], "current_deadline": null, "currently_due": [], "disabled_reason": null, "errors": [],
        "eventually_due": [], "past_due": [], "pending_verification": [],
    });
    json!({
        "id": ID,
        "object": "account",
        "business_profile": {
            "annual_revenue": null, "estimated_worker_count": null, "mcc": null, "minority_owned_business_designation": null,
            "name": account.name, "product_description": null, "specified_commercial_transactions_act_url": null,
            "support_address": null, "support_email": null,
            "support_phone": null, "support_url": null, "url": null,
        },
        "business_type": "company",
        "capabilities": { "card_payments": "active", "sepa_debit_payments": "active", "transfers": "active" },
        "charges_enabled": true,
        "controller": { "type": "account" },
        "country": "FR",
        "created": CREATED,
        "default_currency": "eur",
        "details_submitted": true,
        "email": "owner@simulated.example",
        "external_accounts": {
            "object": "list", "data": [], "has_more": false, "url": format!("/v1/accounts/{ID}/external_accounts"),
        },
        "future_requirements": nothing_due,
        "metadata": {},
        "payouts_enabled": true,
        "requirements": nothing_due,
        "settings": {
            "bacs_debit_payments": { "display_name": null, "service_user_number": null },
            "branding": { "icon": null, "logo": null, "primary_color": account.color, "secondary_color": null },
            "card_issuing": { "tos_acceptance": { "date": null, "ip": null } },
            "card_payments": {
                "decline_on": { "avs_failure": false, "cvc_failure": false }, "statement_descriptor_prefix": null,
                "statement_descriptor_prefix_kana": null, "statement_descriptor_prefix_kanji": null,
            },
            "dashboard": { "display_name": account.name, "timezone": "Europe/Paris" },
            "invoices": { "default_account_tax_ids": null, "hosted_payment_method_save": "offer" },
            "payments": {
                "statement_descriptor": "SIMULATED STRIPE", "statement_descriptor_kana": null,
                "statement_descriptor_prefix_kana": null, "statement_descriptor_prefix_kanji": null,
                "statement_descriptor_kanji": null,
            },
            "payouts": {
                "debit_negative_balances": true, "schedule": { "delay_days": 2, "interval": "daily" },
                "statement_descriptor": null,
            },
            "sepa_debit_payments": {},
        },
        "tos_acceptance": { "date": CREATED, "ip": "127.0.0.1" },
        "type": "standard",
    })
}

/// What is said of every account but the own one.
pub(crate) fn elsewhere(id: &str) -> StripeError {
    let message = format!(
        "The provided key does not have access to account '{}' (or that account does not exist). Application access \
         may have been revoked. Connect is not simulated: the one account here is {ID}.",
        clip(id)
    );
    StripeError::forbidden("account_invalid", message)
}
