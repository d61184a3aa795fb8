//! The payment rules: what a fact does to a booking.
//!
//! [`decide`] is the only place where a payment fact changes a booking. It judges by state, never
//! by the order in which events arrive or were made, so that any order and any repetition of a
//! booking's events end in the same state. It knows no database: seats and known cases are handed
//! in, and what is to be written is handed back.

use super::booking::{Booking, Dispute, DisputeStatus, Payment, Progress, Refund, RefundStatus};
use super::calendar;
use super::case::CaseKind;
use super::event::{
    ChargeRefundedFact, DisputeFact, Event, Fact, NoSessionFact, PaymentStatus, RefundFact, SessionFact,
    SessionMoment,
};
use super::ids::{InstanceId, PaymentIntentId, SessionId};
use super::lang::{Lang, Words};
use super::money::Money;
use clock::Timestamp;

/// How a delivery was answered and what the ledger keeps of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[must_use]
pub enum Outcome {
    /// Stored and applied for the first time.
    Processed,
    /// This event, or this fact by another event, was applied before.
    Duplicate,
    /// Verified, but no business of ours.
    Ignored,
    /// Ours, but its booking is not known yet: kept, and tried again by ourselves.
    Parked,
    /// Ours, but it does not fit: a person sees it.
    Case,
    /// It could not be applied through a fault of ours, or was no valid delivery.
    Rejected,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 6] =
        [Self::Processed, Self::Duplicate, Self::Ignored, Self::Parked, Self::Case, Self::Rejected];

    /// As log, ledger and API write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::Parked => "parked",
            Self::Case => "case",
            Self::Rejected => "rejected",
        }
    }

    /// From its exact text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }

    /// Whether a ledger row with this outcome needs nothing more: the same event again is a
    /// duplicate. The others are judged again whenever they are told again.
    #[must_use]
    pub fn is_settled(self) -> bool {
        match self {
            Self::Processed | Self::Duplicate | Self::Case => true,
            Self::Ignored | Self::Parked | Self::Rejected => false,
        }
    }
}

/// Why an event had its outcome, as a word for the ledger and a sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The payment was applied.
    Paid,
    /// The payment was applied and the lost seat taken again.
    PaidAndReseated,
    /// A delayed payment is on its way.
    PaymentPending,
    /// The delayed payment failed.
    PaymentFailed,
    /// The session expired unpaid.
    SessionExpired,
    /// Stripe has no session for the booking, and its hold is over.
    NoSessionMade,
    /// Stripe does not know the booking's session, which is long over.
    SessionUnknown,
    /// A person accepted a payment that did not fit by itself.
    AcceptedByPerson,
    /// A refund was made or moved on.
    RefundRecorded,
    /// A refund came back.
    RefundFailed,
    /// It gives back a payment in another currency, which paid nothing here.
    RefundOfForeignPayment,
    /// The charge says that more was refunded.
    ChargeRefundRecorded,
    /// A dispute was opened or moved on.
    DisputeRecorded,
    /// The state already says so.
    AlreadyApplied,
    /// The booking has gone further than this event: it cannot take anything back.
    OvertakenByLaterState,
    /// It is about a session that no longer counts for this booking.
    SupersededSession,
    /// We do not act on this kind of event.
    KindNotActedOn,
    /// It belongs to another application on the account.
    OtherApplication,
    /// Test and live do not fit, and no booking is known for it.
    LivemodeOfAnother,
    /// It names a booking that is not here (yet).
    BookingNotKnown,
    /// Stripe must be asked whose it is, and did not answer yet.
    OwnerNotKnown,
    /// A case was opened; its kind says why.
    Case(CaseKind),
    /// Something of ours failed while it was applied.
    Fault,
}

impl Reason {
    const PLAIN: [Self; 22] = [
        Self::Paid,
        Self::PaidAndReseated,
        Self::PaymentPending,
        Self::PaymentFailed,
        Self::SessionExpired,
        Self::NoSessionMade,
        Self::SessionUnknown,
        Self::AcceptedByPerson,
        Self::RefundRecorded,
        Self::RefundFailed,
        Self::RefundOfForeignPayment,
        Self::ChargeRefundRecorded,
        Self::DisputeRecorded,
        Self::AlreadyApplied,
        Self::OvertakenByLaterState,
        Self::SupersededSession,
        Self::KindNotActedOn,
        Self::OtherApplication,
        Self::LivemodeOfAnother,
        Self::BookingNotKnown,
        Self::OwnerNotKnown,
        Self::Fault,
    ];

    /// As the ledger writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::PaidAndReseated => "paid_and_reseated",
            Self::PaymentPending => "payment_pending",
            Self::PaymentFailed => "payment_failed",
            Self::SessionExpired => "session_expired",
            Self::NoSessionMade => "no_session_made",
            // `session_unknown` is the case's word; the ledger's outcome tells them apart.
            Self::SessionUnknown => "session_unknown_and_over",
            Self::AcceptedByPerson => "accepted_by_person",
            Self::RefundRecorded => "refund_recorded",
            // `refund_failed` is also the case's word; the ledger's outcome tells them apart.
            Self::RefundFailed => "refund_came_back",
            Self::RefundOfForeignPayment => "refund_of_foreign_payment",
            Self::ChargeRefundRecorded => "charge_refund_recorded",
            Self::DisputeRecorded => "dispute_recorded",
            Self::AlreadyApplied => "already_applied",
            Self::OvertakenByLaterState => "overtaken_by_later_state",
            Self::SupersededSession => "superseded_session",
            Self::KindNotActedOn => "kind_not_acted_on",
            Self::OtherApplication => "other_application",
            Self::LivemodeOfAnother => "livemode_of_another",
            Self::BookingNotKnown => "booking_not_known",
            Self::OwnerNotKnown => "owner_not_known",
            Self::Case(kind) => kind.as_str(),
            Self::Fault => "fault",
        }
    }

    /// From its exact text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain = Self::PLAIN.into_iter().find(|reason| reason.as_str() == text);
        plain.or_else(|| CaseKind::parse(text).map(Self::Case))
    }

    /// A sentence for the person who wonders.
    #[must_use]
    pub fn sentence(self, lang: Lang) -> &'static str {
        let (fr, en) = match self {
            Self::Paid => ("Le paiement a été appliqué.", "The payment was applied."),
            Self::PaidAndReseated => (
                "Le paiement est arrivé tard ; il restait une place, elle a été reprise.",
                "The payment came late; a seat was left and was taken again.",
            ),
            Self::PaymentPending => (
                "Le paiement différé est en route ; la place reste réservée.",
                "The delayed payment is on its way; the seat stays held.",
            ),
            Self::PaymentFailed => (
                "Le paiement différé a échoué ; la place est libérée.",
                "The delayed payment failed; the seat is free again.",
            ),
            Self::SessionExpired => (
                "La session de paiement a expiré sans paiement ; la place est libérée.",
                "The checkout session expired unpaid; the seat is free again.",
            ),
            Self::NoSessionMade => (
                "Stripe n'a aucune session pour cette réservation ; la place est libérée.",
                "Stripe has no session for this booking; the seat is free again.",
            ),
            Self::SessionUnknown => (
                "Stripe ne connaît pas la session de cette réservation, terminée depuis plus d'un jour ; la \
                 place est libérée et un cas est ouvert.",
                "Stripe does not know this booking's session, which ended more than a day ago; the seat is \
                 free again and a case was opened.",
            ),
            Self::AcceptedByPerson => {
                ("Une personne a accepté ce paiement.", "A person accepted this payment.")
            }
            Self::RefundRecorded => ("Le remboursement a été enregistré.", "The refund was recorded."),
            Self::RefundFailed => (
                "Le remboursement n'est pas arrivé au client et ne compte plus.",
                "The refund did not reach the customer and counts no more.",
            ),
            Self::RefundOfForeignPayment => (
                "Un paiement dans une autre devise, qui n'a rien payé ici, est rendu.",
                "A payment in another currency, which paid nothing here, is given back.",
            ),
            Self::ChargeRefundRecorded => (
                "Le montant remboursé du paiement a été enregistré.",
                "The amount refunded of the charge was recorded.",
            ),
            Self::DisputeRecorded => ("Le litige a été enregistré.", "The dispute was recorded."),
            Self::AlreadyApplied => {
                ("Cela était déjà appliqué ; rien n'a changé.", "This was applied before; nothing changed.")
            }
            Self::OvertakenByLaterState => (
                "La réservation est déjà plus loin ; un événement tardif ne défait rien.",
                "The booking has gone further already; a late event undoes nothing.",
            ),
            Self::SupersededSession => (
                "Cette session ne compte plus pour la réservation.",
                "This session no longer counts for the booking.",
            ),
            Self::KindNotActedOn => {
                ("Ce type d'événement ne nous concerne pas.", "We do not act on this kind of event.")
            }
            Self::OtherApplication => (
                "Cet événement appartient à une autre application du compte.",
                "This belongs to another application on the account.",
            ),
            Self::LivemodeOfAnother => (
                "Le mode (test ou réel) ne correspond pas à la clé.",
                "Its mode (test or live) does not fit the key.",
            ),
            Self::BookingNotKnown => (
                "La réservation n'est pas (encore) connue ; nouvel essai automatique.",
                "The booking is not known (yet); it is tried again automatically.",
            ),
            Self::OwnerNotKnown => (
                "Stripe n'a pas encore dit à qui cela appartient ; nouvel essai automatique.",
                "Stripe has not said yet whose this is; it is tried again automatically.",
            ),
            Self::Case(kind) => return case_sentence(kind, lang),
            Self::Fault => (
                "Une erreur de notre côté a empêché l'application ; nouvel essai automatique.",
                "A fault of ours kept it from being applied; it is tried again automatically.",
            ),
        };
        lang.pick(fr, en)
    }
}

/// What a kind of case means, for the person who has to look at it.
#[must_use]
pub fn case_sentence(kind: CaseKind, lang: Lang) -> &'static str {
    let (fr, en) = match kind {
        CaseKind::AmountMismatch => (
            "Le montant payé n'est pas le prix de la réservation.",
            "The amount paid is not the booking's price.",
        ),
        CaseKind::CurrencyMismatch => {
            ("La devise payée n'est pas celle de la réservation.", "The currency paid is not the booking's.")
        }
        CaseKind::ModeMismatch => {
            ("La session n'est pas un paiement unique.", "The session is not a one-time payment.")
        }
        CaseKind::SessionMismatch => {
            ("La session payée est celle d'une autre réservation.", "The session paid is another booking's.")
        }
        CaseKind::StateMismatch => (
            "L'événement et l'état de sa session se contredisent ; regardez la session chez Stripe.",
            "The event and the state of its session contradict each other; look at the session at Stripe.",
        ),
        CaseKind::RefundMismatch => (
            "Un remboursement annoncé ne va pas avec ce paiement ; regardez-le chez Stripe.",
            "A refund was told that cannot be one of this payment; look at it at Stripe.",
        ),
        CaseKind::LivemodeMismatch => (
            "L'événement est en mode test et la clé en mode réel, ou l'inverse.",
            "The event is in test mode and the key is live, or the reverse.",
        ),
        CaseKind::PaidTwice => (
            "La réservation a été payée deux fois ; remboursez le paiement en trop.",
            "The booking was paid twice; refund the extra payment.",
        ),
        CaseKind::LatePayment => (
            "Le paiement est arrivé après la fin de la réservation et il n'y a plus de place.",
            "The payment came after the hold was lost, and the slot is full.",
        ),
        CaseKind::UnknownBooking => (
            "Un événement à nous nomme une réservation inconnue depuis une heure.",
            "An event of ours names a booking that has been unknown for an hour.",
        ),
        CaseKind::RefundFailed => (
            "Un remboursement n'est pas arrivé au client ; il faut le payer autrement.",
            "A refund did not reach the customer; pay it another way.",
        ),
        CaseKind::Dispute => (
            "Le client conteste le paiement ; répondez dans le tableau de bord Stripe avant la date limite.",
            "The customer disputes the payment; answer in Stripe's dashboard before the deadline.",
        ),
        CaseKind::SessionUnknown => (
            "Stripe ne connaît pas la session de cette réservation ; vérifiez que la clé est celle du compte où \
             elle a été créée, et si le client y a payé.",
            "Stripe does not know this booking's session; check that the key is that of the account where it \
             was made, and whether the customer paid there.",
        ),
    };
    lang.pick(fr, en)
}

/// What a case about a dispute means now: a dispute goes on after its case was opened.
#[must_use]
pub fn dispute_sentence(status: DisputeStatus, lang: Lang) -> &'static str {
    let (fr, en) = match status {
        DisputeStatus::NeedsResponse | DisputeStatus::AppealNeedsResponse => {
            return case_sentence(CaseKind::Dispute, lang);
        }
        DisputeStatus::WarningNeedsResponse => (
            "La banque du client demande des explications ; répondez dans le tableau de bord Stripe avant la \
             date limite, pour éviter un litige.",
            "The customer's bank asks for an explanation; answer in Stripe's dashboard before the deadline, to \
             avoid a dispute.",
        ),
        DisputeStatus::UnderReview | DisputeStatus::AppealUnderReview => (
            "La réponse au litige est envoyée ; la banque décide.",
            "The dispute was answered; the bank decides.",
        ),
        DisputeStatus::WarningUnderReview => {
            ("La réponse à la demande de la banque est envoyée.", "The bank's question was answered.")
        }
        DisputeStatus::WarningClosed | DisputeStatus::Prevented => (
            "La demande de la banque est close, sans litige ; vous pouvez classer le cas.",
            "The bank's question is closed, without a dispute; the case can be dismissed.",
        ),
        DisputeStatus::Won => (
            "Le litige est gagné : l'argent vous reste ; vous pouvez classer le cas.",
            "The dispute was won: you keep the money; the case can be dismissed.",
        ),
        DisputeStatus::Lost => (
            "Le litige est perdu : l'argent est retourné au client ; vous pouvez classer le cas.",
            "The dispute was lost: the money went back to the customer; the case can be dismissed.",
        ),
    };
    lang.pick(fr, en)
}

/// A case to be opened. The same key is never opened twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCase {
    /// What does not fit.
    pub kind: CaseKind,
    /// Its identity: the kind and what it is about.
    pub key: String,
    /// The session it is about.
    pub session: Option<SessionId>,
    /// The payment it is about.
    pub intent: Option<PaymentIntentId>,
    /// The amount at stake, in minor units.
    pub amount: Option<i64>,
    /// Its currency as Stripe names it, which may be none that we know.
    pub currency: Option<String>,
    /// Until when something must be done.
    pub deadline: Option<Timestamp>,
    /// The figures, in words.
    pub detail: Words,
}

/// Something that others are told about, once committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EffectKind {
    /// The booking was paid.
    Paid,
    /// Its delayed payment failed.
    Failed,
    /// More of it was refunded.
    Refunded,
    /// A dispute was opened.
    Disputed,
}

impl EffectKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Paid, Self::Failed, Self::Refunded, Self::Disputed];

    /// As the outbox and the notifications write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "booking.paid",
            Self::Failed => "booking.failed",
            Self::Refunded => "booking.refunded",
            Self::Disputed => "booking.disputed",
        }
    }

    /// From its exact text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// An effect with the key that keeps it from happening twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// What happened.
    pub kind: EffectKind,
    /// Stable over every retry and replay.
    pub key: String,
}

/// What the deciding needs to know beside booking and fact.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// The time.
    pub now: Timestamp,
    /// Whether our key is a live one.
    pub livemode: bool,
    /// A seat number that the booking could take if it holds none; none if the slot is full.
    pub free_seat: Option<i32>,
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// For the ledger and the answer.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// The booking afterwards.
    pub booking: Booking,
    /// Whether this event is the one that paid the booking.
    pub applied_payment: bool,
    /// A case to open.
    pub case: Option<NewCase>,
    /// Who is to be told what.
    pub effects: Vec<Effect>,
}

/// What an event means that names no booking known here.
pub fn decide_unmatched(event: &Event, instance: InstanceId, livemode: bool) -> (Outcome, Reason) {
    let Some(claim) = event.fact.claim() else {
        return (Outcome::Ignored, Reason::KindNotActedOn);
    };
    if !claim.is_ours(instance) {
        (Outcome::Ignored, Reason::OtherApplication)
    } else if event.livemode.is_some_and(|live| live != livemode) {
        (Outcome::Ignored, Reason::LivemodeOfAnother)
    } else {
        (Outcome::Parked, Reason::BookingNotKnown)
    }
}

/// What `event` does to `booking`, which it names.
pub fn decide(booking: &Booking, event: &Event, context: Context) -> Decision {
    let rules = Rules { before: booking, context };
    if matches!(event.fact, Fact::Other) {
        return rules.unchanged(Outcome::Ignored, Reason::KindNotActedOn);
    }
    if event.livemode.is_some_and(|live| live != context.livemode) {
        return rules.livemode_mismatch(event);
    }
    match &event.fact {
        Fact::Session(fact) => rules.session(fact),
        Fact::Refund(fact) => rules.refund(fact),
        Fact::ChargeRefunded(fact) => rules.charge_refunded(fact),
        Fact::Dispute(fact) => rules.dispute(fact),
        Fact::NoSession(fact) => rules.no_session(fact),
        Fact::Other => rules.unchanged(Outcome::Ignored, Reason::KindNotActedOn),
    }
}

/// What an event means whose session belongs to another booking than the one that it names: nobody
/// is paid by it, and a person has to look.
pub fn decide_session_of_another(booking: &Booking, event: &Event) -> Decision {
    // Neither time nor seats play a part: nothing of the booking changes.
    let context = Context { now: booking.updated_at, livemode: false, free_seat: None };
    let rules = Rules { before: booking, context };
    match &event.fact {
        Fact::Session(fact) => {
            let detail = Words::new(
                format!(
                    "la session {} est celle d'une autre réservation, mais nomme {}",
                    fact.id, booking.id
                ),
                format!("session {} is another booking's, but names {}", fact.id, booking.id),
            );
            rules.session_case(CaseKind::SessionMismatch, fact, detail)
        }
        Fact::Refund(_) | Fact::ChargeRefunded(_) | Fact::Dispute(_) | Fact::NoSession(_) | Fact::Other => {
            rules.unchanged(Outcome::Ignored, Reason::KindNotActedOn)
        }
    }
}

/// What a payment does that a person accepts although the rules made it a case: it pays the booking
/// with the amount that came. None if it cannot: the booking is paid already, the money is in another
/// currency or not there, or no seat is left.
#[must_use]
pub fn accept(booking: &Booking, fact: &SessionFact, context: Context) -> Option<Decision> {
    let currency = fact.currency.as_deref()?;
    let same_currency = currency.eq_ignore_ascii_case(booking.price.currency.as_str());
    let amount = fact.total.filter(|total| *total > 0)?;
    let there = match fact.payment_status {
        PaymentStatus::Paid | PaymentStatus::NoPaymentRequired => true,
        PaymentStatus::Unpaid | PaymentStatus::Unknown => false,
    };
    let seat = booking.seat.or(context.free_seat)?;
    if booking.payment().is_some() || !same_currency || !there {
        return None;
    }
    let rules = Rules { before: booking, context };
    Some(rules.pay(fact, amount, seat, Reason::AcceptedByPerson))
}

/// Which dispute it is and how far it has come, in words.
#[must_use]
pub fn dispute_detail(id: &str, status: DisputeStatus) -> Words {
    let status = status.as_str();
    Words::new(format!("le litige {id} est à l'état {status}"), format!("dispute {id} is {status}"))
}

/// What the customer paid, if it fits the price, or what does not fit.
///
/// # Errors
/// The kind of case and the figures in words.
pub fn check_amount(fact: &SessionFact, price: Money) -> Result<i64, (CaseKind, Words)> {
    if let Some(mode) = another_mode(fact) {
        return Err((CaseKind::ModeMismatch, mode));
    }
    let (fr, en) = (price.told(Lang::Fr), price.told(Lang::En));
    let currency = fact.currency.as_deref().unwrap_or_default();
    if !currency.eq_ignore_ascii_case(price.currency.as_str()) {
        let detail = if currency.is_empty() {
            Words::new(
                format!("{fr} attendus, la session n'a pas de devise"),
                format!("expected {en}, the session has no currency"),
            )
        } else {
            Words::new(
                format!("{fr} attendus, la session est en {currency:?}"),
                format!("expected {en}, the session is in {currency:?}"),
            )
        };
        return Err((CaseKind::CurrencyMismatch, detail));
    }
    let mismatch = |french: &str, english: &str| {
        let detail = Words::new(format!("{fr} attendus ; {french}"), format!("expected {en}; {english}"));
        Err((CaseKind::AmountMismatch, detail))
    };
    if let Some(member) = fact.unreadable {
        return mismatch(
            &format!("{member} n'est pas un nombre entier avec lequel compter"),
            &format!("{member} is no whole number that can be counted with"),
        );
    }
    let Some(total) = fact.total else {
        return mismatch("la session n'a pas de total", "the session has no total");
    };
    let part = |amount: Option<i64>| i128::from(amount.unwrap_or(0));
    let (discount, tax, shipping) = (part(fact.discount), part(fact.tax), part(fact.shipping));
    let subtotal = fact.subtotal.map_or(i128::from(total) + discount - tax - shipping, i128::from);
    let sound = total >= 0 && discount >= 0 && tax >= 0 && shipping >= 0;
    let (french, english) = if subtotal != i128::from(price.amount) {
        ("le sous-total est un autre", "the subtotal is another")
    } else if !sound || i128::from(total) != subtotal - discount + tax + shipping {
        ("le total n'est pas la somme de ses parties", "the total does not add up")
    } else if total == 0 && discount < subtotal {
        ("rien n'a été payé, et aucune remise ne le couvre", "nothing was paid, and no discount covers it")
    } else if fact.payment_status == PaymentStatus::NoPaymentRequired && total != 0 {
        ("rien n'a été payé d'un total qui n'est pas nul", "nothing was paid of a total that is not zero")
    } else {
        return Ok(total);
    };
    let sum = |amount: i128, lang: Lang| match i64::try_from(amount) {
        Ok(amount) => Money { amount, ..price }.told(lang),
        Err(_) => amount.to_string(),
    };
    let figures = |lang: Lang, names: [&str; 5]| {
        let amounts = [subtotal, discount, tax, shipping, i128::from(total)];
        let each =
            names.into_iter().zip(amounts).map(|(name, amount)| format!("{name} {}", sum(amount, lang)));
        each.collect::<Vec<_>>().join(", ")
    };
    let in_french = figures(Lang::Fr, ["sous-total", "remise", "taxes", "livraison", "total"]);
    let in_english = figures(Lang::En, ["subtotal", "discount", "tax", "shipping", "total"]);
    mismatch(&format!("{french} : {in_french}"), &format!("{english}: {in_english}"))
}

/// In which mode a session is that is no payment, in words.
fn another_mode(fact: &SessionFact) -> Option<Words> {
    let mode = fact.mode.as_deref().filter(|mode| *mode != "payment")?;
    Some(Words::new(format!("le mode de la session est {mode:?}"), format!("the session's mode is {mode:?}")))
}

struct Rules<'a> {
    before: &'a Booking,
    context: Context,
}

impl Rules<'_> {
    fn unchanged(&self, outcome: Outcome, reason: Reason) -> Decision {
        Decision {
            outcome,
            reason,
            booking: self.before.clone(),
            applied_payment: false,
            case: None,
            effects: Vec::new(),
        }
    }

    fn nothing_new(&self, reason: Reason) -> Decision {
        self.unchanged(Outcome::Duplicate, reason)
    }

    /// A change that was applied: stamps it, frees the seat if none is due any more, and takes one
    /// again if the service is owed after all and a seat is left.
    fn applied(&self, mut booking: Booking, reason: Reason, effects: Vec<Effect>) -> Decision {
        if !booking.keeps_seat() {
            booking.seat = None;
        } else if booking.payment().is_some() {
            booking.seat = booking.seat.or(self.context.free_seat);
        }
        booking.updated_at = self.context.now;
        Decision { outcome: Outcome::Processed, reason, booking, applied_payment: false, case: None, effects }
    }

    /// A case, unless the same one was opened before.
    fn case(&self, case: NewCase) -> Decision {
        if self.before.cases.contains(&case.key) {
            return self.nothing_new(Reason::AlreadyApplied);
        }
        let mut decision = self.unchanged(Outcome::Case, Reason::Case(case.kind));
        decision.booking.cases.push(case.key.clone());
        decision.case = Some(case);
        decision
    }

    fn effect(&self, kind: EffectKind, subject: &str) -> Effect {
        Effect { kind, key: format!("{}:{}:{subject}", kind.as_str(), self.before.id) }
    }

    fn livemode_mismatch(&self, event: &Event) -> Decision {
        let subject = match &event.fact {
            Fact::Session(fact) => fact.id.as_str(),
            Fact::Refund(fact) => fact.id.as_str(),
            Fact::ChargeRefunded(fact) => fact.charge.as_str(),
            Fact::Dispute(fact) => fact.id.as_str(),
            Fact::NoSession(_) | Fact::Other => event.key.as_str(),
        };
        self.case(NewCase {
            kind: CaseKind::LivemodeMismatch,
            key: format!("{}:{subject}", CaseKind::LivemodeMismatch),
            session: event.fact.session().cloned(),
            intent: event.fact.intent().cloned(),
            amount: None,
            currency: None,
            deadline: None,
            detail: if self.context.livemode {
                Words::new("un événement de test, pour une clé réelle", "a test event, for a live key")
            } else {
                Words::new("un événement réel, pour une clé de test", "a live event, for a test key")
            },
        })
    }

    fn session(&self, fact: &SessionFact) -> Decision {
        use PaymentStatus::{NoPaymentRequired, Paid, Unknown, Unpaid};
        use SessionMoment::{AsyncFailed, AsyncSucceeded, Completed, Expired};
        match (fact.moment, fact.payment_status) {
            (Completed | AsyncSucceeded, Paid | NoPaymentRequired) | (AsyncSucceeded, Unknown) => {
                self.paid(fact)
            }
            (Completed, Unpaid | Unknown) | (AsyncSucceeded, Unpaid) => self.processing(fact),
            (AsyncFailed, _) => self.failed(fact),
            (Expired, _) => self.expired(fact),
        }
    }

    fn session_case(&self, kind: CaseKind, fact: &SessionFact, detail: Words) -> Decision {
        self.case(NewCase {
            kind,
            key: format!("{kind}:{}", fact.id),
            session: Some(fact.id.clone()),
            intent: fact.intent.clone(),
            amount: fact.total,
            currency: fact.currency.clone(),
            deadline: None,
            detail,
        })
    }

    fn contradictory(&self, fact: &SessionFact) -> Decision {
        let id = &fact.id;
        let detail = Words::new(
            format!("la session {id} a fini impayée et est payée, selon le même événement"),
            format!("session {id} ended unpaid and is paid, by the same event"),
        );
        self.session_case(CaseKind::StateMismatch, fact, detail)
    }

    fn paid(&self, fact: &SessionFact) -> Decision {
        if let Some(payment) = self.before.payment() {
            return if payment.session == fact.id {
                self.nothing_new(Reason::AlreadyApplied)
            } else {
                let detail = Words::new(
                    format!("payée par {} et encore par {}", payment.session, fact.id),
                    format!("paid by {} and again by {}", payment.session, fact.id),
                );
                self.session_case(CaseKind::PaidTwice, fact, detail)
            };
        }
        let amount = match check_amount(fact, self.before.price) {
            Ok(amount) => amount,
            Err((kind, detail)) => return self.session_case(kind, fact, detail),
        };
        if self.waits_for_a_seat(fact) {
            return self.nothing_new(Reason::AlreadyApplied);
        }
        let Some(seat) = self.before.seat.or(self.context.free_seat) else {
            let (status, slot) = (self.before.status(), &self.before.slot);
            let detail = Words::new(
                format!(
                    "la réservation est « {status} », et le créneau {} est complet",
                    calendar::slot(Lang::Fr, slot)
                ),
                format!("the booking is {status}, and the slot {} is full", calendar::slot(Lang::En, slot)),
            );
            return self.session_case(CaseKind::LatePayment, fact, detail);
        };

        let reason = if self.before.seat.is_some() { Reason::Paid } else { Reason::PaidAndReseated };
        self.pay(fact, amount, seat, reason)
    }

    fn pay(&self, fact: &SessionFact, amount: i64, seat: i32, reason: Reason) -> Decision {
        let mut booking = self.before.clone();
        booking.session = Some(fact.id.clone());
        booking.seat = Some(seat);
        booking.progress = Progress::Paid(Payment {
            session: fact.id.clone(),
            intent: fact.intent.clone(),
            amount,
            at: self.context.now,
        });
        let effects = vec![self.effect(EffectKind::Paid, fact.id.as_str())];
        Decision { applied_payment: true, ..self.applied(booking, reason, effects) }
    }

    /// Whether a person was asked about its payment, which came too late: a seat that has become free since changes
    /// nothing without them.
    fn waits_for_a_seat(&self, fact: &SessionFact) -> bool {
        let asked = format!("{}:{}", CaseKind::LatePayment, fact.id);
        self.before.seat.is_none() && self.before.cases.contains(&asked)
    }

    fn processing(&self, fact: &SessionFact) -> Decision {
        match &self.before.progress {
            Progress::Expired if self.waits_for_a_seat(fact) => {
                self.nothing_new(Reason::OvertakenByLaterState)
            }
            Progress::Pending | Progress::Expired => {
                if let Some(mode) = another_mode(fact) {
                    return self.session_case(CaseKind::ModeMismatch, fact, mode);
                }
                let mut booking = self.before.clone();
                booking.progress = Progress::Processing;
                booking.session = Some(fact.id.clone());
                booking.seat = booking.seat.or(self.context.free_seat);
                self.applied(booking, Reason::PaymentPending, Vec::new())
            }
            Progress::Processing => self.nothing_new(Reason::AlreadyApplied),
            Progress::Failed | Progress::Cancelled | Progress::Paid(_) => {
                self.nothing_new(Reason::OvertakenByLaterState)
            }
        }
    }

    fn failed(&self, fact: &SessionFact) -> Decision {
        if self.is_superseded(fact) {
            return self.nothing_new(Reason::SupersededSession);
        }
        match &self.before.progress {
            Progress::Pending | Progress::Processing | Progress::Expired => {
                if fact.is_contradictory() {
                    return self.contradictory(fact);
                }
                let mut booking = self.before.clone();
                booking.progress = Progress::Failed;
                booking.session = Some(fact.id.clone());
                let effects = vec![self.effect(EffectKind::Failed, fact.id.as_str())];
                self.applied(booking, Reason::PaymentFailed, effects)
            }
            Progress::Failed => self.nothing_new(Reason::AlreadyApplied),
            Progress::Cancelled | Progress::Paid(_) => self.nothing_new(Reason::OvertakenByLaterState),
        }
    }

    fn expired(&self, fact: &SessionFact) -> Decision {
        if self.is_superseded(fact) {
            return self.nothing_new(Reason::SupersededSession);
        }
        match &self.before.progress {
            Progress::Pending => {
                if fact.is_contradictory() {
                    return self.contradictory(fact);
                }
                let mut booking = self.before.clone();
                booking.progress = Progress::Expired;
                booking.session = Some(fact.id.clone());
                self.applied(booking, Reason::SessionExpired, Vec::new())
            }
            Progress::Expired => self.nothing_new(Reason::AlreadyApplied),
            Progress::Processing | Progress::Failed | Progress::Cancelled | Progress::Paid(_) => {
                self.nothing_new(Reason::OvertakenByLaterState)
            }
        }
    }

    fn no_session(&self, fact: &NoSessionFact) -> Decision {
        match &self.before.progress {
            Progress::Pending if self.before.session == fact.session => {
                let mut booking = self.before.clone();
                booking.progress = Progress::Expired;
                match &fact.session {
                    None => self.applied(booking, Reason::NoSessionMade, Vec::new()),
                    Some(session) => {
                        let case = self.session_unknown(session);
                        booking.cases.push(case.key.clone());
                        let decision = self.applied(booking, Reason::SessionUnknown, Vec::new());
                        Decision { case: Some(case), ..decision }
                    }
                }
            }
            // Money is on its way: only a person can say where it went.
            Progress::Processing if fact.session.is_some() && self.before.session == fact.session => {
                match &fact.session {
                    Some(session) => self.case(self.session_unknown(session)),
                    None => self.nothing_new(Reason::AlreadyApplied),
                }
            }
            Progress::Expired => self.nothing_new(Reason::AlreadyApplied),
            Progress::Pending
            | Progress::Processing
            | Progress::Failed
            | Progress::Cancelled
            | Progress::Paid(_) => self.nothing_new(Reason::OvertakenByLaterState),
        }
    }

    fn session_unknown(&self, session: &SessionId) -> NewCase {
        NewCase {
            kind: CaseKind::SessionUnknown,
            key: format!("{}:{session}", CaseKind::SessionUnknown),
            session: Some(session.clone()),
            intent: None,
            amount: Some(self.before.price.amount),
            currency: Some(self.before.price.currency.as_str().to_owned()),
            deadline: None,
            detail: Words::new(
                format!("Stripe répond ne pas avoir de session {session}"),
                format!("Stripe answers that it has no session {session}"),
            ),
        }
    }

    fn is_superseded(&self, fact: &SessionFact) -> bool {
        self.before.session.as_ref().is_some_and(|current| *current != fact.id)
    }

    /// Whether this gives back the payment of a case about its currency: that paid nothing, so there is nothing
    /// to take from what was paid.
    fn gives_back_a_foreign_payment(&self, intent: Option<&PaymentIntentId>, currency: Option<&str>) -> bool {
        let kind = CaseKind::CurrencyMismatch.as_str();
        let was_a_case = |key: &String| key.split(':').next() == Some(kind);
        let counts_here = self.before.payment().is_some() && self.before.concerns_payment(intent);
        intent.is_some()
            && self.another_currency(currency).is_some()
            && !counts_here
            && self.before.cases.iter().any(was_a_case)
    }

    fn refund(&self, fact: &RefundFact) -> Decision {
        if self.gives_back_a_foreign_payment(fact.intent.as_ref(), fact.currency.as_deref()) {
            return match fact.status {
                RefundStatus::Failed => self.case(self.refund_failed(fact, self.before)),
                _ => self.unchanged(Outcome::Processed, Reason::RefundOfForeignPayment),
            };
        }
        let mut booking = self.before.clone();
        let known = booking.refunds.iter_mut().find(|refund| refund.id == fact.id);
        let was = known.as_ref().map(|refund| refund.status);
        let is = match known {
            Some(refund) => {
                let unchanged = fact.status <= refund.status
                    && (fact.amount.is_none() || fact.amount == Some(refund.amount))
                    && (refund.intent.is_some() || fact.intent.is_none());
                if unchanged {
                    return self.nothing_new(Reason::AlreadyApplied);
                }
                if let Some(detail) = self.not_of_this_payment(fact, refund.amount) {
                    return self.refund_mismatch(fact, detail);
                }
                refund.status = refund.status.max(fact.status);
                refund.amount = fact.amount.unwrap_or(refund.amount);
                refund.intent = refund.intent.take().or_else(|| fact.intent.clone());
                refund.status
            }
            None => {
                let amount = fact.amount.unwrap_or(0);
                if let Some(detail) = self.not_of_this_payment(fact, amount) {
                    return self.refund_mismatch(fact, detail);
                }
                booking.refunds.push(Refund {
                    id: fact.id.clone(),
                    intent: fact.intent.clone(),
                    amount,
                    status: fact.status,
                });
                fact.status
            }
        };

        let newly_failed = is == RefundStatus::Failed && was != Some(is);
        let effects = self.refund_effects(&booking);
        let reason = if newly_failed { Reason::RefundFailed } else { Reason::RefundRecorded };
        let mut decision = self.applied(booking, reason, effects);
        let key = format!("{}:{}", CaseKind::RefundFailed, fact.id);
        if newly_failed && !self.before.cases.contains(&key) {
            decision.case = Some(self.refund_failed(fact, &decision.booking));
            decision.booking.cases.push(key);
        }
        decision
    }

    /// The case of a refund that did not reach the customer. `after`: the booking without it.
    fn refund_failed(&self, fact: &RefundFact, after: &Booking) -> NewCase {
        let (sa_place, seat) = if after.payment().is_some() && after.seat.is_none() {
            (" ; sa place a été prise par quelqu'un d'autre", "; its seat has been taken by somebody else")
        } else {
            ("", "")
        };
        let known = after.refunds.iter().find(|refund| refund.id == fact.id);
        NewCase {
            kind: CaseKind::RefundFailed,
            key: format!("{}:{}", CaseKind::RefundFailed, fact.id),
            session: after.session.clone(),
            intent: fact.intent.clone(),
            amount: fact.amount.or_else(|| known.map(|refund| refund.amount)),
            currency: fact.currency.clone().or_else(|| Some(self.before.price.currency.as_str().to_owned())),
            deadline: None,
            detail: Words::new(
                format!("le remboursement {} a échoué{sa_place}", fact.id),
                format!("refund {} failed{seat}", fact.id),
            ),
        }
    }

    /// Why a refund cannot be one of this booking's payment, in words. Several together may seem too much
    /// for a while, until the news comes that one of them failed; a single one may not.
    fn not_of_this_payment(&self, fact: &RefundFact, amount: i64) -> Option<Words> {
        let amount = fact.amount.unwrap_or(amount);
        let most = self.most_refundable(fact.intent.as_ref());
        let (id, price) = (&fact.id, self.before.price.currency);
        if let Some(currency) = self.another_currency(fact.currency.as_deref()) {
            Some(Words::new(
                format!("le remboursement {id} est en {currency:?}, pas en {price}"),
                format!("refund {id} is in {currency:?}, not {price}"),
            ))
        } else if fact.unreadable || amount <= 0 {
            Some(Words::new(
                format!("le remboursement {id} n'a pas de montant avec lequel compter"),
                format!("refund {id} has no amount that can be counted with"),
            ))
        } else if most.is_some_and(|most| amount > most) {
            let sum = Money { amount, currency: price };
            Some(Words::new(
                format!("le remboursement {id} est de {}, plus que ce qui a été payé", sum.told(Lang::Fr)),
                format!("refund {id} is of {}, more than was paid", sum.told(Lang::En)),
            ))
        } else {
            None
        }
    }

    /// What was paid, if it was by this payment.
    fn most_refundable(&self, intent: Option<&PaymentIntentId>) -> Option<i64> {
        self.before.payment().filter(|_| self.before.concerns_payment(intent)).map(|payment| payment.amount)
    }

    fn another_currency<'c>(&self, currency: Option<&'c str>) -> Option<&'c str> {
        currency.filter(|currency| !currency.eq_ignore_ascii_case(self.before.price.currency.as_str()))
    }

    fn refund_mismatch(&self, fact: &RefundFact, detail: Words) -> Decision {
        self.case(NewCase {
            kind: CaseKind::RefundMismatch,
            key: format!("{}:{}", CaseKind::RefundMismatch, fact.id),
            session: self.before.session.clone(),
            intent: fact.intent.clone(),
            amount: fact.amount,
            currency: fact.currency.clone(),
            deadline: None,
            detail,
        })
    }

    fn charge_refunded(&self, fact: &ChargeRefundedFact) -> Decision {
        let amount = fact.amount_refunded.unwrap_or(0);
        if self.gives_back_a_foreign_payment(fact.intent.as_ref(), fact.currency.as_deref()) {
            return self.unchanged(Outcome::Processed, Reason::RefundOfForeignPayment);
        }
        let (charge, price) = (&fact.charge, self.before.price.currency);
        let misfit = if let Some(currency) = self.another_currency(fact.currency.as_deref()) {
            Some(Words::new(
                format!("le paiement {charge} est en {currency:?}, pas en {price}"),
                format!("charge {charge} is in {currency:?}, not {price}"),
            ))
        } else if fact.unreadable || amount < 0 {
            Some(Words::new(
                format!("le paiement {charge} ne dit pas de montant remboursé avec lequel compter"),
                format!("charge {charge} tells no refunded amount that can be counted with"),
            ))
        } else if self.most_refundable(fact.intent.as_ref()).is_some_and(|most| amount > most) {
            let sum = Money { amount, currency: price };
            Some(Words::new(
                format!(
                    "du paiement {charge}, {} ont été remboursés, plus que ce qui a été payé",
                    sum.told(Lang::Fr)
                ),
                format!("of charge {charge}, {} were refunded, more than was paid", sum.told(Lang::En)),
            ))
        } else {
            None
        };
        if let Some(detail) = misfit {
            return self.case(NewCase {
                kind: CaseKind::RefundMismatch,
                key: format!("{}:{}", CaseKind::RefundMismatch, fact.charge),
                session: self.before.session.clone(),
                intent: fact.intent.clone(),
                amount: fact.amount_refunded,
                currency: fact.currency.clone(),
                deadline: None,
                detail,
            });
        }
        // What the charge of another payment said is no bound for this one.
        let told = if self.before.charge_intent == fact.intent { self.before.charge_refunded } else { 0 };
        let known = self.before.refunded_amount().max(told);
        if amount <= known || !self.before.concerns_payment(fact.intent.as_ref()) {
            return self.nothing_new(Reason::AlreadyApplied);
        }
        let mut booking = self.before.clone();
        booking.charge_refunded = amount;
        booking.charge_intent.clone_from(&fact.intent);
        let effects = self.refund_effects(&booking);
        self.applied(booking, Reason::ChargeRefundRecorded, effects)
    }

    /// Told once for each larger sum, whichever events it was learned from; and again after a refund
    /// came back, since the same sum then means other money.
    fn refund_effects(&self, after: &Booking) -> Vec<Effect> {
        let sum = after.refunded_amount();
        if sum <= self.before.refunded_amount() {
            return Vec::new();
        }
        let came_back = after.refunds.iter().filter(|refund| !refund.status.counts()).count();
        let subject = if came_back == 0 { sum.to_string() } else { format!("{sum}:{came_back}") };
        vec![self.effect(EffectKind::Refunded, &subject)]
    }

    fn dispute(&self, fact: &DisputeFact) -> Decision {
        let mut booking = self.before.clone();
        let known = booking.disputes.iter_mut().find(|dispute| dispute.id == fact.id);
        let held_before = known.as_ref().is_some_and(|dispute| dispute.status.holds_the_money());
        let is = match known {
            Some(dispute) => {
                let before = dispute.clone();
                dispute.intent = dispute.intent.take().or_else(|| fact.intent.clone());
                // The most of what was named: the same whichever event comes first.
                dispute.amount = dispute.amount.max(fact.amount.unwrap_or(0));
                dispute.currency = dispute.currency.take().max(fact.currency.clone());
                dispute.status = dispute.status.max(fact.status);
                dispute.due_by = dispute.due_by.max(fact.due_by);
                if *dispute == before {
                    return self.nothing_new(Reason::AlreadyApplied);
                }
                dispute.status
            }
            None => {
                booking.disputes.push(Dispute {
                    id: fact.id.clone(),
                    intent: fact.intent.clone(),
                    amount: fact.amount.unwrap_or(0),
                    currency: fact.currency.clone(),
                    status: fact.status,
                    due_by: fact.due_by,
                });
                fact.status
            }
        };

        let mut effects = Vec::new();
        if is.holds_the_money() && !held_before {
            effects.push(self.effect(EffectKind::Disputed, fact.id.as_str()));
        }
        let mut decision = self.applied(booking, Reason::DisputeRecorded, effects);
        // A dispute that began as an inquiry is a case of its own: the inquiry's may be closed by then.
        let inquiry = if is.holds_the_money() { "" } else { ":inquiry" };
        let key = format!("{}:{}{inquiry}", CaseKind::Dispute, fact.id);
        if (is.wants_an_answer() || is.holds_the_money()) && !self.before.cases.contains(&key) {
            decision.booking.cases.push(key.clone());
            decision.case = Some(NewCase {
                kind: CaseKind::Dispute,
                key,
                session: decision.booking.session.clone(),
                intent: fact.intent.clone(),
                amount: fact.amount,
                // A bank may dispute in its customer's currency.
                currency: fact
                    .currency
                    .clone()
                    .or_else(|| Some(self.before.price.currency.as_str().to_owned())),
                deadline: fact.due_by,
                detail: dispute_detail(fact.id.as_str(), is),
            });
        }
        decision
    }
}

#[cfg(test)]
mod tests;
