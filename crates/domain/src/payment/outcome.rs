//! What was made of an event, and why: words for the ledger, sentences for people.

use super::words::case_sentence;
use crate::case::CaseKind;
use crate::lang::Lang;

/// How a delivery was answered and what the ledger keeps of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[must_use]
pub enum Outcome {
    /// Stored and applied for the first time.
    Processed,
    /// This event, or this fact by another event, was applied before.
    Duplicate,
    /// Verified, but not for us.
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
    /// It happened on another account, of a Connect platform.
    OtherAccount,
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
    pub(super) const PLAIN: [Self; 23] = [
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
        Self::OtherAccount,
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
            Self::OtherAccount => "other_account",
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
            Self::OtherAccount => (
                "Cet événement vient d'un autre compte Stripe : son argent n'est pas le nôtre.",
                "This happened on another Stripe account: its money is not ours.",
            ),
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
