//! Parses an order, with errors that give the location (a JSON pointer, RFC 6901) and what was expected.

use super::{Order, VERSION};
use crate::error::Coded;
use serde_path_to_error::{Path, Segment};

/// A single mistake in an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// RFC 6901; empty means the whole document.
    pub pointer: String,
    pub message: String,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "at {}: {}", if self.pointer.is_empty() { "/" } else { &self.pointer }, self.message)
    }
}

/// Why a document is not an order.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    #[error("the order is not JSON (line {line}, column {column})")]
    NotJson { line: usize, column: usize, source: serde_json::Error },
    #[error("the order has a key that does not exist, {0}")]
    UnknownKey(Mistake),
    #[error("the order is not valid, {0}")]
    Invalid(Mistake),
    #[error("the order is not valid: {}", join(.0))]
    Unsound(Vec<Mistake>),
    #[error("this agent reads {VERSION}, the order is `{0}`")]
    Version(String),
}

fn join(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>().join("; ")
}

impl OrderError {
    /// The mistakes with their locations, if there are any.
    pub fn mistakes(&self) -> &[Mistake] {
        match self {
            OrderError::UnknownKey(mistake) | OrderError::Invalid(mistake) => std::slice::from_ref(mistake),
            OrderError::Unsound(mistakes) => mistakes,
            OrderError::NotJson { .. } | OrderError::Version(_) => &[],
        }
    }
}

impl Coded for OrderError {
    fn code(&self) -> &'static str {
        match self {
            OrderError::NotJson { .. } => "order.not_json",
            OrderError::UnknownKey(_) => "order.unknown_key",
            OrderError::Invalid(_) | OrderError::Unsound(_) => "order.invalid",
            OrderError::Version(_) => "order.version",
        }
    }

    fn hint(&self) -> Option<String> {
        Some("see docs/layouts.md, and point an editor at docs/schemas/order.json".to_owned())
    }
}

/// Parses an order. Whether its names refer to each other correctly is checked later, by `crate::plan::check`.
pub fn parse(text: &str) -> Result<Order, OrderError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let order = serde_path_to_error::deserialize(&mut deserializer).map_err(typed)?;
    deserializer.end().map_err(not_json)?;
    version(order)
}

/// Parses bytes from any source. The version is checked first: in another version, unknown keys are not mistakes.
pub fn parse_bytes(body: &[u8]) -> Result<Order, OrderError> {
    let value: serde_json::Value = serde_json::from_slice(body).map_err(|source| OrderError::NotJson {
        line: source.line(),
        column: source.column(),
        source,
    })?;
    if let Some(found) = value.get("version").and_then(|version| version.as_str())
        && found != VERSION
    {
        return Err(OrderError::Version(found.chars().take(64).collect()));
    }
    // JSON is UTF-8. Parsed from the text and not from the value, which has lost duplicate keys.
    parse(&String::from_utf8_lossy(body))
}

/// The same for a document that is already JSON, such as part of a controller's reply.
pub fn parse_value(value: &serde_json::Value) -> Result<Order, OrderError> {
    version(serde_path_to_error::deserialize(value).map_err(typed)?)
}

fn version(order: Order) -> Result<Order, OrderError> {
    if order.version == VERSION { Ok(order) } else { Err(OrderError::Version(order.version)) }
}

fn not_json(error: serde_json::Error) -> OrderError {
    OrderError::NotJson { line: error.line(), column: error.column(), source: error }
}

fn typed(error: serde_path_to_error::Error<serde_json::Error>) -> OrderError {
    let mut at = pointer(error.path());
    let error = error.into_inner();
    if !error.is_data() {
        return not_json(error);
    }
    let full = error.to_string();
    // serde_json appends the position; the pointer is more useful.
    let message = full.rsplit_once(" at line ").map_or(full.as_str(), |(message, _)| message);
    match message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')) {
        Some((key, rest)) => {
            // The path names the object or already the key, depending on where the error was detected.
            if at.rsplit('/').next() != Some(&escape(key)) {
                at = format!("{at}/{}", escape(key));
            }
            let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
            let message = match nearest(key, known.iter().copied()) {
                Some(near) => format!("unknown key `{key}`, did you mean `{near}`?"),
                None => format!("unknown key `{key}`, expected one of {}", known.join(", ")),
            };
            OrderError::UnknownKey(Mistake { pointer: at, message })
        }
        None => OrderError::Invalid(Mistake { pointer: at, message: message.to_owned() }),
    }
}

fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", escape(key))),
            Segment::Enum { variant } => pointer.push_str(&format!("/{}", escape(variant))),
            Segment::Unknown => {}
        }
    }
    pointer
}

/// Escapes a key for a JSON pointer.
pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The known name of which `name` is probably a misspelling.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count().min(name.chars().count()) / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
