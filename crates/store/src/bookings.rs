//! Bookings with their seats, refunds and disputes.

use super::engine::{Rows, Write, json_array};
use super::page::{Cursor, Page, PageRequest};
use super::row::{BookingRow, DisputeRow, RefundRow, booking_columns, parse};
use super::{StoreError, Tx};
use clock::Timestamp;
use domain::booking::{Booking, Dispute, Refund, Status};
use domain::code::Code;
use domain::ids::{BookingId, OfferId, SessionId};
use domain::lang::Lang;
use domain::offer::Offer;
use domain::reconcile;
use domain::reserve::Seats;
use domain::slot::Slot;
use sqlx::AssertSqlSafe;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// What a checkout needs to know of a booking beside the booking itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckoutState {
    /// Where the customer pays, while the session is open.
    pub session_url: Option<String>,
    /// How many times Stripe definitely refused to make a session.
    pub attempt: i32,
    /// The hash of the browser cookie that it was made with.
    pub owner_hash: Option<String>,
    /// The customer's language.
    pub lang: Lang,
}

/// Where a look-up by something of Stripe's led.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Handle {
    /// A checkout session.
    Session(String),
    /// A payment intent.
    Intent(String),
    /// A refund.
    Refund(String),
    /// A dispute.
    Dispute(String),
}

/// Which bookings a list shows.
#[derive(Debug, Clone, Default)]
pub struct BookingFilter {
    /// Only in this status.
    pub status: Option<Status>,
    /// Only for this date, `YYYY-MM-DD`.
    pub date: Option<String>,
    /// Only of this customer.
    pub email: Option<String>,
    /// Only of this offer.
    pub offer: Option<OfferId>,
    /// Only of customers whose name or address holds this text, however it is capitalised, or whose booking has it
    /// for its code.
    pub who: Option<String>,
}

/// What a decision changed, with refunds and disputes. [`StoreError::Overtaken`] if a booking is gone.
pub fn save<'a>(bookings: &[&'a Booking]) -> [Write<'a>; 3] {
    let open = |booking: &Booking| booking.status() == Status::Pending;
    let unpaid = |booking: &Booking| matches!(booking.status(), Status::Pending | Status::Processing);
    let has_history = |booking: &Booking| {
        !(booking.refunds.is_empty() && booking.disputes.is_empty() && booking.cases.is_empty())
    };
    let themselves = Rows::of(bookings.iter().copied())
        .text("id", |booking| booking.id.to_string())
        .text("status", |booking| booking.status().as_str())
        .integer("seat", |booking| booking.seat)
        .text_or_null("stripe_session_id", |booking| booking.session.as_ref().map(|id| id.as_str()))
        .text_or_null("paid_session_id", |booking| booking.payment().map(|paid| paid.session.as_str()))
        .text_or_null("payment_intent_id", |booking| Some(booking.payment()?.intent.as_ref()?.as_str()))
        .bigint_or_null("paid_amount", |booking| booking.payment().map(|paid| paid.amount))
        .bigint_or_null("paid_at", |booking| booking.payment().map(|paid| paid.at.as_micros()))
        .bigint("charge_refunded", |booking| booking.charge_refunded)
        .text_or_null("charge_intent_id", |booking| booking.charge_intent.as_ref().map(|id| id.as_str()))
        .bigint_or_null("cancelled_at", |booking| Some(booking.cancelled.as_ref()?.at.as_micros()))
        .text_or_null("cancel_reason", |booking| Some(booking.cancelled.as_ref()?.reason.as_str()))
        .boolean("has_history", |booking| Some(has_history(booking)))
        .bigint("updated_at", |booking| booking.updated_at.as_micros())
        // Stripe is still to be asked about it.
        .boolean("unpaid", |booking| Some(unpaid(booking)))
        // Its session can still be paid.
        .boolean("open", |booking| Some(open(booking)))
        .bigint_or_null("check_at", |booking| {
            reconcile::check_after_change(booking).map(Timestamp::as_micros)
        })
        .each_written_by(
            "update bookings set status = r.status, seat = r.seat,
                 seat_version = case when r.seat is null then null when bookings.seat is not null then seat_version
                     else (select o.capacity_version from offers o where o.id = bookings.offer_id) end,
                 stripe_session_id = r.stripe_session_id,
                 paid_session_id = r.paid_session_id, payment_intent_id = r.payment_intent_id,
                 paid_amount = r.paid_amount, paid_at = r.paid_at, charge_refunded = r.charge_refunded,
                 charge_intent_id = r.charge_intent_id,
                 cancelled_at = r.cancelled_at, cancel_reason = r.cancel_reason,
                 has_history = r.has_history,
                 updated_at = case when r.updated_at > bookings.created_at then r.updated_at
                     else bookings.created_at end,
                 session_url = case when r.open then session_url end,
                 next_check_at = case when r.unpaid then coalesce(next_check_at, r.check_at)
                     else r.check_at end
             from {r} where bookings.id = r.id",
        );
    let bookings = bookings.iter().copied();
    let refunds = bookings
        .clone()
        .flat_map(|booking| booking.refunds.iter().map(move |refund| History::of_refund(booking, refund)));
    let disputes = bookings.flat_map(|booking| {
        booking.disputes.iter().map(move |dispute| History::of_dispute(booking, dispute))
    });
    [
        themselves,
        save_history("refunds", &["payment_intent_id", "amount", "status"], refunds),
        save_history("disputes", &["payment_intent_id", "amount", "currency", "status", "due_by"], disputes),
    ]
}

/// Has sessions closed at Stripe from `now` on, because nobody waits for them; each with its booking, sorted.
pub fn close_later<'a>(sessions: &'a [(SessionId, BookingId)], now: Timestamp) -> Write<'a> {
    Rows::of(sessions)
        .text("session_id", |(session, _)| session.as_str())
        .text("booking_id", |(_, booking)| booking.to_string())
        .bigint("at", |_| now.as_micros())
        .written_by(
            "insert into sessions_to_close (session_id, booking_id, next_try_at, created_at)
             select r.session_id, r.booking_id, r.at, r.at from {r} where true on conflict (session_id) do nothing",
        )
}

/// New refunds or disputes, and of known ones what differs in the `changing` columns. Whose it is and which it is
/// never change: the column takes no null, so the database refuses one that another instance has just recorded for
/// another booking, and it is judged again.
fn save_history<'a>(table: &str, changing: &[&str], history: impl Iterator<Item = History<'a>>) -> Write<'a> {
    let set: Vec<_> = changing.iter().map(|name| format!("{name} = excluded.{name}")).collect();
    let watched = changing.iter().chain(&["booking_id"]);
    let differs: Vec<_> =
        watched.map(|name| format!("{table}.{name} is distinct from excluded.{name}")).collect();
    let (names, set, differs) = (changing.join(", "), set.join(", "), differs.join(" or "));
    Rows::of(history)
        .text("id", |one| one.id)
        .text("booking_id", |one| one.booking.id.to_string())
        .text_or_null("payment_intent_id", |one| one.intent)
        .bigint("amount", |one| one.amount)
        .text_or_null("currency", |one| one.currency)
        .text("status", |one| one.status)
        .bigint_or_null("due_by", |one| one.due_by)
        .bigint("at", |one| one.booking.updated_at.as_micros())
        .written_by(format!(
            "insert into {table} (id, booking_id, {names}, created_at, updated_at)
             select id, booking_id, {names}, at, at from {{r}} where true
             on conflict (id) do update set {set}, updated_at = case
                 when excluded.updated_at > {table}.created_at then excluded.updated_at else {table}.created_at end,
                 booking_id = case when {table}.booking_id = excluded.booking_id then excluded.booking_id end
             where {differs}"
        ))
}

impl Tx {
    /// Stores a new booking with its seat. `false` if the seat was taken in the meantime, or the slot is full:
    /// nothing was stored then, and the transaction can go on. The slot is to be locked by [`Tx::lock_slot`];
    /// this asks again so that the database itself refuses what a caller should not have tried.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn insert_booking(
        &mut self,
        booking: &Booking,
        owner_hash: Option<&str>,
        lang: Lang,
        next_check_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let inserted = on_engine!(self, conn => sqlx::query(
            "insert into bookings (id, offer_id, first_name, last_name, email, slot_date, slot_time, starts_at,
                 amount, currency, status, seat, hold_expires_at, attempt, charge_refunded, has_history,
                 owner_hash, lang, next_check_at, created_at, updated_at, code, duration_minutes, seat_version)
             select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 1, 0, $14, $15, $16, $17, $18, $18, $19,
                 o.duration_minutes, case when $12 is not null then o.capacity_version end
             from offers o where o.id = $2 and ($12 is null or o.capacity > (
                 select count(*) from bookings b
                 where b.offer_id = $2 and b.slot_date = $6 and b.slot_time = $7 and b.seat is not null))
             on conflict do nothing")
            .bind(booking.id.to_string())
            .bind(booking.offer.to_string())
            .bind(&booking.customer.first_name)
            .bind(&booking.customer.last_name)
            .bind(&booking.customer.email)
            .bind(booking.slot.date().to_string())
            .bind(booking.slot.time_text())
            .bind(booking.starts_at.as_micros())
            .bind(booking.price.amount)
            .bind(booking.price.currency.as_str())
            .bind(booking.status().as_str())
            .bind(booking.seat)
            .bind(booking.hold_expires_at.as_micros())
            .bind(false)
            .bind(owner_hash)
            .bind(lang.as_str())
            .bind(next_check_at.as_micros())
            .bind(booking.created_at.as_micros())
            .bind(booking.code.as_str())
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(inserted == 1)
    }

    /// The booking that people call by this code.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn booking_by_code(&mut self, code: Code) -> Result<Option<BookingId>, StoreError> {
        let id: Option<String> = on_engine!(self, conn => sqlx::query_scalar(
            "select id from bookings where code = $1")
            .bind(code.as_str())
            .fetch_optional(conn)
            .await)?;
        id.map(|id| parse("bookings.id", &id, |text| BookingId::parse(text).ok())).transpose()
    }

    /// How long a booking takes, in minutes.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn minutes_of(&mut self, booking: BookingId) -> Result<i32, StoreError> {
        let minutes: Option<i32> = on_engine!(self, conn => sqlx::query_scalar(
            "select coalesce(b.duration_minutes, o.duration_minutes)
             from bookings b join offers o on o.id = b.offer_id where b.id = $1")
            .bind(booking.to_string())
            .fetch_optional(conn)
            .await)?;
        Ok(minutes.unwrap_or(60))
    }

    /// Gives a code to bookings that have none, at most so many. Returns how many there were.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub(super) async fn give_codes(&mut self, most: i64) -> Result<usize, StoreError> {
        let ids: Vec<String> = on_engine!(self, conn => sqlx::query_scalar(
            "select id from bookings where code is null order by id limit $1")
            .bind(most)
            .fetch_all(conn)
            .await)?;
        let mut without = ids
            .iter()
            .map(|id| parse("bookings.id", id, |text| BookingId::parse(text).ok()))
            .collect::<Result<Vec<_>, _>>()?;
        let (mut given, mut used) = (Vec::with_capacity(without.len()), HashSet::new());
        for nth in 0.. {
            if without.is_empty() {
                break;
            }
            let wished: Vec<Code> = without.iter().map(|id| Code::of(*id, nth)).collect();
            let sql = format!("select code from bookings where code {}", self.in_list(1));
            let taken: Vec<String> = on_engine!(self, conn => sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(json_array(&wished))
                .fetch_all(conn)
                .await)?;
            used.extend(taken.iter().filter_map(|code| Code::parse(code)));
            let pairs = without.into_iter().zip(wished);
            let (free, again): (Vec<_>, Vec<_>) = pairs.partition(|(_, code)| used.insert(*code));
            given.extend(free);
            without = again.into_iter().map(|(id, _)| id).collect();
        }
        let write = Rows::of(given.iter())
            .text("id", |(id, _)| id.to_string())
            .text("code", |(_, code)| code.to_string())
            .written_by("update bookings set code = r.code from {r} where bookings.id = r.id and bookings.code is null");
        self.write([write]).await?;
        Ok(ids.len())
    }

    /// An offer as it is now, and the seats of one of its slots, locked: until the transaction ends nobody else
    /// takes a seat of this offer or changes it. Bookings are locked before, never after. None if there is no
    /// such offer.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn lock_slot(
        &mut self,
        offer: OfferId,
        slot: &Slot,
    ) -> Result<Option<(Offer, Seats)>, StoreError> {
        let Some(offer) = self.lock_offer(offer).await? else { return Ok(None) };
        // A statement of its own, after the lock: what others committed while we waited is seen.
        let taken: Vec<i32> = on_engine!(self, conn => sqlx::query_scalar(
            "select seat from bookings
             where offer_id = $1 and slot_date = $2 and slot_time = $3 and seat is not null order by seat")
            .bind(offer.id.to_string())
            .bind(slot.date().to_string())
            .bind(slot.time_text())
            .fetch_all(conn)
            .await)?;
        let seats = Seats { capacity: offer.capacity, taken };
        Ok(Some((offer, seats)))
    }

    /// Unpaid bookings that hold a seat in a slot although their hold is over: Stripe is to be asked.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn lapsed_holds(
        &mut self,
        offer: OfferId,
        slot: &Slot,
        now: Timestamp,
    ) -> Result<Vec<BookingId>, StoreError> {
        let ids: Vec<String> = on_engine!(self, conn => sqlx::query_scalar(
            "select id from bookings
             where offer_id = $1 and slot_date = $2 and slot_time = $3 and seat is not null
               and status = 'en attente' and hold_expires_at <= $4
             order by hold_expires_at limit 20")
            .bind(offer.to_string())
            .bind(slot.date().to_string())
            .bind(slot.time_text())
            .bind(now.as_micros())
            .fetch_all(conn)
            .await)?;
        ids.iter().map(|id| parse("bookings.id", id, |text| BookingId::parse(text).ok())).collect()
    }

    /// The unpaid booking that a browser holds in a slot.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn held_by(
        &mut self,
        owner_hash: &str,
        offer: OfferId,
        slot: &Slot,
    ) -> Result<Option<BookingId>, StoreError> {
        let id: Option<String> = on_engine!(self, conn => sqlx::query_scalar(
            "select id from bookings
             where owner_hash = $1 and offer_id = $2 and slot_date = $3 and slot_time = $4
               and status = 'en attente' and seat is not null
             order by created_at desc limit 1")
            .bind(owner_hash)
            .bind(offer.to_string())
            .bind(slot.date().to_string())
            .bind(slot.time_text())
            .fetch_optional(conn)
            .await)?;
        id.map(|id| parse("bookings.id", &id, |text| BookingId::parse(text).ok())).transpose()
    }

    /// The unpaid bookings for which a browser holds a seat, the oldest first; at most 20.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn holds_of(&mut self, owner_hash: &str) -> Result<Vec<Booking>, StoreError> {
        let ids: Vec<String> = on_engine!(self, conn => sqlx::query_scalar(
            "select id from bookings
             where owner_hash = $1 and status = 'en attente' and seat is not null
             order by created_at, id limit 20")
            .bind(owner_hash)
            .fetch_all(conn)
            .await)?;
        self.load_sorted(&ids, |booking| (booking.created_at, booking.id)).await
    }

    /// The bookings that hold a seat on a date, in the order of their times; at most `limit`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn seats_of_day(&mut self, date: &str, limit: i64) -> Result<Vec<Booking>, StoreError> {
        // The offers are named so that the index of seats serves.
        let ids: Vec<String> = on_engine!(self, conn => sqlx::query_scalar(
            "select id from bookings
             where offer_id in (select id from offers) and slot_date = $1 and seat is not null
             order by slot_time, id limit $2")
            .bind(date)
            .bind(limit)
            .fetch_all(conn)
            .await)?;
        self.load_sorted(&ids, |booking| (booking.slot, booking.id)).await
    }

    /// The last booking that a browser made.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn last_of_owner(&mut self, owner_hash: &str) -> Result<Option<Booking>, StoreError> {
        let id: Option<String> = on_engine!(self, conn => sqlx::query_scalar(
            "select id from bookings where owner_hash = $1 order by created_at desc, id desc limit 1")
            .bind(owner_hash)
            .fetch_optional(conn)
            .await)?;
        match id.map(|id| parse("bookings.id", &id, |text| BookingId::parse(text).ok())).transpose()? {
            Some(id) => self.booking(id).await,
            None => Ok(None),
        }
    }

    /// Keeps the session that Stripe made, only if the booking has none yet; the status is not
    /// touched, because a webhook may have been faster.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn attach_session(
        &mut self,
        booking: BookingId,
        session: &SessionId,
        url: Option<&str>,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "update bookings set stripe_session_id = $2,
                 updated_at = case when $3 > created_at then $3 else created_at end
             where id = $1 and stripe_session_id is null")
            .bind(booking.to_string())
            .bind(session.as_str())
            .bind(now.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        on_engine!(self, conn => sqlx::query(
            "update bookings set session_url = $3, hold_expires_at = $4
             where id = $1 and stripe_session_id = $2 and status = 'en attente'")
            .bind(booking.to_string())
            .bind(session.as_str())
            .bind(url)
            .bind(expires_at.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Stripe definitely refused the last attempt: the next one gets a new idempotency key.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn next_attempt(
        &mut self,
        booking: BookingId,
        refused: i32,
        hold_expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "update bookings set attempt = attempt + 1, hold_expires_at = $3
             where id = $1 and attempt = $2 and stripe_session_id is null")
            .bind(booking.to_string())
            .bind(refused)
            .bind(hold_expires_at.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Has a session closed at Stripe from `at` on, because nobody waits for it.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn close_later(
        &mut self,
        session: &SessionId,
        booking: BookingId,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "insert into sessions_to_close (session_id, booking_id, next_try_at, created_at)
             values ($1, $2, $3, $4) on conflict (session_id) do nothing")
            .bind(session.as_str())
            .bind(booking.to_string())
            .bind(at.as_micros())
            .bind(now.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Sessions that are due to be closed, put off by `lease`; at most `limit`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn take_sessions_to_close(
        &mut self,
        now: Timestamp,
        lease: Duration,
        limit: i64,
    ) -> Result<Vec<SessionId>, StoreError> {
        let sql = format!(
            "update sessions_to_close set next_try_at = $2
             where session_id in (select session_id from sessions_to_close where next_try_at <= $1
                                  order by next_try_at limit $3 {})
             returning session_id",
            self.for_update_skip_locked()
        );
        let ids: Vec<String> = on_engine!(self, conn => sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(now.as_micros())
            .bind(now.plus(lease).as_micros())
            .bind(limit)
            .fetch_all(conn)
            .await)?;
        ids.iter()
            .map(|id| parse("sessions_to_close.session_id", id, |text| SessionId::parse(text).ok()))
            .collect()
    }

    /// A session can not be paid any more.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn session_is_closed(&mut self, session: &SessionId) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query("delete from sessions_to_close where session_id = $1")
            .bind(session.as_str())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// What a checkout needs to know of a booking.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn checkout_state(&mut self, booking: BookingId) -> Result<Option<CheckoutState>, StoreError> {
        let row: Option<(Option<String>, i32, Option<String>, String)> = on_engine!(self, conn =>
            sqlx::query_as("select session_url, attempt, owner_hash, lang from bookings where id = $1")
                .bind(booking.to_string())
                .fetch_optional(conn)
                .await)?;
        row.map(|(session_url, attempt, owner_hash, lang)| {
            let lang = parse("bookings.lang", &lang, Lang::parse)?;
            Ok(CheckoutState { session_url, attempt, owner_hash, lang })
        })
        .transpose()
    }

    /// A booking with all that is known of its money.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn booking(&mut self, id: BookingId) -> Result<Option<Booking>, StoreError> {
        Ok(self.load_bookings(&[id.to_string()], "").await?.pop())
    }

    /// Several bookings, in the order of their ids. Unknown ids are left out.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn bookings(&mut self, ids: &[BookingId]) -> Result<Vec<Booking>, StoreError> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        self.load_bookings(&ids, "").await
    }

    /// Bookings with all that is known of their money, locked until the end of the transaction, in
    /// the order of their ids so that two transactions never wait for each other. Unknown ids are
    /// left out.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn lock_bookings(&mut self, ids: &[BookingId]) -> Result<Vec<Booking>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let lock = self.for_update();
        self.load_bookings(&ids, lock).await
    }

    /// The same without waiting for anybody: bookings that somebody else has locked are told by their
    /// ids instead.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn lock_free_bookings(
        &mut self,
        ids: &[BookingId],
    ) -> Result<(Vec<Booking>, Vec<BookingId>), StoreError> {
        if ids.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let lock = self.for_update_skip_locked();
        let free = self.load_bookings(&texts, lock).await?;
        let missing: Vec<BookingId> =
            ids.iter().filter(|id| !free.iter().any(|booking| booking.id == **id)).copied().collect();
        if missing.is_empty() {
            return Ok((free, missing));
        }
        let sql = format!("select id from bookings where id {}", self.in_list(1));
        let known: Vec<String> = on_engine!(self, conn => sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(json_array(&missing))
            .fetch_all(conn)
            .await)?;
        let busy = missing.into_iter().filter(|id| known.contains(&id.to_string())).collect();
        Ok((free, busy))
    }

    pub(super) async fn load_sorted<K: Ord>(
        &mut self,
        ids: &[String],
        key: impl Fn(&Booking) -> K,
    ) -> Result<Vec<Booking>, StoreError> {
        let mut bookings = self.load_bookings(ids, "").await?;
        bookings.sort_by_key(key);
        Ok(bookings)
    }

    async fn load_bookings(&mut self, ids: &[String], lock: &str) -> Result<Vec<Booking>, StoreError> {
        let sql = format!(
            concat!("select ", booking_columns!(), " from bookings where id {} order by id {}"),
            self.in_list(1),
            lock
        );
        let rows: Vec<BookingRow> = on_engine!(self, conn => sqlx::query_as(AssertSqlSafe(sql))
            .bind(json_array(ids))
            .fetch_all(conn)
            .await)?;
        let with_history: Vec<String> =
            rows.iter().filter(|row| row.has_history).map(|row| row.id.clone()).collect();
        let mut bookings = rows.into_iter().map(BookingRow::into_booking).collect::<Result<Vec<_>, _>>()?;
        if !with_history.is_empty() {
            self.load_history(&with_history, &mut bookings).await?;
        }
        Ok(bookings)
    }

    async fn load_history(&mut self, ids: &[String], bookings: &mut [Booking]) -> Result<(), StoreError> {
        let ids = json_array(ids);
        let list = self.in_list(1);
        let refunds: Vec<RefundRow> = on_engine!(self, conn => sqlx::query_as(AssertSqlSafe(format!(
            "select id, booking_id, payment_intent_id, amount, status from refunds
             where booking_id {list} order by created_at, id")))
            .bind(&ids)
            .fetch_all(conn)
            .await)?;
        let disputes: Vec<DisputeRow> = on_engine!(self, conn => sqlx::query_as(AssertSqlSafe(format!(
            "select id, booking_id, payment_intent_id, amount, currency, status, due_by from disputes
             where booking_id {list} order by created_at, id")))
            .bind(&ids)
            .fetch_all(conn)
            .await)?;
        let cases = self.known_cases(&ids).await?;
        let mut by_id: HashMap<String, &mut Booking> =
            bookings.iter_mut().map(|booking| (booking.id.to_string(), booking)).collect();
        for row in refunds {
            if let Some(booking) = by_id.get_mut(&row.booking_id) {
                booking.refunds.push(row.into_refund()?);
            }
        }
        for row in disputes {
            if let Some(booking) = by_id.get_mut(&row.booking_id) {
                booking.disputes.push(row.into_dispute()?);
            }
        }
        for (booking_id, case) in cases {
            if let Some(booking) = by_id.get_mut(&booking_id) {
                booking.cases.push(case);
            }
        }
        Ok(())
    }

    /// Which bookings these sessions, payments, refunds and disputes belong to.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn bookings_by_handle(
        &mut self,
        handles: &[Handle],
    ) -> Result<HashMap<Handle, BookingId>, StoreError> {
        type Lookup = (fn(&Handle) -> Option<&String>, fn(String) -> Handle, &'static str);
        const LOOKUPS: [Lookup; 6] = [
            (
                session_of,
                Handle::Session,
                "select $0, stripe_session_id, id from bookings where stripe_session_id",
            ),
            // A payment keeps its session even if a later attempt replaced the booking's own.
            (
                session_of,
                Handle::Session,
                "select $0, stripe_session_id, booking_id from payment_events
                 where applied_payment and stripe_session_id",
            ),
            (
                intent_of,
                Handle::Intent,
                "select $0, payment_intent_id, id from bookings where payment_intent_id",
            ),
            (
                intent_of,
                Handle::Intent,
                "select $0, payment_intent_id, booking_id from cases where payment_intent_id",
            ),
            (refund_of, Handle::Refund, "select $0, id, booking_id from refunds where id"),
            (dispute_of, Handle::Dispute, "select $0, id, booking_id from disputes where id"),
        ];
        // All in one statement: a batch waits for each of its answers.
        let (mut selects, mut keys) = (Vec::new(), Vec::new());
        for (n, (kind, _, select)) in LOOKUPS.iter().enumerate() {
            let of_kind: Vec<&String> = handles.iter().filter_map(kind).collect();
            if !of_kind.is_empty() {
                keys.push(json_array(&of_kind));
                selects.push(format!(
                    "{} {}",
                    select.replace("$0", &n.to_string()),
                    self.in_list(keys.len())
                ));
            }
        }
        if selects.is_empty() {
            return Ok(HashMap::new());
        }
        let mut rows: Vec<(i32, String, Option<String>)> = on_engine!(self, conn => {
            let mut query = sqlx::query_as(AssertSqlSafe(selects.join(" union all ")));
            for keys in &keys {
                query = query.bind(keys);
            }
            query.fetch_all(conn).await
        })?;
        // Of several that know a key, the first of the list above is right.
        rows.sort_by_key(|(n, ..)| *n);
        let mut found = HashMap::new();
        for (n, key, id) in rows {
            let handle =
                usize::try_from(n).ok().and_then(|n| LOOKUPS.get(n)).map(|(_, handle, _)| handle(key));
            // A case may not know its booking.
            if let (Some(handle), Some(id)) = (handle, id) {
                let id = parse("booking id", &id, |text| BookingId::parse(text).ok())?;
                found.entry(handle).or_insert(id);
            }
        }
        Ok(found)
    }

    /// Bookings, newest first. Refunds, disputes and cases are included.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_bookings(
        &mut self,
        filter: &BookingFilter,
        page: &PageRequest,
    ) -> Result<Page<Booking>, StoreError> {
        let who = filter.who.as_deref().map(holds).unwrap_or_default();
        let ids: Vec<String> = on_engine!(self, conn => sqlx::query_scalar(
            "select id from bookings
             where id < $1
               and ($2 = '' or status = $2) and ($3 = '' or slot_date = $3)
               and ($4 = '' or lower(email) = lower($4)) and ($5 = '' or offer_id = $5)
               and ($7 = '' or lower(first_name || ' ' || last_name) like $8 escape '!'
                    or first_name || ' ' || last_name like $7 escape '!' or lower(email) like $8 escape '!'
                    or code = $9)
             order by id desc limit $6")
            .bind(page.below())
            .bind(filter.status.map_or("", Status::as_str))
            .bind(filter.date.as_deref().unwrap_or(""))
            .bind(filter.email.as_deref().unwrap_or(""))
            .bind(filter.offer.map(|offer| offer.to_string()).unwrap_or_default())
            .bind(page.fetch())
            .bind(&who)
            // Besides as it was typed: SQLite's lower() leaves É as it is.
            .bind(who.to_lowercase())
            .bind(filter.who.as_deref().and_then(Code::parse).map(|code| code.to_string()).unwrap_or_default())
            .fetch_all(conn)
            .await)?;
        let page = page.finish(ids, |id| Cursor(id.clone()));
        let items = self.load_sorted(&page.items, |booking| std::cmp::Reverse(booking.id)).await?;
        Ok(Page { items, next: page.next })
    }
}

/// The pattern of what holds this text.
fn holds(text: &str) -> String {
    let mut pattern = "%".to_owned();
    for c in text.chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern + "%"
}

fn session_of(handle: &Handle) -> Option<&String> {
    if let Handle::Session(id) = handle { Some(id) } else { None }
}
fn intent_of(handle: &Handle) -> Option<&String> {
    if let Handle::Intent(id) = handle { Some(id) } else { None }
}
fn refund_of(handle: &Handle) -> Option<&String> {
    if let Handle::Refund(id) = handle { Some(id) } else { None }
}
fn dispute_of(handle: &Handle) -> Option<&String> {
    if let Handle::Dispute(id) = handle { Some(id) } else { None }
}

/// A refund or a dispute, as its table has it.
#[derive(Clone, Copy)]
struct History<'a> {
    booking: &'a Booking,
    id: &'a str,
    intent: Option<&'a str>,
    amount: i64,
    /// Of a dispute only: a refund is in the payment's.
    currency: Option<&'a str>,
    status: &'a str,
    /// Of a dispute only.
    due_by: Option<i64>,
}

impl<'a> History<'a> {
    fn of_refund(booking: &'a Booking, refund: &'a Refund) -> Self {
        Self {
            booking,
            id: refund.id.as_str(),
            intent: refund.intent.as_ref().map(|id| id.as_str()),
            amount: refund.amount,
            currency: None,
            status: refund.status.as_str(),
            due_by: None,
        }
    }

    fn of_dispute(booking: &'a Booking, dispute: &'a Dispute) -> Self {
        Self {
            booking,
            id: dispute.id.as_str(),
            intent: dispute.intent.as_ref().map(|id| id.as_str()),
            amount: dispute.amount,
            currency: dispute.currency.as_deref(),
            status: dispute.status.stored(),
            due_by: dispute.due_by.map(Timestamp::as_micros),
        }
    }
}
