//! Strings of an order that only this machine can unseal, and only in its attested state.

use super::{AttestError, Chip, Line};
use crate::error::Coded;
use crate::protocol::attestation::SEALED;
use crate::protocol::hex;
use crate::protocol::order::{Order, OrderError, parse_bytes};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use burin_tpm::{Loaded, PcrSelection, SEALING, SealError, Tpm, open_sealed};
use serde_json::Value;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Derived from the salts of the sealed strings, so that no digest over the unsealed order allows guessing them.
const SALT_ATTRIBUTE: &str = "burin-salt";

/// An order without sealed strings.
#[derive(Debug)]
pub enum Opened<'a> {
    /// It had none.
    AsItWas(&'a Order),
    Now(Box<Order>),
}

impl Opened<'_> {
    pub fn order(&self) -> &Order {
        match self {
            Self::AsItWas(order) => order,
            Self::Now(order) => order,
        }
    }
}

/// Why sealed strings cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("what is sealed at {at} cannot be opened: {source}")]
    Seal { at: String, source: SealError },
    #[error("the order has secrets that are sealed: {source}")]
    Chip { source: AttestError },
    /// Without the invalid value, which was secret.
    #[error("with what was sealed in its place the order is none")]
    Order(OrderError),
    #[error("the order has secrets that are sealed, and nobody has signed it")]
    Unsigned,
    #[error("the order has {count} sealed strings, {most} at most are opened")]
    TooMany { count: usize, most: usize },
}

impl Coded for OpenError {
    fn code(&self) -> &'static str {
        match self {
            Self::Seal { source, .. } => source.code(),
            Self::Chip { source } => source.code(),
            Self::Order(error) => error.code(),
            Self::Unsigned => "sealed.unsigned",
            Self::TooMany { .. } => "sealed.many",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Seal { source, .. } => source.hint(),
            Self::Chip { source } => source.hint(),
            Self::Order(error) => error.hint(),
            Self::Unsigned => Some(
                "sign the order (burin order sign) and give the ramdisk a policy with `orders.keys`: anybody who has seen the \
                 sealed strings could put them into another order"
                    .to_owned(),
            ),
            Self::TooMany { .. } => Some("seal a file or a seed as a whole".to_owned()),
        }
    }
}

/// Each takes several TPM commands, which may take a second each.
const MOST: usize = 64;

/// The TPM is used only if something is sealed. `is_signed`: the order has a signature by a key in the policy.
pub fn open<'a>(chip: &Chip, order: &'a Order, is_signed: bool) -> Result<Opened<'a>, OpenError> {
    let mut value = serde_json::to_value(order).unwrap_or_default();
    let mut found = Vec::new();
    find(&value, String::new(), &mut found);
    if found.is_empty() {
        return Ok(Opened::AsItWas(order));
    }
    if !is_signed {
        return Err(OpenError::Unsigned);
    }
    if found.len() > MOST {
        return Err(OpenError::TooMany { count: found.len(), most: MOST });
    }
    let chip_error = |source| OpenError::Chip { source };
    let mut tpm = chip.open().map_err(chip_error)?;
    let key = super::sealing(&mut tpm).map_err(|error| chip_error(error.into()))?;
    let salts = open_all(&mut tpm, &key, &order.id, found, &mut value);
    // A failure is harmless: the key is flushed when the device is closed.
    let _ = tpm.flush(key.handle);
    let salts = salts?;
    if let Some(document) = value.as_object_mut() {
        let attributes = document.entry("attributes").or_insert_with(|| Value::Object(serde_json::Map::new()));
        if let Some(attributes) = attributes.as_object_mut() {
            attributes.insert(SALT_ATTRIBUTE.to_owned(), Value::String(salts));
        }
    }
    let bytes = Zeroizing::new(serde_json::to_vec(&value).unwrap_or_default());
    parse_bytes(&bytes).map(|order| Opened::Now(Box::new(order))).map_err(OpenError::Order)
}

/// Each replaced by what was sealed; also returns a digest over their salts.
fn open_all(
    tpm: &mut Tpm<Line>,
    key: &Loaded,
    order: &str,
    found: Vec<(String, String)>,
    value: &mut Value,
) -> Result<String, OpenError> {
    let mut salts = Sha256::new();
    for (at, sealed) in found {
        let failed = |source| OpenError::Seal { at: at.clone(), source };
        let bytes = STANDARD.decode(sealed).map_err(|_| failed(SealError::Malformed))?;
        let opened = open_sealed(tpm, key, PcrSelection::of(&SEALING), order.as_bytes(), &bytes).map_err(failed)?;
        salts.update(opened.salt);
        let text = std::str::from_utf8(&opened.secret).map_err(|_| failed(SealError::Malformed))?;
        if let Some(place) = value.pointer_mut(&at) {
            *place = Value::String(text.to_owned());
        }
    }
    Ok(hex(salts.finalize()))
}

/// JSON pointers (RFC 6901) of all sealed strings, with their base64.
fn find(value: &Value, at: String, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => {
            if let Some(sealed) = text.strip_prefix(SEALED) {
                found.push((at, sealed.to_owned()));
            }
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(n, item)| find(item, format!("{at}/{n}"), found)),
        Value::Object(fields) => fields.iter().for_each(|(name, item)| {
            let name = name.replace('~', "~0").replace('/', "~1");
            find(item, format!("{at}/{name}"), found);
        }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::io;
    use std::sync::Arc;

    #[test]
    fn what_is_sealed_is_found_wherever_it_is_and_a_plain_order_needs_no_tpm() {
        let mut found = Vec::new();
        let value = json!({"a/b": [1, {"x~y": "burin-sealed/v1:AAAA"}], "c": "burin-sealed/v1", "d": "open"});
        find(&value, String::new(), &mut found);
        assert_eq!(found, [("/a~1b/1/x~0y".to_owned(), "AAAA".to_owned())]);

        let root = tempfile::tempdir().unwrap();
        let none = Chip::new(Arc::new(|| Err(io::ErrorKind::NotFound.into())), root.path());
        let order = |more: Value| {
            let mut order = json!({"version": "order/v1", "id": "o", "layouts": [], "attributes": {}});
            order["attributes"]["password"] = more;
            parse_bytes(order.to_string().as_bytes()).unwrap()
        };
        let plain = order(json!("plain"));
        assert_eq!(open(&none, &plain, false).unwrap().order(), &plain);
        assert_eq!(open(&none, &order(json!("burin-sealed/v1:AAAA")), true).unwrap_err().code(), "tpm.none");
    }
}
