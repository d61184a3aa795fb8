//! Who may have a connection, when there are more than places.
//!
//! A stranger who opens thousands and says nothing must keep nobody else out. So nobody has more than a
//! share, and whoever has kept us waiting longest makes room: of the same address if its share is full, of
//! the address that has most if all places are. What is being answered is never closed. If everything is
//! being answered, a last few places are left for deliveries and for whoever asks whether we live.

use super::MAX_CONNECTIONS;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// Places that only deliveries and health checks get.
pub const RESERVE: usize = 256;
/// The most places of one address (IPv6: its /64). An office behind one address needs some dozens.
pub const SHARE: usize = 1024;

/// The connections that there are.
#[derive(Debug)]
pub(super) struct Places {
    began: Instant,
    /// Addresses are told apart only where they are the clients' own, and not a proxy's.
    by_address: bool,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    places: HashMap<u64, Entry>,
    counts: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Entry {
    address: IpAddr,
    state: Arc<PlaceState>,
}

#[derive(Debug, Default)]
struct PlaceState {
    /// Since when the peer has kept us waiting, in milliseconds since the start, plus one; 0 while it is
    /// we who work.
    waiting_since: AtomicU64,
    leave: Notify,
}

/// A connection's place. Dropped, it is free.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    id: u64,
    state: Arc<PlaceState>,
    reserved: bool,
}

impl Places {
    /// `by_address` unless all connections come from a proxy.
    pub(super) fn new(by_address: bool) -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), by_address, taken: Mutex::default() })
    }

    /// A place for a connection from `address`, if need be that of somebody who kept us waiting.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let share_is_full = self.by_address && taken.counts.get(&address).is_some_and(|n| *n >= SHARE);
        if share_is_full && !taken.make_room(Some(address)) {
            return None;
        }
        let mut reserved = false;
        if taken.places.len() >= MAX_CONNECTIONS - RESERVE {
            let greediest = taken.counts.iter().max_by_key(|(_, n)| **n).map(|(address, _)| *address);
            let from = greediest.filter(|_| self.by_address);
            if !taken.make_room(from) && !taken.make_room(None) {
                reserved = true;
            }
        }
        if taken.places.len() >= MAX_CONNECTIONS {
            return None;
        }
        let id = taken.next;
        taken.next += 1;
        let state = Arc::new(PlaceState::default());
        state.waiting_since.store(self.now(), Ordering::Relaxed);
        taken.places.insert(id, Entry { address, state: state.clone() });
        *taken.counts.entry(address).or_default() += 1;
        Some(Place { places: self.clone(), id, state, reserved })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

impl Taken {
    /// Ends the connection, of this address or of any, whose peer has kept us waiting longest.
    fn make_room(&mut self, address: Option<IpAddr>) -> bool {
        let waiting = self.places.iter().filter_map(|(id, entry)| {
            let since = entry.state.waiting_since.load(Ordering::Relaxed);
            let fits = address.is_none_or(|address| entry.address == address);
            (since > 0 && fits).then_some((since, *id))
        });
        let Some((_, id)) = waiting.min() else { return false };
        if let Some(entry) = self.remove(id) {
            entry.state.leave.notify_one();
        }
        true
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.places.remove(&id)?;
        if let Some(count) = self.counts.get_mut(&entry.address) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&entry.address);
            }
        }
        Some(entry)
    }
}

impl Place {
    /// Whether only deliveries and health checks are answered here.
    pub(super) fn is_reserved(&self) -> bool {
        self.reserved
    }

    /// Comes when somebody else needs the place more.
    pub(super) async fn wanted(&self) {
        self.state.leave.notified().await;
    }

    /// What tells whether the peer or we are at work.
    pub(super) fn turn(&self) -> Turn {
        Turn { places: self.places.clone(), state: self.state.clone() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(self.id);
    }
}

/// Whose turn it is on a connection.
#[derive(Debug, Clone)]
pub(super) struct Turn {
    places: Arc<Places>,
    state: Arc<PlaceState>,
}

impl Turn {
    /// The request is whole: what takes time now is ours.
    pub(super) fn ours(&self) {
        self.state.waiting_since.store(0, Ordering::Relaxed);
    }

    /// We wait for the peer, from now on or as long as we have waited already.
    pub(super) fn theirs(&self) {
        let now = self.places.now();
        let _ = self.state.waiting_since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u16) -> IpAddr {
        let [high, low] = n.to_be_bytes();
        IpAddr::from([10, 0, high, low])
    }

    fn is_told_to_leave(place: &Place) -> bool {
        let wanted = std::pin::pin!(place.wanted());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        wanted.poll(&mut context).is_ready()
    }

    #[test]
    fn one_address_has_a_share_and_its_longest_silent_one_makes_room() {
        let places = Places::new(true);
        let held: Vec<Place> = (0..SHARE).map(|_| places.take(address(1)).unwrap()).collect();
        held[1..].iter().for_each(|place| place.turn().ours());
        let more = places.take(address(1)).unwrap();
        assert!(is_told_to_leave(&held[0]) && held[1..].iter().all(|place| !is_told_to_leave(place)));
        more.turn().ours();
        assert!(places.take(address(1)).is_none(), "all that it has is being answered");
        assert!(!places.take(address(2)).unwrap().is_reserved());
    }

    #[test]
    fn when_all_are_taken_who_has_most_makes_room() {
        let places = Places::new(true);
        let mut held = vec![places.take(address(9)).unwrap()];
        for n in 1..MAX_CONNECTIONS - RESERVE {
            held.push(places.take(address(u16::try_from(n % 4).unwrap())).unwrap());
        }
        let more = places.take(address(7)).unwrap();
        assert!(!more.is_reserved() && !is_told_to_leave(&held[0]), "the one of a small client stays");
        assert_eq!(held.iter().filter(|place| is_told_to_leave(place)).count(), 1);
    }

    #[test]
    fn behind_a_proxy_no_address_has_a_share() {
        let places = Places::new(false);
        let held: Vec<Place> = (0..2 * SHARE).map(|_| places.take(address(1)).unwrap()).collect();
        assert!(held.iter().all(|place| !is_told_to_leave(place)));
    }

    #[test]
    fn when_all_are_being_answered_the_last_places_are_for_deliveries() {
        let places = Places::new(false);
        let mut held = Vec::new();
        for n in 0..MAX_CONNECTIONS {
            let place = places.take(address(1)).unwrap();
            place.turn().ours();
            assert_eq!(place.is_reserved(), n >= MAX_CONNECTIONS - RESERVE, "{n}");
            held.push(place);
        }
        assert!(places.take(address(2)).is_none());
        held.pop();
        assert!(places.take(address(2)).unwrap().is_reserved());
    }

    #[test]
    fn waiting_counts_from_its_beginning() {
        let places = Places::new(true);
        let place = places.take(address(1)).unwrap();
        let since = || place.state.waiting_since.load(Ordering::Relaxed);
        let begin = since();
        place.turn().theirs();
        assert_eq!(since(), begin);
        place.turn().ours();
        assert_eq!(since(), 0);
        place.turn().theirs();
        assert!(since() >= begin);
    }
}
