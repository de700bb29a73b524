//! Settings of a download, and the GET request that all parts of it use: through the right proxy, with credentials only
//! for the right server, after redirects.

use crate::error::ImageError;
use crate::source::answer;
use crate::source::answer::{FetchFailure, refused, status_failure};
use crate::source::proxies::Proxies;
use crate::source::registry::{self, Registries};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use burin_http::proxy;
use burin_http::redirect::{self, Origin, RedirectError, same_origin};
use burin_protocol::Secret;
use std::io;
use std::time::Duration;
use ureq::http::Response;
use ureq::typestate::WithoutBody;
use ureq::{Body, Proxy, RequestBuilder};

/// More would exceed the memory for a write, and servers dislike it.
pub const MOST_CONNECTIONS: usize = 8;
/// Browsers and curl permit some dozens: mirrors behind mirrors, with a login in between.
const MOST_REDIRECTS: usize = 10;

/// How an image is fetched.
#[derive(Debug, Clone)]
pub struct Http {
    /// Mirrors: URLs of the same bytes.
    pub urls: Vec<String>,
    /// Contains the TLS trust. An agent from [`burin_http::http::agent`] also handles proxies.
    pub agent: ureq::Agent,
    /// Sent only to the server that they belong to. Never logged.
    pub credentials: Option<Credentials>,
    /// Credentials for registries.
    pub registries: Registries,
    /// Whether the URLs are a registry's, whose challenges are answered.
    pub at_registry: bool,
    /// The media types that are asked for.
    pub accept: Option<&'static str>,
    /// The image's name, if the URL is not meaningful.
    pub called: Option<String>,
    pub proxies: Proxies,
    /// A connection is abandoned after this time without a byte.
    pub stall: Duration,
    /// The write is abandoned after this time without a byte on any connection.
    pub patience: Duration,
    /// Bytes per second, over all connections.
    pub rate: Option<u64>,
    /// Number of ranges fetched in parallel, at most [`MOST_CONNECTIONS`]; 1 means a single stream.
    pub connections: usize,
}

/// The URL of a GET: the given one, or the one to which it redirected earlier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    pub url: String,
    /// A redirector may send each request to another server, where the same file has another ETag. Therefore the first
    /// target is kept.
    pub direct: Option<String>,
}

impl Location {
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), direct: None }
    }
}

/// Credentials for a server. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub(crate) header: Secret,
    /// The only server to which they are sent.
    origin: Origin,
    /// Whether it is a password. Registries get one only if they ask for it, because most want a token that is obtained
    /// elsewhere with the password.
    pub(crate) password: bool,
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
        Some(Self { header: Secret::new(format!("Basic {pair}")), origin: server(url)?, password: true })
    }

    /// RFC 6750. For the server of `url`.
    pub fn bearer(url: &str, token: &Secret) -> Option<Self> {
        let header = Secret::new(format!("Bearer {}", token.reveal()));
        Some(Self { header, origin: server(url)?, password: false })
    }
}

/// The server of an http(s) URL, or of a reference to a registry.
fn server(url: &str) -> Option<Origin> {
    Origin::of(&registry::base(url).unwrap_or_else(|| url.to_owned()))
}

impl Http {
    pub fn new(agent: ureq::Agent, urls: Vec<String>) -> Self {
        let (stall, patience) = (Duration::from_secs(20), Duration::from_secs(120));
        let (credentials, proxies) = (None, Proxies::default());
        let (registries, at_registry, accept, called) = (Registries::default(), false, None, None);
        let (rate, connections) = (None, 1);
        Self {
            urls,
            agent,
            credentials,
            registries,
            at_registry,
            accept,
            called,
            proxies,
            stall,
            patience,
            rate,
            connections,
        }
    }

    /// A location at another URL, with the same settings.
    pub fn at(&self, url: &str) -> Self {
        Self { urls: vec![url.to_owned()], connections: 1, called: None, ..self.clone() }
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
        place: &Location,
        offset: u64,
        also: impl Fn(RequestBuilder<WithoutBody>) -> RequestBuilder<WithoutBody>,
    ) -> Result<(Response<Body>, String), FetchFailure> {
        let url = place.url.as_str();
        let mut hop = url.to_owned();
        let mut authorization = self.credentials_for(url).map(|credentials| credentials.header.clone());
        if self.at_registry && authorization.is_none() {
            authorization = self.registries.token(url);
        }
        if let Some(direct) = &place.direct {
            authorization = authorization.filter(|_| same_origin(&hop, direct));
            hop.clone_from(direct);
        }
        let (mut hops, mut challenged) = (0, false);
        while hops <= MOST_REDIRECTS {
            let name = name(url, self.proxies.for_url(&hop).as_ref());
            let response = self.ask(url, &hop, offset, authorization.as_ref(), &also)?;
            let status = response.status().as_u16();
            // Only the registry's own challenge is answered, and only once: a token that it does not accept is invalid.
            if status == 401 && self.at_registry && !challenged && hop == url {
                challenged = true;
                if let Some(header) = self.registries.answer(self, url, response.headers())? {
                    authorization = Some(header);
                    continue;
                }
            }
            let next = redirect::next(&hop, &response);
            let Some(next) = next.map_err(|error| refused(url, &name, offset, error.into()))? else {
                return match status_failure(&name, offset, status) {
                    Some(failure) => Err(failure),
                    None => Ok((response, hop)),
                };
            };
            authorization = authorization.filter(|_| same_origin(&hop, &next));
            hop = next;
            hops += 1;
        }
        let error = RedirectError::TooMany { most: MOST_REDIRECTS };
        Err(refused(url, &self.name(url), offset, error.into()))
    }

    /// Sends one request and returns any response. `url` is the original URL.
    fn ask(
        &self,
        url: &str,
        hop: &str,
        offset: u64,
        authorization: Option<&Secret>,
        also: &impl Fn(RequestBuilder<WithoutBody>) -> RequestBuilder<WithoutBody>,
    ) -> Result<Response<Body>, FetchFailure> {
        let proxy = self.proxies.for_url(hop);
        let mut request = self.agent.get(hop).header("accept-encoding", "identity");
        if let Some(accept) = self.accept {
            request = request.header("accept", accept);
        }
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization.reveal());
        }
        // All statuses are responses, not errors, including redirects.
        let config = request.config().http_status_as_error(false).max_redirects(0).proxy(proxy.clone());
        let response = also(config.build()).call();
        let response = response.map_err(|error| refused(url, &name(url, proxy.as_ref()), offset, error))?;
        match proxy {
            Some(proxy) if response.status().as_u16() == 407 => {
                let source = io::Error::other("it wants a user and a password, or other ones (HTTP status 407)");
                let (url, proxy) = (answer::display(url), proxy::name(&proxy));
                Err(FetchFailure::Final(ImageError::Proxy { url, proxy, source }))
            }
            _ => Ok(response),
        }
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
