//! How an image is fetched, and one GET as every part of that sends it: through the proxy that is meant, with credentials
//! where they belong, after redirects.

use crate::error::ImageError;
use crate::source::answer;
use crate::source::answer::{Failure, refused, status_failure};
use crate::source::origin::{Origin, join};
use crate::source::proxies::Proxies;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use burin_http::proxy;
use burin_protocol::Secret;
use std::io;
use std::time::Duration;
use ureq::http::Response;
use ureq::typestate::WithoutBody;
use ureq::{Body, Proxy, RequestBuilder};

/// More would not fit what a write may hold in memory, and servers do not like it.
pub const MOST_CONNECTIONS: usize = 8;
/// As browsers and curl have some dozens: mirrors behind mirrors, and a login between them.
const MOST_REDIRECTS: usize = 10;

/// How an image is fetched.
#[derive(Debug, Clone)]
pub struct Http {
    /// Mirrors: URLs of the same bytes.
    pub urls: Vec<String>,
    /// Carries TLS trust, and knows the way through proxies if it is one of [`burin_http::http::agent`].
    pub agent: ureq::Agent,
    /// Sent to the server that they are for. Never logged.
    pub credentials: Option<Credentials>,
    pub proxies: Proxies,
    /// Nothing received for so long: the connection is given up.
    pub stall: Duration,
    /// Nothing received for so long over all attempts: the write is given up.
    pub patience: Duration,
    /// Bytes per second, over all connections.
    pub rate: Option<u64>,
    /// Ranges that are fetched side by side, at most [`MOST_CONNECTIONS`]; 1 is one stream.
    pub connections: usize,
}

/// Where a GET goes: the URL that was given, or the one that it led to before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub url: String,
    /// A redirector sends each request somewhere else, where the same file has another ETag: once it led somewhere, that is
    /// kept.
    pub direct: Option<String>,
}

impl Place {
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), direct: None }
    }
}

/// What a server wants to see before it hands out an image. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    header: Secret,
    /// They are sent there and nowhere else.
    origin: Origin,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials for {}://{}:{}", self.origin.scheme, self.origin.host, self.origin.port)
    }
}

impl Credentials {
    /// RFC 7617. For the server of `url`.
    pub fn basic(url: &str, user: &str, password: &Secret) -> Option<Self> {
        let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.reveal()));
        Some(Self { header: Secret::new(format!("Basic {pair}")), origin: Origin::of(url)? })
    }

    /// RFC 6750. For the server of `url`.
    pub fn bearer(url: &str, token: &Secret) -> Option<Self> {
        Some(Self { header: Secret::new(format!("Bearer {}", token.reveal())), origin: Origin::of(url)? })
    }
}

impl Http {
    pub fn new(agent: ureq::Agent, urls: Vec<String>) -> Self {
        let (stall, patience) = (Duration::from_secs(20), Duration::from_secs(120));
        let (credentials, proxies) = (None, Proxies::default());
        Self { urls, agent, credentials, proxies, stall, patience, rate: None, connections: 1 }
    }

    /// The same way to another URL.
    pub fn at(&self, url: &str) -> Self {
        Self { urls: vec![url.to_owned()], connections: 1, ..self.clone() }
    }

    /// `url` as it may be told, with the proxy that it is fetched through.
    pub(crate) fn name(&self, url: &str) -> String {
        name(url, self.proxies.for_url(url).as_ref())
    }

    /// GETs `place` and follows redirects; each hop has the proxy that is meant for it. `also` adds what is wanted of the
    /// server and how long to wait for it. The answer is 200 or 206, and comes with the URL that gave it; `offset` is for
    /// messages.
    pub(crate) fn send(
        &self,
        place: &Place,
        offset: u64,
        also: impl Fn(RequestBuilder<WithoutBody>) -> RequestBuilder<WithoutBody>,
    ) -> Result<(Response<Body>, String), Failure> {
        let url = place.url.as_str();
        let mut hop = url.to_owned();
        let mut credentials = self.credentials_for(url);
        if let Some(direct) = &place.direct {
            credentials = credentials.filter(|_| trusts(&hop, direct));
            hop.clone_from(direct);
        }
        for _ in 0..=MOST_REDIRECTS {
            let proxy = self.proxies.for_url(&hop);
            let name = name(url, proxy.as_ref());
            let mut request = self.agent.get(&hop).header("accept-encoding", "identity");
            if let Some(credentials) = credentials {
                request = request.header("authorization", credentials.header.reveal());
            }
            // Statuses are answers, redirects too.
            let config = request.config().http_status_as_error(false).max_redirects(0).proxy(proxy.clone());
            let response = also(config.build()).call().map_err(|error| refused(url, &name, offset, error))?;
            let status = response.status().as_u16();
            if let (Some(proxy), 407) = (&proxy, status) {
                let source = io::Error::other("it wants a user and a password, or other ones (HTTP status 407)");
                let (url, proxy) = (answer::display(url), proxy::name(proxy));
                return Err(Failure::Final(ImageError::Proxy { url, proxy, source }));
            }
            let Some(location) = location(&response) else {
                return match status_failure(&name, offset, status) {
                    Some(failure) => Err(failure),
                    None => Ok((response, hop)),
                };
            };
            let lost = |what: &str| ureq::Error::BadUri(answer::display(what));
            let next = join(&hop, &location).ok_or_else(|| refused(url, &name, offset, lost(&location)))?;
            credentials = credentials.filter(|_| trusts(&hop, &next));
            hop = next;
        }
        Err(refused(url, &self.name(url), offset, ureq::Error::TooManyRedirects))
    }

    fn credentials_for(&self, url: &str) -> Option<&Credentials> {
        self.credentials.as_ref().filter(|known| Origin::of(url).as_ref() == Some(&known.origin))
    }
}

fn name(url: &str, proxy: Option<&Proxy>) -> String {
    let url = answer::display(url);
    match proxy {
        Some(proxy) => format!("{url} (through {})", proxy::name(proxy)),
        None => url,
    }
}

/// Whether what the server of `here` may see may go to that of `there`.
fn trusts(here: &str, there: &str) -> bool {
    matches!((Origin::of(here), Origin::of(there)), (Some(here), Some(there)) if here.trusts(&there))
}

/// Where a redirect leads. Servers put bytes there that no URL has (RFC 3986, 2.1): they are escaped, whatever they meant.
fn location(response: &Response<Body>) -> Option<String> {
    let value = match response.status().as_u16() {
        301 | 302 | 303 | 307 | 308 => response.headers().get("location")?.as_bytes(),
        _ => return None,
    };
    Some(value.iter().fold(String::new(), |mut text, byte| {
        match byte {
            b'!'..=b'~' => text.push(char::from(*byte)),
            other => text.push_str(&format!("%{other:02X}")),
        }
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_for_one_origin_and_are_not_shown() {
        let secret = Secret::new("hunter2");
        let mut http = Http::new(ureq::Agent::new_with_defaults(), Vec::new());
        http.credentials = Credentials::basic("https://images/a", "me", &secret);
        let known = http.credentials.as_ref().unwrap();
        // RFC 7617, section 2.
        assert_eq!(known.header.reveal(), "Basic bWU6aHVudGVyMg==");
        assert!(!format!("{http:?}").contains("hunter2") && !format!("{http:?}").contains("bWU6aHVudGVyMg"));
        let sent = |url: &str| http.credentials_for(url).is_some();
        assert!(sent("https://images/b.minisig") && sent("https://IMAGES:443/c"));
        assert!(!sent("http://images/a") && !sent("https://images:8443/a") && !sent("https://other/a"));
    }

    #[test]
    fn a_url_is_told_with_its_proxy_and_without_secrets() {
        let mut http = Http::new(ureq::Agent::new_with_defaults(), Vec::new());
        assert_eq!(http.name("http://u:p@images/a?signature=s"), "http://images/a");
        http.proxies = Proxies::all("http://me:hunter2@proxy:3128").unwrap();
        assert_eq!(http.name("http://u:p@images/a?signature=s"), "http://images/a (through http://proxy:3128)");
    }
}
