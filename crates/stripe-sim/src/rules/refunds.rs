//! Refunds: never above what was charged, sometimes late, sometimes failing after they succeeded.

use crate::cards::{ASYNC_REFUND, FAILED_REFUND, Instrument};
use crate::error::StripeError;
use crate::model::{Charge, ChargeStatus, DisputeStatus, Metadata, Refund, RefundStatus, Settlement};
use crate::world::{Booking, World};
use crate::{currency, ids, objects};
use serde_json::{Value, json};

/// What is asked for.
#[derive(Debug, Default)]
pub(crate) struct NewRefund {
    pub charge: Option<String>,
    pub payment_intent: Option<String>,
    /// All that is left, if not given.
    pub amount: Option<i64>,
    pub reason: Option<String>,
    pub metadata: Metadata,
}

/// Refunds a charge, in full or in part. Returns the refund's id.
///
/// # Errors
/// No such charge, nothing to refund, more than is left, or a dispute holds the money.
pub(crate) fn create(world: &mut World, new: NewRefund) -> Result<String, StripeError> {
    let charge = find_charge(world, &new)?;
    if charge.status != ChargeStatus::Succeeded {
        let message = format!("Charge {} has not succeeded and cannot be refunded.", charge.id);
        return Err(StripeError::state(Some("charge_not_refundable"), message).with_param("charge"));
    }
    let held = world
        .disputes
        .iter()
        .any(|d| d.charge == charge.id && !d.status.inquiry() && d.status != DisputeStatus::Won);
    if held {
        let message = format!("Charge {} has been charged back; cannot issue a refund.", charge.id);
        return Err(StripeError::state(Some("charge_disputed"), message));
    }
    let paid = if charge.captured { charge.amount_captured } else { charge.amount };
    let left = paid.saturating_sub(charge.amount_refunded);
    if left <= 0 {
        let message = format!("Charge {} has already been refunded.", charge.id);
        return Err(StripeError::state(Some("charge_already_refunded"), message));
    }
    let amount = new.amount.unwrap_or(left);
    if amount > left {
        let message = format!(
            "Refund amount ({}) is greater than unrefunded amount on charge ({})",
            currency::display(&charge.currency, amount),
            currency::display(&charge.currency, left)
        );
        return Err(StripeError::state(None, message).with_param("amount"));
    }
    if let Some(message) = currency::malformed(&charge.currency, amount) {
        return Err(StripeError::invalid("amount", None, message));
    }
    Ok(issue(world, &charge, amount, new))
}

fn find_charge(world: &World, new: &NewRefund) -> Result<Charge, StripeError> {
    let intent = match &new.payment_intent {
        Some(id) => Some(
            world
                .intents
                .get(id)
                .ok_or_else(|| StripeError::no_such("payment_intent", id, "payment_intent"))?,
        ),
        None => None,
    };
    if let Some(id) = &new.charge {
        let charge = world.charges.get(id).ok_or_else(|| StripeError::no_such("charge", id, "charge"))?;
        if intent.is_some_and(|i| charge.payment_intent.as_ref() != Some(&i.id)) {
            let message = "The charge does not belong to the given payment_intent.";
            return Err(StripeError::invalid("charge", None, message));
        }
        return Ok(charge.clone());
    }
    let Some(intent) = intent else {
        let message =
            "One of the following params should be provided for this request: payment_intent or charge.";
        return Err(StripeError::invalid("", Some("parameter_missing"), message));
    };
    let charge = intent.latest_charge.as_ref().and_then(|id| world.charges.get(id));
    charge.filter(|c| c.status == ChargeStatus::Succeeded).cloned().ok_or_else(|| {
        let message =
            format!("This PaymentIntent ({}) does not have a successful charge to refund.", intent.id);
        StripeError::state(Some("charge_not_refundable"), message).with_param("payment_intent")
    })
}

fn issue(world: &mut World, charge: &Charge, amount: i64, new: NewRefund) -> String {
    let (status, settles) = fate(world, &charge.instrument);
    let id = ids::object("re");
    let mut refund = Refund {
        id: id.clone(),
        created: world.now(),
        amount,
        currency: charge.currency.clone(),
        status,
        charge: charge.id.clone(),
        payment_intent: charge.payment_intent.clone(),
        payment_method: charge.payment_method.clone(),
        balance_transaction: None,
        failure_balance_transaction: None,
        failure_reason: None,
        reason: new.reason,
        metadata: new.metadata,
        method_type: charge.instrument.method_type().to_owned(),
        reference: None,
        settles,
    };
    if let Some(settlement) = settles {
        world.remind(settlement.at, &id);
    }
    refund.balance_transaction = Some(world.book(Booking {
        amount: -amount,
        fee: 0,
        currency: &charge.currency,
        kind: "refund",
        category: "refund",
        description: Some("REFUND FOR CHARGE".to_owned()),
        source: &id,
    }));
    let object = objects::refund(&refund);
    world.refunds.insert(refund);
    world.emit("refund.created", object);

    let before = objects::charge(world, charge);
    if let Some(kept) = world.charges.get_mut(&charge.id) {
        kept.amount_refunded = kept.amount_refunded.saturating_add(amount);
    }
    world.emit_change("charge.refunded", &charge.id, &before);
    if status == RefundStatus::Succeeded && charge.instrument.method_type() == "card" {
        give_reference(world, &id);
    }
    id
}

/// What becomes of a refund, by the instrument.
fn fate(world: &World, instrument: &Instrument) -> (RefundStatus, Option<Settlement>) {
    let at = world.settles_at();
    match instrument {
        Instrument::Card(card) if card.number == ASYNC_REFUND => {
            (RefundStatus::Pending, Some(Settlement { at, succeeds: true }))
        }
        Instrument::Card(card) if card.number == FAILED_REFUND => {
            (RefundStatus::Succeeded, Some(Settlement { at, succeeds: false }))
        }
        Instrument::Card(_) => (RefundStatus::Succeeded, None),
        Instrument::Sepa(_) => (RefundStatus::Pending, Some(Settlement { at, succeeds: true })),
    }
}

fn give_reference(world: &mut World, id: &str) {
    let Some(refund) = world.refunds.get_mut(id) else { return };
    let before = objects::refund(refund);
    refund.reference = Some("5502389230000000".to_owned());
    let object = objects::refund(refund);
    let previous = json!({ "destination_details": before.get("destination_details") });
    world.emit_update("refund.updated", object.clone(), previous.clone());
    world.emit_update("charge.refund.updated", object, previous);
}

/// A pending refund succeeds. False if it is not pending.
pub(crate) fn succeed(world: &mut World, id: &str) -> bool {
    let Some(refund) = world.refunds.get_mut(id).filter(|r| r.status == RefundStatus::Pending) else {
        return false;
    };
    refund.status = RefundStatus::Succeeded;
    refund.settles = None;
    let object = objects::refund(refund);
    let previous = json!({ "status": "pending" });
    world.emit_update("refund.updated", object.clone(), previous.clone());
    world.emit_update("charge.refund.updated", object, previous);
    true
}

/// A refund fails, also one that had succeeded: the money is back, the charge is less refunded.
/// False if it had already failed or was cancelled.
pub(crate) fn fail(world: &mut World, id: &str, reason: &str) -> bool {
    end(world, id, RefundStatus::Failed, Some(reason))
}

/// Cancels a refund that waits.
///
/// # Errors
/// It is not pending.
pub(crate) fn cancel(world: &mut World, id: &str) -> Result<(), StripeError> {
    let Some(refund) = world.refunds.get(id) else { return Err(StripeError::no_such("refund", id, "id")) };
    if refund.status != RefundStatus::Pending {
        let status = status_text(refund.status);
        let message = format!("Refund {id} cannot be canceled because it has a status of {status}.");
        return Err(StripeError::state(Some("status_transition_invalid"), message));
    }
    end(world, id, RefundStatus::Canceled, Some("merchant_request"));
    Ok(())
}

fn status_text(status: RefundStatus) -> String {
    serde_json::to_value(status).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn end(world: &mut World, id: &str, status: RefundStatus, reason: Option<&str>) -> bool {
    let Some(refund) = world.refunds.get(id).cloned() else { return false };
    if matches!(refund.status, RefundStatus::Failed | RefundStatus::Canceled) {
        return false;
    }
    let transaction = world.book(Booking {
        amount: refund.amount,
        fee: 0,
        currency: &refund.currency,
        kind: "refund_failure",
        category: "refund_failure",
        description: Some("REFUND FAILURE".to_owned()),
        source: id,
    });
    if let Some(charge) = world.charges.get_mut(&refund.charge) {
        charge.amount_refunded = charge.amount_refunded.saturating_sub(refund.amount);
    }
    let previous = json!({ "status": status_text(refund.status) });
    if let Some(kept) = world.refunds.get_mut(id) {
        kept.status = status;
        kept.settles = None;
        kept.failure_reason = reason.map(str::to_owned);
        kept.failure_balance_transaction = Some(transaction);
        let object = objects::refund(kept);
        world.emit_update("refund.updated", object.clone(), previous.clone());
        world.emit_update("charge.refund.updated", object.clone(), previous);
        if status == RefundStatus::Failed {
            world.emit("refund.failed", object);
        }
    }
    true
}

/// A refund's settlement is due.
pub(crate) fn settle(world: &mut World, id: &str, succeeds: bool) {
    if succeeds {
        succeed(world, id);
    } else {
        fail(world, id, "expired_or_canceled_card");
    }
}

/// The refunds of a charge as the list that a charge may be expanded by.
pub(crate) fn of_charge(world: &World, charge: &str) -> Value {
    let data: Vec<Value> =
        world.refunds.iter().rev().filter(|r| r.charge == charge).take(10).map(objects::refund).collect();
    objects::list(&format!("/v1/charges/{charge}/refunds"), data, false)
}
