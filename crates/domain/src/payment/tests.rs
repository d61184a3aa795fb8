//! The rules held against any order and any repetition of what can happen to a booking.

use super::*;
use crate::booking::{DisputeStatus, Progress, RefundStatus, Status};
use crate::case::KnownCase;
use crate::event::{
    ChargeRefundedFact, Claim, DisputeFact, EventKey, PaymentStatus, RefundFact, SessionMoment, Source,
};
use crate::ids::{ChargeId, DisputeId, EventId, PaymentIntentId, RefundId, SessionId};
use crate::lang::Lang;
use clock::Timestamp;
use proptest::prelude::*;
use std::collections::BTreeSet;

const PRICE: i64 = Booking::SAMPLE_PRICE;

fn pending() -> Booking {
    Booking::sample()
}

fn intent() -> Option<PaymentIntentId> {
    Some(PaymentIntentId::parse("pi_1").unwrap())
}

fn session(moment: SessionMoment, payment_status: PaymentStatus) -> Fact {
    Fact::Session(SessionFact {
        id: SessionId::parse("cs_1").unwrap(),
        moment,
        payment_status,
        claim: Claim::default(),
        intent: intent(),
        mode: Some("payment".into()),
        currency: Some("eur".into()),
        subtotal: Some(PRICE),
        total: Some(PRICE),
        discount: Some(0),
        tax: Some(0),
        shipping: Some(0),
        unreadable: None,
    })
}

fn refund(id: &str, amount: i64, status: RefundStatus) -> Fact {
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
}

fn charge(amount_refunded: i64) -> Fact {
    Fact::ChargeRefunded(ChargeRefundedFact {
        charge: ChargeId::parse("ch_1").unwrap(),
        claim: Claim::default(),
        intent: intent(),
        amount_refunded: Some(amount_refunded),
        currency: None,
        unreadable: false,
    })
}

fn dispute(status: DisputeStatus) -> Fact {
    Fact::Dispute(DisputeFact {
        id: DisputeId::parse("dp_1").unwrap(),
        claim: Claim::default(),
        intent: intent(),
        charge: None,
        amount: Some(PRICE),
        currency: Some("eur".to_owned()),
        unreadable: false,
        status,
        due_by: Some(Timestamp::from_unix_seconds(1_796_000_000)),
    })
}

/// What can truly happen to one checkout: each life is told by events that fit together.
fn lives() -> Vec<(Vec<Fact>, Status)> {
    use DisputeStatus::{Lost, NeedsResponse, UnderReview, WarningClosed, WarningNeedsResponse, Won};
    use PaymentStatus::{Paid, Unpaid};
    use RefundStatus::{Failed, Pending, Succeeded};
    use SessionMoment::{AsyncFailed, AsyncSucceeded, Completed, Expired};
    let paid = || session(Completed, Paid);
    vec![
        (vec![paid()], Status::Paid),
        (vec![session(Expired, Unpaid)], Status::Expired),
        (vec![session(Completed, Unpaid)], Status::Processing),
        (vec![session(Completed, Unpaid), session(AsyncSucceeded, Paid)], Status::Paid),
        (vec![session(Completed, Unpaid), session(AsyncFailed, Unpaid)], Status::Failed),
        // Told late, or by a clock that was off.
        (vec![paid(), session(Expired, Unpaid)], Status::Paid),
        (
            vec![session(Completed, Unpaid), session(AsyncFailed, Unpaid), session(Expired, Unpaid)],
            Status::Failed,
        ),
        (
            vec![paid(), refund("re_1", 1000, Pending), refund("re_1", 1000, Succeeded), charge(1000)],
            Status::PartiallyRefunded,
        ),
        (
            vec![
                paid(),
                refund("re_1", 1000, Succeeded),
                refund("re_2", 5000, Succeeded),
                charge(1000),
                charge(6000),
            ],
            Status::Refunded,
        ),
        (
            vec![paid(), refund("re_1", PRICE, Succeeded), refund("re_1", PRICE, Failed), charge(PRICE)],
            Status::Paid,
        ),
        (
            vec![
                paid(),
                refund("re_1", 1000, Succeeded),
                refund("re_2", 2000, Pending),
                refund("re_2", 2000, Failed),
                charge(3000),
            ],
            Status::PartiallyRefunded,
        ),
        (vec![paid(), dispute(NeedsResponse)], Status::Disputed),
        (vec![paid(), dispute(NeedsResponse), dispute(UnderReview), dispute(Lost)], Status::Disputed),
        (vec![paid(), dispute(NeedsResponse), dispute(UnderReview), dispute(Won)], Status::Paid),
        (vec![paid(), dispute(WarningNeedsResponse), dispute(WarningClosed)], Status::Paid),
        (
            vec![paid(), refund("re_1", 1000, Succeeded), charge(1000), dispute(NeedsResponse), dispute(Won)],
            Status::PartiallyRefunded,
        ),
        (
            vec![paid(), refund("re_1", PRICE, Succeeded), charge(PRICE), dispute(NeedsResponse)],
            Status::Disputed,
        ),
        (
            vec![
                session(Completed, Unpaid),
                session(AsyncSucceeded, Paid),
                session(Expired, Unpaid),
                refund("re_1", PRICE, Pending),
                refund("re_1", PRICE, Succeeded),
                charge(PRICE),
            ],
            Status::Refunded,
        ),
    ]
}

fn event(n: usize, fact: Fact) -> Event {
    Event {
        key: EventKey::Stripe(EventId::parse(&format!("evt_{n}")).unwrap()),
        kind: String::new(),
        created: None,
        livemode: Some(false),
        account: None,
        source: Source::Webhook,
        fact,
        payload: String::new(),
    }
}

/// What must not depend on the order: everything but times and the cases' order.
type Essence =
    (Status, Option<(SessionId, i64)>, Option<i32>, Vec<(RefundId, i64, RefundStatus)>, Vec<DisputeStatus>);

fn essence(booking: &Booking) -> Essence {
    let mut refunds: Vec<_> =
        booking.refunds.iter().map(|refund| (refund.id.clone(), refund.amount, refund.status)).collect();
    refunds.sort();
    let payment = booking.payment().map(|payment| (payment.session.clone(), payment.amount));
    let disputes = booking.disputes.iter().map(|dispute| dispute.status).collect();
    (booking.status(), payment, booking.seat, refunds, disputes)
}

/// Applies facts as the recorder does, one after the other, a seat always being left.
fn live(facts: impl IntoIterator<Item = Fact>) -> (Booking, usize, BTreeSet<String>) {
    let mut booking = pending();
    let mut applied_payments = 0;
    let mut told = BTreeSet::new();
    for (n, fact) in facts.into_iter().enumerate() {
        let now = Timestamp::from_unix_seconds(1_795_000_100 + i64::try_from(n).unwrap());
        let context = Context { now, livemode: false, free_seat: Some(1) };
        let before = booking.clone();
        let decision = decide(&booking, &event(n, fact), context);
        booking = decision.booking;
        applied_payments += usize::from(decision.applied_payment);
        // A key that was told before is left out by the outbox.
        told.extend(decision.effects.into_iter().map(|effect| effect.key));
        assert!(
            decision.outcome != Outcome::Duplicate || booking == before,
            "a duplicate must change nothing"
        );
        if before.payment().is_some() {
            assert_eq!(booking.payment(), before.payment(), "a payment never goes or changes");
        }
        assert!(booking.seat.is_none() || booking.keeps_seat(), "{} holds a seat", booking.status());
    }
    (booking, applied_payments, told)
}

fn permutations(facts: &[Fact]) -> Vec<Vec<Fact>> {
    if facts.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for n in 0..facts.len() {
        let mut rest = facts.to_vec();
        let first = rest.remove(n);
        all.extend(permutations(&rest).into_iter().map(|mut tail| {
            tail.insert(0, first.clone());
            tail
        }));
    }
    all
}

#[test]
fn every_order_of_a_bookings_events_ends_in_the_same_state() {
    for (facts, status) in lives() {
        let (expected, ..) = live(facts.clone());
        assert_eq!(expected.status(), status, "{facts:?}");
        for order in permutations(&facts) {
            let (booking, payments, told) = live(order.clone());
            assert_eq!(essence(&booking), essence(&expected), "{order:?}");
            let payments_told = told.iter().filter(|key| key.starts_with("booking.paid")).count();
            assert_eq!(payments_told, payments);
            assert_eq!(payments, usize::from(booking.payment().is_some()));
        }
    }
}

proptest! {
    /// Twins (the same fact under another event id), repetitions and replays, in any order.
    #[test]
    fn any_repetition_in_any_order_ends_in_the_same_state(
        life in 0..lives().len(),
        picks in proptest::collection::vec(0_usize..100, 0..12),
        order in any::<u64>(),
    ) {
        let (facts, status) = lives().swap_remove(life);
        let mut told = facts.clone();
        told.extend(picks.iter().map(|pick| facts[pick % facts.len()].clone()));
        // A shuffle that depends on nothing but its seed.
        let mut state = order | 1;
        for n in (1..told.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            told.swap(n, usize::try_from(state >> 33).unwrap() % (n + 1));
        }
        let (expected, ..) = live(facts);
        let (booking, payments, _) = live(told);
        prop_assert_eq!(essence(&booking), essence(&expected));
        prop_assert_eq!(booking.status(), status);
        prop_assert!(payments <= 1);
    }

    /// Whatever comes after, a replay of anything that was applied changes nothing.
    #[test]
    fn a_replay_never_makes_a_state_worse(life in 0..lives().len(), pick in 0_usize..100) {
        let (facts, _) = lives().swap_remove(life);
        let (booking, ..) = live(facts.clone());
        let again = facts[pick % facts.len()].clone();
        let context = Context { now: Timestamp::from_unix_seconds(1_796_000_000), livemode: false, free_seat: None };
        let decision = decide(&booking, &event(0, again), context);
        prop_assert_eq!(decision.outcome, Outcome::Duplicate);
        prop_assert_eq!(decision.booking, booking);
        prop_assert!(decision.case.is_none() && decision.effects.is_empty());
    }
}

#[test]
fn what_goes_back_of_a_booking_that_is_called_off() {
    use crate::cancel::{GiveBack, Refusal, give_back};
    use RefundStatus::{Failed, Succeeded};
    let paid = || session(SessionMoment::Completed, PaymentStatus::Paid);
    let refund = |amount, status| refund("re_1", amount, status);
    let disputed = || dispute(DisputeStatus::NeedsResponse);
    for (facts, under_way, wish, expected) in [
        (vec![], 0, GiveBack::All, Err(Refusal::NotPaid)),
        (vec![], 0, GiveBack::Nothing, Err(Refusal::NotPaid)),
        (vec![paid()], 0, GiveBack::All, Ok(Some(PRICE))),
        (vec![paid()], 0, GiveBack::Nothing, Ok(None)),
        (vec![paid()], 0, GiveBack::Part(1), Ok(Some(1))),
        (vec![paid()], 0, GiveBack::Part(PRICE), Ok(Some(PRICE))),
        (vec![paid()], 0, GiveBack::Part(PRICE + 1), Err(Refusal::TooMuch { left: PRICE })),
        (vec![paid()], 0, GiveBack::Part(0), Err(Refusal::NotAnAmount)),
        (vec![paid()], 0, GiveBack::Part(-1), Err(Refusal::NotAnAmount)),
        // What has gone back, or is asked for, cannot go back again.
        (vec![paid(), refund(2000, Succeeded)], 0, GiveBack::All, Ok(Some(PRICE - 2000))),
        (vec![paid(), refund(2000, Failed)], 0, GiveBack::All, Ok(Some(PRICE))),
        (vec![paid()], 2000, GiveBack::All, Ok(Some(PRICE - 2000))),
        (vec![paid()], 2000, GiveBack::Part(PRICE), Err(Refusal::TooMuch { left: PRICE - 2000 })),
        (vec![paid()], PRICE, GiveBack::All, Ok(None)),
        (vec![paid(), refund(PRICE, Succeeded)], 0, GiveBack::All, Ok(None)),
        (vec![paid(), refund(PRICE, Succeeded)], 0, GiveBack::Part(1), Err(Refusal::TooMuch { left: 0 })),
        // The bank has the money, or may take it.
        (vec![paid(), disputed()], 0, GiveBack::All, Err(Refusal::Disputed)),
        (vec![paid(), disputed()], 0, GiveBack::Part(1), Err(Refusal::Disputed)),
        (vec![paid(), disputed()], 0, GiveBack::Nothing, Ok(None)),
        (vec![paid(), disputed(), dispute(DisputeStatus::Won)], 0, GiveBack::All, Ok(Some(PRICE))),
    ] {
        let (booking, ..) = live(facts.clone());
        let due = give_back(&booking, wish, under_way);
        assert_eq!(due.map(|due| due.map(|due| due.amount)), expected, "{facts:?}, {under_way}, {wish:?}");
    }
}

/// Whatever is told of its money afterwards: the seat may have been sold by then.
#[test]
fn a_paid_booking_that_was_called_off_never_takes_a_seat_again() {
    for (facts, _) in lives() {
        for called_off_after in 0..facts.len() {
            let (mut booking, ..) = live(facts[..=called_off_after].iter().cloned());
            if booking.payment().is_none() {
                continue;
            }
            booking.cancelled =
                Some(crate::booking::Cancellation { at: booking.updated_at, reason: String::new() });
            booking.seat = None;
            for (n, fact) in facts.iter().enumerate() {
                let now = Timestamp::from_unix_seconds(1_795_000_900);
                let context = Context { now, livemode: false, free_seat: Some(1) };
                let decision = decide(&booking, &event(n, fact.clone()), context);
                assert_eq!((decision.booking.seat, decision.booking.keeps_seat()), (None, false), "{fact:?}");
                assert!(decision.booking.payment().is_some() && decision.booking.cancelled.is_some());
                booking = decision.booking;
            }
        }
    }
}

/// Its money came after all, and a seat is there: who paid comes.
#[test]
fn an_unpaid_booking_that_was_called_off_and_is_paid_late_is_no_longer_called_off() {
    let mut booking = pending();
    booking.progress = Progress::Cancelled;
    booking.seat = None;
    booking.cancelled = Some(crate::booking::Cancellation { at: booking.updated_at, reason: "ill".into() });
    let now = Timestamp::from_unix_seconds(1_795_000_900);
    let context = Context { now, livemode: false, free_seat: Some(1) };
    let paid = event(1, session(SessionMoment::Completed, PaymentStatus::Paid));
    let decision = decide(&booking, &paid, context);
    assert_eq!(decision.booking.status(), Status::Paid);
    assert_eq!((decision.booking.seat, decision.booking.cancelled), (Some(1), None));
}

#[test]
fn a_second_session_paid_is_a_case_and_its_refund_does_not_touch_the_first() {
    let Fact::Session(mut second) = session(SessionMoment::Completed, PaymentStatus::Paid) else {
        unreachable!()
    };
    second.id = SessionId::parse("cs_2").unwrap();
    second.intent = Some(PaymentIntentId::parse("pi_2").unwrap());
    let second = Fact::Session(second);
    let Fact::Refund(mut back) = refund("re_2", PRICE, RefundStatus::Succeeded) else { unreachable!() };
    back.intent = Some(PaymentIntentId::parse("pi_2").unwrap());
    let first = session(SessionMoment::Completed, PaymentStatus::Paid);
    for order in permutations(&[first, second]) {
        let (booking, payments, _) = live(order);
        assert_eq!((booking.status(), payments, booking.cases.len()), (Status::Paid, 1, 1));
    }
    let first = session(SessionMoment::Completed, PaymentStatus::Paid);
    let (booking, ..) = live([first, Fact::Refund(back)]);
    assert_eq!((booking.status(), booking.seat), (Status::Paid, Some(1)));
}

#[test]
fn that_stripe_has_no_session_ends_only_a_booking_without_one() {
    use crate::event::NoSessionFact;
    let none = || Fact::NoSession(NoSessionFact { claim: Claim::default(), session: None });
    let (booking, ..) = live([none()]);
    assert_eq!((booking.status(), booking.seat), (Status::Expired, None));
    let paid = session(SessionMoment::Completed, PaymentStatus::Paid);
    for order in permutations(&[none(), paid]) {
        let (booking, ..) = live(order);
        assert_eq!((booking.status(), booking.seat), (Status::Paid, Some(1)));
    }
    let mut attached = pending();
    attached.session = Some(SessionId::parse("cs_1").unwrap());
    let context = Context { now: attached.updated_at, livemode: false, free_seat: Some(1) };
    let decision = decide(&attached, &event(1, none()), context);
    assert_eq!((decision.outcome, decision.booking.status()), (Outcome::Duplicate, Status::Pending));
}

#[test]
fn a_session_that_stripe_does_not_know_ends_only_the_pending_booking_that_has_it() {
    use crate::event::NoSessionFact;
    let id = |text: &str| Some(SessionId::parse(text).unwrap());
    let unknown = |session| event(1, Fact::NoSession(NoSessionFact { claim: Claim::default(), session }));
    let of = |progress| Booking { progress, session: id("cs_1"), ..pending() };
    let context = Context { now: pending().updated_at, livemode: false, free_seat: Some(1) };

    let decision = decide(&of(Progress::Pending), &unknown(id("cs_1")), context);
    assert_eq!((decision.outcome, decision.booking.status()), (Outcome::Processed, Status::Expired));
    assert_eq!((decision.booking.seat, decision.case.unwrap().about.kind), (None, CaseKind::SessionUnknown));
    // Once is enough: the same again is no second case.
    let again = decide(&decision.booking, &unknown(id("cs_1")), context);
    assert_eq!((again.outcome, again.case), (Outcome::Duplicate, None));

    // Money is on its way: a person looks, and the seat stays.
    let decision = decide(&of(Progress::Processing), &unknown(id("cs_1")), context);
    assert_eq!((decision.outcome, decision.booking.status()), (Outcome::Case, Status::Processing));
    assert_eq!(decision.booking.seat, Some(1));

    for (progress, session) in [
        (Progress::Pending, id("cs_2")),
        (Progress::Processing, id("cs_2")),
        (Progress::Failed, id("cs_1")),
        (Progress::Cancelled, id("cs_1")),
    ] {
        let booking = of(progress);
        let decision = decide(&booking, &unknown(session), context);
        assert_eq!((decision.outcome, decision.booking), (Outcome::Duplicate, booking));
    }
}

#[test]
fn a_person_accepts_what_came_but_not_another_currency_or_money_that_is_not_there() {
    let Fact::Session(fact) = session(SessionMoment::Completed, PaymentStatus::Paid) else { unreachable!() };
    let booking = pending();
    let context = Context { now: booking.updated_at, livemode: false, free_seat: None };
    let odd = SessionFact { total: Some(1), ..fact.clone() };
    let decision = accept(&booking, &odd, context).unwrap();
    assert_eq!(decision.booking.payment().unwrap().amount, 1);
    assert_eq!(decision.reason, Reason::AcceptedByPerson);
    for refused in [
        SessionFact { currency: Some("usd".into()), ..fact.clone() },
        SessionFact { payment_status: PaymentStatus::Unpaid, ..fact.clone() },
        SessionFact { total: None, ..fact.clone() },
    ] {
        assert!(accept(&booking, &refused, context).is_none());
    }
    assert!(accept(&decision.booking, &odd, context).is_none(), "paid already");
    let seatless = Booking { seat: None, ..booking };
    assert!(accept(&seatless, &odd, context).is_none(), "no seat left");
}

#[test]
fn every_word_of_the_ledger_is_read_back() {
    for reason in Reason::PLAIN {
        assert_eq!(Reason::parse(reason.as_str()), Some(reason));
        for lang in Lang::ALL {
            assert!(!reason.sentence(lang).is_empty());
        }
    }
    for kind in CaseKind::ALL {
        assert_eq!(Reason::parse(kind.as_str()), Some(Reason::Case(kind)));
    }
}

/// Nothing is decided by a dispute's amount: whatever it is, the dispute counts, and what cannot be an amount
/// is seen by a person and never stored.
#[test]
fn an_amount_of_a_dispute_that_cannot_be_one_opens_a_case_and_is_not_stored() {
    let (paid, ..) = live([session(SessionMoment::Completed, PaymentStatus::Paid)]);
    let context =
        Context { now: Timestamp::from_unix_seconds(1_795_000_200), livemode: false, free_seat: None };
    let tell = |booking: &Booking, fact: &Fact| decide(booking, &event(0, fact.clone()), context);
    let odd = |status, amount, unreadable| {
        let Fact::Dispute(fact) = dispute(status) else { unreachable!() };
        Fact::Dispute(DisputeFact { amount, unreadable, ..fact })
    };
    for (amount, unreadable, is_odd) in [
        (Some(PRICE), false, false),
        (Some(0), false, false),
        (Some(999_999_999_999), false, false),
        (None, false, false),
        (None, true, true),
        (Some(-1), false, true),
        (Some(i64::MIN), false, true),
        (Some(1_000_000_000_000), false, true),
        (Some(i64::MAX), false, true),
    ] {
        let stored = if is_odd { 0 } else { amount.unwrap_or(0) };
        for status in [DisputeStatus::NeedsResponse, DisputeStatus::Won, DisputeStatus::WarningClosed] {
            let told = odd(status, amount, unreadable);
            let decision = tell(&paid, &told);
            let open = status == DisputeStatus::NeedsResponse;
            assert_eq!(decision.booking.disputes[0].amount, stored, "{amount:?} {status:?}");
            assert_eq!(decision.case.is_some(), is_odd || open, "{amount:?} {status:?}");
            let case_amount = decision.case.as_ref().and_then(|case| case.amount);
            assert!(case_amount.is_none_or(|amount| amount == stored), "{amount:?} {status:?}");
            let words = decision.case.as_ref().map(|case| case.detail.en.contains("cannot be one"));
            assert_eq!(words.unwrap_or(false), is_odd, "{amount:?} {status:?}");
            // Told again it changes nothing, and opens nothing more.
            let again = tell(&decision.booking, &told);
            assert_eq!((again.booking, again.case), (decision.booking, None), "{amount:?} {status:?}");
        }
        // Learned after the dispute itself, which nobody was told of.
        let known = tell(&paid, &odd(DisputeStatus::Won, Some(PRICE), false)).booking;
        let decision = tell(&known, &odd(DisputeStatus::Won, amount, unreadable));
        assert_eq!(decision.case.is_some(), is_odd, "{amount:?}");
        let most = decision.booking.disputes[0].amount;
        assert_eq!(most, stored.max(PRICE), "{amount:?}");
    }
}

fn session_of(id: &str, moment: SessionMoment, status: PaymentStatus) -> Fact {
    let Fact::Session(fact) = session(moment, status) else { unreachable!() };
    let intent = PaymentIntentId::parse(&id.replace("cs", "pi")).ok();
    Fact::Session(SessionFact { id: SessionId::parse(id).unwrap(), intent, ..fact })
}

/// Applies facts as the recorder does, which remembers what was told of sessions, and tells parked ones again.
fn remembered(begin: Booking, facts: &[Fact]) -> Booking {
    let mut booking = begin;
    let mut told = Vec::new();
    let mut parked = Vec::new();
    let context =
        Context { now: Timestamp::from_unix_seconds(1_795_000_100), livemode: false, free_seat: Some(1) };
    for (n, fact) in facts.iter().enumerate() {
        let decision = decide_among(&booking, &event(n, fact.clone()), context, &told);
        booking = decision.booking;
        told.extend(SessionTold::of(fact));
        if decision.outcome == Outcome::Parked {
            parked.push(fact.clone());
        }
    }
    for (n, fact) in parked.into_iter().enumerate() {
        booking = decide_among(&booking, &event(100 + n, fact), context, &told).booking;
    }
    booking
}

/// What every order must agree about, the cases' subjects among it.
fn outcome_of(booking: &Booking) -> (Essence, Vec<CaseAbout>) {
    let mut cases: Vec<_> = booking.cases.iter().map(|known| known.about.clone()).collect();
    cases.sort();
    (essence(booking), cases)
}

#[test]
fn two_sessions_of_one_booking_end_the_same_in_every_order() {
    use PaymentStatus::{Paid, Unpaid};
    use SessionMoment::{AsyncFailed, AsyncSucceeded, Completed, Expired};
    let s1 = |moment, status| session_of("cs_1", moment, status);
    let s2 = |moment, status| session_of("cs_2", moment, status);
    let sets = [
        (vec![s2(Completed, Unpaid), s2(AsyncFailed, Unpaid)], Status::Failed),
        (vec![s2(Completed, Unpaid), s2(AsyncFailed, Unpaid), s1(Expired, Unpaid)], Status::Failed),
        (vec![s2(Completed, Unpaid), s1(Expired, Unpaid)], Status::Processing),
        (vec![s1(Completed, Unpaid), s1(AsyncFailed, Unpaid), s2(Completed, Unpaid)], Status::Processing),
        (
            vec![
                s1(Completed, Unpaid),
                s1(AsyncFailed, Unpaid),
                s2(Completed, Unpaid),
                s2(AsyncFailed, Unpaid),
            ],
            Status::Failed,
        ),
        (
            vec![
                s1(Completed, Unpaid),
                s1(AsyncFailed, Unpaid),
                s2(Completed, Unpaid),
                s2(AsyncSucceeded, Paid),
            ],
            Status::Paid,
        ),
        (vec![s1(Expired, Unpaid), s2(Completed, Paid)], Status::Paid),
    ];
    for (facts, status) in sets {
        // The service attaches a session before it can be paid; the other is somebody else's doing.
        let begin = || Booking { session: SessionId::parse("cs_1").ok(), ..pending() };
        for order in permutations(&facts) {
            let booking = remembered(begin(), &order);
            assert_eq!(booking.status(), status, "{order:?}");
            assert_eq!(booking.seat.is_some(), booking.keeps_seat(), "{order:?}");
            // Told again, none of them changes anything.
            let mut twice = order.clone();
            twice.extend(order.iter().cloned());
            assert_eq!(remembered(begin(), &twice).status(), status, "{order:?}");
        }
    }
}

#[test]
fn refunds_that_are_told_before_their_payment_end_the_same_in_every_order() {
    let foreign_payment = || {
        let Fact::Session(fact) = session_of("cs_1", SessionMoment::Completed, PaymentStatus::Paid) else {
            unreachable!()
        };
        Fact::Session(SessionFact { currency: Some("usd".into()), ..fact })
    };
    let foreign_refund = |status| {
        let Fact::Refund(fact) = refund("re_1", PRICE, status) else { unreachable!() };
        Fact::Refund(RefundFact { currency: Some("usd".into()), ..fact })
    };
    let foreign_charge = || {
        let Fact::ChargeRefunded(fact) = charge(PRICE) else { unreachable!() };
        Fact::ChargeRefunded(ChargeRefundedFact { currency: Some("usd".into()), ..fact })
    };
    use RefundStatus::{Failed, Pending, Succeeded};
    let paid = || session(SessionMoment::Completed, PaymentStatus::Paid);
    for facts in [
        vec![foreign_payment(), foreign_refund(Succeeded)],
        vec![foreign_payment(), foreign_refund(Pending), foreign_refund(Succeeded), foreign_charge()],
        vec![foreign_payment(), foreign_refund(Succeeded), foreign_refund(Failed)],
        vec![paid(), refund("re_1", PRICE + 1, Succeeded)],
        vec![paid(), refund("re_1", PRICE + 1, Succeeded), refund("re_2", 1000, Succeeded)],
        vec![paid(), refund("re_1", -1, Succeeded)],
        vec![paid(), refund("re_1", i64::MAX, Succeeded)],
    ] {
        let expected = outcome_of(&remembered(pending(), &facts));
        assert!(!expected.1.is_empty(), "a person sees it");
        for order in permutations(&facts) {
            let (is, cases) = outcome_of(&remembered(pending(), &order));
            // What does not fit is not stored if the payment is there, and does not count if it was not.
            assert_eq!((is.0, &is.1, is.2), (expected.0.0, &expected.0.1, expected.0.2), "{order:?}");
            assert_eq!(cases, expected.1, "{order:?}");
        }
    }
}

#[test]
fn a_foreign_refund_whose_payment_never_comes_is_seen_by_a_person() {
    let Fact::Refund(fact) = refund("re_1", PRICE, RefundStatus::Succeeded) else { unreachable!() };
    let told = event(1, Fact::Refund(RefundFact { currency: Some("usd".into()), ..fact }));
    let context = Context { now: pending().updated_at, livemode: false, free_seat: None };
    assert_eq!(decide(&pending(), &told, context).outcome, Outcome::Parked);
    let decision = decide_after_waiting(&pending(), &told, context);
    assert_eq!(
        (decision.outcome, decision.case.unwrap().about.kind),
        (Outcome::Case, CaseKind::RefundMismatch)
    );
}

#[test]
fn a_dispute_that_was_lost_appealed_and_lost_again_is_lost() {
    use DisputeStatus::{
        AppealNeedsResponse, AppealUnderReview, Lost, LostAppeal, NeedsResponse, UnderReview, Won,
    };
    let paid = || session(SessionMoment::Completed, PaymentStatus::Paid);
    let life = [NeedsResponse, UnderReview, Lost, AppealNeedsResponse, AppealUnderReview, Lost].map(dispute);
    let (booking, ..) = live([paid()].into_iter().chain(life.clone()));
    assert_eq!(booking.disputes[0].status, LostAppeal);
    assert_eq!((booking.disputes[0].status.as_str(), booking.status()), ("lost", Status::Disputed));
    // What is told again of its life opens nothing anew.
    for fact in life {
        let context = Context { now: booking.updated_at, livemode: false, free_seat: None };
        assert_eq!(decide(&booking, &event(1, fact), context).booking, booking);
    }
    let (booking, ..) = live([paid(), dispute(Lost), dispute(AppealNeedsResponse), dispute(Won)]);
    assert_eq!(booking.status(), Status::Paid);
    for status in [Lost, LostAppeal, Won, NeedsResponse] {
        assert_eq!(DisputeStatus::from_stored(status.stored()), status);
    }
    // Which of the two it is must be asked.
    let (contested, ..) = live([paid(), dispute(Lost), dispute(AppealNeedsResponse)]);
    assert_eq!(open_question(&dispute(Lost), &contested), Some(Question::Dispute));
    assert_eq!(open_question(&dispute(Won), &contested), None);
}

#[test]
fn amounts_that_nobody_can_count_with_are_cases_and_are_not_stored() {
    let paid = || session(SessionMoment::Completed, PaymentStatus::Paid);
    let disputed = |amount, status| {
        let Fact::Dispute(fact) = dispute(status) else { unreachable!() };
        Fact::Dispute(DisputeFact { amount: Some(amount), ..fact })
    };
    for amount in [-1, -PRICE, i64::MAX, i64::MIN] {
        for status in [DisputeStatus::NeedsResponse, DisputeStatus::Won, DisputeStatus::WarningClosed] {
            let (booking, ..) = live([paid(), disputed(amount, status)]);
            assert_eq!(booking.disputes[0].amount, 0, "{amount}");
            // It is a dispute all the same.
            assert_eq!(booking.disputes[0].status, status);
            assert_eq!(booking.cases.len(), 1, "{amount}");
            let context = Context { now: booking.updated_at, livemode: false, free_seat: None };
            let again = decide(&booking, &event(1, disputed(amount, status)), context);
            assert_eq!((again.outcome, again.booking), (Outcome::Duplicate, booking), "{amount}");
        }
        let (mut booking, ..) = live([paid(), dispute(DisputeStatus::NeedsResponse)]);
        booking.cases[0].open = false;
        let context = Context { now: booking.updated_at, livemode: false, free_seat: None };
        let odd = decide(&booking, &event(1, disputed(amount, DisputeStatus::NeedsResponse)), context);
        assert_eq!((odd.outcome, odd.booking.disputes[0].amount), (Outcome::Case, PRICE), "{amount}");
        let told = live([paid(), refund("re_1", amount, RefundStatus::Succeeded)]).0;
        assert_eq!((told.refunds.len(), told.cases.len()), (0, 1), "{amount}");
    }
    // In the bank's own currency, whose units may be smaller.
    let Fact::Dispute(fact) = disputed(PRICE * 200, DisputeStatus::NeedsResponse) else { unreachable!() };
    let other = DisputeFact { currency: Some("jpy".into()), ..fact };
    assert_eq!(live([paid(), Fact::Dispute(other)]).0.disputes[0].amount, PRICE * 200);
}

/// For each kind of case: what opens it, and what happens to the money afterwards.
#[test]
fn what_happens_after_a_case_was_closed_is_seen_by_a_person_and_a_copy_is_not() {
    use DisputeStatus::{AppealNeedsResponse, Lost, NeedsResponse, WarningNeedsResponse};
    use PaymentStatus::{Paid, Unpaid};
    use RefundStatus::{Canceled, Failed, Pending, Succeeded};
    use SessionMoment::{Completed, Expired};
    let paid = || session(Completed, Paid);
    let of = |change: fn(&mut SessionFact)| {
        let Fact::Session(mut fact) = session(Completed, Paid) else { unreachable!() };
        change(&mut fact);
        Fact::Session(fact)
    };
    let second = || session_of("cs_2", Completed, Paid);
    let second_of = |amount: i64| {
        let Fact::Session(fact) = second() else { unreachable!() };
        Fact::Session(SessionFact { total: Some(amount), subtotal: Some(amount), ..fact })
    };
    let lost_seat = |booking: Booking| Booking { seat: None, progress: Progress::Expired, ..booking };
    let stories: Vec<(CaseKind, Vec<Fact>, Fact, Vec<Fact>)> = vec![
        (
            CaseKind::AmountMismatch,
            vec![],
            of(|fact| (fact.total, fact.subtotal) = (Some(1), Some(1))),
            vec![of(|fact| (fact.total, fact.subtotal) = (Some(2), Some(2)))],
        ),
        (
            CaseKind::CurrencyMismatch,
            vec![],
            of(|fact| fact.currency = Some("usd".into())),
            vec![of(|fact| fact.currency = Some("jpy".into()))],
        ),
        (
            CaseKind::ModeMismatch,
            vec![],
            of(|fact| (fact.mode, fact.payment_status) = (Some("setup".into()), PaymentStatus::Unpaid)),
            vec![of(|fact| fact.mode = Some("setup".into()))],
        ),
        (CaseKind::PaidTwice, vec![paid()], second(), vec![second_of(PRICE + 1)]),
        (CaseKind::StateMismatch, vec![], session(Expired, Paid), vec![]),
        (
            CaseKind::RefundMismatch,
            vec![paid()],
            refund("re_1", PRICE + 1, Pending),
            vec![refund("re_1", PRICE + 2, Pending), refund("re_1", PRICE + 1, Failed)],
        ),
        (CaseKind::RefundMismatch, vec![paid()], charge(PRICE + 1), vec![charge(PRICE + 2)]),
        (
            CaseKind::RefundFailed,
            vec![paid(), refund("re_1", 1000, Succeeded)],
            refund("re_1", 1000, Failed),
            vec![refund("re_2", 1000, Failed), refund("re_3", 1000, Canceled)],
        ),
        (
            CaseKind::Dispute,
            vec![paid()],
            dispute(NeedsResponse),
            vec![dispute(Lost), dispute(AppealNeedsResponse), dispute(Lost)],
        ),
        (CaseKind::Dispute, vec![paid()], dispute(WarningNeedsResponse), vec![dispute(NeedsResponse)]),
    ];
    let context = Context { now: pending().updated_at, livemode: false, free_seat: None };
    for (kind, before, opens, then) in stories {
        let mut booking = live(before).0;
        let decision = decide(&booking, &event(1, opens.clone()), context);
        assert_eq!(decision.case.as_ref().map(|case| case.about.kind), Some(kind), "{opens:?}");
        booking = decision.booking;
        let mut told = vec![opens];
        for next in then {
            booking.cases.iter_mut().for_each(|case| case.open = false);
            for copy in &told {
                let again = decide(&booking, &event(2, copy.clone()), context);
                assert!(again.case.is_none(), "a copy opens nothing: {copy:?}");
                // The decision on the contest looks like that which was contested; Stripe is asked which it is.
                assert!(open_question(copy, &booking).is_some() || again.booking == booking);
            }
            let decision = decide(&booking, &event(3, next.clone()), context);
            assert!(decision.case.is_some(), "nobody sees {next:?} after {told:?}");
            booking = decision.booking;
            told.push(next);
            told.retain(|copy| open_question(copy, &booking).is_none());
        }
    }
    let late = lost_seat(pending());
    let decision = decide(&late, &event(1, paid()), context);
    assert_eq!(decision.case.unwrap().about.kind, CaseKind::LatePayment);
    let live_event = |fact| Event { livemode: Some(true), ..event(1, fact) };
    let mut booking = decide(&pending(), &live_event(session(Completed, Unpaid)), context).booking;
    booking.cases[0].open = false;
    assert!(decide(&booking, &live_event(session(Completed, Unpaid)), context).case.is_none());
    assert!(decide(&booking, &live_event(paid()), context).case.is_some(), "money in the other mode");
}

/// A refund that ends without having reached the customer, when the seat may have been sold again.
#[test]
fn a_refund_that_comes_back_gives_the_seat_back_or_opens_a_case() {
    use RefundStatus::{Canceled, Failed, Pending, Succeeded};
    let paid = session(SessionMoment::Completed, PaymentStatus::Paid);
    for end in [Canceled, Failed] {
        for began in [Pending, Succeeded] {
            let (refunded, ..) = live([paid.clone(), refund("re_1", PRICE, began)]);
            assert_eq!((refunded.seat, refunded.status()), (None, Status::Refunded));
            for free_seat in [Some(7), None] {
                let context = Context { now: refunded.updated_at, livemode: false, free_seat };
                let decision = decide(&refunded, &event(1, refund("re_1", PRICE, end)), context);
                assert_eq!((decision.booking.status(), decision.booking.seat), (Status::Paid, free_seat));
                assert!(decision.case.is_some());
            }
        }
    }
    // The charge told of all of it; then one refund of a part is known by its id, and the seat is gone.
    let (refunded, ..) = live([paid, charge(PRICE)]);
    assert_eq!(refunded.seat, None);
    let context = Context { now: refunded.updated_at, livemode: false, free_seat: None };
    let decision = decide(&refunded, &event(1, refund("re_1", 1000, Succeeded)), context);
    assert_eq!((decision.booking.seat, decision.booking.keeps_seat()), (None, true));
    assert!(decision.case.is_some(), "a paid booking without a seat and without a case");
}

#[test]
fn what_happens_to_an_unknown_payment_after_its_case_was_closed_is_seen() {
    use DisputeStatus::{Lost, NeedsResponse};
    use RefundStatus::{Failed, Pending, Succeeded};
    let paid = session(SessionMoment::Completed, PaymentStatus::Paid);
    let none = AskedFor::default();
    let ours = AskedFor { refunds: vec!["re_1".into()], sum: PRICE };
    let told = |fact: &Fact, known: &[KnownCase], asked: &AskedFor| {
        unknown_booking(&event(1, fact.clone()), known, asked)
    };
    let opened = |seen: Unmatched| match seen {
        Unmatched::Case(case) => case.known(),
        other => panic!("{other:?}"),
    };
    let mut first = opened(told(&paid, &[], &none));
    let went_out = refund("re_1", PRICE, Succeeded);
    assert!(matches!(told(&went_out, &[first.clone()], &none), Unmatched::Joins(..)));
    first.open = false;
    let known = [first.clone()];
    // What a person did about it, and copies.
    assert_eq!(told(&went_out, &known, &ours), Unmatched::Expected);
    assert_eq!(told(&charge(PRICE), &known, &ours), Unmatched::Expected);
    assert_eq!(told(&paid, &known, &ours), Unmatched::Seen);
    // What they did not do, and what they cannot know.
    for news in [
        refund("re_1", PRICE, Failed),
        refund("re_9", 1000, Pending),
        charge(PRICE + 1),
        dispute(NeedsResponse),
    ] {
        let case = opened(told(&news, &known, &ours));
        let closed = KnownCase { open: false, ..case };
        let both = [first.clone(), closed];
        assert_eq!(told(&news, &both, &ours), Unmatched::Seen, "a copy: {news:?}");
    }
    let closed = KnownCase { open: false, ..opened(told(&dispute(NeedsResponse), &known, &none)) };
    assert!(matches!(told(&dispute(Lost), &[closed], &none), Unmatched::Case(_)));
    let Fact::Session(fact) = paid else { unreachable!() };
    let more = Fact::Session(SessionFact { total: Some(1), ..fact });
    assert!(matches!(told(&more, &known, &ours), Unmatched::Case(_)));
}

/// Amounts of the session in the order subtotal, discount, tax, shipping, total; the price is 60.00.
#[test]
fn what_was_paid_is_the_price_or_a_case_of_its_kind() {
    let n = |amount: i64| Some(amount);
    for (amounts, expected) in [
        ([n(6000), n(0), n(0), n(0), n(6000)], Ok(6000)),
        ([n(6000), n(1000), n(0), n(0), n(5000)], Ok(5000)),
        ([n(6000), n(0), n(1200), n(0), n(7200)], Ok(7200)),
        ([n(6000), n(0), n(0), n(500), n(6500)], Ok(6500)),
        ([n(6000), n(1000), n(1200), n(500), n(6700)], Ok(6700)),
        ([n(6000), n(6000), n(0), n(0), n(0)], Ok(0)),
        // What is not said is nothing, and a subtotal that is not said is what the others leave.
        ([n(6000), None, None, None, n(6000)], Ok(6000)),
        ([None, n(1000), n(1200), n(500), n(6700)], Ok(6700)),
        ([None, n(1000), n(1200), n(500), n(6000)], Err("subtotal")),
        ([n(5900), n(0), n(0), n(0), n(5900)], Err("subtotal")),
        ([n(6000), n(0), n(0), n(0), n(5999)], Err("add up")),
        ([n(6000), n(1000), n(0), n(0), n(7000)], Err("add up")),
        ([n(6000), n(0), n(1200), n(0), n(4800)], Err("add up")),
        ([n(6000), n(0), n(0), n(500), n(5500)], Err("add up")),
        ([n(6000), n(-1000), n(0), n(0), n(7000)], Err("add up")),
        ([n(6000), n(0), n(-1000), n(0), n(5000)], Err("add up")),
        ([n(6000), n(0), n(0), n(-1000), n(5000)], Err("add up")),
        ([n(6000), n(12_000), n(0), n(0), n(-6000)], Err("add up")),
        ([n(6000), n(5000), n(0), n(0), n(0)], Err("add up")),
        ([n(6000), None, None, None, None], Err("no total")),
    ] {
        let [subtotal, discount, tax, shipping, total] = amounts;
        let Fact::Session(fact) = session(SessionMoment::Completed, PaymentStatus::Paid) else {
            unreachable!()
        };
        let fact = SessionFact { subtotal, discount, tax, shipping, total, ..fact };
        match (check_amount(&fact, pending().price), expected) {
            (Ok(paid), Ok(expected)) => assert_eq!(paid, expected, "{amounts:?}"),
            (Err((kind, detail)), Err(word)) => {
                assert_eq!(kind, CaseKind::AmountMismatch, "{amounts:?}");
                assert!(detail.en.contains(word), "{amounts:?}: {detail:?}");
            }
            (said, _) => panic!("{amounts:?}: {said:?}"),
        }
    }
    let Fact::Session(free) = session(SessionMoment::Completed, PaymentStatus::NoPaymentRequired) else {
        unreachable!()
    };
    let (_, detail) = check_amount(&free, pending().price).unwrap_err();
    assert!(detail.en.contains("not zero"), "{detail:?}");
    let covered = SessionFact { discount: n(PRICE), total: n(0), ..free };
    assert_eq!(check_amount(&covered, pending().price), Ok(0));
}

#[test]
fn a_session_says_enough_to_be_judged_or_stripe_is_asked() {
    use PaymentStatus::{NoPaymentRequired, Paid, Unknown, Unpaid};
    use SessionMoment::{AsyncFailed, AsyncSucceeded, Completed, Expired};
    for (moment, status, open) in [
        (Completed, Paid, false),
        (Completed, NoPaymentRequired, false),
        (Completed, Unknown, true),
        (Completed, Unpaid, false),
        (AsyncSucceeded, Unknown, true),
        (AsyncFailed, Unpaid, false),
        (AsyncFailed, Paid, true),
        (Expired, Unpaid, false),
        (Expired, Paid, true),
    ] {
        let Fact::Session(fact) = session(moment, status) else { unreachable!() };
        assert_eq!(fact.leaves_open(), open, "{moment:?} {status:?}");
        let unreadable = SessionFact { unreadable: Some("amount_total"), ..fact.clone() };
        assert!(!unreadable.leaves_open(), "asking again says the same");
        let judged =
            matches!(status, Paid | NoPaymentRequired) && matches!(moment, Completed | AsyncSucceeded);
        for less in [
            SessionFact { currency: None, ..fact.clone() },
            SessionFact { total: None, ..fact.clone() },
            SessionFact { subtotal: None, ..fact.clone() },
        ] {
            assert_eq!(less.leaves_open(), open || judged, "{moment:?} {status:?}");
        }
    }
}

#[test]
fn what_is_settled_is_a_duplicate_when_it_is_told_again() {
    use Outcome::{Case, Duplicate, Ignored, Parked, Processed, Rejected};
    for (outcome, text, settled) in [
        (Processed, "processed", true),
        (Duplicate, "duplicate", true),
        (Ignored, "ignored", false),
        (Parked, "parked", false),
        (Case, "case", true),
        (Rejected, "rejected", false),
    ] {
        assert_eq!((outcome.as_str(), outcome.is_settled()), (text, settled));
        assert_eq!(Outcome::parse(text), Some(outcome));
    }
    assert_eq!(Outcome::parse("done"), None);
}
