//! `burin order seal`: encrypts strings of an order for one machine.

use crate::error::Coded;
use crate::protocol::attestation::SEALED;
use crate::protocol::order::{OrderError, parse_bytes};
use crate::protocol::{Attestation, Hello};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use burin_tpm::{Public, SealError};
use serde_json::Value;

#[derive(Debug, thiserror::Error)]
pub(super) enum SealFailed {
    #[error("the order is not JSON")]
    Json { source: serde_json::Error },
    #[error("this is not a machine's hello")]
    Hello { source: serde_json::Error },
    #[error("this hello has no sealing key: the machine was not attested")]
    NoKey,
    #[error("there is no string at {at} to seal")]
    Place { at: String },
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Order(#[from] OrderError),
}

impl Coded for SealFailed {
    fn code(&self) -> &'static str {
        match self {
            Self::Json { .. } => "order.not_json",
            Self::Hello { .. } => "seal.hello",
            Self::NoKey => "seal.no_key",
            Self::Place { .. } => "seal.place",
            Self::Seal(error) => error.code(),
            Self::Order(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Json { .. } => return None,
            Self::Hello { .. } | Self::NoKey => {
                "take it from a controller that requires attestation: docs/security.md#attestation"
            }
            Self::Place { .. } => "give --at a JSON pointer: /seed/user_data, /attributes/password",
            Self::Seal(error) => return error.hint(),
            Self::Order(error) => return error.hint(),
        };
        Some(hint.to_owned())
    }
}

pub(super) fn seal(order: &[u8], hello: &[u8], places: &[String]) -> Result<Vec<u8>, SealFailed> {
    let id = parse_bytes(order)?.id;
    let mut document: Value = serde_json::from_slice(order).map_err(|source| SealFailed::Json { source })?;
    let hello: Hello = serde_json::from_slice(hello).map_err(|source| SealFailed::Hello { source })?;
    let key = hello.attestation.as_ref().and_then(sealing_key).ok_or(SealFailed::NoKey)?;
    for at in places {
        let place = document.pointer_mut(at).ok_or_else(|| SealFailed::Place { at: at.clone() })?;
        let text = place.as_str().filter(|text| !text.starts_with(SEALED));
        let text = text.ok_or_else(|| SealFailed::Place { at: at.clone() })?;
        let sealed = burin_tpm::seal(&key, id.as_bytes(), text.as_bytes())?;
        *place = Value::String(format!("{SEALED}{}", STANDARD.encode(sealed)));
    }
    let mut bytes = serde_json::to_vec_pretty(&document).map_err(|source| SealFailed::Json { source })?;
    bytes.push(b'\n');
    // An order that cannot be parsed with the sealed strings in it would not be accepted by any agent.
    parse_bytes(&bytes)?;
    Ok(bytes)
}

fn sealing_key(attestation: &Attestation) -> Option<Public> {
    Public::parse(&STANDARD.decode(attestation.sealing_key.as_ref()?).ok()?)
}
