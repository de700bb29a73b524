//! Name resolution by each network's own servers. The C library would accept the first answer, and a server of another
//! network answers that the name does not exist.

mod lookup;
mod query;

use super::registry::Registry;
use super::state::Interface;
use lookup::lookup;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// How long to wait for a better network's servers after another's have answered.
const GRACE: Duration = Duration::from_millis(500);

/// The network of this process, once [`super::Network::start`] has created it.
static CURRENT: Mutex<Weak<Registry>> = Mutex::new(Weak::new());

pub(super) fn set_current(registry: &Arc<Registry>) {
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(registry);
}

/// The addresses of a host, by the servers of the networks that this process has brought up; if it has brought up none,
/// by the C library. Takes up to ten seconds.
pub fn resolve(host: &str) -> io::Result<Vec<IpAddr>> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse() {
        return Ok(vec![address]);
    }
    let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
    let interfaces = current.as_ref().map(|registry| registry.state().interfaces).unwrap_or_default();
    if interfaces.iter().all(|interface| interface.dns.is_empty()) {
        return Ok((bare, 0).to_socket_addrs()?.map(|address| address.ip()).collect());
    }
    if let Some(known) = current.and_then(|registry| hosts(&registry.root().join("etc/hosts"), bare)) {
        return Ok(vec![known]);
    }
    through(bare, &interfaces)
}

/// Like [`resolve`], with only these interfaces.
pub(super) fn through(host: &str, interfaces: &[Interface]) -> io::Result<Vec<IpAddr>> {
    let (done, answers) = mpsc::channel();
    let families = Families::of(interfaces);
    let asked: Vec<&Interface> = interfaces.iter().filter(|interface| !interface.dns.is_empty()).collect();
    for (place, interface) in asked.iter().enumerate() {
        let (done, host, interface) = (done.clone(), host.to_owned(), (*interface).clone());
        let search = move || {
            let _ = done.send((place, lookup(&host, &interface, families)));
        };
        thread::Builder::new().name("dns".to_owned()).spawn(search)?;
    }
    drop(done);
    let found = best(asked.len(), &answers)?;
    let (mut first, second): (Vec<IpAddr>, Vec<IpAddr>) =
        found.into_iter().partition(|address| address.is_ipv4() == families.ipv4_first);
    first.extend(second);
    Ok(first)
}

/// Which address families are usable, and which comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Families {
    ipv4: bool,
    ipv6: bool,
    ipv4_first: bool,
}

impl Families {
    fn of(interfaces: &[Interface]) -> Self {
        let mut usable = interfaces.iter().filter(|interface| interface.is_usable());
        let ipv4 = usable.clone().any(Interface::is_ipv4);
        let ipv6 = usable.clone().any(|interface| !interface.is_ipv4());
        Self { ipv4, ipv6, ipv4_first: usable.next().is_none_or(Interface::is_ipv4) }
    }
}

/// The answer of the best network that has one. Networks behind it are not waited for.
fn best(count: usize, answers: &mpsc::Receiver<(usize, io::Result<Vec<IpAddr>>)>) -> io::Result<Vec<IpAddr>> {
    let mut results: Vec<Option<io::Result<Vec<IpAddr>>>> = (0..count).map(|_| None).collect();
    let mut since: Option<Instant> = None;
    loop {
        // All better ones have answered without a result.
        let decided = results.iter().position(|result| !matches!(result, Some(Err(_))));
        match decided.map(|place| (place, results.get_mut(place).and_then(Option::take))) {
            None => break,
            Some((_, Some(found))) => return found,
            Some((_, None)) => {}
        }
        let left = since.map_or(Duration::from_secs(30), |since| GRACE.saturating_sub(since.elapsed()));
        match answers.recv_timeout(left) {
            Ok((place, result)) => {
                if result.is_ok() && since.is_none() {
                    since = Some(Instant::now());
                }
                if let Some(slot) = results.get_mut(place) {
                    *slot = Some(result);
                }
            }
            Err(_) => break,
        }
    }
    let mut results = results.into_iter().flatten();
    let (mut found, mut why) = (None, None);
    for result in &mut results {
        match result {
            Ok(addresses) if found.is_none() => found = Some(addresses),
            Ok(_) => {}
            Err(error) => why = why.or(Some(error)),
        }
    }
    found.ok_or_else(|| why.unwrap_or_else(|| io::Error::other("no name server answers")))
}

/// The first address of a name in a file in hosts(5) format.
fn hosts(path: &Path, host: &str) -> Option<IpAddr> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|_| "127.0.0.1 localhost\n".to_owned());
    text.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn no() -> io::Result<Vec<IpAddr>> {
        Err(io::Error::other("no such name"))
    }

    #[test]
    fn the_best_network_with_an_answer_counts() {
        let (done, answers) = mpsc::channel();
        done.send((0, no())).unwrap();
        done.send((1, Ok(vec![address(2)]))).unwrap();
        assert_eq!(best(3, &answers).unwrap(), [address(2)], "the third is not waited for");
        let (done, answers) = mpsc::channel();
        done.send((1, Ok(vec![address(2)]))).unwrap();
        done.send((0, Ok(vec![address(1)]))).unwrap();
        assert_eq!(best(2, &answers).unwrap(), [address(1)]);
        let (done, answers) = mpsc::channel();
        done.send((1, Ok(vec![address(2)]))).unwrap();
        assert_eq!(best(2, &answers).unwrap(), [address(2)], "a silent one only for a moment");
        let (done, answers) = mpsc::channel();
        done.send((0, no())).unwrap();
        drop(done);
        assert!(best(1, &answers).unwrap_err().to_string().contains("no such name"));
    }

    #[test]
    fn the_hosts_file_comes_first() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hosts");
        assert_eq!(hosts(&path, "localhost"), Some([127, 0, 0, 1].into()));
        std::fs::write(&path, "# a\n10.0.0.7 ctl ctl.example # b\n").unwrap();
        assert_eq!((hosts(&path, "CTL.example"), hosts(&path, "b")), (Some(address(7)), None));
    }

    #[test]
    fn literals_are_no_names() {
        assert_eq!(resolve("[2001:db8::1]").unwrap(), ["2001:db8::1".parse::<IpAddr>().unwrap()]);
        assert_eq!(resolve("10.0.0.1").unwrap(), [address(1)]);
    }
}
