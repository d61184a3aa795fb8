-- A case's subject in a column of its own, and what was told of it: so a further fact about the subject of a closed
-- case is told from a copy of what a person has seen. Facts are null of a case that was opened before.
alter table cases add column subject key_text;
alter table cases add column facts text;
update cases set subject = substr(case_key, length(kind) + 2);
update cases set subject = substr(case_key, length(kind) + 2, length(case_key) - length(kind) - 9), facts = 'inquiry'
 where kind = 'dispute' and case_key like '%:inquiry';
create index cases_by_subject on cases (subject);

-- Each case shows the refund that was asked for about it.
create index refund_intents_by_case on refund_intents (case_id) where case_id is not null;

-- Two instances whose clocks differ could note a further delivery as earlier than the first.
update payment_events set last_delivered_at = received_at where last_delivered_at < received_at;
