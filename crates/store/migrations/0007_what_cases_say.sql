-- What a case says in figures, for French pages. Null: of a case that was opened before.
alter table cases add column detail_fr text;

-- A bank may dispute in its customer's currency. Null: not told, so taken for the payment's.
alter table disputes add column currency text;

-- The payment whose charge told `charge_refunded`: that of a payment which paid nothing here takes nothing back.
alter table bookings add column charge_intent_id key_text;
