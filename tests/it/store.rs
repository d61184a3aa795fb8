//! The store as its callers see it.

use crate::harness::{TestDatabase, on_each_engine};

on_each_engine! {
    a_fresh_database_answers_and_has_the_first_offer,
}

async fn a_fresh_database_answers_and_has_the_first_offer(db: TestDatabase) {
    db.store.ready().await.unwrap();
    let mut tx = db.store.read().await.unwrap();
    let offers = tx.offers().await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(offers.len(), 1);
    let offer = &offers[0];
    assert_eq!((offer.name.as_str(), offer.price.amount, offer.capacity), ("Séance", 6000, 1));
    assert_eq!(offer.price.currency.as_str(), "eur");
    assert!(offer.active);
}
