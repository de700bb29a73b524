//! Limits connections. Clients that have presented the token have slots of their own; all others share a pool. If that
//! is full, a new connection replaces the longest-waiting client of the network that holds the most slots.
//!
//! Connections without a valid token therefore only displace each other.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Maximum number of connections that have not presented the token.
pub(super) const STRANGERS: usize = 64;
/// Maximum number of connections that have.
pub(super) const KNOWN: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Seats(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// By number, so that the first one has waited longest.
    strangers: BTreeMap<u64, Stranger>,
    known: usize,
}

#[derive(Debug)]
struct Stranger {
    from: IpAddr,
    leave: Arc<Notify>,
}

/// A connection's slot, until dropped. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Guest(Arc<Seat>);

#[derive(Debug)]
struct Seat {
    number: u64,
    peer: IpAddr,
    leave: Arc<Notify>,
    known: Mutex<bool>,
    seats: Arc<Seats>,
}

/// One IPv6 host can use a whole /64 of addresses.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

impl Seats {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot for a new connection. It always gets one; another may be closed for it.
    pub fn take(self: &Arc<Self>, peer: IpAddr) -> Guest {
        let mut table = self.table();
        let (number, leave) = (table.next, Arc::new(Notify::new()));
        table.next += 1;
        table.strangers.insert(number, Stranger { from: network(peer), leave: leave.clone() });
        if table.strangers.len() > STRANGERS {
            table.send_one_away();
        }
        drop(table);
        Guest(Arc::new(Seat {
            number,
            peer: peer.to_canonical(),
            leave,
            known: Mutex::new(false),
            seats: self.clone(),
        }))
    }
}

impl Table {
    fn send_one_away(&mut self) {
        let mut crowds: BTreeMap<IpAddr, (usize, u64)> = BTreeMap::new();
        for (number, stranger) in &self.strangers {
            crowds.entry(stranger.from).or_insert((0, *number)).0 += 1;
        }
        // Among equally large networks, the one whose first connection has waited longest.
        let largest = crowds.values().max_by_key(|(size, oldest)| (*size, std::cmp::Reverse(*oldest)));
        if let Some(gone) = largest.and_then(|(_, oldest)| self.strangers.remove(oldest)) {
            gone.leave.notify_one();
        }
    }
}

impl Guest {
    pub fn peer(&self) -> IpAddr {
        self.0.peer
    }

    /// Resolves once this connection must be closed.
    pub async fn sent_away(&self) {
        self.0.leave.notified().await;
    }

    /// The token was presented. False if too many have done so already, or if this connection has been told to close
    /// meanwhile.
    pub fn welcome(&self) -> bool {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if *known {
            return true;
        }
        let mut table = self.0.seats.table();
        if table.known >= KNOWN || table.strangers.remove(&self.0.number).is_none() {
            return false;
        }
        table.known += 1;
        *known = true;
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let known = *self.known.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut table = self.seats.table();
        match known {
            true => table.known -= 1,
            false => drop(table.strangers.remove(&self.number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(guest: &Guest) -> bool {
        !guest.0.seats.table().strangers.contains_key(&guest.0.number)
    }

    #[test]
    fn a_crowd_displaces_itself_only() {
        let seats = Arc::new(Seats::default());
        let friend = seats.take([10, 0, 0, 1].into());
        let mut crowd: Vec<Guest> = (0..500).map(|_| seats.take([10, 0, 0, 66].into())).collect();
        assert!(!gone(&friend));
        assert_eq!(crowd.iter().filter(|guest| gone(guest)).count(), 500 - (STRANGERS - 1));
        assert!(gone(&crowd[0]) && !gone(&crowd[499]), "the oldest goes first");
        // A host with a whole network of addresses counts as one.
        crowd.extend((0..500).map(|host| seats.take(Ipv6Addr::new(0xfd00, 0, 0, 1, 0, 0, 0, host).into())));
        assert!(!gone(&friend) && friend.welcome());
        assert!(crowd.iter().filter(|guest| guest.peer().is_ipv4()).any(|guest| !gone(guest)), "each has its half");
        drop(crowd);
        assert!(seats.table().strangers.is_empty());
        assert_eq!(seats.table().known, 1);
        drop(friend);
        assert_eq!(seats.table().known, 0);
    }

    #[test]
    fn the_known_are_not_sent_away_and_not_endless() {
        let seats = Arc::new(Seats::default());
        let known: Vec<Guest> = (0..KNOWN).map(|_| seats.take([10, 0, 0, 1].into())).collect();
        assert!(known.iter().all(|guest| guest.welcome() && guest.welcome()));
        let one_more = seats.take([10, 0, 0, 1].into());
        assert!(!one_more.welcome());
        drop(known);
        assert!(one_more.welcome());
        let late = seats.take([10, 0, 0, 1].into());
        let crowd: Vec<Guest> = (0..STRANGERS).map(|_| seats.take([10, 0, 0, 1].into())).collect();
        assert!(gone(&late) && !late.welcome(), "who was sent away stays away");
        drop(crowd);
    }

    #[tokio::test]
    async fn who_is_sent_away_hears_it() {
        let seats = Arc::new(Seats::default());
        let first = seats.take([10, 0, 0, 1].into());
        let _crowd: Vec<Guest> = (0..STRANGERS).map(|_| seats.take([10, 0, 0, 1].into())).collect();
        first.sent_away().await;
    }
}
