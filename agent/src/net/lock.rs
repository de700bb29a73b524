//! Shuts the network down for good: links go down and stay down, so that nobody can reach the machine.

use super::error::NetError;
use super::netlink::Netlink;
use std::sync::atomic::{AtomicBool, Ordering};

/// For the rest of this boot: a network that was shut down is not started again.
static LOCKED: AtomicBool = AtomicBool::new(false);

/// Whether no network may be set up any more.
pub(super) fn is_locked() -> bool {
    LOCKED.load(Ordering::Acquire)
}

/// Sets every link but the loopback down. Returns the names of those that were up.
pub fn lock_down() -> Result<Vec<String>, NetError> {
    LOCKED.store(true, Ordering::Release);
    let mut netlink = Netlink::open()?;
    let (mut down, mut failed) = (Vec::new(), None);
    for link in netlink.links()?.iter().filter(|link| !link.loopback && link.up) {
        match netlink.set_down(link) {
            Ok(()) => down.push(link.name.clone()),
            // Continue with the others.
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(down), Err)
}
