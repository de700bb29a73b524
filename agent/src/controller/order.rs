//! Bytes that claim to be an order, wherever they come from.

use super::client::{Call, Client, ORDER_LIMIT};
use super::error::ControllerError;
use crate::protocol::Order;
use crate::protocol::order::{self, OrderError};
use burin_http::Timeouts;
use burin_http::Trust;
use std::io::Read;
use std::path::Path;

/// The version is looked at first: of another version, unknown keys are no mistake.
pub fn parse_order(body: &[u8]) -> Result<Order, OrderError> {
    let value: serde_json::Value = serde_json::from_slice(body).map_err(|source| OrderError::NotJson {
        line: source.line(),
        column: source.column(),
        source,
    })?;
    if let Some(found) = value.get("version").and_then(|version| version.as_str())
        && found != order::VERSION
    {
        return Err(OrderError::Version(found.chars().take(64).collect()));
    }
    // What is JSON is UTF-8. From the text and not from the value, which has lost duplicate keys.
    order::parse(&String::from_utf8_lossy(body))
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
