//! A single HTTP call, without retries: URL, token, limits, content types, typed errors.

use super::error::ControllerError;
use crate::protocol::hello::SIGNATURE_HEADER;
use crate::protocol::{Problem, Secret};
use burin_http::Clock;
use burin_http::Trust;
use burin_http::backoff::retry_after;
use burin_http::redirect::{self, same_origin};
use burin_http::{Timeouts, agent};
use serde::de::DeserializeOwned;
use std::time::{Duration, SystemTime};
use ureq::http::{HeaderMap, Method, Request, StatusCode, header};

/// More than any reply except an order needs.
const REPLY_LIMIT: u64 = 256 << 10;
/// More than any order needs.
pub const ORDER_LIMIT: u64 = 4 << 20;

#[derive(Debug)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
    /// Set from replies of this server, if they prove its identity.
    clock: Option<Clock>,
}

#[derive(Debug, Default)]
pub struct Call<'a> {
    pub method: Method,
    /// Below the base URL, starting with a slash.
    pub path: &'a str,
    pub token: Option<&'a Secret>,
    /// Content type and bytes.
    pub body: Option<(&'a str, Vec<u8>)>,
    pub if_none_match: Option<&'a str>,
    /// Of the body, for [`SIGNATURE_HEADER`].
    pub signature: Option<&'a str>,
    /// How long the server was asked to delay its answer.
    pub wait: Duration,
    pub limit: u64,
}

#[derive(Debug)]
pub struct Reply {
    pub url: String,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Client {
    /// `base` may have a path, to which the protocol's paths are appended.
    pub fn new(base: &str, trust: &Trust, timeouts: &Timeouts) -> Result<Self, ControllerError> {
        check_url(base)?;
        let base = base.trim_end_matches('/').to_owned();
        let clock = trust.tells_time().then(|| trust.clock().clone());
        Ok(Self { agent: agent(trust, timeouts), base, clock })
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// 2xx and 410 are replies; everything else is an error.
    pub fn call(&self, call: Call<'_>) -> Result<Reply, ControllerError> {
        let url = format!("{}{}", self.base, call.path);
        let limit = call.limit.max(REPLY_LIMIT);
        let shown = shown(&url);
        let failed = |error| ControllerError::transport(&shown, error, limit);
        let mut request = Request::builder().method(call.method).uri(&url).header(header::ACCEPT, "application/json");
        if let Some(token) = call.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.reveal()));
        }
        if let Some(etag) = call.if_none_match {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        if let Some(signature) = call.signature {
            request = request.header(SIGNATURE_HEADER, signature);
        }
        let answered = match call.body {
            Some((kind, body)) => {
                let request = request.header(header::CONTENT_TYPE, kind).body(body);
                let request = request.map_err(|error| failed(ureq::Error::Http(error)))?;
                self.agent.run(self.patient(request, call.wait)).map(|response| (response, url.clone()))
            }
            None => {
                let request = request.body(()).map_err(|error| failed(ureq::Error::Http(error)))?;
                redirect::run(&self.agent, self.patient(request, call.wait))
            }
        };
        let (response, from) = answered.map_err(failed)?;
        let proven = from.starts_with("https://") && same_origin(&url, &from);
        let (parts, mut body) = response.into_parts();
        if let Some(date) = parts.headers.get(header::DATE).and_then(|date| date.to_str().ok()).filter(|_| proven)
            && let Some(clock) = &self.clock
        {
            clock.observe(date, SystemTime::now());
        }
        let body = body.with_config().limit(limit).read_to_vec().map_err(failed)?;
        let reply = Reply { url: shown, status: parts.status, headers: parts.headers, body };
        if reply.status.is_success() || reply.status == StatusCode::GONE { Ok(reply) } else { Err(reply.refusal()) }
    }

    /// The time limits of this call: the usual ones, plus the requested wait.
    fn patient<S: ureq::AsSendBody>(&self, request: Request<S>, wait: Duration) -> Request<S> {
        if wait.is_zero() {
            return request;
        }
        let config = self.agent.config();
        let (response, read) = (config.timeouts().recv_response, config.timeout_per_read());
        let total = config.timeouts().global;
        let longer = |limit: Option<Duration>| limit.map(|limit| limit + wait);
        self.agent
            .configure_request(request)
            .timeout_recv_response(longer(response))
            .timeout_per_read(longer(read))
            .timeout_global(longer(total))
            .build()
    }
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body, which must be declared as JSON and be valid.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ControllerError> {
        self.check_json()?;
        let url = self.url.clone();
        serde_json::from_slice(&self.body).map_err(|source| ControllerError::Body { url, source })
    }

    pub fn check_json(&self) -> Result<(), ControllerError> {
        let kind = self.header("content-type").unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
            return Ok(());
        }
        Err(ControllerError::ContentType { url: self.url.clone(), found: kind.chars().take(64).collect() })
    }

    fn refusal(self) -> ControllerError {
        let asked = self.header("retry-after").and_then(|header| retry_after(header, SystemTime::now()));
        ControllerError::Status {
            status: self.status.as_u16(),
            problem: self.json::<Problem>().ok().map(Box::new),
            retry_after: asked,
            url: self.url,
        }
    }
}

pub fn check_url(url: &str) -> Result<(), ControllerError> {
    let error = || ControllerError::Url { url: shown(url) };
    let uri: ureq::http::Uri = url.parse().map_err(|_| error())?;
    let web = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty());
    if web { Ok(()) } else { Err(error()) }
}

/// A URL that is safe to log: without user name, password and query.
pub fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    }
}

/// A path segment, percent-encoded (RFC 3986 section 3.3).
pub fn segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~".contains(&byte);
    let mut out = String::new();
    for (at, byte) in text.bytes().enumerate() {
        // A dot is fine inside, but "." and ".." are not segments.
        if plain(byte) || (byte == b'.' && at > 0 && !text.starts_with('.')) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_secrets() {
        assert_eq!(shown("https://me:pw@host:1/a/b?sig=secret#x"), "https://host:1/a/b");
        assert_eq!(shown("http://host"), "http://host");
        assert_eq!(shown("http://a@b@host?x"), "http://host");
        assert_eq!(shown("nonsense"), "nonsense");
    }

    #[test]
    fn only_web_urls_are_taken() {
        assert!(check_url("http://10.0.2.2:80/x").is_ok() && check_url("https://[::1]:1").is_ok());
        for bad in ["", "ftp://x", "host:80", "/x", "http://", "http:///x", "file:///etc/passwd"] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn segments_cannot_leave_their_place() {
        assert_eq!(segment("a/b c"), "a%2Fb%20c");
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(segment("v1.2"), "v1.2");
        assert_eq!(segment("ä?#"), "%C3%A4%3F%23");
    }
}
