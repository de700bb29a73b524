//! Receipts as evidence: an in-toto statement (Statement/v1) of what was done, in an envelope signed by the machine.

use crate::dsse::{Envelope, EnvelopeError};
use crate::key::{PublicKey, SecretKey};
use burin_protocol::error::Coded;
use burin_protocol::{Identity, Receipt};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The envelope's type (in-toto attestation framework, spec/v1/envelope.md).
pub const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";
const TYPE: &str = "https://in-toto.io/Statement/v1";
pub const PREDICATE_TYPE: &str = "https://burin.dev/receipt/v1";

/// <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    #[serde(rename = "_type")]
    pub kind: String,
    pub subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    pub predicate: Predicate,
}

/// A subject of the statement, with its digests by algorithm, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    pub name: String,
    pub digest: BTreeMap<String, String>,
}

/// Who did what, and with which software.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Predicate {
    pub machine: Identity,
    pub software: Software,
    /// By the machine's clock, RFC 3339.
    pub started: String,
    pub finished: String,
    /// Whether a trusted source had told the machine the time.
    pub clock_trusted: bool,
    /// SHA-256 of the order's exact bytes, `sha256:HEX`.
    pub order_bytes: String,
    /// Without its own evidence.
    pub receipt: Receipt,
}

/// The software that ran. Digests are `sha256:HEX`, as computed by this software itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Software {
    pub agent_version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Over all files of the ramdisk: `burin receipt ramdisk` computes it for an unpacked one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramdisk: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    #[error("this receipt has no evidence: nobody has signed it")]
    None,
    #[error("the evidence is not valid: {0}")]
    Envelope(#[from] EnvelopeError),
    #[error("the evidence is not a statement about a receipt")]
    NotAStatement { source: Option<serde_json::Error> },
    #[error("the receipt is not the one that was signed")]
    OtherReceipt,
}

impl Coded for EvidenceError {
    fn code(&self) -> &'static str {
        match self {
            Self::None => "receipt.no_evidence",
            Self::Envelope(error) => error.code(),
            Self::NotAStatement { .. } => "receipt.statement",
            Self::OtherReceipt => "receipt.changed",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::None => {
                Some("do not trust this receipt: the machine had no key, or the evidence was removed".to_owned())
            }
            Self::Envelope(error) => error.hint(),
            Self::NotAStatement { .. } => None,
            Self::OtherReceipt => Some("trust the receipt inside of the signed statement instead".to_owned()),
        }
    }
}

impl Statement {
    pub fn new(predicate: Predicate) -> Self {
        let (kind, predicate_type) = (TYPE.to_owned(), PREDICATE_TYPE.to_owned());
        Self { kind, subject: subjects(&predicate), predicate_type, predicate }
    }

    pub fn sign(&self, key: &SecretKey) -> Result<Envelope, serde_json::Error> {
        Ok(Envelope::sign(STATEMENT_TYPE, &serde_json::to_vec(self)?, &[key]))
    }

    /// The statement signed by one of the keys.
    pub fn open(envelope: &Envelope, keys: &[PublicKey]) -> Result<Self, EvidenceError> {
        let opened = envelope.open(STATEMENT_TYPE, keys)?;
        let statement: Self = serde_json::from_slice(&opened.payload)
            .map_err(|source| EvidenceError::NotAStatement { source: Some(source) })?;
        if statement.kind != TYPE || statement.predicate_type != PREDICATE_TYPE {
            return Err(EvidenceError::NotAStatement { source: None });
        }
        Ok(statement)
    }
}

/// Verifies a receipt with its evidence: the statement must be signed by one of the keys, and the receipt must match
/// it.
pub fn verify(receipt: &Receipt, keys: &[PublicKey]) -> Result<Statement, EvidenceError> {
    let evidence = receipt.evidence.clone().ok_or(EvidenceError::None)?;
    let envelope: Envelope = serde_json::from_value(evidence)
        .map_err(|source| EvidenceError::Envelope(EnvelopeError::NotAnEnvelope { source }))?;
    let statement = Statement::open(&envelope, keys)?;
    let told = Receipt { evidence: None, ..receipt.clone() };
    if told == statement.predicate.receipt { Ok(statement) } else { Err(EvidenceError::OtherReceipt) }
}

/// The order, each image as downloaded, and the digest of what was read back from each disk.
fn subjects(predicate: &Predicate) -> Vec<Subject> {
    let digest = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
    };
    let split = |text: &str| text.split_once(':').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let receipt = &predicate.receipt;
    let mut subjects: Vec<Subject> = split(&predicate.order_bytes)
        .map(|(name, value)| Subject { name: format!("order:{}", receipt.order), digest: digest(&[(&name, &value)]) })
        .into_iter()
        .collect();
    for image in &receipt.images {
        if let Some((name, value)) = image.wire_sha256.as_deref().and_then(split) {
            subjects.push(Subject { name: image.url.clone(), digest: digest(&[(&name, &value)]) });
        }
        let disk = receipt.disks.iter().find(|disk| image.device.starts_with(disk.device.as_str()));
        let known = disk.and_then(|disk| disk.wwid.clone().or_else(|| disk.serial.clone()));
        let name = format!("disk:{}", known.unwrap_or_else(|| image.device.clone()));
        let mut found = BTreeMap::new();
        if let Some(readback) = &image.readback {
            found.insert(readback.algorithm.clone(), readback.digest.clone());
        }
        found.extend(image.digest.content.as_deref().and_then(split));
        if !found.is_empty() {
            subjects.push(Subject { name, digest: found });
        }
    }
    subjects
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn receipt() -> Receipt {
        serde_json::from_value(json!({
            "version": "receipt/v1", "order": "web-17", "attempt": 1, "boot_id": "b", "plan_digest": "sha256:00",
            "disks": [{"device": "/dev/sda", "serial": "S1", "wwid": "naa.5", "size": 1000, "logical_block_size": 512}],
            "problem": null, "stages": [],
            "images": [{"device": "/dev/sda", "url": "https://h/i", "format": "raw", "compression": "none", "verify": "readback",
                "digest": {"content": "sha256:cc"}, "wire_sha256": "sha256:aa",
                "readback": {"algorithm": "xxh3-128-of-mib", "digest": "bb"}, "image_bytes": 1, "wire_bytes": 1,
                "written_bytes": 1, "zeroed_bytes": 0, "skipped_bytes": 0, "verified_bytes": 1, "duration_ms": 1,
                "bottleneck": "network"}],
        }))
        .unwrap()
    }

    fn signed(key: &SecretKey) -> Receipt {
        let predicate = Predicate {
            machine: Identity::default(),
            software: Software::default(),
            started: "2026-11-22T09:00:00Z".into(),
            finished: "2026-11-22T09:01:00Z".into(),
            clock_trusted: true,
            order_bytes: "sha256:dd".into(),
            receipt: receipt(),
        };
        let envelope = Statement::new(predicate).sign(key).unwrap();
        Receipt { evidence: Some(serde_json::to_value(envelope).unwrap()), ..receipt() }
    }

    #[test]
    fn it_tells_of_order_image_and_disk() {
        let (key, _) = SecretKey::generate().unwrap();
        let statement = verify(&signed(&key), &[key.public()]).unwrap();
        let names: Vec<&str> = statement.subject.iter().map(|subject| subject.name.as_str()).collect();
        assert_eq!(names, ["order:web-17", "https://h/i", "disk:naa.5"]);
        assert_eq!(statement.subject[2].digest["xxh3-128-of-mib"], "bb");
        assert_eq!(statement.subject[2].digest["sha256"], "cc");
    }

    #[test]
    fn a_receipt_that_was_tampered_with_does_not_pass() {
        let ((key, _), (other, _)) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
        let right = signed(&key);
        let code = |receipt: &Receipt| verify(receipt, &[key.public()]).unwrap_err().code();
        assert_eq!(code(&receipt()), "receipt.no_evidence");
        assert_eq!(code(&signed(&other)), "sign.signature", "another machine's");
        let mut changed = right.clone();
        changed.images[0].verified_bytes = 2;
        assert_eq!(code(&changed), "receipt.changed");
        let mut other_disk = right.clone();
        other_disk.disks[0].serial = Some("S2".into());
        assert_eq!(code(&other_disk), "receipt.changed");
        // The evidence of one receipt attached to another.
        let swapped = Receipt { order: "web-18".into(), ..right.clone() };
        assert_eq!(code(&swapped), "receipt.changed");
        let mut forged = right;
        let payload = forged.evidence.as_ref().unwrap()["payload"].as_str().unwrap().replacen('A', "B", 1);
        forged.evidence.as_mut().unwrap()["payload"] = json!(payload);
        assert_eq!(code(&forged), "sign.signature");
    }
}
