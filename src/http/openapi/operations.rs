//! What each route does, takes and answers.

use serde_json::{Value, json};

/// The groups, in the order in which a reader needs them.
pub(super) const TAGS: [(&str, &str); 9] = [
    ("checkout", "A customer books and pays."),
    ("bookings", "What was booked, and what Stripe said about it."),
    ("cases", "What a person has to look at."),
    ("offers", "What can be booked."),
    ("settings", "Who sells here."),
    ("accounts", "Who may sign in, and who is signed in."),
    ("operation", "Whether it runs, and how."),
    ("stripe", "What Stripe calls."),
    ("pages", "Pages for people: forms that work without script."),
];

/// Status, meaning, and the schema's name: none for an empty body, `text` for a plain one.
type Answer = (u16, &'static str, Option<&'static str>);

/// What a route does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    pub(super) tag: &'static str,
    /// Empty: nobody has described it.
    pub(super) summary: &'static str,
    /// Names that [`parameter`] knows.
    pub(super) parameters: &'static [&'static str],
    /// The JSON body's schema.
    pub(super) body: Option<&'static str>,
    /// Whether it goes without one.
    pub(super) body_is_optional: bool,
    pub(super) media_type: &'static str,
    pub(super) answers: &'static [Answer],
}

impl Operation {
    const fn new(tag: &'static str, summary: &'static str, answers: &'static [Answer]) -> Self {
        Self {
            tag,
            summary,
            parameters: &[],
            body: None,
            body_is_optional: false,
            media_type: "application/json",
            answers,
        }
    }

    const fn takes(self, parameters: &'static [&'static str]) -> Self {
        Self { parameters, ..self }
    }

    const fn body(self, schema: &'static str) -> Self {
        Self { body: Some(schema), ..self }
    }

    const fn may_have(self, schema: &'static str) -> Self {
        Self { body_is_optional: true, ..self.body(schema) }
    }

    const fn text(self) -> Self {
        Self { media_type: "text/plain", ..self }
    }

    const fn csv(self) -> Self {
        Self { media_type: "text/csv", ..self }
    }

    /// A page for people.
    pub(super) const fn page() -> Self {
        const ANSWERS: &[Answer] =
            &[(200, "The page.", Some("text")), (303, "The way to another page.", None)];
        Self {
            media_type: "text/html",
            ..Self::new("pages", "A page, or a form's way to the next one.", ANSWERS)
        }
    }
}

const PAGE: [&str; 2] = ["limit", "next"];

/// What a route does, if it is described.
pub(super) fn operation(method: &str, path: &str) -> Operation {
    match (method, path) {
        ("POST", "/create-checkout-session" | "/api/bookings") => Operation::new(
            "checkout",
            "Hold a slot and open Stripe's payment page",
            &[
                (200, "The payment page's address.", Some("CheckoutStarted")),
                (
                    409,
                    "The slot is taken, the booking is paid, or a request with this key is in flight.",
                    Some("Problem"),
                ),
                (415, "The body is not application/json.", Some("Problem")),
                (422, "The Idempotency-Key was used with another body.", Some("Problem")),
                (429, "Too many tries from this address.", Some("Problem")),
                (503, "A backup was restored and not reconciled yet, or Stripe does not answer.", Some("Problem")),
            ],
        )
        .takes(&["Idempotency-Key"])
        .body("CheckoutRequest"),
        ("GET", "/api/checkout/{session}") => Operation::new(
            "checkout",
            "How a checkout stands",
            &[(200, "Its state.", Some("CheckoutStatus"))],
        ),
        ("GET", "/reservations" | "/api/bookings") => Operation::new(
            "bookings",
            "List bookings, newest first",
            &[(200, "A page.", Some("BookingList"))],
        )
        .takes(&["limit", "next", "status", "date", "email", "offer"]),
        ("GET", "/api/bookings/{id}") => Operation::new(
            "bookings",
            "Show a booking with its timeline",
            &[(200, "The booking.", Some("BookingWithTimeline"))],
        ),
        ("GET", "/api/bookings.csv") => Operation::new(
            "bookings",
            "Download the bookings whose slots lie in a month, as CSV",
            &[(200, "One line for each, sent as it is read.", Some("text"))],
        )
        .takes(&["month"])
        .csv(),
        ("GET", "/api/payments.csv") => Operation::new(
            "bookings",
            "Download what came in and went out in a month, as CSV",
            &[(200, "One line for each movement, sent as it is read.", Some("text"))],
        )
        .takes(&["month"])
        .csv(),
        ("GET", "/payments") => Operation::new(
            "bookings",
            "List the ledger, newest first",
            &[(200, "A page.", Some("LedgerList"))],
        )
        .takes(&["limit", "next", "outcome", "type", "bookingId", "stripeSessionId"]),
        ("GET", "/api/bookings/{id}/explain") => Operation::new(
            "bookings",
            "Tell the whole story of a booking, in words",
            &[(200, "The story.", Some("Story"))],
        )
        .takes(&["lang"]),
        ("POST", "/api/bookings/{id}/refund") => Operation::new(
            "bookings",
            "Give a payment back, whole or in part",
            &[
                (200, "Stripe took or refused it.", Some("RefundAnswer")),
                (202, "It is under way: the same request tells how it stands.", Some("RefundAnswer")),
                (409, "Nothing is left to refund, or Stripe refused.", Some("Problem")),
                (422, "More than is left, or the key was used with another amount.", Some("Problem")),
            ],
        )
        .takes(&["Idempotency-Key"])
        .may_have("RefundRequest"),
        ("POST", "/api/bookings/{id}/cancel") => Operation::new(
            "bookings",
            "Cancel a booking: an unpaid one after its session is expired at Stripe, a paid one with all, a part or nothing given back",
            &[
                (200, "It is off, and its seat free.", Some("CancelAnswer")),
                (202, "It is off; the refund is under way: the same request tells how it stands.", Some("CancelAnswer")),
                (
                    409,
                    "It is paid and refund is missing, disputed, opening, cancelled already in another way, or it is off and Stripe refused the refund.",
                    Some("Problem"),
                ),
                (422, "More than is left.", Some("Problem")),
            ],
        )
        .may_have("CancelRequest"),
        ("POST", "/api/holds/release") => Operation::new(
            "bookings",
            "Release all unpaid bookings of one client address, e-mail address or mail domain, each at Stripe first",
            &[(200, "What was released, and what not.", Some("Released"))],
        )
        .body("ReleaseRequest"),
        ("GET", "/api/events/{id}") => Operation::new(
            "bookings",
            "Show one event of the ledger",
            &[(200, "The event.", Some("TimelineEntry"))],
        ),
        ("POST", "/api/events/{id}/replay") => Operation::new(
            "bookings",
            "Judge an event again; with dryRun only say what would change",
            &[
                (200, "What changed, or would.", Some("Document")),
                (409, "Its payload is gone.", Some("Problem")),
            ],
        )
        .takes(&["dryRun"]),
        ("POST", "/api/reconcile") => Operation::new(
            "operation",
            "Ask Stripe for what was missed and apply it",
            &[
                (200, "What was found.", Some("Document")),
                (503, "There is more: ask again.", Some("Problem")),
            ],
        )
        .takes(&["dryRun"])
        .body("ReconcileRequest"),
        ("GET", "/api/cases") => {
            Operation::new("cases", "List cases", &[(200, "A page.", Some("Document"))]).takes(&PAGE)
        }
        ("GET", "/api/cases/{id}") => Operation::new(
            "cases",
            "Show a case with its safe actions",
            &[(200, "The case.", Some("Document"))],
        ),
        ("POST", "/api/cases/{id}/{action}") => Operation::new(
            "cases",
            "Take one of a case's safe actions; those that move money are for ADMIN",
            &[
                (200, "The case as it is now.", Some("Document")),
                (409, "It is closed, or the action does not fit.", Some("Problem")),
            ],
        ),
        ("GET", "/api/offers") => Operation::new(
            "offers",
            "List what can be booked, oldest first; an ADMIN who is signed in sees every offer and member",
            &[(200, "All of them.", Some("OfferList")), (429, "Too many looks.", Some("Problem"))],
        ),
        ("GET", "/api/slots") => Operation::new(
            "offers",
            "Show what can be booked now, day by day",
            &[
                (200, "The days from the first to the last.", Some("FreeSlots")),
                (400, "A date is missing or wrong, or there are more than 62 days.", Some("Problem")),
                (404, "No offer that can be booked has this id.", Some("Problem")),
                (429, "Too many looks.", Some("Problem")),
            ],
        )
        .takes(&["offer", "from", "to"]),
        ("GET", "/api/hours") => Operation::new(
            "offers",
            "When the house is open: weekly hours, closing days, public holidays, notice, horizon",
            &[(200, "Its calendar.", Some("Calendar"))],
        ),
        ("PUT", "/api/hours") => Operation::new(
            "offers",
            "Set when the house is open; bookings on days that it closes stay, and are counted",
            &[
                (200, "Its calendar.", Some("Calendar")),
                (400, "Hours overlap, or cannot be read.", Some("Problem")),
            ],
        )
        .body("Calendar"),
        ("GET", "/api/offers/{id}/hours") => Operation::new(
            "offers",
            "When an offer has hours, closing days, notice or horizon of its own",
            &[(200, "Its calendar.", Some("Calendar"))],
        ),
        ("PUT", "/api/offers/{id}/hours") => Operation::new(
            "offers",
            "Set an offer's own hours; what is null is as the house has it",
            &[
                (200, "Its calendar.", Some("Calendar")),
                (400, "Hours overlap, or cannot be read.", Some("Problem")),
            ],
        )
        .body("Calendar"),
        ("GET", "/api/settings/business") => Operation::new(
            "settings",
            "Who sells here: name, logo, colour, address, texts, and what is missing of what customers must be told",
            &[(200, "The business; null is what is not set.", Some("Business"))],
        ),
        ("PUT", "/api/settings/business") => Operation::new(
            "settings",
            "Set who sells here, all of it; a logo that is not mentioned, or as it was answered, stays",
            &[
                (200, "The business.", Some("Business")),
                (400, "A member cannot be used.", Some("Problem")),
                (413, "The body is over 512 KiB.", Some("Problem")),
            ],
        )
        .body("BusinessSettings"),
        ("POST", "/api/offers") => {
            Operation::new("offers", "Make an offer", &[(201, "The offer.", Some("Offer"))])
                .body("OfferTerms")
        }
        ("GET", "/api/offers/{id}") => {
            Operation::new("offers", "Show an offer", &[(200, "The offer.", Some("Offer"))])
        }
        ("PUT" | "PATCH", "/api/offers/{id}") => Operation::new(
            "offers",
            "Change an offer: PUT gives every member, PATCH those that change",
            &[(200, "The offer.", Some("Offer"))],
        )
        .body("OfferTerms"),
        ("POST", "/webhook") => Operation::new(
            "stripe",
            "Take an event",
            &[
                (200, "It is on disk, or not for us.", Some("Acknowledgement")),
                (400, "The signature does not fit.", Some("Problem")),
                (413, "The body is over 1 MiB.", Some("Problem")),
                (429, "Too many deliveries from this address failed verification.", Some("Problem")),
                (500, "It could not be applied or stored: send it again.", Some("Problem")),
            ],
        )
        .body("StripeEvent"),
        ("POST", "/auth/login") => Operation::new(
            "accounts",
            "Sign in",
            &[
                (200, "Signed in; sets the cookie sid.", Some("SignedIn")),
                (401, "Identifiants invalides, whatever was wrong.", Some("Problem")),
                (429, "Too many failures.", Some("Problem")),
            ],
        )
        .body("Credentials"),
        ("POST", "/auth/logout") => {
            Operation::new("accounts", "Sign out", &[(200, "The session has ended.", Some("Done"))])
        }
        ("GET", "/auth/me") => {
            Operation::new("accounts", "Who is signed in", &[(200, "The person.", Some("SignedIn"))])
        }
        ("GET", "/api/users") => {
            Operation::new("accounts", "List accounts", &[(200, "Everybody.", Some("UserList"))])
        }
        ("POST", "/api/users") => Operation::new(
            "accounts",
            "Make an account",
            &[
                (201, "The account.", Some("UserAnswer")),
                (409, "There is an account with this address.", Some("Problem")),
            ],
        )
        .body("NewUser"),
        ("POST", "/api/users/{id}/role") => Operation::new(
            "accounts",
            "Change what somebody may do, from the next request on",
            &[
                (200, "The account.", Some("UserAnswer")),
                (409, "It is the last active ADMIN.", Some("Problem")),
            ],
        )
        .body("NewRole"),
        ("POST", "/api/users/{id}/password") => Operation::new(
            "accounts",
            "Set a new password and end the account's sessions",
            &[(200, "Done.", Some("Done"))],
        )
        .body("NewPassword"),
        ("POST", "/api/users/{id}/disable") => Operation::new(
            "accounts",
            "Let nobody sign in with the account, and end its sessions",
            &[
                (200, "The account.", Some("UserAnswer")),
                (409, "It is the last active ADMIN.", Some("Problem")),
            ],
        ),
        ("POST", "/api/users/{id}/enable") => Operation::new(
            "accounts",
            "Let the account's owner sign in again",
            &[(200, "The account.", Some("UserAnswer"))],
        ),
        ("POST", "/api/users/{id}/sign-out") => Operation::new(
            "accounts",
            "End all sessions of an account",
            &[(200, "How many there were.", Some("EndedSessions"))],
        ),
        ("GET", "/api/audit") => {
            Operation::new("accounts", "Who did what, newest first", &[(200, "A page.", Some("AuditList"))])
                .takes(&PAGE)
        }
        ("GET", "/admin/metrics") => {
            Operation::new("operation", "Numbers since the start", &[(200, "The numbers.", Some("Metrics"))])
        }
        ("GET", "/metrics") => Operation::new(
            "operation",
            "The same and more for Prometheus",
            &[(200, "Prometheus' text format.", Some("text"))],
        )
        .text(),
        ("GET", "/health") => Operation::new(
            "operation",
            "Whether the next webhook would be recorded",
            &[(200, "It would.", Some("Health")), (503, "It would not, and why.", Some("Health"))],
        ),
        ("GET", "/livez") => {
            Operation::new("operation", "Whether the process lives", &[(200, "It does.", Some("Health"))])
        }
        ("GET", "/readyz") => Operation::new(
            "operation",
            "Whether it can serve: database, schema, not stopping",
            &[(200, "It can.", Some("Health")), (503, "It cannot, and why.", Some("Health"))],
        ),
        ("GET", "/openapi.json") => {
            Operation::new("operation", "This document", &[(200, "OpenAPI 3.1.", Some("Document"))])
        }
        _ => Operation::new("operation", "", &[]),
    }
}

/// A parameter of a query or a header.
pub(super) fn parameter(name: &str) -> Value {
    let (place, text, schema) = match name {
        "Idempotency-Key" => (
            "header",
            "For 24 hours the same key and body get the same answer.",
            json!({ "type": "string", "minLength": 1, "maxLength": 255 }),
        ),
        "limit" => ("query", "Rows of a page.", json!({ "type": "integer", "minimum": 1, "maximum": 100 })),
        "next" => ("query", "meta.next of the page before.", json!({ "type": "string" })),
        "status" => ("query", "Only this status.", json!({ "$ref": "#/components/schemas/BookingStatus" })),
        "outcome" => ("query", "Only this outcome.", json!({ "$ref": "#/components/schemas/Outcome" })),
        "date" => ("query", "Only this day.", json!({ "type": "string", "format": "date" })),
        "email" => ("query", "Only this customer.", json!({ "type": "string" })),
        "offer" => ("query", "Only this offer's.", json!({ "type": "string", "format": "uuid" })),
        "month" => {
            ("query", "The month, as YYYY-MM.", json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$" }))
        }
        "from" => ("query", "The first day.", json!({ "type": "string", "format": "date" })),
        "to" => {
            ("query", "The last day, at most 61 days later.", json!({ "type": "string", "format": "date" }))
        }
        "bookingId" => ("query", "Only this booking's.", json!({ "type": "string", "format": "uuid" })),
        "stripeSessionId" => ("query", "Only this session's.", json!({ "type": "string" })),
        "lang" => ("query", "Of the words: fr or en.", json!({ "type": "string", "enum": ["fr", "en"] })),
        "dryRun" => ("query", "Change nothing.", json!({ "type": "boolean" })),
        "type" => ("query", "Only events of this kind.", json!({ "type": "string" })),
        _ => ("query", "", json!({ "type": "string" })),
    };
    json!({ "name": name, "in": place, "description": text, "required": false, "schema": schema })
}
