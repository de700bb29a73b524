//! DSSE 1.0.2 envelopes (<https://github.com/secure-systems-lab/dsse>): the exact bytes of a document, their type, and
//! signatures over both.

use super::key::{PublicKey, SecretKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use burin_protocol::error::Coded;
use serde::{Deserialize, Serialize};

/// More signatures than anybody needs; each must be checked against each key.
const MOST_SIGNATURES: usize = 16;

/// Used for `application/vnd.in-toto+json` and for orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Base64.
    pub payload: String,
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    pub signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Only a hint: which of several keys it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyid: Option<String>,
    /// Base64.
    pub sig: String,
}

#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    #[error("this is not a signed envelope (DSSE)")]
    NotAnEnvelope { source: serde_json::Error },
    #[error("this envelope contains {found:?}, not {expected}")]
    PayloadType { found: String, expected: String },
    #[error("this envelope's payload or signature is not base64")]
    Base64,
    #[error("this envelope has {count} signatures, more than {MOST_SIGNATURES}")]
    TooMany { count: usize },
    #[error("none of the {signatures} signatures was made with one of the {keys} accepted keys")]
    Signature { signatures: usize, keys: usize },
}

impl Coded for EnvelopeError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotAnEnvelope { .. } => "sign.not_an_envelope",
            Self::PayloadType { .. } => "sign.payload_type",
            Self::Base64 | Self::TooMany { .. } => "sign.envelope",
            Self::Signature { .. } => "sign.signature",
        }
    }

    fn hint(&self) -> Option<String> {
        matches!(self, Self::Signature { .. })
            .then(|| "check the key: it was signed with another one, or changed after it was signed".to_owned())
    }
}

/// The contents of an envelope, and who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedEnvelope {
    pub payload: Vec<u8>,
    /// Among the requested keys; at least one.
    pub signers: Vec<PublicKey>,
}

/// The signed bytes: type and payload with their lengths, so that neither can be mistaken for part of the other.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// Whether these bytes are meant to be an envelope, whatever it contains.
pub fn looks_like_envelope(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "payloadType")]
        _payload_type: serde::de::IgnoredAny,
    }
    serde_json::from_slice::<Head>(bytes).is_ok()
}

fn decode(text: &str) -> Result<Vec<u8>, EnvelopeError> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).map_err(|_| EnvelopeError::Base64)
}

impl Envelope {
    pub fn sign(payload_type: &str, payload: &[u8], keys: &[&SecretKey]) -> Self {
        let message = pae(payload_type, payload);
        let mut envelope = Self::unsigned(payload_type, payload);
        for key in keys {
            envelope.attach(&key.public(), &key.sign(&message));
        }
        envelope
    }

    /// For signatures made by other programs, over [`pae`].
    pub fn unsigned(payload_type: &str, payload: &[u8]) -> Self {
        let payload = STANDARD.encode(payload);
        Self { payload, payload_type: payload_type.to_owned(), signatures: Vec::new() }
    }

    pub fn attach(&mut self, key: &PublicKey, signature: &[u8]) {
        self.signatures.push(Signature { keyid: Some(key.id()), sig: STANDARD.encode(signature) });
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        serde_json::from_slice(bytes).map_err(|source| EnvelopeError::NotAnEnvelope { source })
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        // Only strings, so this cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The payload, whoever signed it, if anybody did.
    pub fn contents(&self, payload_type: &str) -> Result<Vec<u8>, EnvelopeError> {
        self.holds(payload_type)?;
        decode(&self.payload)
    }

    fn holds(&self, payload_type: &str) -> Result<(), EnvelopeError> {
        if self.payload_type == payload_type {
            return Ok(());
        }
        let found = self.payload_type.chars().take(128).collect();
        Err(EnvelopeError::PayloadType { found, expected: payload_type.to_owned() })
    }

    /// The payload, if it is of this type and signed by one of the keys. It is not examined before that.
    pub fn open(&self, payload_type: &str, keys: &[PublicKey]) -> Result<OpenedEnvelope, EnvelopeError> {
        self.holds(payload_type)?;
        if self.signatures.len() > MOST_SIGNATURES {
            return Err(EnvelopeError::TooMany { count: self.signatures.len() });
        }
        let payload = decode(&self.payload)?;
        let message = pae(payload_type, &payload);
        let mut signers = Vec::new();
        for signature in &self.signatures {
            let bytes = decode(&signature.sig)?;
            signers.extend(keys.iter().find(|key| key.verifies(&message, &bytes)));
        }
        signers.sort();
        signers.dedup();
        if signers.is_empty() {
            return Err(EnvelopeError::Signature { signatures: self.signatures.len(), keys: keys.len() });
        }
        Ok(OpenedEnvelope { payload, signers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KIND: &str = "application/vnd.burin.order+json";

    fn key() -> SecretKey {
        SecretKey::generate().unwrap().0
    }

    #[test]
    fn the_specifications_own_example() {
        // protocol.md, "Test Vectors".
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn only_the_right_key_opens_and_only_what_it_signed() {
        let (ours, theirs) = (key(), key());
        let envelope = Envelope::sign(KIND, b"payload", &[&theirs, &ours]);
        let opened = envelope.open(KIND, &[ours.public()]).unwrap();
        assert_eq!(
            (opened.payload.as_slice(), opened.signers.as_slice()),
            (b"payload".as_slice(), &[ours.public()][..])
        );
        let code = |envelope: &Envelope, kind: &str, keys: &[PublicKey]| envelope.open(kind, keys).unwrap_err().code();
        assert_eq!(code(&envelope, KIND, &[key().public()]), "sign.signature");
        assert_eq!(code(&envelope, KIND, &[]), "sign.signature");
        assert_eq!(code(&envelope, "text/plain", &[ours.public()]), "sign.payload_type");
        // Something signed as another type is not an order.
        let mut other = Envelope::sign("text/plain", b"payload", &[&ours]);
        other.payload_type = KIND.to_owned();
        assert_eq!(code(&other, KIND, &[ours.public()]), "sign.signature");
        assert_eq!(code(&Envelope::unsigned(KIND, b"payload"), KIND, &[ours.public()]), "sign.signature");
        // A wrong hint does not matter; an invalid signature does not count.
        let mut hinted = Envelope::sign(KIND, b"payload", &[&ours]);
        hinted.signatures[0].keyid = Some("nonsense".into());
        assert!(hinted.open(KIND, &[ours.public()]).is_ok());
        hinted.signatures[0].sig = String::new();
        assert_eq!(code(&hinted, KIND, &[ours.public()]), "sign.signature");
        hinted.signatures = vec![Signature { keyid: None, sig: String::new() }; 17];
        assert_eq!(code(&hinted, KIND, &[ours.public()]), "sign.envelope");
    }

    #[test]
    fn one_signature_twice_is_one_signer() {
        let ours = key();
        let envelope = Envelope::sign(KIND, b"payload", &[&ours, &ours]);
        assert_eq!(envelope.open(KIND, &[ours.public()]).unwrap().signers.len(), 1);
    }

    proptest! {
        #[test]
        fn no_changed_byte_passes(payload in proptest::collection::vec(any::<u8>(), 1..64), at in any::<prop::sample::Index>(), bit in 0..8) {
            let ours = key();
            let mut envelope = Envelope::sign(KIND, &payload, &[&ours]);
            let mut changed = payload.clone();
            changed[at.index(payload.len())] ^= 1u8 << bit;
            envelope.payload = STANDARD.encode(&changed);
            prop_assert!(envelope.open(KIND, &[ours.public()]).is_err());
        }

        #[test]
        fn outside_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = looks_like_envelope(&bytes);
            prop_assert!(Envelope::parse(&bytes).is_err());
        }
    }
}
