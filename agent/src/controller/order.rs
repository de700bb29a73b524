//! Bytes that claim to be an order, wherever they come from.

use super::client::{Call, Client, ORDER_LIMIT};
use super::error::ControllerError;
use super::http::Timeouts;
use super::trust::Trust;
use crate::error::Coded;
use crate::protocol::{Order, VersionError, order, version};
use std::io::Read;
use std::path::Path;

/// Why bytes are not an order that this agent can read.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    #[error("the order is not JSON")]
    Json { source: serde_json::Error },
    #[error("the order is of another version")]
    Version { source: VersionError },
    #[error("the order is not as documented")]
    Shape { source: serde_json::Error },
}

impl Coded for OrderError {
    fn code(&self) -> &'static str {
        match self {
            Self::Json { .. } => "order.json",
            Self::Version { .. } => "order.version",
            Self::Shape { .. } => "order.shape",
        }
    }
}

/// The version is looked at first: of another version, unknown keys are no mistake.
pub fn parse_order(body: &[u8]) -> Result<Order, OrderError> {
    let value: serde_json::Value = serde_json::from_slice(body).map_err(|source| OrderError::Json { source })?;
    if let Some(found) = value.get("version").and_then(|version| version.as_str()) {
        version::check(found, order::VERSION).map_err(|source| OrderError::Version { source })?;
    }
    // From the bytes and not from the value, so that the error has a line and a column.
    serde_json::from_slice(body).map_err(|source| OrderError::Shape { source })
}

/// The bytes of `burin.order=`: a path or an http(s) URL. One try; at most 4 MiB.
pub fn fetch_order(place: &str, trust: &Trust) -> Result<Vec<u8>, ControllerError> {
    if place.starts_with("http://") || place.starts_with("https://") {
        let client = Client::new(place, trust, &Timeouts::CALLS)?;
        return client.call(Call { limit: ORDER_LIMIT, ..Call::default() }).map(|reply| reply.body);
    }
    let path = Path::new(place.strip_prefix("file://").unwrap_or(place));
    let failed = |source| ControllerError::Read { path: path.into(), source };
    let mut body = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(ORDER_LIMIT + 1).read_to_end(&mut body).map_err(failed)?;
    if body.len() as u64 > ORDER_LIMIT {
        return Err(ControllerError::TooLarge { url: place.to_owned(), limit: ORDER_LIMIT });
    }
    Ok(body)
}
