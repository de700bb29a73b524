//! Host name resolution: by the C library, unless the program installs a resolver of its own.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{OnceLock, mpsc};
use std::thread;
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// ureq's maximum number of addresses.
const MOST: usize = 16;

/// Resolves a host, with or without brackets, to its addresses, the best first.
pub type Resolve = fn(&str) -> io::Result<Vec<IpAddr>>;

static RESOLVE: OnceLock<Resolve> = OnceLock::new();

/// From now on every client in this process resolves hosts with `resolve`. Only the first call counts.
pub fn resolve_by(resolve: Resolve) {
    // A second call has no effect.
    let _ = RESOLVE.set(resolve);
}

/// A name that could not be resolved, inside [`ureq::Error::Other`].
#[derive(Debug, thiserror::Error)]
#[error("name resolution failed")]
pub struct NameError(#[source] pub io::Error);

/// Errors that can be distinguished from failed connections.
#[derive(Debug, Default)]
pub(crate) struct Names(DefaultResolver);

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, _: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let (host, port) = (uri.host().unwrap_or_default().to_owned(), port(uri));
        let resolve = RESOLVE.get().copied().unwrap_or(by_the_c_library);
        let failed = |error| Error::Other(Box::new(NameError(error)));
        // On a separate thread, because a lookup has its own timeouts.
        let (done, found) = mpsc::sync_channel(1);
        let named = thread::Builder::new().name("resolve".to_owned());
        named.spawn(move || done.send(resolve(&host))).map_err(failed)?;
        let found = found.recv_timeout(*timeout.after).map_err(|_| Error::Timeout(timeout.reason))?.map_err(failed)?;
        let mut addresses = self.empty();
        for address in found.into_iter().take(MOST) {
            addresses.push(SocketAddr::new(address, port));
        }
        if addresses.is_empty() { Err(Error::HostNotFound) } else { Ok(addresses) }
    }

    fn empty(&self) -> ResolvedSocketAddrs {
        self.0.empty()
    }
}

fn by_the_c_library(host: &str) -> io::Result<Vec<IpAddr>> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Ok((bare, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

fn port(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_ports() {
        assert_eq!(by_the_c_library("[::1]").unwrap(), ["::1".parse::<IpAddr>().unwrap()]);
        assert_eq!(by_the_c_library("127.0.0.1").unwrap(), ["127.0.0.1".parse::<IpAddr>().unwrap()]);
        let of = |url: &str| port(&url.parse().unwrap());
        assert_eq!((of("http://[::1]:8080/"), of("https://h/"), of("http://h/")), (8080, 443, 80));
    }
}
