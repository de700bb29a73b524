//! HTTP and SOCKS proxies. Plain http requests are sent to an HTTP proxy in absolute form (RFC 9112, 3.2.2): the proxy
//! may answer from its cache, and need not allow tunnels to port 80. https uses a tunnel (CONNECT, RFC 9110, 9.3.6); a
//! SOCKS proxy (RFC 1928) is a tunnel for both.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::fmt;
use ureq::config::Config;
use ureq::http::uri::Scheme;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, SocksConnector, Transport,
};
use ureq::{Error, Proxy, ProxyProtocol};

/// Why a proxy cannot be used, inside [`ureq::Error::Other`]. Errors beyond the proxy are not included.
#[derive(Debug, thiserror::Error)]
#[error("{proxy}: cannot connect through this proxy")]
pub struct ProxyError {
    /// As returned by [`name`].
    pub proxy: String,
    pub source: Error,
}

/// A proxy's URL that is safe to show: without user and password.
pub fn name(proxy: &Proxy) -> String {
    let scheme = proxy.uri().scheme_str().unwrap_or("http");
    format!("{scheme}://{}:{}", proxy.host(), proxy.port())
}

/// Connects to the proxy in a request's configuration; without one, the next connector does the work.
#[derive(Debug)]
pub struct ProxyConnector {
    /// For the connection to the proxy itself.
    direct: Config,
    tunnel: ConnectProxyConnector,
    socks: SocksConnector,
}

impl ProxyConnector {
    /// `direct` names no proxy.
    pub fn new(direct: Config) -> Self {
        Self { direct, tunnel: ConnectProxyConnector::default(), socks: SocksConnector::default() }
    }

    fn forward(&self, details: &ConnectionDetails<'_>, proxy: &Proxy) -> Result<Box<dyn Transport>, Error> {
        let to_proxy = ConnectionDetails {
            uri: proxy.uri(),
            addrs: details.resolver.resolve(proxy.uri(), &self.direct, details.timeout)?,
            config: &self.direct,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        let inner = (details.run_connector)(&to_proxy)?;
        let authority = details.uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        // The user and password in a URL are for its server, which gets them in a header (RFC 9110, 4.2.4).
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let origin = format!("http://{host}");
        Ok(Forward { inner, origin, authorization: authorization(proxy), begins: true }.boxed())
    }
}

impl Connector for ProxyConnector {
    type Out = Box<dyn Transport>;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Self::Out>, Error> {
        let Some(proxy) = details.config.proxy() else { return Ok(None) };
        let made = match proxy.protocol() {
            ProxyProtocol::Http | ProxyProtocol::Https if details.uri.scheme() == Some(&Scheme::HTTP) => {
                self.forward(details, proxy).map(Some)
            }
            ProxyProtocol::Http | ProxyProtocol::Https => {
                Connector::<()>::connect(&self.tunnel, details, None).map(|made| made.map(Transport::boxed))
            }
            _ => Connector::<()>::connect(&self.socks, details, None).map(|made| made.map(Transport::boxed)),
        };
        made.map_err(|source| Error::Other(Box::new(ProxyError { proxy: name(proxy), source })))
    }
}

/// RFC 7617, as a header line; empty if the proxy's URL has no user.
fn authorization(proxy: &Proxy) -> String {
    if proxy.username().is_none() && proxy.password().is_none() {
        return String::new();
    }
    let pair = format!("{}:{}", proxy.username().unwrap_or_default(), proxy.password().unwrap_or_default());
    format!("Proxy-Authorization: Basic {}\r\n", BASE64_STANDARD.encode(pair))
}

/// A connection to a proxy for requests to one server: each is sent in absolute-form.
struct Forward {
    inner: Box<dyn Transport>,
    /// `http://HOST` or `http://HOST:PORT`.
    origin: String,
    authorization: String,
    /// Whether the next bytes sent start a request: nothing has been sent since the connection was made, or since the
    /// last response.
    begins: bool,
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Transport for Forward {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if !std::mem::take(&mut self.begins) {
            return self.inner.transmit_output(amount, timeout);
        }
        let output = self.inner.buffers().output();
        let room = output.len().max(1);
        let head = absolute(output.get(..amount).unwrap_or_default(), &self.origin, &self.authorization);
        for part in head.chunks(room) {
            if let Some(output) = self.inner.buffers().output().get_mut(..part.len()) {
                output.copy_from_slice(part);
            }
            self.inner.transmit_output(part.len(), timeout)?;
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.begins = true;
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}

/// The start of a request with `origin` before its target, and `authorization` after its first line.
fn absolute(head: &[u8], origin: &str, authorization: &str) -> Vec<u8> {
    let target = head.iter().position(|byte| *byte == b' ').map_or(0, |space| space + 1);
    let line = head.iter().position(|byte| *byte == b'\n').map_or(head.len(), |end| end + 1).max(target);
    let (method, rest) = head.split_at(target);
    let (target, headers) = rest.split_at(line - target);
    [method, origin.as_bytes(), target, authorization.as_bytes(), headers].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_in_absolute_form() {
        let head = b"GET /a?b=c HTTP/1.1\r\nhost: images:81\r\n\r\n";
        let authorization = authorization(&Proxy::new("http://me:hunter%32@proxy:3128").unwrap());
        let sent = absolute(head, "http://images:81", &authorization);
        let wanted = "GET http://images:81/a?b=c HTTP/1.1\r\n\
                      Proxy-Authorization: Basic bWU6aHVudGVyMg==\r\nhost: images:81\r\n\r\n";
        assert_eq!(String::from_utf8(sent).unwrap(), wanted);
        let plain = absolute(head, "http://images:81", "");
        assert!(plain.starts_with(b"GET http://images:81/a?b=c HTTP/1.1\r\nhost:"));
        for odd in [&b""[..], b"GET", b"GET ", b"\n", b"\n GET"] {
            assert!(absolute(odd, "", "") == odd);
        }
    }

    #[test]
    fn a_proxy_is_told_without_its_password() {
        let proxy = |url: &str| name(&Proxy::new(url).unwrap());
        assert_eq!(proxy("http://me:hunter2@proxy:3128/"), "http://proxy:3128");
        assert_eq!(proxy("proxy"), "http://proxy:80");
        assert_eq!(proxy("socks5h://[::1]"), "socks5h://[::1]:1080");
    }
}
