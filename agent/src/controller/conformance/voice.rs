//! Single calls, and what came back, unjudged.

use super::Subject;
use crate::controller::client::{ORDER_LIMIT, segment};
use crate::protocol::Secret;
use serde_json::Value;
use ureq::http::{HeaderMap, Request, header};

pub struct Voice {
    agent: ureq::Agent,
    base: String,
    join: Option<Secret>,
}

pub struct Answer {
    pub status: u16,
    headers: HeaderMap,
    pub body: Vec<u8>,
}

/// The standing that a hello gave.
#[derive(Debug, Clone)]
pub struct Standing {
    pub machine: String,
    pub token: Secret,
}

impl Standing {
    pub fn path(&self, rest: &str) -> String {
        format!("/v1/machines/{}/{rest}", segment(&self.machine))
    }
}

/// What is said wrong, in words.
pub type Heard<T> = Result<T, String>;

impl Voice {
    pub fn new(agent: ureq::Agent, subject: &Subject) -> Self {
        let base = subject.url.trim_end_matches('/').to_owned();
        Self { agent, base, join: subject.join_token.clone() }
    }

    pub fn hello(&self, body: &Value) -> Heard<Answer> {
        self.post("/v1/hello", self.join.as_ref(), "application/json", body)
    }

    pub fn post(&self, path: &str, token: Option<&Secret>, kind: &str, body: &Value) -> Heard<Answer> {
        let request = Request::post(format!("{}{path}", self.base)).header(header::CONTENT_TYPE, kind);
        let request = authorised(request, token).body(body.to_string()).map_err(|error| error.to_string())?;
        answer(self.agent.run(request))
    }

    pub fn get(&self, path: &str, token: Option<&Secret>, etag: Option<&str>) -> Heard<Answer> {
        let mut request = authorised(Request::get(format!("{}{path}", self.base)), token);
        if let Some(etag) = etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        answer(self.agent.run(request.body(()).map_err(|error| error.to_string())?))
    }
}

fn authorised(request: ureq::http::request::Builder, token: Option<&Secret>) -> ureq::http::request::Builder {
    match token {
        Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {}", token.reveal())),
        None => request,
    }
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Heard<Answer> {
    let (parts, mut body) = response.map_err(|error| format!("no answer: {error}"))?.into_parts();
    let read = body.with_config().limit(ORDER_LIMIT).read_to_vec();
    let body = read.map_err(|error| format!("the body did not come: {error}"))?;
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn wants(self, status: u16) -> Heard<Self> {
        if self.status == status { Ok(self) } else { Err(format!("status {}, not {status}", self.status)) }
    }

    /// A body that is JSON and says so.
    pub fn json(&self) -> Heard<Value> {
        let kind = self.header("content-type").unwrap_or_default();
        if !kind.to_ascii_lowercase().starts_with("application/json") {
            return Err(format!("the content type is {kind:?}, not application/json"));
        }
        serde_json::from_slice(&self.body).map_err(|error| format!("the body is not JSON: {error}"))
    }

    /// 200 with a document that can be read as this type.
    pub fn document<T: serde::de::DeserializeOwned>(self) -> Heard<T> {
        let value = self.wants(200)?.json()?;
        serde_json::from_value(value).map_err(|error| format!("the reply is not as documented: {error}"))
    }
}
