//! Injected misbehaviour, for the fault matrix.

use super::listener::Cut;
use super::server::Shared;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A group of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    Any,
    Hello,
    Order,
    Events,
    Grant,
    Receipt,
    Script,
    File,
}

impl Call {
    fn of(path: &str) -> Option<Self> {
        let last = path.rsplit('/').next().unwrap_or_default();
        Some(match last {
            _ if path.starts_with("/images/") || path.starts_with("/boot/") => Self::File,
            "ipxe" => Self::Script,
            "hello" => Self::Hello,
            "order" => Self::Order,
            "events" => Self::Events,
            "grants" => Self::Grant,
            _ if path.contains("/receipts") => Self::Receipt,
            _ => return None,
        })
    }
}

/// What happens to a request instead of a normal response.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Respond with this status.
    Status(u16),
    /// Respond with this status and `Retry-After`.
    RetryAfter { status: u16, seconds: u32 },
    /// Close the connection without reading the request.
    Drop,
    /// Do what was requested, then close the connection without a response.
    LoseReply,
    /// Do what was requested, announce the whole response, and close in mid-body.
    CutReply,
    /// Wait, then respond normally.
    Stall(Duration),
    /// Respond normally, but with this content type.
    ContentType(String),
    /// Do what was requested, and respond 200 with these bytes as JSON.
    Body(Vec<u8>),
    /// Respond 200 and keep sending, up to this many bytes.
    Endless(u64),
}

/// What happens to a file under `/images/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageFault {
    /// The file ends at this offset.
    Truncate(u64),
    /// The connection closes when the byte at this offset would be sent.
    Cut(u64),
    /// One bit of the byte at this offset is flipped.
    Flip(u64),
    /// Any status, e.g. 404.
    Status(u16),
    /// Ranges are ignored and the whole file sent with status 200.
    NoRange,
    /// Sending stops at this offset for so long.
    Stall(u64, Duration),
}

/// Shared by the server and by the owner of its [`super::Controller`].
#[derive(Debug, Clone, Default)]
pub struct Faults {
    refusing: Arc<AtomicBool>,
    calls: Arc<Mutex<BTreeMap<Call, (Fault, u32)>>>,
    images: Arc<Mutex<BTreeMap<String, (ImageFault, u32)>>>,
}

impl Faults {
    /// Applies `fault` to the next `times` requests of this kind. [`Call::Any`] applies only if no other fault is set.
    pub fn set(&self, call: Call, fault: Fault, times: u32) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).insert(call, (fault, times));
    }

    /// Applies `fault` to the next `times` requests for `/images/PATH`.
    pub fn set_image(&self, path: &str, fault: ImageFault, times: u32) {
        self.images.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), (fault, times));
    }

    /// Closes every new connection at once, as if nothing listened, and cuts the open ones.
    pub fn refuse_all(&self) {
        self.refusing.store(true, Ordering::Relaxed);
        self.set(Call::Any, Fault::Drop, u32::MAX);
    }

    /// Removes all faults.
    pub fn heal(&self) {
        self.refusing.store(false, Ordering::Relaxed);
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.images.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The number of requests of this kind to which the fault still applies.
    pub fn left(&self, call: Call) -> u32 {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.get(&call).map_or(0, |(_, times)| *times)
    }

    pub(super) fn refusing(&self) -> Arc<AtomicBool> {
        self.refusing.clone()
    }

    fn next(&self, path: &str) -> Option<Fault> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let special = Call::of(path).and_then(|call| take(&mut calls, &call));
        special.or_else(|| take(&mut calls, &Call::Any))
    }

    pub(super) fn next_image(&self, path: &str) -> Option<ImageFault> {
        take(&mut self.images.lock().unwrap_or_else(PoisonError::into_inner), path)
    }
}

fn take<K, Q, F>(faults: &mut BTreeMap<K, (F, u32)>, key: &Q) -> Option<F>
where
    K: std::borrow::Borrow<Q> + Ord,
    Q: Ord + ?Sized,
    F: Clone,
{
    let (fault, times) = faults.get_mut(key).filter(|(_, times)| *times > 0)?;
    *times = times.saturating_sub(u32::from(*times < u32::MAX));
    Some(fault.clone())
}

pub(super) async fn strike(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
    next: Next,
) -> Response {
    let json = || HeaderValue::from_static("application/json");
    match shared.faults.next(request.uri().path()) {
        None => next.run(request).await,
        Some(Fault::Status(status)) => refuse(status),
        Some(Fault::RetryAfter { status, seconds }) => {
            ([(header::RETRY_AFTER, seconds.to_string())], refuse(status)).into_response()
        }
        Some(Fault::Drop) => {
            cut.now();
            refuse(500)
        }
        Some(Fault::LoseReply) => {
            next.run(request).await;
            cut.now();
            refuse(500)
        }
        Some(Fault::CutReply) => {
            let response = next.run(request).await;
            let (parts, body) = response.into_parts();
            let bytes = axum::body::to_bytes(body, 1 << 24).await.unwrap_or_default();
            let half = bytes.slice(..bytes.len() / 2);
            let length = bytes.len().max(2);
            let mut response = Response::from_parts(parts, Body::new(super::files::Broken::new(half)));
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            response
        }
        Some(Fault::Stall(time)) => {
            tokio::time::sleep(time).await;
            next.run(request).await
        }
        Some(Fault::ContentType(name)) => {
            let mut response = next.run(request).await;
            if let Ok(name) = HeaderValue::from_str(&name) {
                response.headers_mut().insert(header::CONTENT_TYPE, name);
            }
            response
        }
        Some(Fault::Body(bytes)) => {
            next.run(request).await;
            ([(header::CONTENT_TYPE, json())], bytes).into_response()
        }
        Some(Fault::Endless(bytes)) => {
            ([(header::CONTENT_TYPE, json())], Body::new(super::files::Endless::new(bytes))).into_response()
        }
    }
}

fn refuse(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Bytes::from_static(b"a fault on purpose")).into_response()
}
