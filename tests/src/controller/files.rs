//! Serves artefacts under `/boot/` and images under `/images/`: tower-http's files with ranges and ETags, plus injected
//! faults.

use super::faults::ImageFault;
use super::server::Shared;
use super::watch::Observation;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body::Frame;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tower_http::services::ServeDir;

pub(super) async fn artefact(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    serve(&shared, shared.options.artefacts.as_deref(), "/boot/", request).await
}

pub(super) async fn image(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    serve(&shared, shared.options.images.as_deref(), "/images/", request).await
}

async fn serve(shared: &Shared, directory: Option<&Path>, prefix: &str, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let name = path.strip_prefix(prefix).unwrap_or_default().to_owned();
    let range = request.headers().get(header::RANGE).and_then(|range| range.to_str().ok()).map(str::to_owned);
    let fault = if prefix == "/images/" { shared.faults.next_image(&name) } else { None };
    let response = match directory {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(directory) => answer(directory, &name, fault, request).await,
    };
    shared.watchers.tell(&Observation::File { path, status: response.status().as_u16(), range });
    response
}

async fn answer(directory: &Path, name: &str, fault: Option<ImageFault>, mut request: Request) -> Response {
    let mut end = None;
    match &fault {
        Some(ImageFault::Status(status)) => {
            return StatusCode::from_u16(*status).unwrap_or(StatusCode::NOT_FOUND).into_response();
        }
        Some(ImageFault::NoRange) => {
            request.headers_mut().remove(header::RANGE);
        }
        Some(ImageFault::Truncate(bytes)) => {
            let size = std::fs::metadata(directory.join(name)).map_or(0, |metadata| metadata.len());
            end = Some((*bytes).min(size));
            request.headers_mut().remove(header::RANGE);
        }
        _ => {}
    }
    if let Ok(uri) = format!("/{name}").parse() {
        *request.uri_mut() = uri;
    }
    let service = ServeDir::new(directory).append_index_html_on_directories(false);
    let response = match service.clone().try_call(request).await {
        Ok(response) => response.map(Body::new),
        // tower-http reports this as an I/O error.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return StatusCode::NOT_FOUND.into_response(),
        Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    if !response.status().is_success() {
        return response;
    }
    let offset = start(&response);
    let (mut parts, body) = response.into_parts();
    if let Some(end) = end {
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(end));
        parts.headers.remove(header::ACCEPT_RANGES);
    }
    if fault == Some(ImageFault::NoRange) {
        parts.headers.remove(header::ACCEPT_RANGES);
    }
    match fault {
        None | Some(ImageFault::NoRange) => Response::from_parts(parts, body),
        Some(fault) => {
            Response::from_parts(parts, Body::new(Faulty { body, offset, fault, sleep: None, ending: false }))
        }
    }
}

/// The first byte of the response, from its Content-Range.
fn start(response: &Response) -> u64 {
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
    range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()).unwrap_or(0)
}

/// A file's bytes with a fault at an offset of the file.
struct Faulty {
    body: Body,
    offset: u64,
    fault: ImageFault,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
    /// The connection ends after the sleep.
    ending: bool,
}

/// An error drops what hyper has not sent yet. While the body is pending, hyper sends it.
const TO_SEND: Duration = Duration::from_millis(50);

fn cut_error() -> io::Error {
    io::Error::other("cut on purpose")
}

impl HttpBody for Faulty {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if let Some(sleep) = &mut this.sleep {
            ready!(sleep.as_mut().poll(cx));
        }
        if this.ending {
            return Poll::Ready(Some(Err(axum::Error::new(cut_error()))));
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        let mut bytes = match frame {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) => bytes,
                Err(other) => return Poll::Ready(Some(Ok(other))),
            },
            other => return Poll::Ready(other),
        };
        let first = this.offset;
        this.offset += bytes.len() as u64;
        // The fault's position in this chunk, if it is there.
        let within =
            |offset: u64| offset.checked_sub(first).filter(|at| *at < bytes.len() as u64).map(|at| at as usize);
        match this.fault {
            ImageFault::Truncate(offset) if this.offset > offset => {
                let keep = offset.saturating_sub(first) as usize;
                bytes.truncate(keep);
                if keep == 0 {
                    return Poll::Ready(None);
                }
            }
            ImageFault::Cut(offset) if this.offset > offset => {
                let keep = offset.saturating_sub(first) as usize;
                this.ending = true;
                let sleep = this.sleep.insert(Box::pin(tokio::time::sleep(TO_SEND)));
                bytes.truncate(keep);
                if keep == 0 {
                    ready!(sleep.as_mut().poll(cx));
                    return Poll::Ready(Some(Err(axum::Error::new(cut_error()))));
                }
            }
            ImageFault::Flip(offset) => {
                if let Some(at) = within(offset) {
                    let mut changed = bytes.to_vec();
                    changed[at] ^= 1;
                    bytes = Bytes::from(changed);
                }
            }
            ImageFault::Stall(offset, time) if within(offset).is_some() => {
                this.sleep = Some(Box::pin(tokio::time::sleep(time)));
            }
            _ => {}
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

/// Some bytes, then an error: the connection ends in mid-body.
pub(super) struct Broken {
    bytes: Option<Bytes>,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

impl Broken {
    pub fn new(bytes: Bytes) -> Self {
        Self { bytes: Some(bytes), sleep: Box::pin(tokio::time::sleep(TO_SEND)) }
    }
}

impl HttpBody for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(bytes) = self.bytes.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        ready!(self.sleep.as_mut().poll(cx));
        Poll::Ready(Some(Err(cut_error())))
    }
}

/// Spaces, which JSON allows, without an announced length.
pub(super) struct Endless(u64);

impl Endless {
    pub fn new(bytes: u64) -> Self {
        Self(bytes)
    }
}

impl HttpBody for Endless {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        static SPACES: [u8; 65536] = [b' '; 65536];
        if self.0 == 0 {
            return Poll::Ready(None);
        }
        let count = self.0.min(SPACES.len() as u64);
        self.0 -= count;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&SPACES).slice(..count as usize)))))
    }
}
