//! Properties of the rules that turn facts into states, for facts as odd as they come.

use clock::Timestamp;
use domain::booking::{Booking, Customer, DisputeStatus, Progress, RefundStatus, Status};
use domain::event::{
    ChargeRefundedFact, Claim, DisputeFact, Event, EventKey, Fact, PaymentStatus, RefundFact, SessionFact,
    SessionMoment, Source,
};
use domain::ids::{BookingId, ChargeId, DisputeId, EventId, OfferId, PaymentIntentId, RefundId, SessionId};
use domain::money::{Currency, Money};
use domain::payment::{Context, Decision, Outcome, decide};
use domain::slot::Slot;
use proptest::prelude::*;
use proptest::sample::select;

const PRICE: i64 = 6_000;

fn booking() -> Booking {
    let at = Timestamp::from_unix_seconds(1_795_000_000);
    let id = BookingId::parse("0193b5a0-0000-7000-8000-000000000010").unwrap();
    Booking {
        id,
        code: domain::code::Code::of(id, 0),
        offer: OfferId::from(clock::new_id()),
        customer: Customer { first_name: "A".into(), last_name: "B".into(), email: "a@b.fr".into() },
        slot: Slot::parse("2031-01-15", "10:00").unwrap(),
        starts_at: at,
        price: Money { amount: PRICE, currency: Currency::parse("eur").unwrap() },
        progress: Progress::Pending,
        session: None,
        seat: Some(1),
        hold_expires_at: at,
        charge_refunded: 0,
        charge_intent: None,
        cancelled: None,
        refunds: Vec::new(),
        disputes: Vec::new(),
        cases: Vec::new(),
        created_at: at,
        updated_at: at,
    }
}

fn tell(booking: &Booking, fact: &Fact) -> Decision {
    let event = Event {
        key: EventKey::Stripe(EventId::parse("evt_1").unwrap()),
        kind: "any".to_owned(),
        created: None,
        livemode: Some(false),
        account: None,
        source: Source::Webhook,
        fact: fact.clone(),
        payload: String::new(),
    };
    let now = Timestamp::from_unix_seconds(1_795_000_100);
    decide(booking, &event, Context { now, livemode: false, free_seat: Some(1) })
}

fn tell_all(facts: &[Fact]) -> Booking {
    facts.iter().fold(booking(), |booking, fact| tell(&booking, fact).booking)
}

fn amounts() -> impl Strategy<Value = Option<i64>> {
    select(vec![
        Some(PRICE),
        Some(PRICE),
        Some(PRICE),
        Some(0),
        Some(1),
        Some(-PRICE),
        Some(i64::MAX),
        Some(i64::MIN),
        None,
    ])
}

fn parts() -> impl Strategy<Value = Option<i64>> {
    select(vec![None, Some(0), Some(0), Some(500), Some(PRICE), Some(i64::MAX), Some(i64::MIN)])
}

fn texts(usual: &'static str, others: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    let others = others.iter().map(|text| Some((*text).to_owned()));
    select(std::iter::repeat_n(Some(usual.to_owned()), 4).chain(others).chain([None]).collect::<Vec<_>>())
}

prop_compose! {
    fn session_fact()(
        session in select(vec!["cs_1", "cs_1", "cs_2"]),
        moment in select(vec![
            SessionMoment::Completed, SessionMoment::AsyncSucceeded, SessionMoment::AsyncFailed, SessionMoment::Expired,
        ]),
        payment_status in select(vec![
            PaymentStatus::Paid, PaymentStatus::Unpaid, PaymentStatus::NoPaymentRequired, PaymentStatus::Unknown,
        ]),
        mode in texts("payment", &["subscription", "setup", ""]),
        currency in texts("eur", &["EUR", "usd", "jpy", "€"]),
        (subtotal, total) in (amounts(), amounts()),
        (discount, tax, shipping) in (parts(), parts(), parts()),
    ) -> Fact {
        Fact::Session(SessionFact {
            id: SessionId::parse(session).unwrap(),
            moment, payment_status, claim: Claim::default(),
            intent: PaymentIntentId::parse(&session.replace("cs", "pi")).ok(),
            mode, currency, subtotal, total, discount, tax, shipping, unreadable: None,
        })
    }
}

/// What Stripe says of a session whose sums are right.
fn sound_session_fact() -> impl Strategy<Value = Fact> {
    use PaymentStatus::{Paid, Unpaid};
    use SessionMoment::{AsyncFailed, AsyncSucceeded, Completed, Expired};
    select(vec![
        (Completed, Paid),
        (Completed, Unpaid),
        (AsyncSucceeded, Paid),
        (AsyncFailed, Unpaid),
        (Expired, Unpaid),
    ])
    .prop_map(|(moment, payment_status)| {
        Fact::Session(SessionFact {
            id: SessionId::parse("cs_1").unwrap(),
            moment,
            payment_status,
            claim: Claim::default(),
            intent: PaymentIntentId::parse("pi_1").ok(),
            mode: Some("payment".to_owned()),
            currency: Some("eur".to_owned()),
            subtotal: Some(PRICE),
            total: Some(PRICE),
            discount: Some(0),
            tax: Some(0),
            shipping: Some(0),
            unreadable: None,
        })
    })
}

fn later_fact(amounts: Vec<i64>) -> impl Strategy<Value = Fact> {
    use DisputeStatus::{Lost, NeedsResponse, UnderReview, WarningNeedsResponse, Won};
    use RefundStatus::{Canceled, Failed, Pending, RequiresAction, Succeeded};
    let intent = || PaymentIntentId::parse("pi_1").ok();
    let refund = (
        select(vec!["re_1", "re_2"]),
        select(amounts.clone()),
        select(vec![Pending, RequiresAction, Succeeded, Canceled, Failed]),
    );
    let refund = refund.prop_map(move |(id, amount, status)| {
        Fact::Refund(RefundFact {
            id: RefundId::parse(id).unwrap(),
            claim: Claim::default(),
            intent: intent(),
            charge: None,
            amount: Some(amount),
            currency: None,
            unreadable: false,
            status,
        })
    });
    let dispute = (
        select(vec!["dp_1", "dp_2"]),
        select(vec![WarningNeedsResponse, NeedsResponse, UnderReview, Lost, Won]),
    );
    let dispute = dispute.prop_map(move |(id, status)| {
        Fact::Dispute(DisputeFact {
            id: DisputeId::parse(id).unwrap(),
            claim: Claim::default(),
            intent: intent(),
            charge: None,
            amount: Some(PRICE),
            currency: None,
            unreadable: false,
            status,
            due_by: None,
        })
    });
    let charge = select(amounts).prop_map(move |amount_refunded| {
        Fact::ChargeRefunded(ChargeRefundedFact {
            charge: ChargeId::parse("ch_1").unwrap(),
            claim: Claim::default(),
            intent: intent(),
            amount_refunded: Some(amount_refunded),
            currency: None,
            unreadable: false,
        })
    });
    prop_oneof![refund, dispute, charge]
}

fn odd_fact() -> impl Strategy<Value = Fact> {
    prop_oneof![3 => session_fact(), 2 => later_fact(vec![1_000, 5_000, PRICE, 0, -1, i64::MAX, i64::MIN])]
}

/// As from Stripe: the amount of a refund does not change from event to event.
fn sound_fact() -> impl Strategy<Value = Fact> {
    prop_oneof![1 => sound_session_fact(), 1 => later_fact(vec![2_000])]
}

/// What a session must say to pay a booking of 60 €, written down once more.
fn really_pays(fact: &Fact) -> bool {
    let Fact::Session(fact) = fact else { return false };
    let part = |part: Option<i64>| i128::from(part.unwrap_or(0));
    let Some(total) = fact.total else { return false };
    let rest = part(fact.tax) + part(fact.shipping) - part(fact.discount);
    let subtotal = fact.subtotal.map_or(i128::from(total) - rest, i128::from);
    let said = match (fact.moment, fact.payment_status) {
        (SessionMoment::Completed | SessionMoment::AsyncSucceeded, PaymentStatus::Paid) => true,
        (SessionMoment::Completed | SessionMoment::AsyncSucceeded, PaymentStatus::NoPaymentRequired) => {
            total == 0
        }
        (SessionMoment::AsyncSucceeded, PaymentStatus::Unknown) => true,
        _ => false,
    };
    said && fact.currency.as_deref().is_some_and(|currency| currency.eq_ignore_ascii_case("eur"))
        && fact.mode.as_deref().unwrap_or("payment") == "payment"
        && subtotal == i128::from(PRICE)
        && i128::from(total) == subtotal + rest
        && total >= 0
        && [fact.discount, fact.tax, fact.shipping].iter().all(|amount| amount.unwrap_or(0) >= 0)
        && (total > 0 || part(fact.discount) >= subtotal)
}

/// All but the time of the last change.
fn state(booking: &Booking) -> Booking {
    let mut state = booking.clone();
    state.updated_at = state.created_at;
    if let Progress::Paid(payment) = &mut state.progress {
        payment.at = state.created_at;
    }
    state.refunds.sort_by(|a, b| a.id.cmp(&b.id));
    state.disputes.sort_by(|a, b| a.id.cmp(&b.id));
    state.cases.sort();
    state
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3_000) })]

    #[test]
    fn a_booking_is_paid_only_by_a_session_that_pays_exactly_its_price(facts in prop::collection::vec(odd_fact(), 1..8)) {
        let mut now = booking();
        for fact in &facts {
            let before = now.clone();
            let decision = tell(&before, fact);
            let became_paid = before.payment().is_none() && decision.booking.payment().is_some();
            prop_assert_eq!(became_paid, decision.applied_payment);
            prop_assert!(!became_paid || really_pays(fact), "{fact:?}");
            if before.payment().is_none() && really_pays(fact) {
                prop_assert!(became_paid, "a payment was dropped: {fact:?}");
            }
            if let Some(payment) = before.payment() {
                prop_assert_eq!(decision.booking.payment(), Some(payment));
            }
            now = decision.booking;
        }
    }

    #[test]
    fn the_same_fact_again_changes_nothing(facts in prop::collection::vec(odd_fact(), 1..8), again in any::<prop::sample::Index>()) {
        let now = tell_all(&facts);
        let told = tell(&now, &facts[facts.len() - 1]);
        prop_assert_eq!(state(&told.booking), state(&now));
        prop_assert!(told.effects.is_empty() && told.case.is_none() && !told.applied_payment);
        prop_assert!(matches!(told.outcome, Outcome::Duplicate | Outcome::Ignored), "{:?}", told.outcome);
        // Nor does a copy of any fact of before take something back.
        let older = tell(&now, again.get(&facts)).booking;
        prop_assert_eq!(older.payment().is_some(), now.payment().is_some());
    }

    #[test]
    fn the_order_of_sound_facts_plays_no_part(
        (facts, shuffled) in prop::collection::vec(sound_fact(), 1..7)
            .prop_flat_map(|facts| (Just(facts.clone()), Just(facts).prop_shuffle()))
    ) {
        let (one, other) = (tell_all(&facts), tell_all(&shuffled));
        prop_assert_eq!(one.status(), other.status());
        prop_assert_eq!(one.seat, other.seat);
        prop_assert_eq!(one.refunded_amount(), other.refunded_amount());
    }

    #[test]
    fn a_seat_is_held_exactly_while_it_is_owed(facts in prop::collection::vec(sound_fact(), 0..8)) {
        let now = tell_all(&facts);
        prop_assert_eq!(now.seat.is_some(), now.keeps_seat(), "{}", now.status());
    }

    #[test]
    fn money_that_does_not_fit_is_seen_by_a_person(fact in session_fact()) {
        let decision = tell(&booking(), &fact);
        let Fact::Session(session) = &fact else { unreachable!() };
        let claims_money = matches!(session.moment, SessionMoment::Completed | SessionMoment::AsyncSucceeded)
            && matches!(session.payment_status, PaymentStatus::Paid | PaymentStatus::NoPaymentRequired);
        if claims_money && !really_pays(&fact) {
            prop_assert_eq!(decision.outcome, Outcome::Case);
            prop_assert!(decision.case.is_some());
            prop_assert_eq!(decision.booking.status(), Status::Pending);
        }
    }
}
