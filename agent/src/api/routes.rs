//! The routes of the agent's own API.

use super::door::Door;
use super::history::History;
use super::lock::TokenVerdict;
use super::metrics;
use super::seats::{Guest, KNOWN};
use super::work::{ApiRefusal, refusal};
use crate::protocol::{ApplyRequest, Event, PowerRequest};
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Extension, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http_body::Frame;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// An order with all its attributes; no other request is larger.
const BODY_LIMIT: usize = 4 << 20;
/// The time limit for receiving a body.
const PATIENCE: Duration = Duration::from_secs(30);
/// Maximum number of followers of events; each keeps a connection.
const FOLLOWERS: usize = 8;

#[derive(Clone)]
struct Shared {
    door: Door,
    followers: Arc<Semaphore>,
}

impl IntoResponse for ApiRefusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.problem)).into_response()
    }
}

pub(super) fn router(door: Door) -> Router {
    let shared = Shared { door, followers: Arc::new(Semaphore::new(FOLLOWERS)) };
    Router::new()
        .route("/v1/status", get(async |State(shared): State<Shared>| Json(shared.door.status())))
        .route("/v1/inventory", get(inventory))
        .route("/v1/order", get(order).put(put_order))
        .route("/v1/plan", get(plan).post(make_plan))
        .route("/v1/apply", post(apply))
        .route("/v1/receipt", get(receipt))
        .route("/v1/events", get(events))
        .route("/v1/cancel", post(cancel))
        .route("/v1/power", post(power))
        .route("/v1/log", get(log))
        .route("/metrics", get(metrics))
        .fallback(async || refusal(404, "api.unknown", "there is no such call"))
        .method_not_allowed_fallback(async || refusal(405, "api.method", "this call has another method"))
        .layer(from_fn_with_state(shared.clone(), authorise))
        // Needs no token: it only says that the agent is there.
        .route("/healthz", get(async || "ok\n"))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(axum::middleware::from_fn(limit_time))
        .with_state(shared)
}

/// The right token is admitted at once. A wrong one gets a delayed answer and must reconnect; see [`super::lock`].
async fn authorise(
    State(shared): State<Shared>,
    Extension(guest): Extension<Guest>,
    request: Request,
    next: Next,
) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match shared.door.check(given.and_then(|value| value.strip_prefix("Bearer ")), guest.peer()) {
        TokenVerdict::Right if guest.welcome() => return next.run(request).await,
        TokenVerdict::Right => {
            return refusal(503, "api.connections", format!("{KNOWN} are connected already")).into_response();
        }
        TokenVerdict::None => {}
        TokenVerdict::Wrong(wrong) => tokio::time::sleep(wrong.delay).await,
    }
    let refused = refusal(401, "api.token", "this call asks for the bearer token of this boot");
    ([(header::WWW_AUTHENTICATE, "Bearer"), (header::CONNECTION, "close")], refused).into_response()
}

async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(PATIENCE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => refusal(408, "api.timeout", "the request took too long").into_response(),
    }
}

type Whole = Result<Bytes, BytesRejection>;

/// A body that was received completely and within the limit.
fn whole(body: Whole) -> Result<Bytes, ApiRefusal> {
    body.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            refusal(413, "api.too_large", format!("a body has at most {BODY_LIMIT} bytes"))
        }
        _ => refusal(400, "api.body", "the body did not come whole"),
    })
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiRefusal> {
    serde_json::from_slice(body)
        .map_err(|error| refusal(400, "api.body", format!("the body is not as documented: {error}")))
}

fn there<T>(value: Option<T>, what: &str) -> Result<T, ApiRefusal> {
    value.ok_or_else(|| refusal(404, "api.nothing", format!("there is no {what} yet")))
}

async fn inventory(State(shared): State<Shared>) -> Result<Response, ApiRefusal> {
    Ok(Json(there(shared.door.inventory(), "inventory")?).into_response())
}

async fn order(State(shared): State<Shared>) -> Result<Response, ApiRefusal> {
    let raw = there(shared.door.order(), "order")?;
    Ok(([(header::CONTENT_TYPE, "application/json")], raw).into_response())
}

async fn put_order(State(shared): State<Shared>, body: Whole) -> Result<Response, ApiRefusal> {
    shared.door.put_order(&whole(body)?)?;
    Ok(Json(shared.door.status()).into_response())
}

async fn plan(State(shared): State<Shared>) -> Result<Response, ApiRefusal> {
    Ok(Json(there(shared.door.plan(), "plan")?).into_response())
}

async fn make_plan(State(shared): State<Shared>) -> Result<Response, ApiRefusal> {
    let door = shared.door.clone();
    let planned = tokio::task::spawn_blocking(move || door.make_plan()).await;
    let plan = planned.map_err(|_| refusal(500, "api.plan", "planning ended abnormally"))??;
    Ok(Json(plan).into_response())
}

async fn apply(State(shared): State<Shared>, headers: HeaderMap, body: Whole) -> Result<Response, ApiRefusal> {
    let request: ApplyRequest = parse(&whole(body)?)?;
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    if key.is_some_and(|key| key.len() > 256) {
        return Err(refusal(400, "api.body", "an Idempotency-Key has at most 256 characters"));
    }
    let reply = shared.door.apply(&request, key)?;
    Ok((StatusCode::ACCEPTED, Json(reply)).into_response())
}

async fn receipt(State(shared): State<Shared>) -> Result<Response, ApiRefusal> {
    Ok(Json(there(shared.door.receipt(), "receipt")?).into_response())
}

async fn cancel(State(shared): State<Shared>) -> Result<Response, ApiRefusal> {
    let at = shared.door.cancel()?;
    Ok((StatusCode::ACCEPTED, Json(serde_json::json!({"safe_point": at}))).into_response())
}

async fn power(State(shared): State<Shared>, body: Whole) -> Result<Response, ApiRefusal> {
    let request: PowerRequest = parse(&whole(body)?)?;
    let door = shared.door.clone();
    let done = tokio::task::spawn_blocking(move || door.power(request.action)).await;
    done.map_err(|_| refusal(500, "api.power", "this ended abnormally"))??;
    Ok((StatusCode::ACCEPTED, Json(request)).into_response())
}

#[derive(Debug, Deserialize)]
struct From {
    #[serde(default)]
    offset: u64,
}

/// At most a mebibyte at a time; `Burin-Offset` is the offset of the first byte, which may be later than requested.
async fn log(State(shared): State<Shared>, query: Result<Query<From>, QueryRejection>) -> Result<Response, ApiRefusal> {
    let Query(from) = query.map_err(|error| refusal(400, "api.query", error.body_text()))?;
    if i64::try_from(from.offset).is_err() {
        return Err(refusal(400, "api.query", "an offset is less than 2^63"));
    }
    let (offset, bytes) = shared.door.log().read(from.offset, 1 << 20);
    let name = header::HeaderName::from_static("burin-offset");
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (name, offset.to_string())];
    Ok((headers, bytes).into_response())
}

async fn metrics(State(shared): State<Shared>) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::text(&shared.door)).into_response()
}

/// Server-sent events (WHATWG HTML section 9.2); the id is the event's sequence, for Last-Event-ID.
async fn events(State(shared): State<Shared>, headers: HeaderMap) -> Result<Response, ApiRefusal> {
    let full = || refusal(503, "api.followers", format!("{FOLLOWERS} already follow the events"));
    let permit = shared.followers.clone().try_acquire_owned().map_err(|_| full())?;
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok()).unwrap_or(0);
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(async move {
        follow(shared.door.history(), seen, &sender).await;
        drop(permit);
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::new(Chunks(receiver))).into_response())
}

/// Runs until the follower is gone. A comment now and then detects that, and keeps proxies from closing the connection.
async fn follow(history: &History, mut seen: u64, sender: &mpsc::Sender<Bytes>) {
    let mut news = history.watch();
    loop {
        news.borrow_and_update();
        for event in history.after(seen) {
            seen = event.id.sequence;
            if sender.send(frame(&event)).await.is_err() {
                return;
            }
        }
        let waited = tokio::time::timeout(Duration::from_secs(15), news.changed()).await;
        let quiet = waited.is_err();
        if quiet && sender.send(Bytes::from_static(b":\n\n")).await.is_err() {
            return;
        }
    }
}

fn frame(event: &Event) -> Bytes {
    // JSON contains no raw line feed, which would end the field.
    let data = serde_json::to_string(event).unwrap_or_default();
    Bytes::from(format!(
        "id: {}\nevent: {}\ndata: {data}\n\n",
        event.id.sequence,
        event.kind.replace(['\r', '\n'], " ")
    ))
}

struct Chunks(mpsc::Receiver<Bytes>);

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes))))
    }
}
