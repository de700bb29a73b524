//! Turns bytes into an order: signatures are verified before any of the contents is parsed.

use super::{RefusedByPolicy, Rules};
use crate::protocol::order::{Order, PAYLOAD_TYPE, parse_bytes};
use burin_sign::{Envelope, PublicKey, looks_like_envelope};

/// An order that may be parsed.
#[derive(Debug, Clone, PartialEq)]
pub struct Admitted {
    pub order: Order,
    /// Its exact bytes, without the envelope.
    pub bytes: Vec<u8>,
    /// The keys that signed it, among the allowed ones. Empty if no signature is required, because a signature that
    /// cannot be compared with a key proves nothing.
    pub signers: Vec<PublicKey>,
}

/// Parses bytes that claim to be an order, in an envelope or not. If the rules name keys, an order without a signature
/// by one of them is not parsed at all.
pub fn admit(rules: Option<&Rules>, raw: &[u8]) -> Result<Admitted, RefusedByPolicy> {
    let (bytes, signers) = match rules.filter(|rules| rules.requires_signed_orders()) {
        Some(rules) => {
            if !looks_like_envelope(raw) {
                return Err(RefusedByPolicy::Unsigned);
            }
            let envelope = Envelope::parse(raw).map_err(RefusedByPolicy::Signature)?;
            let opened = envelope.open(PAYLOAD_TYPE, &rules.order_keys).map_err(RefusedByPolicy::Signature)?;
            (opened.payload, opened.signers)
        }
        None if looks_like_envelope(raw) => {
            let envelope = Envelope::parse(raw).map_err(RefusedByPolicy::Signature)?;
            (envelope.contents(PAYLOAD_TYPE).map_err(RefusedByPolicy::Signature)?, Vec::new())
        }
        None => (raw.to_owned(), Vec::new()),
    };
    let order = parse_bytes(&bytes).map_err(RefusedByPolicy::Order)?;
    Ok(Admitted { order, bytes, signers })
}
