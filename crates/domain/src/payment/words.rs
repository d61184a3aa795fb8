//! What cases and disputes mean, in sentences for people.

use crate::booking::DisputeStatus;
use crate::case::CaseKind;
use crate::lang::{Lang, Words};

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
        DisputeStatus::Lost | DisputeStatus::LostAppeal => (
            "Le litige est perdu : l'argent est retourné au client ; vous pouvez classer le cas.",
            "The dispute was lost: the money went back to the customer; the case can be dismissed.",
        ),
    };
    lang.pick(fr, en)
}

/// Which dispute it is and how far it has come, in words.
#[must_use]
pub fn dispute_detail(id: &str, status: DisputeStatus) -> Words {
    let status = status.as_str();
    Words::new(format!("le litige {id} est à l'état {status}"), format!("dispute {id} is {status}"))
}
