//! What a session comes to: discounts, then taxes, then shipping.
//!
//! The rule for `automatic_tax` is the simulator's own and simple: [`AUTOMATIC_PERCENT`] of every line, contained in
//! the price if its `tax_behavior` is `inclusive` and on top of it otherwise, as soon as the buyer's place is known.
//! Shipping is not taxed.

use crate::model::{Discount, LineItem, Session, Thing};
use crate::world::World;
use serde_json::{Value, json};

/// What `automatic_tax` takes of everything.
pub(crate) const AUTOMATIC_PERCENT: &str = "20";
/// Digits behind the point that a percentage may have.
const PLACES: u32 = 12;

/// One tax of a line: its rate's id or none for the automatic one, and how much.
#[derive(Debug, Clone)]
pub(crate) struct Tax {
    pub rate: Option<String>,
    pub amount: i64,
    pub inclusive: bool,
}

/// A decimal text in units of ten to the minus [`PLACES`].
fn scaled(decimal: &str) -> i128 {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    let fraction: String = fraction.chars().chain(std::iter::repeat('0')).take(PLACES as usize).collect();
    format!("{whole}{fraction}").parse().unwrap_or(0)
}

fn rounded(numerator: i128, denominator: i128) -> i64 {
    if denominator == 0 {
        return 0;
    }
    i64::try_from((numerator * 2 + denominator) / (denominator * 2)).unwrap_or(i64::MAX)
}

/// `percent` of `amount`, half units up.
pub(crate) fn share(amount: i64, percent: &str) -> i64 {
    rounded(i128::from(amount) * scaled(percent), 100 * 10_i128.pow(PLACES))
}

/// What of `amount` is tax, if the tax is contained in it.
fn contained(amount: i64, percent: &str) -> i64 {
    let percent = scaled(percent);
    rounded(i128::from(amount) * percent, 100 * 10_i128.pow(PLACES) + percent)
}

/// A decimal price times a quantity, in whole minor units, half ones up.
pub(crate) fn multiplied(decimal: &str, quantity: i64) -> i64 {
    rounded(scaled(decimal) * i128::from(quantity), 10_i128.pow(PLACES))
}

/// Whether a coupon may still be used.
pub(crate) fn redeemable(world: &World, coupon: &Thing) -> bool {
    let used_up = coupon.int("max_redemptions").is_some_and(|max| coupon.int("times_redeemed") >= Some(max));
    let late = coupon.int("redeem_by").is_some_and(|until| until <= world.now());
    !used_up && !late
}

/// Why a promotion code does not count for a session, in a word for the page and the API; or the discount.
pub(crate) fn by_code(world: &World, session: &Session, code: &Thing) -> Result<Discount, &'static str> {
    let used_up = code.int("max_redemptions").is_some_and(|max| code.int("times_redeemed") >= Some(max));
    let late = code.int("expires_at").is_some_and(|until| until <= world.now());
    if !code.flag("active") || used_up || late {
        return Err("This code is invalid.");
    }
    if code.text("customer").is_some_and(|customer| session.customer.as_deref() != Some(customer)) {
        return Err("This code is invalid.");
    }
    let restrictions = code.members.get("restrictions").unwrap_or(&Value::Null);
    if restrictions["minimum_amount"].as_i64().is_some_and(|least| session.amount_subtotal < least) {
        return Err("The order total is below the minimum for this code.");
    }
    let known = |customer: &String| {
        world.charges.iter().any(|c| c.customer.as_ref() == Some(customer) && c.amount_captured > 0)
    };
    if restrictions["first_time_transaction"] == true && session.customer.as_ref().is_some_and(known) {
        return Err("This code is for a first order only.");
    }
    let coupon = code.members.get("promotion").and_then(|p| p["coupon"].as_str()).unwrap_or_default();
    fits(world, session, coupon)?;
    Ok(Discount { coupon: coupon.to_owned(), promotion_code: Some(code.id.clone()) })
}

/// Whether a coupon counts for a session.
pub(crate) fn fits(world: &World, session: &Session, coupon: &str) -> Result<(), &'static str> {
    let Some(coupon) = world.coupons.get(coupon) else { return Err("This code is invalid.") };
    if !redeemable(world, coupon) {
        return Err("This code has expired.");
    }
    if coupon.text("currency").is_some_and(|c| session.currency.as_deref() != Some(c)) {
        return Err("This code is for another currency.");
    }
    if !session.lines.iter().any(|line| applies(world, coupon, line)) {
        return Err("This code is for other products.");
    }
    Ok(())
}

fn applies(world: &World, coupon: &Thing, line: &LineItem) -> bool {
    let Some(products) = coupon.members.get("applies_to").and_then(|a| a["products"].as_array()) else {
        return true;
    };
    let product = world.prices.get(&line.price).map(|p| p.product.as_str());
    products.iter().any(|wanted| wanted.as_str() == product)
}

/// Works out a session's amounts anew. `located`: the buyer's place is known, so that tax can be counted.
pub(crate) fn recompute(world: &World, session: &mut Session, located: bool) {
    session.amount_subtotal = session.lines.iter().fold(0_i64, |sum, line| sum.saturating_add(line.amount()));
    for line in &mut session.lines {
        line.discount = 0;
    }
    for discount in session.discounts.clone() {
        if let Some(coupon) = world.coupons.get(&discount.coupon) {
            deduct(world, coupon, &mut session.lines);
        }
    }
    let automatic = session.enabled("automatic_tax") && located;
    for line in &mut session.lines {
        let taxes = taxes(world, line, automatic);
        line.tax = taxes.iter().map(|t| t.amount).sum();
        line.tax_added = taxes.iter().filter(|t| !t.inclusive).map(|t| t.amount).sum();
    }
    session.amount_discount = session.lines.iter().map(|line| line.discount).sum();
    session.amount_tax = session.lines.iter().map(|line| line.tax).sum();
    session.tax_added = session.lines.iter().map(|line| line.tax_added).sum();
    session.amount_shipping =
        session.shipping_rate.as_ref().map_or(0, |rate| crate::objects::rate_amount(world, rate));
}

/// Takes a coupon off the lines that it is for: a percentage of each, or an amount spread over them.
fn deduct(world: &World, coupon: &Thing, lines: &mut [LineItem]) {
    let mut for_it: Vec<&mut LineItem> = lines.iter_mut().filter(|l| applies(world, coupon, l)).collect();
    if let Some(percent) = coupon.members.get("percent_off").filter(|v| !v.is_null()) {
        let percent = percent.to_string();
        for line in for_it {
            let left = line.amount() - line.discount;
            line.discount += share(left, &percent).min(left);
        }
        return;
    }
    let whole: i64 = for_it.iter().map(|l| l.amount() - l.discount).sum();
    let mut off = coupon.int("amount_off").unwrap_or(0).min(whole);
    let mut left = whole;
    for line in &mut for_it {
        let of_line = line.amount() - line.discount;
        // Of what is left, this line's part; the last takes the rest, so that nothing is lost by rounding.
        let part = rounded(i128::from(off) * i128::from(of_line), i128::from(left.max(1))).min(of_line);
        line.discount += part;
        off -= part;
        left -= of_line;
    }
}

/// The taxes of a line, after its discount.
pub(crate) fn taxes(world: &World, line: &LineItem, automatic: bool) -> Vec<Tax> {
    let net = line.amount() - line.discount;
    let tax = |rate: Option<String>, percent: &str, inclusive: bool| Tax {
        rate,
        amount: if inclusive { contained(net, percent) } else { share(net, percent) },
        inclusive,
    };
    let mut taxes: Vec<Tax> = line
        .tax_rates
        .iter()
        .filter_map(|id| world.tax_rates.get(id))
        .map(|rate| {
            let percent = rate.members.get("percentage").map(Value::to_string).unwrap_or_default();
            tax(Some(rate.id.clone()), &percent, rate.flag("inclusive"))
        })
        .collect();
    if automatic {
        let inclusive = world.prices.get(&line.price).is_some_and(|p| p.tax_behavior == "inclusive");
        taxes.push(tax(None, AUTOMATIC_PERCENT, inclusive));
    }
    taxes
}

/// `total_details.breakdown`.
pub(crate) fn breakdown(world: &World, session: &Session) -> Value {
    let discounts: Vec<Value> = session
        .discounts
        .iter()
        .map(|d| {
            json!({
                "amount": session.amount_discount,
                "discount": {
                    "id": format!("di_{}", session.id.trim_start_matches("cs_test_").get(..20).unwrap_or_default()),
                    "object": "discount", "checkout_session": session.id, "customer": session.customer,
                    "customer_account": null, "end": null, "invoice": null, "invoice_item": null,
                    "promotion_code": d.promotion_code, "source": { "coupon": d.coupon, "type": "coupon" },
                    "start": session.created, "subscription": null, "subscription_item": null,
                },
            })
        })
        .collect();
    let automatic = session.enabled("automatic_tax") && session.amount_tax > 0;
    let taxes: Vec<Value> = session
        .lines
        .iter()
        .flat_map(|line| {
            let net = line.amount() - line.discount;
            taxes(world, line, automatic).into_iter().map(move |t| (net, t))
        })
        .map(|(net, tax)| {
            let rate = match &tax.rate {
                Some(id) => world.object(id).unwrap_or(Value::Null),
                None => automatic_rate(tax.inclusive),
            };
            json!({
                "amount": tax.amount, "rate": rate, "taxability_reason": null,
                "taxable_amount": if tax.inclusive { net - tax.amount } else { net },
            })
        })
        .collect();
    json!({ "discounts": discounts, "taxes": taxes })
}

fn automatic_rate(inclusive: bool) -> Value {
    json!({
        "id": "txr_1SimulatedAutomatic", "object": "tax_rate", "active": false, "country": "FR", "created": 0,
        "description": null, "display_name": "VAT", "effective_percentage": 20, "flat_amount": null,
        "inclusive": inclusive, "jurisdiction": "France", "jurisdiction_level": "country", "livemode": false,
        "metadata": {}, "percentage": 20, "rate_type": "percentage", "state": null, "tax_type": "vat",
    })
}

/// The session was paid: its coupons and codes have been used once more.
pub(crate) fn redeem(world: &mut World, discounts: &[Discount]) {
    for discount in discounts {
        if let Some(coupon) = world.coupons.get_mut(&discount.coupon) {
            coupon.add_one("times_redeemed");
        }
        let code = discount.promotion_code.as_ref().and_then(|code| world.promotion_codes.get_mut(code));
        if let Some(code) = code {
            code.add_one("times_redeemed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_and_fractions_are_rounded_once_half_up() {
        for (amount, percent, part) in
            [(2000, "20", 400), (999, "5.5", 55), (10, "25", 3), (1, "50", 1), (0, "20", 0)]
        {
            assert_eq!(share(amount, percent), part, "{percent} % of {amount}");
        }
        assert_eq!((contained(2400, "20"), contained(1055, "5.5")), (400, 55));
        for (decimal, quantity, amount) in [("0.5", 3, 2), ("10.333333333333", 3, 31), ("1999", 2, 3998)] {
            assert_eq!(multiplied(decimal, quantity), amount, "{quantity} × {decimal}");
        }
    }
}
