//! What others are told, written in the transaction of the change it tells of.

use super::engine::{Column, Type, json_array};
use super::{StoreError, Tx};
use crate::domain::ids::BookingId;
use crate::domain::payment::Effect;
use crate::domain::time::Timestamp;
use serde::Serialize;
use sqlx::AssertSqlSafe;

impl Tx {
    /// Adds effects; one with a key that is there already is left out.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn push_effects(
        &mut self,
        effects: &[(BookingId, Effect)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            id: String,
            effect_key: &'a str,
            kind: &'a str,
            booking_id: BookingId,
        }
        if effects.is_empty() {
            return Ok(());
        }
        let rows: Vec<Row<'_>> = effects
            .iter()
            .map(|(booking_id, effect)| Row {
                id: uuid::Uuid::now_v7().to_string(),
                effect_key: &effect.key,
                kind: effect.kind.as_str(),
                booking_id: *booking_id,
            })
            .collect();
        let from = self.rows(
            1,
            &[
                Column("id", Type::Text),
                Column("effect_key", Type::Text),
                Column("kind", Type::Text),
                Column("booking_id", Type::Text),
            ],
        );
        on_engine!(self, conn => sqlx::query(AssertSqlSafe(format!(
            "insert into outbox (id, effect_key, kind, booking_id, created_at)
             select id, effect_key, kind, booking_id, $2 from {from} where true
             on conflict (effect_key) do nothing")))
            .bind(json_array(&rows))
            .bind(now.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }
}
