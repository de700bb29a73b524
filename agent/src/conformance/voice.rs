//! Single calls and their raw replies, without a verdict.

use crate::calls::segment;
use crate::protocol::{Problem, Secret};
use burin_http::redirect;
use serde_json::Value;
use std::io::{BufRead, Read};
use ureq::http::{HeaderMap, HeaderName, Method, Request, header};

/// More than any response needs: the longest is the inventory of a large machine.
const ANSWER_LIMIT: u64 = 16 << 20;

pub struct Voice {
    agent: ureq::Agent,
    base: String,
    join: Option<Secret>,
}

pub struct RawReply {
    pub status: u16,
    headers: HeaderMap,
    pub body: Vec<u8>,
}

/// The session from a hello.
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

/// The error is a readable description.
pub type Heard<T> = Result<T, String>;

impl Voice {
    pub fn new(agent: ureq::Agent, url: &str, join: Option<Secret>) -> Self {
        Self { agent, base: url.trim_end_matches('/').to_owned(), join }
    }

    pub fn hello(&self, body: &Value) -> Heard<RawReply> {
        self.post("/v1/hello", self.join.as_ref(), "application/json", body)
    }

    pub fn post(&self, path: &str, token: Option<&Secret>, kind: &str, body: &Value) -> Heard<RawReply> {
        self.send(Method::POST, path, token, &[(header::CONTENT_TYPE, kind)], body.to_string().into_bytes())
    }

    pub fn get(&self, path: &str, token: Option<&Secret>, etag: Option<&str>) -> Heard<RawReply> {
        let headers: Vec<_> = etag.map(|etag| (header::IF_NONE_MATCH, etag)).into_iter().collect();
        self.send(Method::GET, path, token, &headers, Vec::new())
    }

    /// A call with any headers.
    pub fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&Secret>,
        headers: &[(HeaderName, &str)],
        body: Vec<u8>,
    ) -> Heard<RawReply> {
        let (parts, mut body) = self.run(method, path, token, headers, body)?.into_parts();
        let read = body.with_config().limit(ANSWER_LIMIT).read_to_vec();
        let body = read.map_err(|error| format!("the body did not come: {error}"))?;
        Ok(RawReply { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// The first lines of an endless response, up to the one that `last` accepts.
    pub fn lines(
        &self,
        path: &str,
        token: &Secret,
        headers: &[(HeaderName, &str)],
        last: impl Fn(&str) -> bool,
    ) -> Heard<RawReply> {
        let (parts, body) = self.run(Method::GET, path, Some(token), headers, Vec::new())?.into_parts();
        let mut text = String::new();
        let reader = std::io::BufReader::new(body.into_reader().take(ANSWER_LIMIT));
        for line in reader.lines() {
            let line = line.map_err(|error| format!("the lines did not come: {error}"))?;
            text.push_str(&line);
            text.push('\n');
            if last(&line) {
                break;
            }
        }
        Ok(RawReply { status: parts.status.as_u16(), headers: parts.headers, body: text.into_bytes() })
    }

    fn run(
        &self,
        method: Method,
        path: &str,
        token: Option<&Secret>,
        headers: &[(HeaderName, &str)],
        body: Vec<u8>,
    ) -> Heard<ureq::http::Response<ureq::Body>> {
        let mut request = Request::builder().method(method.clone()).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.reveal()));
        }
        let wrong = |error: ureq::http::Error| error.to_string();
        let answer = match method == Method::GET {
            true => redirect::run(&self.agent, request.body(()).map_err(wrong)?).map(|(response, _)| response),
            false => self.agent.run(request.body(body).map_err(wrong)?),
        };
        answer.map_err(|error| format!("no answer: {error}"))
    }
}

impl RawReply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn wants(self, status: u16) -> Heard<Self> {
        if self.status == status { Ok(self) } else { Err(format!("status {}, not {status}", self.status)) }
    }

    /// An error status whose body is a Problem with this code, or with any; if no code is wanted, the body may be
    /// missing.
    pub fn refused(self, status: u16, code: Option<&str>) -> Heard<()> {
        let answer = self.wants(status)?;
        if answer.body.is_empty() && code.is_none() {
            return Ok(());
        }
        let problem: Problem =
            serde_json::from_value(answer.json()?).map_err(|error| format!("the body is no problem: {error}"))?;
        match code {
            Some(code) if problem.code != code => Err(format!("the code is {:?}, not {code:?}", problem.code)),
            _ => Ok(()),
        }
    }

    /// A body that is declared as JSON and valid.
    pub fn json(&self) -> Heard<Value> {
        let kind = self.header("content-type").unwrap_or_default();
        if !kind.to_ascii_lowercase().starts_with("application/json") {
            return Err(format!("the content type is {kind:?}, not application/json"));
        }
        serde_json::from_slice(&self.body).map_err(|error| format!("the body is not JSON: {error}"))
    }

    /// 200 with a document that can be parsed as this type.
    pub fn document<T: serde::de::DeserializeOwned>(self) -> Heard<T> {
        let value = self.wants(200)?.json()?;
        serde_json::from_value(value).map_err(|error| format!("the reply is not as documented: {error}"))
    }
}
