//! The calls of the protocol, `/v1/...`.

use super::server::Shared;
use super::state::{JournalRecord, MachineView};
use super::watch::Observation;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use burin::protocol::{
    Ack, Control, Event, GrantRequest, Hello, HelloReply, Problem, Receipt, ReceiptReply, ReceiptState, Secret, event,
    grant, hello, receipt, version,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Errors are replied as a `Problem` in JSON.
#[derive(Debug)]
pub(super) struct ProblemReply(StatusCode, Problem);

impl IntoResponse for ProblemReply {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

pub(super) fn refusal(status: StatusCode, code: &str, message: impl Into<String>) -> ProblemReply {
    ProblemReply(status, Problem { code: code.to_owned(), message: message.into(), causes: vec![], hint: None })
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ProblemReply> {
    serde_json::from_slice(body).map_err(|error| {
        refusal(StatusCode::BAD_REQUEST, "request.json", format!("the body is not as documented: {error}"))
    })
}

pub(super) fn speaks(found: &str, expected: &'static str) -> Result<(), ProblemReply> {
    version::check(found, expected)
        .map_err(|error| refusal(StatusCode::BAD_REQUEST, "protocol.version", error.to_string()))
}

async fn durable(written: oneshot::Receiver<bool>) -> Result<(), ProblemReply> {
    match written.await {
        Ok(true) => Ok(()),
        _ => Err(refusal(StatusCode::INTERNAL_SERVER_ERROR, "journal.write", "the record could not be kept")),
    }
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Tokens are stored and compared as digests, so the time of the comparison reveals nothing about the token.
fn authorise(shared: &Shared, machine: &str, headers: &HeaderMap) -> Result<(), ProblemReply> {
    let token = bearer(headers).map(digest);
    if token.is_some_and(|token| shared.state().by_token(machine, &token)) {
        shared.hear(machine);
        return Ok(());
    }
    Err(refusal(StatusCode::UNAUTHORIZED, "token.unknown", "say hello to get a token"))
}

pub(super) async fn hello(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ProblemReply> {
    let version: serde_json::Value = parse(&body)?;
    speaks(version.get("version").and_then(|v| v.as_str()).unwrap_or_default(), hello::VERSION)?;
    let mut hello: Hello = parse(&body)?;
    hello.identity = super::identity::real(hello.identity);
    super::join::check(&shared.options, &hello.identity, bearer(&headers))?;
    super::join::signed(&hello, &headers, &body)?;
    super::attest::check(&shared, &hello)?;
    let token = uuid::Uuid::new_v4().simple().to_string();
    let (written, machine) = shared.keep_if(|state| {
        let machine = state.name(&hello.identity, &hello.boot_id);
        let known = state.machines.get(&machine).and_then(|view| view.hello.as_ref());
        if let Err(refused) = super::join::may_have(known, &hello, || shared.in_use(&machine)) {
            return (None, Err(refused));
        }
        // Stored under the lock: whoever sees the machine also finds its token.
        shared.tokens().insert(machine.clone(), Secret::new(token.clone()));
        let record =
            JournalRecord::Hello { machine: machine.clone(), hello: Box::new(hello.clone()), token: digest(&token) };
        (Some(record), Ok(machine))
    });
    let machine = machine?;
    durable(written).await?;
    let (acked, control) = {
        let state = shared.state();
        let view = state.machines.get(&machine);
        let acked = view.and_then(|view| view.boots.get(&hello.boot_id)).map_or(0, |boot| boot.acked);
        (acked, view.map_or(Control::Continue, |view| view.control))
    };
    shared.watchers.tell(&Observation::Hello { machine: machine.clone(), hello: Box::new(hello) });
    let reply = HelloReply {
        version: hello::VERSION.to_owned(),
        machine,
        token: Secret::new(token),
        acked,
        control,
        heartbeat_seconds: shared.options.heartbeat_seconds,
        notice: None,
    };
    Ok(Json(reply).into_response())
}

#[derive(Debug, Deserialize)]
pub(super) struct Wait {
    #[serde(default)]
    wait: u64,
}

impl Wait {
    fn deadline(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + Duration::from_secs(self.wait.min(60))
    }
}

/// Order files may change without notice: read them again at this interval.
const LOOK: Duration = Duration::from_millis(500);

pub(super) async fn order(
    State(shared): State<Arc<Shared>>,
    Path(machine): Path<String>,
    Query(wait): Query<Wait>,
    headers: HeaderMap,
) -> Result<Response, ProblemReply> {
    authorise(&shared, &machine, &headers)?;
    let known = headers.get(header::IF_NONE_MATCH).and_then(|etag| etag.to_str().ok()).unwrap_or_default();
    let deadline = wait.deadline();
    let mut changes = shared.changes();
    loop {
        changes.borrow_and_update();
        let view = shared.state().machines.get(&machine).cloned().unwrap_or_default();
        let identity = view.hello.as_ref().map(|hello| hello.identity.clone()).unwrap_or_default();
        if let Some(order) = shared.order_file(Some(&machine), &identity) {
            if order.retires() {
                return Err(refusal(StatusCode::GONE, "order.gone", "there will be no order for this machine"));
            }
            let id = order.id();
            if order.etag != known && !view.finished(&id, shared.options.max_attempts) {
                let attempt = view.next_attempt(&id);
                let etag = order.etag.clone();
                shared.watchers.tell(&Observation::OrderSent { machine, etag: etag.clone(), attempt });
                let headers = [
                    (header::CONTENT_TYPE, "application/json".to_owned()),
                    (header::ETAG, etag),
                    (header::HeaderName::from_static("burin-attempt"), attempt.to_string()),
                ];
                return Ok((headers, order.body).into_response());
            }
        }
        let now = tokio::time::Instant::now();
        if now >= deadline {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        let look = LOOK.min(deadline - now);
        let _ = tokio::time::timeout(look, changes.changed()).await;
    }
}

pub(super) async fn events(
    State(shared): State<Arc<Shared>>,
    Path(machine): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Ack>, ProblemReply> {
    authorise(&shared, &machine, &headers)?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with(event::BATCH_CONTENT_TYPE) {
        let message = format!("events come as {}", event::BATCH_CONTENT_TYPE);
        return Err(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "request.content_type", message));
    }
    let events: Vec<Event> = parse(&body)?;
    if let Some(event) = events.iter().find(|event| event.specversion != "1.0") {
        speaks(&event.specversion, "1.0")?;
    }
    let boot = {
        let state = shared.state();
        let hello = state.machines.get(&machine).and_then(|view| view.hello.as_ref());
        hello.map(|hello| hello.boot_id.clone()).unwrap_or_default()
    };
    if events.iter().any(|event| event.id.boot_id != boot) {
        return Err(refusal(StatusCode::CONFLICT, "events.boot", "these events are not of the boot that said hello"));
    }
    let (written, ack) = shared.keep_events(&machine, &boot, events);
    durable(written).await?;
    Ok(Json(ack))
}

pub(super) async fn grant(
    State(shared): State<Arc<Shared>>,
    Path(machine): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ProblemReply> {
    authorise(&shared, &machine, &headers)?;
    let request: GrantRequest = parse(&body)?;
    speaks(&request.version, grant::VERSION)?;
    let identity = {
        let state = shared.state();
        let hello = state.machines.get(&machine).and_then(|view| view.hello.as_ref());
        hello.map(|hello| hello.identity.clone()).unwrap_or_default()
    };
    let order = shared.order_file(Some(&machine), &identity);
    let (written, reply) = shared.keep_if(|state| {
        let (reply, new) = state.decide(&machine, &request, order.as_ref(), shared.options.max_attempts);
        let (asked, answered) = (Box::new(request.clone()), Box::new(reply.clone()));
        let record = JournalRecord::Grant { machine: machine.clone(), request: asked, reply: answered };
        (new.then_some(record), reply)
    });
    durable(written).await?;
    let (asked, answered) = (Box::new(request), Box::new(reply.clone()));
    shared.watchers.tell(&Observation::Grant { machine, request: asked, reply: answered });
    Ok(Json(reply).into_response())
}

fn receipt_reply(shared: &Shared) -> Json<ReceiptReply> {
    let state = if shared.receipts_held() { ReceiptState::Posted } else { ReceiptState::Acknowledged };
    Json(ReceiptReply { version: receipt::VERSION.to_owned(), state })
}

pub(super) async fn receipt(
    State(shared): State<Arc<Shared>>,
    Path(machine): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ProblemReply> {
    authorise(&shared, &machine, &headers)?;
    let receipt: Receipt = parse(&body)?;
    speaks(&receipt.version, receipt::VERSION)?;
    super::join::proven(&shared, &machine, &receipt)?;
    let (written, new) = shared.keep_if(|state| {
        let known = state.machines.get(&machine).is_some_and(|view| view.receipts.contains(&receipt));
        let record = JournalRecord::Receipt { machine: machine.clone(), receipt: Box::new(receipt.clone()) };
        ((!known).then_some(record), !known)
    });
    durable(written).await?;
    if !shared.receipts_held() {
        shared.release(&machine);
    }
    if new {
        shared.watchers.tell(&Observation::Receipt { machine, receipt: Box::new(receipt) });
    }
    Ok(receipt_reply(&shared).into_response())
}

pub(super) async fn receipt_state(
    State(shared): State<Arc<Shared>>,
    Path((machine, order, attempt)): Path<(String, String, u32)>,
    Query(wait): Query<Wait>,
    headers: HeaderMap,
) -> Result<Json<ReceiptReply>, ProblemReply> {
    authorise(&shared, &machine, &headers)?;
    let kept = shared.state().machines.get(&machine).is_some_and(|view: &MachineView| {
        view.receipts.iter().any(|receipt| receipt.order == order && receipt.attempt == attempt)
    });
    if !kept {
        return Err(refusal(StatusCode::NOT_FOUND, "receipt.unknown", "no such receipt was posted"));
    }
    let deadline = wait.deadline();
    let mut changes = shared.changes();
    while shared.receipts_held() {
        if tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
            break;
        }
    }
    if !shared.receipts_held() {
        shared.release(&machine);
    }
    Ok(receipt_reply(&shared))
}

/// The machines and their states, for observers. No token is needed, so it contains no secrets.
pub(super) async fn machines(State(shared): State<Arc<Shared>>) -> Response {
    let state = shared.state();
    Json(state.machines.keys().collect::<Vec<_>>()).into_response()
}

pub(super) async fn machine(
    State(shared): State<Arc<Shared>>,
    Path(machine): Path<String>,
) -> Result<Response, ProblemReply> {
    let state = shared.state();
    let view = state.machines.get(&machine);
    let view =
        view.ok_or_else(|| refusal(StatusCode::NOT_FOUND, "machine.unknown", "this machine never said hello"))?;
    let events: Vec<&Event> = view.events().collect();
    let body = json!({
        "machine": machine, "identity": view.hello.as_ref().map(|hello| &hello.identity), "control": view.control,
        "grants": view.grants, "receipts": view.receipts, "events": events,
    });
    Ok(Json(body).into_response())
}
