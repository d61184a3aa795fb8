//! Disputes: a buyer's bank takes the money back, or only asks.

use crate::cards::Instrument;
use crate::error::StripeError;
use crate::model::{ChargeStatus, Dispute, DisputeStatus, Metadata};
use crate::world::{Booking, World};
use crate::{ids, objects, rules};
use serde_json::{Map, Value};

/// What a dispute costs, in minor units.
const FEE: i64 = 2_000;

/// Opens a dispute about a charge. Returns its id.
///
/// # Errors
/// No such charge, not paid, or disputed already.
pub(crate) fn open(
    world: &mut World,
    charge_id: &str,
    reason: &str,
    inquiry: bool,
) -> Result<String, StripeError> {
    let Some(charge) = world.charges.get(charge_id).cloned() else {
        return Err(StripeError::no_such("charge", charge_id, "charge"));
    };
    if charge.status != ChargeStatus::Succeeded {
        return Err(StripeError::state(
            None,
            format!("Charge {charge_id} has not succeeded and cannot be disputed."),
        ));
    }
    if charge.disputed {
        let message = format!("Charge {charge_id} is disputed already.");
        return Err(StripeError::state(Some("charge_disputed"), message));
    }
    let id = ids::object("du");
    let brand = match &charge.instrument {
        Instrument::Card(card) => card.brand(),
        Instrument::Sepa(_) => "sepa_debit",
    };
    let dispute = Dispute {
        id: id.clone(),
        created: world.now(),
        amount: charge.amount_captured.saturating_sub(charge.amount_refunded),
        currency: charge.currency.clone(),
        status: if inquiry { DisputeStatus::WarningNeedsResponse } else { DisputeStatus::NeedsResponse },
        reason: reason.to_owned(),
        charge: charge_id.to_owned(),
        payment_intent: charge.payment_intent.clone(),
        brand: brand.to_owned(),
        metadata: Metadata::new(),
        evidence: Map::new(),
        submissions: 0,
        balance_transactions: Vec::new(),
    };
    let amount = dispute.amount;
    world.disputes.insert(dispute);
    if let Some(kept) = world.charges.get_mut(charge_id) {
        kept.disputed = true;
    }
    // The bank disputes by itself: no request of anybody's causes these.
    if let Some(object) = world.object(&id) {
        world.emit_automatic("charge.dispute.created", object);
    }
    if !inquiry {
        move_money(world, &id, -amount, FEE);
        if let Some(object) = world.object(&id) {
            world.emit_automatic("charge.dispute.funds_withdrawn", object);
        }
    }
    Ok(id)
}

fn move_money(world: &mut World, id: &str, amount: i64, fee: i64) {
    let Some(dispute) = world.disputes.get(id).cloned() else { return };
    let transaction = world.book(Booking {
        amount,
        fee,
        currency: &dispute.currency,
        kind: "adjustment",
        category: if amount < 0 { "dispute" } else { "dispute_reversal" },
        description: Some(format!("Chargeback for {}", dispute.charge)),
        source: id,
    });
    if let Some(kept) = world.disputes.get_mut(id) {
        kept.balance_transactions.push(transaction);
    }
}

fn tell(world: &mut World, kind: &str, id: &str) {
    if let Some(object) = world.object(id) {
        world.emit(kind, object);
    }
}

/// Evidence is handed in, or metadata changed. Stripe's magic texts decide the dispute at once.
///
/// # Errors
/// No such dispute, or it is closed.
pub(crate) fn update(
    world: &mut World,
    id: &str,
    evidence: Map<String, Value>,
    submit: bool,
    metadata: Option<&Value>,
) -> Result<(), StripeError> {
    let Some(dispute) = world.disputes.get(id) else {
        return Err(StripeError::no_such("dispute", id, "id"));
    };
    if dispute.status.closed() && !evidence.is_empty() {
        return Err(StripeError::state(None, "This dispute is already closed"));
    }
    let shown = objects::dispute(world, dispute);
    let Some(dispute) = world.disputes.get_mut(id) else {
        return Err(StripeError::no_such("dispute", id, "id"));
    };
    rules::merge_metadata(&mut dispute.metadata, metadata);
    let magic = evidence.get("uncategorized_text").and_then(Value::as_str).map(str::to_owned);
    let before = dispute.status;
    let given = !evidence.is_empty();
    dispute.evidence.extend(evidence);
    if given && submit {
        dispute.submissions += 1;
        dispute.status =
            if before.inquiry() { DisputeStatus::WarningUnderReview } else { DisputeStatus::UnderReview };
    }
    world.emit_change("charge.dispute.updated", id, &shown);
    match magic.as_deref() {
        Some("winning_evidence") if submit => close(world, id, true),
        Some("losing_evidence") if submit => close(world, id, false),
        _ => Ok(()),
    }
}

/// Decides a dispute, won or lost by the merchant.
///
/// # Errors
/// No such dispute, or it is closed.
pub(crate) fn close(world: &mut World, id: &str, won: bool) -> Result<(), StripeError> {
    let Some(dispute) = world.disputes.get_mut(id) else {
        return Err(StripeError::no_such("dispute", id, "id"));
    };
    if dispute.status.closed() {
        return Err(StripeError::state(None, "This dispute is already closed"));
    }
    let (inquiry, amount) = (dispute.status.inquiry(), dispute.amount);
    dispute.status = match (inquiry, won) {
        (true, _) => DisputeStatus::WarningClosed,
        (false, true) => DisputeStatus::Won,
        (false, false) => DisputeStatus::Lost,
    };
    if won && !inquiry {
        move_money(world, id, amount, 0);
        tell(world, "charge.dispute.funds_reinstated", id);
    }
    tell(world, "charge.dispute.closed", id);
    Ok(())
}
