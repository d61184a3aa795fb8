//! The shapes of what is sent and answered.

use domain::booking::Status;
use domain::payment::Outcome;
use domain::role::Role;
use serde_json::{Map, Value, json};

/// Every schema, by name.
pub(super) fn schemas() -> Value {
    let mut all = Map::new();
    let mut add = |name: &str, schema: Value| all.insert(name.to_owned(), schema);

    add("BookingStatus", words(Status::ALL.map(Status::as_str)));
    add("Outcome", words(Outcome::ALL.map(Outcome::as_str)));
    add("Role", words(Role::ALL.map(Role::as_str)));
    add(
        "Problem",
        object(&[
            ("type", text()),
            ("title", text()),
            ("status", integer()),
            ("detail", text()),
            ("error", text()),
            ("message", text()),
            ("requestId", text()),
            ("details?", list(object(&[("path", text()), ("message", text())]))),
            ("refund?", reference("RefundIntent")),
        ]),
    );
    add("Done", object(&[("status", text())]));
    add("Health", object(&[("status", words(["ok", "unavailable"])), ("db?", text()), ("reason?", text())]));
    add("Document", json!({ "type": "object" }));

    add(
        "CheckoutRequest",
        object(&[
            ("firstName", text()),
            ("lastName", text()),
            ("email", json!({ "type": "string", "format": "email" })),
            ("date", json!({ "type": "string", "format": "date" })),
            ("time", json!({ "type": "string", "pattern": "^[0-9]{2}:[0-9]{2}$" })),
            ("offer?", uuid()),
        ]),
    );
    add("CheckoutStarted", object(&[("url", text()), ("stripeSessionId", text()), ("bookingId", uuid())]));
    add("CheckoutStatus", object(&[("status", reference("BookingStatus"))]));
    add("StripeEvent", json!({ "type": "object", "description": "An event as Stripe sends it." }));
    add("Acknowledgement", object(&[("received", boolean()), ("outcome", reference("Outcome"))]));

    let booking = [
        ("id", uuid()),
        ("code", code()),
        ("status", reference("BookingStatus")),
        ("firstName", text()),
        ("lastName", text()),
        ("email", text()),
        ("date", text()),
        ("time", text()),
        ("startsAt", moment()),
        ("offerId", uuid()),
        ("amount", minor_units()),
        ("currency", text()),
        ("seat", or_null(integer())),
        ("stripeSessionId", or_null(text())),
        ("paymentIntentId", or_null(text())),
        ("amountPaid", minor_units()),
        ("amountRefunded", minor_units()),
        ("paidAt", or_null(moment())),
        ("holdExpiresAt", moment()),
        ("cancelledAt", or_null(moment())),
        ("cancelReason", or_null(text())),
        ("refunds", list(object(&[("id", text()), ("amount", minor_units()), ("status", text())]))),
        (
            "disputes",
            list(object(&[
                ("id", text()),
                ("amount", minor_units()),
                ("currency", text()),
                ("status", text()),
                ("dueBy", or_null(moment())),
            ])),
        ),
        ("createdAt", moment()),
        ("updatedAt", moment()),
    ];
    add("Booking", object(&booking));
    add("BookingList", page("Booking"));
    let timeline = list(reference("TimelineEntry"));
    add("BookingWithTimeline", object(&[&booking[..], &[("timeline", timeline)]].concat()));

    let entry = [
        ("id", uuid()),
        ("stripeEventId", or_null(text())),
        ("type", text()),
        ("stripeSessionId", or_null(text())),
        ("bookingId", or_null(uuid())),
        ("outcome", reference("Outcome")),
        ("reason", or_null(text())),
        ("source", text()),
        ("deliveries", integer()),
        ("receivedAt", moment()),
        ("lastDeliveredAt", moment()),
        ("processedAt", or_null(moment())),
        ("nextTryAt", or_null(moment())),
    ];
    add("LedgerEntry", object(&entry));
    add("LedgerList", page("LedgerEntry"));
    add("TimelineEntry", object(&[&entry[..], &[("message", or_null(text()))]].concat()));

    let give_back = json!({ "anyOf": [words(["all", "none"]), minor_units()] });
    add("CancelRequest", object(&[("refund?", give_back), ("reason?", text())]));
    add(
        "CancelAnswer",
        object(&[("booking", reference("Booking")), ("refund", or_null(reference("RefundIntent")))]),
    );
    add("ReleaseRequest", object(&[("address?", text()), ("email?", text())]));
    add(
        "Released",
        object(&[
            ("released", list(uuid())),
            ("kept", list(object(&[("bookingId", uuid()), ("reason", text())]))),
            ("more", boolean()),
        ]),
    );
    add("RefundRequest", object(&[("amount?", minor_units())]));
    add(
        "RefundAnswer",
        object(&[("refund", reference("RefundIntent")), ("booking", or_null(reference("Booking")))]),
    );
    add(
        "RefundIntent",
        object(&[
            ("id", text()),
            ("state", text()),
            ("amount", minor_units()),
            ("currency", text()),
            ("paymentIntentId", text()),
            ("stripeRefundId", or_null(text())),
            ("refusal", or_null(text())),
            ("requestedBy", text()),
            ("createdAt", moment()),
        ]),
    );
    add(
        "Story",
        object(&[
            ("bookingId", uuid()),
            ("lang", words(["fr", "en"])),
            ("summary", text()),
            ("steps", list(json!({ "type": "object" }))),
            ("lines", list(text())),
        ]),
    );
    add("ReconcileRequest", object(&[("sinceHours?", integer()), ("dryRun?", boolean())]));
    let terms = [
        ("name", text()),
        ("amount", minor_units()),
        ("currency", text()),
        ("capacity", integer()),
        ("active", boolean()),
        ("grid", list(text())),
        ("durationMinutes?", integer()),
        ("stepMinutes?", or_null(integer())),
        ("resource?", or_null(text())),
    ];
    let made = [("id", uuid()), ("createdAt", moment()), ("updatedAt", moment())];
    add("OfferTerms", object(&terms));
    add("Offer", object(&[&terms[..], &made[..], &[("warning?", reference("OfferWarning"))]].concat()));
    let overfull = [("date", text()), ("time", text()), ("seatsTaken", integer())];
    let warning = [("message", text()), ("count", integer()), ("slots", list(object(&overfull)))];
    add("OfferWarning", object(&warning));
    // Everybody sees the first five; the rest is for an ADMIN.
    let listed = [
        ("id", uuid()),
        ("name", text()),
        ("amount", minor_units()),
        ("currency", text()),
        ("durationMinutes", integer()),
        ("capacity?", integer()),
        ("active?", boolean()),
        ("grid?", list(text())),
        ("stepMinutes?", or_null(integer())),
        ("resource?", or_null(text())),
        ("createdAt?", moment()),
        ("updatedAt?", moment()),
    ];
    add("ListedOffer", object(&listed));
    add("OfferList", page("ListedOffer"));
    let slot = object(&[("time", text()), ("startsAt", moment()), ("seatsLeft", integer())]);
    let day = object(&[("date", json!({ "type": "string", "format": "date" })), ("slots", list(slot))]);
    add("FreeSlots", object(&[("timezone", text()), ("days", list(day))]));
    let openings = || list(json!({ "type": "string", "description": "Such as 09:00-12:00." }));
    let week: Vec<(String, Value)> =
        domain::hours::Week::DAYS.iter().map(|day| (format!("{day}?"), openings())).collect();
    let week: Vec<(&str, Value)> = week.iter().map(|(day, schema)| (day.as_str(), schema.clone())).collect();
    let date = || json!({ "type": "string", "format": "date" });
    add(
        "Calendar",
        object(&[
            ("weekly?", or_null(object(&week))),
            ("closed?", list(object(&[("from", date()), ("to?", date()), ("note?", text())]))),
            ("holidays?", or_null(words(["FR", "FR-AM"]))),
            ("noticeMinutes?", or_null(integer())),
            ("horizonDays?", or_null(integer())),
            ("bookingsOnClosedDays?", integer()),
        ]),
    );

    let words_or_link = || {
        or_null(json!({ "type": "string", "description": "A text, or one link that begins with https://." }))
    };
    let business = [
        ("name", or_null(json!({ "type": "string", "maxLength": domain::business::NAME_CHARS }))),
        ("address", or_null(json!({ "type": "string", "maxLength": domain::business::ADDRESS_CHARS }))),
        ("phone", or_null(json!({ "type": "string", "maxLength": domain::business::PHONE_CHARS }))),
        ("email", or_null(json!({ "type": "string", "format": "email" }))),
        ("accent", or_null(json!({ "type": "string", "pattern": "^#[0-9a-f]{6}$" }))),
        ("mailLang", or_null(words(["fr", "en"]))),
        ("terms", words_or_link()),
        ("cancellation", words_or_link()),
        ("privacy", words_or_link()),
        ("legal", words_or_link()),
    ];
    let logo = [
        ("url", text()),
        ("type", words(["image/png", "image/jpeg", "image/webp"])),
        ("width", integer()),
        ("height", integer()),
        ("bytes", integer()),
    ];
    let answered = [("logo", or_null(object(&logo))), ("missing", list(text()))];
    add("Business", object(&[&business[..], &answered[..]].concat()));
    let sent = json!({
        "type": "string", "contentEncoding": "base64",
        "description": "A PNG, JPEG or WebP image that does not move, of at most 64 KiB and 2048 pixels a side; a \
                        data: URL is taken too. null removes the logo. Left out, or as it was answered: it stays.",
    });
    let optional: Vec<(String, Value)> =
        business[1..].iter().map(|(name, schema)| (format!("{name}?"), schema.clone())).collect();
    let optional: Vec<(&str, Value)> =
        optional.iter().map(|(name, schema)| (name.as_str(), schema.clone())).collect();
    let required = [("name", json!({ "type": "string", "maxLength": domain::business::NAME_CHARS }))];
    add("BusinessSettings", object(&[&required[..], &optional[..], &[("logo?", or_null(sent))]].concat()));

    add("Credentials", object(&[("email", text()), ("password", text())]));
    let person = [("id", uuid()), ("email", text()), ("role", reference("Role"))];
    add("SignedIn", object(&[("user", object(&person))]));
    add("User", object(&[&person[..], &[("active", boolean()), ("createdAt", moment())]].concat()));
    add("UserAnswer", object(&[("user", reference("User"))]));
    add("UserList", page("User"));
    add("NewUser", object(&[("email", text()), ("password", new_password()), ("role", reference("Role"))]));
    add("NewRole", object(&[("role", reference("Role"))]));
    add("NewPassword", object(&[("password", new_password())]));
    add("EndedSessions", object(&[("ended", integer())]));
    add(
        "AuditRecord",
        object(&[
            ("id", uuid()),
            ("at", moment()),
            ("actor", text()),
            ("action", text()),
            ("subject", text()),
            ("detail", text()),
            ("requestId", or_null(text())),
        ]),
    );
    add("AuditList", page("AuditRecord"));
    add(
        "Metrics",
        object(&[
            (
                "webhook",
                object(&[
                    ("received", integer()),
                    ("duplicates", integer()),
                    ("errors", integer()),
                    ("outcomes", json!({ "type": "object", "additionalProperties": integer() })),
                    ("secretsLastUsed", list(or_null(moment()))),
                ]),
            ),
            ("runtime", object(&[("uptimeSeconds", integer()), ("http5xx", integer()), ("version", text())])),
        ]),
    );
    Value::Object(all)
}

/// An object with exactly these members; a name that ends in `?` may be missing.
fn object(members: &[(&str, Value)]) -> Value {
    let name = |name: &str| name.trim_end_matches('?').to_owned();
    let properties: Map<String, Value> =
        members.iter().map(|(member, schema)| (name(member), schema.clone())).collect();
    let required: Vec<&str> =
        members.iter().map(|(member, _)| *member).filter(|member| !member.ends_with('?')).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn page(item: &str) -> Value {
    let meta = object(&[("count", integer()), ("next", or_null(text()))]);
    object(&[("items", list(reference(item))), ("meta", meta)])
}

fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn or_null(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

fn words<const N: usize>(words: [&str; N]) -> Value {
    json!({ "type": "string", "enum": &words[..] })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn uuid() -> Value {
    json!({ "type": "string", "format": "uuid" })
}

fn code() -> Value {
    json!({ "type": "string", "pattern": "^[2-9A-HJKMNP-TV-Z]{6}$", "description": "What people call the booking by." })
}

fn moment() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn integer() -> Value {
    json!({ "type": "integer" })
}

fn boolean() -> Value {
    json!({ "type": "boolean" })
}

fn minor_units() -> Value {
    json!({ "type": "integer", "description": "In minor units of the currency." })
}

fn new_password() -> Value {
    json!({ "type": "string", "minLength": 8, "description": "At most 72 bytes, and not a common one." })
}
