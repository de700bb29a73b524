//! Tries the controller through each network in turn: the one through which it answers becomes the first.

use super::registry::Registry;
use super::state::{Interface, distinct};
use super::{bound, names};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_secs(2);
/// Networks can change on a machine that works for hours.
const WHILE_IT_ANSWERS: Duration = Duration::from_secs(60);

/// Runs for the life of the process. With only one network there is nothing to choose, and nothing is tried.
pub fn run(registry: &Arc<Registry>, host: &str, port: u16) {
    let mut version = 0;
    loop {
        let usable: Vec<Interface> = registry.state().interfaces.into_iter().filter(Interface::is_usable).collect();
        let links = distinct(usable.iter().map(|interface| interface.name.clone()));
        if links.len() > 1 || (links.len() == 1 && !registry.is_ready()) {
            let found = links.iter().find(|link| {
                let through: Vec<Interface> = usable.iter().filter(|one| one.name == **link).cloned().collect();
                answers(host, port, &through)
            });
            if let Some(link) = found
                && let Err(error) = registry.answered(link)
            {
                log::warn!("{error}");
            }
        }
        let pause = if registry.has_answered() { WHILE_IT_ANSWERS } else { AGAIN };
        version = registry.wait_change(version, pause);
    }
}

/// Whether the host accepts a connection through these interfaces, which belong to one link.
fn answers(host: &str, port: u16, through: &[Interface]) -> bool {
    let addresses = match host.parse() {
        Ok(address) => vec![address],
        Err(_) => names::through(host, through).unwrap_or_default(),
    };
    addresses.into_iter().any(|address: IpAddr| {
        let route = through.iter().find(|interface| interface.leads_to(address));
        // Without a route, the kernel would look for the host on the link itself, which helps no other program.
        route.is_some_and(|interface| {
            bound::tcp(SocketAddr::new(address, port), Some(&interface.name), PATIENCE).is_ok()
        })
    })
}
