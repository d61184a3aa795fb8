//! Events and objects as Stripe writes them, to be bent by the test: `event["data"]["object"]["currency"] = …`.

use domain::booking::Booking;
use serde_json::{Value, json};

/// An event of `kind` about `object`.
pub(crate) fn event(id: &str, kind: &str, object: Value) -> Value {
    json!({
        "id": id,
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": 1_795_000_000,
        "data": { "object": object },
        "livemode": false,
        "pending_webhooks": 1,
        "request": { "id": null, "idempotency_key": null },
        "type": kind,
    })
}

/// A complete, paid checkout session of this booking, made by the database `instance`.
pub(crate) fn session(booking: &Booking, id: &str, instance: &str) -> Value {
    let amount = booking.price.amount;
    json!({
        "id": id,
        "object": "checkout.session",
        "amount_subtotal": amount,
        "amount_total": amount,
        "client_reference_id": booking.id.to_string(),
        "created": 1_795_000_000,
        "currency": booking.price.currency.as_str(),
        "customer_details": { "email": "ada@example.org", "name": "Ada Lovelace" },
        "expires_at": 1_795_002_100,
        "livemode": false,
        "metadata": { "booking_id": booking.id.to_string(), "instance": instance },
        "mode": "payment",
        "payment_intent": intent_of(id),
        "payment_status": "paid",
        "status": "complete",
        "total_details": { "amount_discount": 0, "amount_shipping": 0, "amount_tax": 0 },
        "url": null,
    })
}

/// The payment intent that [`session`] gives a session.
pub(crate) fn intent_of(session: &str) -> String {
    session.replacen("cs_", "pi_", 1)
}

/// A refund of a session's payment.
pub(crate) fn refund(id: &str, session: &str, amount: i64, status: &str) -> Value {
    json!({
        "id": id,
        "object": "refund",
        "amount": amount,
        "charge": session.replacen("cs_", "ch_", 1),
        "currency": "eur",
        "metadata": {},
        "payment_intent": intent_of(session),
        "status": status,
    })
}

/// The charge behind a session's payment, of which `refunded` has gone back.
pub(crate) fn charge(session: &str, amount: i64, refunded: i64) -> Value {
    json!({
        "id": session.replacen("cs_", "ch_", 1),
        "object": "charge",
        "amount": amount,
        "amount_refunded": refunded,
        "currency": "eur",
        "metadata": {},
        "paid": true,
        "payment_intent": intent_of(session),
        "refunded": refunded >= amount,
        "status": "succeeded",
    })
}

/// A dispute about a session's payment.
pub(crate) fn dispute(id: &str, session: &str, amount: i64, status: &str) -> Value {
    json!({
        "id": id,
        "object": "dispute",
        "amount": amount,
        "charge": session.replacen("cs_", "ch_", 1),
        "currency": "eur",
        "evidence_details": { "due_by": 1_796_000_000 },
        "metadata": {},
        "payment_intent": intent_of(session),
        "reason": "fraudulent",
        "status": status,
    })
}
