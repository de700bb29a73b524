//! The calls that go to Ironic's API: version, lookup, heartbeat, inspection.

use super::error::{IronicError, fault};
use crate::calls::shown;
use crate::config::HttpUrl;
use crate::http::{Timeouts, Trust, agent};
use crate::protocol::Secret;
use burin_http::redirect;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use ureq::http::{Method, Request};

/// The API versions that calls request: the lowest with the needed features, as in ironic-python-agent.
const LOOKUP_VERSION: &str = "1.62";
const HEARTBEAT_VERSION: &str = "1.68";
/// Introduced `agent_verify_ca`.
const LEAST_MINOR: u32 = 68;
/// A node with its steps and its inventory's plugin data.
const REPLY_LIMIT: u64 = 16 << 20;
/// Shown instead of a token that was given out before.
const STARS: &str = "******";

pub struct IronicClient {
    agent: ureq::Agent,
    urls: Vec<String>,
    /// Index of the URL that answered last.
    at: AtomicUsize,
    /// `ipa-global-request-id`.
    request_id: Option<String>,
}

/// The result of a lookup.
#[derive(Debug, Clone)]
pub struct LookupReply {
    pub node: String,
    /// `None` if it was given out before.
    pub token: Option<Secret>,
    pub heartbeat_timeout: Duration,
}

impl IronicClient {
    pub fn new(urls: &[HttpUrl], trust: &Trust, request_id: Option<String>) -> Self {
        let urls = urls.iter().map(|url| url.as_str().trim_end_matches('/').to_owned()).collect();
        Self { agent: agent(trust, &Timeouts::CALLS), urls, at: AtomicUsize::new(0), request_id }
    }

    /// The URL that answered last.
    pub fn url(&self) -> &str {
        let at = self.at.load(Ordering::Relaxed);
        self.urls.get(at).or(self.urls.first()).map_or("", String::as_str)
    }

    /// Tries the next URL only if there was no answer at all.
    fn call(&self, method: &Method, path: &str, version: Option<&str>, body: Option<&Value>) -> Outcome {
        let first = self.at.load(Ordering::Relaxed);
        let mut failed = None;
        for turn in 0..self.urls.len() {
            let at = (first + turn) % self.urls.len().max(1);
            let Some(base) = self.urls.get(at) else { continue };
            match self.call_at(&format!("{base}{path}"), method, version, body) {
                Err(error @ IronicError::Unreachable { .. }) => failed = Some(error),
                answered => {
                    self.at.store(at, Ordering::Relaxed);
                    return answered;
                }
            }
        }
        Err(failed.unwrap_or(IronicError::Reply { url: String::new(), why: "there is no URL".to_owned() }))
    }

    fn call_at(&self, url: &str, method: &Method, version: Option<&str>, body: Option<&Value>) -> Outcome {
        let shown = shown(url);
        let unreachable = |source| IronicError::Unreachable { url: shown.clone(), source: Box::new(source) };
        let mut request = Request::builder().method(method).uri(url).header("Accept", "application/json");
        if let Some(version) = version {
            request = request.header("X-OpenStack-Ironic-API-Version", version);
        }
        if let Some(id) = &self.request_id {
            request = request.header("X-OpenStack-Request-ID", id);
        }
        let response = match body {
            None => {
                let request = request.body(()).map_err(|error| unreachable(ureq::Error::Http(error)))?;
                redirect::run(&self.agent, request).map(|(response, _)| response)
            }
            Some(body) => {
                let request = request.header("Content-Type", "application/json").body(body.to_string());
                self.agent.run(request.map_err(|error| unreachable(ureq::Error::Http(error)))?)
            }
        };
        let mut response = response.map_err(unreachable)?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(REPLY_LIMIT).read_to_vec().map_err(unreachable)?;
        if !response.status().is_success() {
            return Err(IronicError::Status { url: shown, status, message: fault(&body) });
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|error| IronicError::Reply { url: shown, why: error.to_string() })
    }

    /// `GET /`: checks that the API is new enough.
    pub fn check_version(&self) -> Result<(), IronicError> {
        let root = self.call(&Method::GET, "/", None, None)?;
        let url = shown(self.url());
        let found = root["default_version"]["version"].as_str().unwrap_or_default().to_owned();
        let minor = found.strip_prefix("1.").and_then(|minor| minor.parse::<u32>().ok());
        match minor {
            Some(minor) if minor >= LEAST_MINOR => Ok(()),
            Some(_) => Err(IronicError::TooOld { url, found }),
            None => Err(IronicError::Reply { url, why: "there is no default_version.version".to_owned() }),
        }
    }

    pub fn lookup(&self, addresses: &[String], node: Option<&str>) -> Result<LookupReply, IronicError> {
        let mut path = format!("/v1/lookup?addresses={}", addresses.join(","));
        if let Some(node) = node {
            path.push_str(&format!("&node_uuid={node}"));
        }
        self.found(&self.call(&Method::GET, &path, Some(LOOKUP_VERSION), None)?)
    }

    fn found(&self, reply: &Value) -> Result<LookupReply, IronicError> {
        let wrong = |why: &str| IronicError::Reply { url: shown(self.url()), why: why.to_owned() };
        let node = reply["node"]["uuid"].as_str().ok_or_else(|| wrong("there is no node.uuid"))?.to_owned();
        let config = &reply["config"];
        let token = config["agent_token"].as_str().filter(|token| !token.is_empty() && *token != STARS);
        let timeout = config["heartbeat_timeout"].as_u64().unwrap_or(300).clamp(5, 24 * 3600);
        Ok(LookupReply { node, token: token.map(Secret::new), heartbeat_timeout: Duration::from_secs(timeout) })
    }

    pub fn heartbeat(&self, node: &str, token: &Secret, callback: &str, certificate: &str) -> Result<(), IronicError> {
        let body = json!({
            "callback_url": callback,
            "agent_token": token.reveal(),
            "agent_version": concat!("burin ", env!("CARGO_PKG_VERSION")),
            "agent_verify_ca": certificate,
        });
        self.call(&Method::POST, &format!("/v1/heartbeat/{node}"), Some(HEARTBEAT_VERSION), Some(&body)).map(drop)
    }

    /// Posts to the complete URL given by Ironic. Returns the node's UUID, if the answer has it.
    pub fn inspection(&self, url: &str, body: &Value) -> Result<Option<String>, IronicError> {
        let reply = self.call_at(url, &Method::POST, None, Some(body))?;
        let uuid = reply["uuid"].as_str().or(reply["node"]["uuid"].as_str());
        Ok(uuid.map(str::to_owned))
    }
}

type Outcome = Result<Value, IronicError>;
