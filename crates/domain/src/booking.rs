//! A booking and its states.

use super::Fault;
use super::case::KnownCase;
use super::code::Code;
use super::ids::{BookingId, DisputeId, OfferId, PaymentIntentId, RefundId, SessionId};
use super::money::Money;
use super::slot::{Slot, SlotError};
use clock::Timestamp;
use jiff::tz::TimeZone;
use std::fmt;

/// What the database and the API say of a booking. These texts never change with a language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// The slot is held until the session expires.
    Pending,
    /// A delayed payment method was used; the slot stays held.
    Processing,
    /// A verified fact says that it is paid.
    Paid,
    /// The session ended without a payment.
    Expired,
    /// The delayed payment failed.
    Failed,
    /// An ADMIN cancelled it before it was paid.
    Cancelled,
    /// A part was paid back.
    PartiallyRefunded,
    /// All was paid back.
    Refunded,
    /// A dispute is open or lost.
    Disputed,
}

impl Status {
    /// Every status, in the order of the contract.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Processing,
        Self::Paid,
        Self::Expired,
        Self::Failed,
        Self::Cancelled,
        Self::PartiallyRefunded,
        Self::Refunded,
        Self::Disputed,
    ];

    /// The domain text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "en attente",
            Self::Processing => "en traitement",
            Self::Paid => "payé",
            Self::Expired => "expiré",
            Self::Failed => "échoué",
            Self::Cancelled => "annulé",
            Self::PartiallyRefunded => "partiellement remboursé",
            Self::Refunded => "remboursé",
            Self::Disputed => "litige",
        }
    }

    /// From its exact text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Status {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How far the payment has come, before refunds and disputes are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is known but that a session may be open.
    Pending,
    /// The session is complete, the money still on its way.
    Processing,
    /// The session expired.
    Expired,
    /// The money did not come.
    Failed,
    /// Cancelled by an ADMIN.
    Cancelled,
    /// The money came.
    Paid(Payment),
}

/// The one payment that was applied to a booking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// The session that was paid.
    pub session: SessionId,
    /// Its payment intent; none if a discount covered it all.
    pub intent: Option<PaymentIntentId>,
    /// What was paid, in the booking's currency's minor units.
    pub amount: i64,
    /// When we learned it.
    pub at: Timestamp,
}

/// That a person called a booking off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancellation {
    /// When.
    pub at: Timestamp,
    /// Why, in their words; empty if they gave no reason.
    pub reason: String,
}

/// Who booked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// Where the confirmation goes.
    pub email: String,
}

/// A booking with all that is known of its money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booking {
    /// Its id, and the checkout's `client_reference_id`.
    pub id: BookingId,
    /// What people call it by.
    pub code: Code,
    /// What was booked.
    pub offer: OfferId,
    /// Who booked.
    pub customer: Customer,
    /// For when.
    pub slot: Slot,
    /// The slot's beginning.
    pub starts_at: Timestamp,
    /// The price it was made at; later changes of the offer do not touch it.
    pub price: Money,
    /// How far the payment has come.
    pub progress: Progress,
    /// The checkout session that pays or may pay it.
    pub session: Option<SessionId>,
    /// The seat number it holds, from 1 to the offer's capacity.
    pub seat: Option<i32>,
    /// Until when the seat is held while unpaid.
    pub hold_expires_at: Timestamp,
    /// What the charge itself says was refunded; counts only while no refund of the payment is known by id.
    pub charge_refunded: i64,
    /// The payment whose charge says so, if it names one.
    pub charge_intent: Option<PaymentIntentId>,
    /// That a person called it off. One that was paid stays paid: what goes back of that, its refunds say.
    pub cancelled: Option<Cancellation>,
    /// Every refund known, by id.
    pub refunds: Vec<Refund>,
    /// Every dispute known, by id.
    pub disputes: Vec<Dispute>,
    /// All cases ever opened about it, closed ones too.
    pub cases: Vec<KnownCase>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl Booking {
    /// The status: the projection of payment, refunds and disputes.
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.progress {
            Progress::Pending => Status::Pending,
            Progress::Processing => Status::Processing,
            Progress::Expired => Status::Expired,
            Progress::Failed => Status::Failed,
            Progress::Cancelled => Status::Cancelled,
            Progress::Paid(_) => {
                let disputed = |dispute: &Dispute| {
                    dispute.status.holds_the_money() && self.concerns_payment(dispute.intent.as_ref())
                };
                if self.disputes.iter().any(disputed) {
                    Status::Disputed
                } else if self.is_refunded() {
                    Status::Refunded
                } else if self.refunded_amount() > 0 {
                    Status::PartiallyRefunded
                } else {
                    Status::Paid
                }
            }
        }
    }

    /// Whether its seat is its own: while a payment may come, and while the service is owed.
    ///
    /// Who got everything back is owed nothing, even if the same payment is disputed besides: so it
    /// plays no part which of the two we hear of first. Nor is anybody whose paid booking was called off, whatever
    /// went back of it.
    #[must_use]
    pub fn keeps_seat(&self) -> bool {
        match &self.progress {
            Progress::Pending | Progress::Processing => true,
            Progress::Expired | Progress::Failed | Progress::Cancelled => false,
            Progress::Paid(_) => !self.is_refunded() && self.cancelled.is_none(),
        }
    }

    /// Whether it was called off although it is paid.
    #[must_use]
    pub fn is_called_off(&self) -> bool {
        self.payment().is_some() && self.cancelled.is_some()
    }

    /// Whether all of the payment has gone back.
    #[must_use]
    pub fn is_refunded(&self) -> bool {
        let refunded = self.refunded_amount();
        self.payment().is_some_and(|payment| refunded > 0 && refunded >= payment.amount)
    }

    /// The applied payment, if there is one.
    #[must_use]
    pub fn payment(&self) -> Option<&Payment> {
        match &self.progress {
            Progress::Paid(payment) => Some(payment),
            Progress::Pending
            | Progress::Processing
            | Progress::Expired
            | Progress::Failed
            | Progress::Cancelled => None,
        }
    }

    /// Stamps a change. Instances' clocks differ, and a change is never earlier than the one before.
    pub fn touch(&mut self, now: Timestamp) {
        self.updated_at = self.updated_at.max(now);
    }

    /// What has gone back to the customer or is on its way, in minor units.
    ///
    /// As Stripe counts it on a charge: a refund counts from its creation until it fails or is
    /// cancelled. One of more than was paid, told before the payment was, is a case and counts for nothing. The charge's own sum counts only while no refund of the payment is known by
    /// id.
    #[must_use]
    pub fn refunded_amount(&self) -> i64 {
        let mut of_it = self.refunds.iter().filter(|refund| self.is_of_the_payment(refund)).peekable();
        if of_it.peek().is_none() {
            let counts = match &self.charge_intent {
                None => self.refunds.is_empty(),
                Some(intent) => self.concerns_payment(Some(intent)),
            };
            return if counts && self.can_be_of_the_payment(self.charge_refunded) {
                self.charge_refunded
            } else {
                0
            };
        }
        of_it
            .filter(|refund| refund.status.counts())
            .fold(0_i64, |sum, refund| sum.saturating_add(refund.amount))
    }

    /// Whether a refund is one of the payment that counts here, and has not come back.
    #[must_use]
    pub fn counts(&self, refund: &Refund) -> bool {
        self.is_of_the_payment(refund) && refund.status.counts()
    }

    fn is_of_the_payment(&self, refund: &Refund) -> bool {
        self.concerns_payment(refund.intent.as_ref()) && self.can_be_of_the_payment(refund.amount)
    }

    /// Whether so much can go back of what was paid.
    #[must_use]
    pub fn can_be_of_the_payment(&self, amount: i64) -> bool {
        self.payment().is_none_or(|payment| amount <= payment.amount)
    }

    /// Whether something about `intent` is about the payment that counts here: a second payment of
    /// the same booking can be refunded or disputed without touching the first.
    #[must_use]
    pub fn concerns_payment(&self, intent: Option<&PaymentIntentId>) -> bool {
        match (self.payment().and_then(|payment| payment.intent.as_ref()), intent) {
            (Some(paid), Some(named)) => paid == named,
            _ => true,
        }
    }
}

/// One refund of a booking's payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Stripe's id.
    pub id: RefundId,
    /// The payment it gives back.
    pub intent: Option<PaymentIntentId>,
    /// In the payment's minor units.
    pub amount: i64,
    /// How far it has come.
    pub status: RefundStatus,
}

/// A refund's state at Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefundStatus {
    /// On its way. Unknown states count as this.
    Pending,
    /// The customer must say where to send it.
    RequiresAction,
    /// Sent.
    Succeeded,
    /// Cancelled before it was sent.
    Canceled,
    /// Came back; may follow a success.
    Failed,
}

impl RefundStatus {
    /// From Stripe's text. What we do not know is on its way: a later event will say.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "requires_action" => Self::RequiresAction,
            "succeeded" => Self::Succeeded,
            "canceled" => Self::Canceled,
            "failed" => Self::Failed,
            _ => Self::Pending,
        }
    }

    /// As Stripe and the database write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::RequiresAction => "requires_action",
            Self::Succeeded => "succeeded",
            Self::Canceled => "canceled",
            Self::Failed => "failed",
        }
    }

    /// Whether its amount is counted as given back.
    #[must_use]
    pub fn counts(self) -> bool {
        match self {
            Self::Pending | Self::RequiresAction | Self::Succeeded => true,
            Self::Canceled | Self::Failed => false,
        }
    }

    // A later state wins whichever order the events come in: the derived order is that of a
    // refund's life, and failing may follow succeeding but never the reverse.
}

/// One dispute about a booking's payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispute {
    /// Stripe's id.
    pub id: DisputeId,
    /// The payment it is about.
    pub intent: Option<PaymentIntentId>,
    /// In minor units; zero if none was told that can be counted with.
    pub amount: i64,
    /// Its currency as Stripe names it, which need not be the payment's.
    pub currency: Option<String>,
    /// How far it has come.
    pub status: DisputeStatus,
    /// Until when evidence can be sent.
    pub due_by: Option<Timestamp>,
}

/// A dispute's state at Stripe, in the order of its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DisputeStatus {
    /// An inquiry that wants an answer.
    WarningNeedsResponse,
    /// An inquiry that was answered.
    WarningUnderReview,
    /// An inquiry that ended.
    WarningClosed,
    /// Stopped before it became one.
    Prevented,
    /// Wants evidence. Unknown states count as this: a person should look.
    NeedsResponse,
    /// Evidence was sent.
    UnderReview,
    /// The customer got the money.
    Lost,
    /// The decision is contested and wants evidence.
    AppealNeedsResponse,
    /// The contest was answered.
    AppealUnderReview,
    /// The customer got the money, and the contest is over. Stripe says `lost` again; kept apart so that a late
    /// word of the contest does not open it anew.
    LostAppeal,
    /// We keep the money.
    Won,
}

impl DisputeStatus {
    const ALL: [Self; 11] = [
        Self::WarningNeedsResponse,
        Self::WarningUnderReview,
        Self::WarningClosed,
        Self::Prevented,
        Self::NeedsResponse,
        Self::UnderReview,
        Self::Lost,
        Self::AppealNeedsResponse,
        Self::AppealUnderReview,
        Self::LostAppeal,
        Self::Won,
    ];

    /// From Stripe's text. What we do not know wants a person's eyes.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::ALL.into_iter().find(|status| status.as_str() == text).unwrap_or(Self::NeedsResponse)
    }

    /// As Stripe and the API write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WarningNeedsResponse => "warning_needs_response",
            Self::WarningUnderReview => "warning_under_review",
            Self::WarningClosed => "warning_closed",
            Self::Prevented => "prevented",
            Self::NeedsResponse => "needs_response",
            Self::UnderReview => "under_review",
            Self::Lost | Self::LostAppeal => "lost",
            Self::AppealNeedsResponse => "appeal_needs_response",
            Self::AppealUnderReview => "appeal_under_review",
            Self::Won => "won",
        }
    }

    /// As the database writes it.
    #[must_use]
    pub fn stored(self) -> &'static str {
        match self {
            Self::LostAppeal => "lost_appeal",
            _ => self.as_str(),
        }
    }

    /// From the database.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        Self::ALL.into_iter().find(|status| status.stored() == text).unwrap_or(Self::NeedsResponse)
    }

    /// Whether a decision that was against us is contested and not decided again.
    #[must_use]
    pub fn is_contested(self) -> bool {
        matches!(self, Self::AppealNeedsResponse | Self::AppealUnderReview)
    }

    /// Whether the money is in question or gone: an open or lost dispute, not an inquiry, not a won one.
    #[must_use]
    pub fn holds_the_money(self) -> bool {
        match self {
            Self::NeedsResponse
            | Self::UnderReview
            | Self::Lost
            | Self::AppealNeedsResponse
            | Self::AppealUnderReview
            | Self::LostAppeal => true,
            Self::WarningNeedsResponse
            | Self::WarningUnderReview
            | Self::WarningClosed
            | Self::Prevented
            | Self::Won => false,
        }
    }

    /// Whether somebody should answer it before its deadline.
    #[must_use]
    pub fn wants_an_answer(self) -> bool {
        matches!(self, Self::NeedsResponse | Self::AppealNeedsResponse | Self::WarningNeedsResponse)
    }
}

/// What a customer asks for, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBooking {
    /// Who books.
    pub customer: Customer,
    /// For when.
    pub slot: Slot,
    /// The slot's beginning.
    pub starts_at: Timestamp,
    /// What; none means the first active offer.
    pub offer: Option<OfferId>,
}

/// What a customer typed, unchecked. Missing members are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BookingRequest {
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// E-mail address.
    pub email: String,
    /// `YYYY-MM-DD`.
    pub date: String,
    /// `HH:MM`.
    pub time: String,
    /// An offer's id, if one was chosen.
    pub offer: Option<String>,
}

const MAX_NAME_CHARS: usize = 100;
const MAX_EMAIL_BYTES: usize = 254;

impl NewBooking {
    /// Checks a request at `now`, in the business's time zone.
    ///
    /// # Errors
    /// Every fault found, each with the member's name.
    pub fn parse(request: &BookingRequest, zone: &TimeZone, now: Timestamp) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let first_name = name("firstName", &request.first_name, &mut faults);
        let last_name = name("lastName", &request.last_name, &mut faults);
        let email = request.email.trim();
        if email.is_empty() {
            faults.push(required("email"));
        } else if !is_email(email) {
            faults.push(Fault::coded("email", "email", "must be an e-mail address such as name@example.org"));
        } else if mail_address(email).is_none() {
            let text = "must be an e-mail address that every mail server takes: before the @ only letters without \
                        accents, digits and signs, as in name@example.org";
            faults.push(Fault::coded("email", "email", text));
        }
        let date = request.date.trim();
        if date.is_empty() {
            faults.push(required("date"));
        } else if let Err(error) = Slot::parse_date(date) {
            faults.push(slot_fault("date", error));
        }
        let time = request.time.trim();
        if time.is_empty() {
            faults.push(required("time"));
        } else if let Err(error) = Slot::parse_time(time) {
            faults.push(slot_fault("time", error));
        }
        let slot = Slot::parse(date, time).ok().and_then(|slot| match slot.bookable_at(zone, now) {
            Ok(starts_at) => Some((slot, starts_at)),
            Err(error) => {
                let path = if error == SlotError::SkippedByClockChange { "time" } else { "date" };
                faults.push(slot_fault(path, error));
                None
            }
        });
        let offer = request.offer.as_deref().map(str::trim).filter(|offer| !offer.is_empty());
        let offer = offer.and_then(|text| {
            OfferId::parse(text)
                .map_err(|_| {
                    faults.push(Fault::coded("offer", "unknown_offer", "must be the id of an offer"))
                })
                .ok()
        });
        match slot {
            Some((slot, starts_at)) if faults.is_empty() => Ok(Self {
                customer: Customer { first_name, last_name, email: email.to_owned() },
                slot,
                starts_at,
                offer,
            }),
            _ => Err(faults),
        }
    }
}

fn required(path: &str) -> Fault {
    Fault::coded(path, "required", "is required")
}

fn slot_fault(path: &str, error: SlotError) -> Fault {
    let code = match error {
        SlotError::BadDate => "date",
        SlotError::BadTime => "time",
        SlotError::SkippedByClockChange => "skipped",
        SlotError::Past => "past",
    };
    Fault::coded(path, code, error.to_string())
}

fn name(path: &str, text: &str, faults: &mut Vec<Fault>) -> String {
    let text = text.trim();
    if text.is_empty() {
        faults.push(required(path));
    } else if text.chars().count() > MAX_NAME_CHARS {
        faults.push(Fault::coded(path, "too_long", format!("must have at most {MAX_NAME_CHARS} characters")));
    } else if text.chars().any(char::is_control) {
        faults.push(Fault::coded(path, "control", "must not contain control characters"));
    } else if let Some(text) = unseen(text) {
        faults.push(Fault::coded(path, "control", text));
    }
    text.to_owned()
}

/// What is wrong with a text that shows something else than it holds: characters that are not seen or that turn the
/// direction of what stands around them, or nothing to be seen at all. None if nothing is.
#[must_use]
pub fn unseen(text: &str) -> Option<&'static str> {
    let turns = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let hidden = |c: char| {
        matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}'
            | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e00ff}')
    };
    // These join letters or choose their form, in Persian, Hindi or Japanese names: not on their own.
    let shapes = |c: char| matches!(c, '\u{200c}' | '\u{200d}' | '\u{180b}'..='\u{180d}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}');
    let ends_unseen = text.starts_with(shapes) || text.ends_with(['\u{200c}', '\u{200d}']);
    if text.contains(turns) {
        Some("must not contain characters that turn the direction of the text around them")
    } else if text.contains(hidden) || ends_unseen {
        Some("must not contain invisible characters")
    } else if text.chars().all(|c| c.is_whitespace() || shapes(c)) {
        Some("must have something to be seen in it")
    } else {
        None
    }
}

/// The address as every mail server takes it, in ASCII: the host in the form that its name has in the network. None if
/// it has none, as with an accent before the `@`, which only some servers take.
#[must_use]
pub fn mail_address(email: &str) -> Option<String> {
    let (local, host) = email.rsplit_once('@')?;
    let host = idna::domain_to_ascii(host).ok().filter(|host| host.is_ascii() && !host.is_empty())?;
    let address = format!("{local}@{host}");
    (local.is_ascii() && is_email(&address)).then_some(address)
}

/// Enough of an address for mail to be tried: one `@`, something before it, a dotted host after it,
/// no spaces. Whether it exists only a mail can tell.
#[must_use]
pub fn is_email(text: &str) -> bool {
    let Some((local, host)) = text.rsplit_once('@') else { return false };
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c == '-' || c.is_alphanumeric())
    };
    text.len() <= MAX_EMAIL_BYTES
        && (1..=64).contains(&local.len())
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && local.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c))
        && host.contains('.')
        && host.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Booking {
        pub(crate) const SAMPLE_PRICE: i64 = 6000;

        /// One that waits for its payment page, for the tables of the rules.
        pub(crate) fn sample() -> Self {
            let id = BookingId::from(clock::new_id());
            Self {
                id,
                code: crate::code::Code::of(id, 0),
                offer: OfferId::from(clock::new_id()),
                customer: Customer { first_name: "A".into(), last_name: "L".into(), email: "a@b.fr".into() },
                slot: Slot::parse("2027-01-15", "10:00").unwrap(),
                starts_at: Timestamp::from_unix_seconds(1_800_000_000),
                price: Money {
                    amount: Self::SAMPLE_PRICE,
                    currency: crate::money::Currency::parse("eur").unwrap(),
                },
                progress: Progress::Pending,
                session: None,
                seat: Some(1),
                hold_expires_at: Timestamp::from_unix_seconds(1_795_002_100),
                charge_refunded: 0,
                charge_intent: None,
                cancelled: None,
                refunds: Vec::new(),
                disputes: Vec::new(),
                cases: Vec::new(),
                created_at: Timestamp::from_unix_seconds(1_795_000_000),
                updated_at: Timestamp::from_unix_seconds(1_795_000_000),
            }
        }
    }

    fn request() -> BookingRequest {
        BookingRequest {
            first_name: "Ada".into(),
            last_name: "Lovelace".into(),
            email: "ada@example.org".into(),
            date: "2027-01-15".into(),
            time: "10:00".into(),
            offer: None,
        }
    }

    fn faults(request: &BookingRequest) -> Vec<String> {
        let zone = TimeZone::get("Europe/Paris").unwrap();
        let now = Timestamp::from_unix_seconds(1_795_000_000); // 2026-11-18
        match NewBooking::parse(request, &zone, now) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.into_iter().map(|fault| format!("{} {}", fault.path, fault.code)).collect(),
        }
    }

    #[test]
    fn a_complete_request_is_a_booking() {
        let zone = TimeZone::get("Europe/Paris").unwrap();
        let now = Timestamp::from_unix_seconds(1_795_000_000);
        let longest = BookingRequest { last_name: "x".repeat(100), ..request() };
        for request in [request(), longest] {
            let booking = NewBooking::parse(&request, &zone, now).unwrap();
            assert_eq!(booking.customer.last_name, request.last_name);
        }
    }

    #[test]
    fn every_fault_is_named_at_once() {
        assert_eq!(
            faults(&BookingRequest::default()),
            ["firstName required", "lastName required", "email required", "date required", "time required"]
        );
        let hostile = BookingRequest {
            first_name: "\u{1b}[31m".into(),
            last_name: "x".repeat(101),
            email: "ada@localhost".into(),
            date: "2020-01-15".into(),
            time: "10:00".into(),
            offer: Some("seance".into()),
        };
        assert_eq!(
            faults(&hostile),
            ["firstName control", "lastName too_long", "email email", "date past", "offer unknown_offer"]
        );
    }

    #[test]
    fn addresses_are_taken_when_mail_could_reach_them() {
        for good in ["a@b.fr", "ada.lovelace+x@mail.example.org", "élise@exämple.fr", "o'neil@example.ie"] {
            assert!(is_email(good), "{good}");
        }
        for bad in
            ["", "@", "a@", "@b.fr", "a b@c.fr", "a@b", "a@b..fr", ".a@b.fr", "a@-b.fr", "a\r\nBcc:x@b.fr"]
        {
            assert!(!is_email(bad), "{bad:?}");
        }
    }

    #[test]
    fn an_address_is_refused_that_a_mail_server_may_not_take() {
        assert_eq!(mail_address("elise@exämple.org").as_deref(), Some("elise@xn--exmple-cua.org"));
        assert_eq!(mail_address("o'neil+x@example.ie").as_deref(), Some("o'neil+x@example.ie"));
        for bad in ["élise@example.org", "名前@example.jp", "a@xn--a.org", "a", "a@", "a b@example.org"] {
            assert_eq!(mail_address(bad), None, "{bad}");
        }
        let typed = BookingRequest { email: "élise@example.org".into(), ..request() };
        assert_eq!(faults(&typed), ["email email"]);
        let typed = BookingRequest { email: "elise@exämple.org".into(), ..request() };
        assert_eq!(faults(&typed), Vec::<String>::new());
    }

    #[test]
    fn a_name_shows_what_it_holds() {
        for good in [
            "Ada",
            "O'Neil-Müller Jr.",
            "李小龍",
            "محمد",
            "علی\u{200c}رضا",
            "葛\u{e0100}城",
            "שרה",
            "Zoë\u{301}",
            "क्\u{200d}ष",
        ] {
            assert_eq!(unseen(good), None, "{good:?}");
        }
        for bad in [
            "\u{200b}",
            "\u{200b}\u{2060}",
            "Ada\u{202e}gro.elpmaxe",
            "\u{2067}Ada",
            "A\u{200f}da",
            "A\u{ad}da",
            "\u{3164}",
            "\u{2800}",
            "\u{feff}Ada",
            "\u{200d}",
            "Ada\u{200c}",
            "\u{fe0f}",
            "A\u{e0041}",
            "A\u{2028}B",
            "  ",
        ] {
            assert!(unseen(bad).is_some(), "{bad:?}");
        }
        let typed =
            BookingRequest { first_name: "\u{200b}".into(), last_name: "A\u{202e}b".into(), ..request() };
        assert_eq!(faults(&typed), ["firstName control", "lastName control"]);
    }

    #[test]
    fn every_status_keeps_its_exact_text() {
        let texts: Vec<_> = Status::ALL.iter().map(|status| status.as_str()).collect();
        assert_eq!(
            texts,
            [
                "en attente",
                "en traitement",
                "payé",
                "expiré",
                "échoué",
                "annulé",
                "partiellement remboursé",
                "remboursé",
                "litige"
            ]
        );
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
            assert_eq!(status.to_string(), status.as_str());
        }
        assert_eq!(Status::parse("payee"), None);
    }

    #[test]
    fn what_stripe_says_of_refunds_and_disputes_is_read_and_written_in_its_words() {
        use RefundStatus::{Canceled, Failed, Pending, RequiresAction, Succeeded};
        for (status, text) in [
            (Pending, "pending"),
            (RequiresAction, "requires_action"),
            (Succeeded, "succeeded"),
            (Canceled, "canceled"),
            (Failed, "failed"),
        ] {
            assert_eq!((RefundStatus::parse(text), status.as_str()), (status, text));
        }
        assert_eq!(RefundStatus::parse("new"), Pending);
        for status in DisputeStatus::ALL.into_iter().filter(|status| *status != DisputeStatus::LostAppeal) {
            assert_eq!(DisputeStatus::parse(status.as_str()), status);
        }
        assert_eq!(DisputeStatus::parse(DisputeStatus::LostAppeal.as_str()), DisputeStatus::Lost);
        assert_eq!(DisputeStatus::parse("new"), DisputeStatus::NeedsResponse);
    }

    fn paid(amount: i64) -> Booking {
        let at = Timestamp::from_unix_seconds(1_795_000_100);
        let session = SessionId::parse("cs_1").unwrap();
        let intent = PaymentIntentId::parse("pi_1").ok();
        Booking { progress: Progress::Paid(Payment { session, intent, amount, at }), ..Booking::sample() }
    }

    fn refund(intent: &str, amount: i64, status: RefundStatus) -> Refund {
        let id = super::super::ids::RefundId::parse(&format!("re_{intent}_{amount}")).unwrap();
        Refund { id, intent: PaymentIntentId::parse(intent).ok(), amount, status }
    }

    #[test]
    fn what_went_back_is_counted_of_the_payment_that_counts_here() {
        use RefundStatus::{Failed, Pending, Succeeded};
        let (own, other) = ("pi_1", "pi_2");
        for (refunds, charge, charge_intent, sum) in [
            (vec![], 0, None, 0),
            (vec![(own, 1000, Succeeded), (own, 500, Pending)], 0, None, 1500),
            (vec![(own, 1000, Failed)], 0, None, 0),
            (vec![(other, 1000, Succeeded)], 0, None, 0),
            (vec![(own, 6000, Succeeded)], 0, None, 6000),
            (vec![(own, 6001, Succeeded)], 0, None, 0),
            // What the charge says counts while no refund of the payment is known.
            (vec![], 2000, None, 2000),
            (vec![], 2000, Some(own), 2000),
            (vec![], 2000, Some(other), 0),
            (vec![], 6001, Some(own), 0),
            (vec![(own, 1000, Succeeded)], 2000, Some(own), 1000),
            (vec![(own, 1000, Failed)], 2000, Some(own), 0),
            (vec![(other, 1000, Succeeded)], 2000, None, 0),
            (vec![(other, 1000, Succeeded)], 2000, Some(own), 2000),
        ] {
            let told = format!("{refunds:?}, charge {charge} of {charge_intent:?}");
            let counted = refunds
                .iter()
                .map(|(intent, amount, status)| *intent == own && *amount <= 6000 && *status != Failed);
            let counted: Vec<bool> = counted.collect();
            let refunds: Vec<_> =
                refunds.into_iter().map(|(intent, amount, status)| refund(intent, amount, status)).collect();
            let charge_intent = charge_intent.and_then(|intent| PaymentIntentId::parse(intent).ok());
            let booking = Booking { refunds, charge_refunded: charge, charge_intent, ..paid(6000) };
            assert_eq!(booking.refunded_amount(), sum, "{told}");
            assert_eq!(booking.is_refunded(), sum == 6000, "{told}");
            let counts: Vec<_> = booking.refunds.iter().map(|refund| booking.counts(refund)).collect();
            assert_eq!(counts, counted, "{told}");
        }
        assert!(!paid(0).is_refunded(), "nothing was paid, and nothing went back");
        assert!(!Booking { charge_refunded: 6000, ..Booking::sample() }.is_refunded());
    }

    #[test]
    fn a_booking_is_called_off_if_it_is_paid_and_cancelled() {
        let cancelled = Some(Cancellation { at: Timestamp::from_unix_seconds(1), reason: String::new() });
        let off = Booking { cancelled: cancelled.clone(), ..paid(6000) };
        assert!(off.is_called_off() && !off.keeps_seat());
        assert!(!paid(6000).is_called_off() && paid(6000).keeps_seat());
        assert!(!Booking { cancelled, ..Booking::sample() }.is_called_off());
        assert!(!Booking::sample().is_called_off());
    }

    #[test]
    fn a_change_is_never_earlier_than_the_one_before() {
        let mut booking = Booking::sample();
        let before = booking.updated_at;
        booking.touch(before.minus(std::time::Duration::from_secs(1)));
        assert_eq!(booking.updated_at, before);
        let after = before.plus(std::time::Duration::from_secs(1));
        booking.touch(after);
        assert_eq!(booking.updated_at, after);
    }
}
