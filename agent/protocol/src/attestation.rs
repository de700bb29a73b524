//! `attestation/v1`: a machine proves with its TPM what it has booted, before a controller that requires it gives out a
//! token.
//!
//! Hello is refused with `attest.required`. The agent sends its TPM's endorsement and attestation keys. The controller
//! answers with a secret that only this TPM can decrypt, and the registers to be quoted. Hello is sent again, with a
//! quote of these registers over that secret, the machine's key and its sealing key.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const VERSION: &str = "attestation/v1";

/// The problem code with which a controller refuses a hello without attestation.
pub const REQUIRED: &str = "attest.required";

/// The prefix of a string in an order that is sealed for one machine; base64 follows.
pub const SEALED: &str = "burin-sealed/v1:";

/// Body of `POST /v1/attestation`. Public areas (TPMT_PUBLIC) and certificates are base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttestRequest {
    /// Always `attestation/v1`.
    #[schemars(extend("const" = VERSION))]
    pub version: String,
    /// The TPM's endorsement key.
    pub endorsement: String,
    /// Its certificate, X.509 in DER, as stored in the TPM by its manufacturer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The attestation key, P-256: it signs only what the TPM itself has generated.
    pub key: String,
}

/// Reply to [`AttestRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttestReply {
    /// Always `attestation/v1`.
    #[schemars(extend("const" = VERSION))]
    pub version: String,
    /// Identifies this challenge in the hello that answers it.
    pub challenge: String,
    /// The input of `TPM2_ActivateCredential`: TPMS_ID_OBJECT and the encrypted secret, base64.
    pub credential: String,
    pub secret: String,
    /// The registers to be quoted, of the SHA-256 bank.
    pub registers: Vec<u8>,
}

/// In hello: the answer to a challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attestation {
    pub challenge: String,
    /// TPMS_ATTEST of the quote, base64. Its extra data is SHA-256 over `burin-attestation/v1`, a zero byte, the
    /// challenge's secret, hello's `key` as it stands there, a zero byte, and the sealing key's public area.
    pub quote: String,
    /// TPMT_SIGNATURE of it by the attestation key, base64.
    pub signature: String,
    /// The values of the quoted registers, in hexadecimal.
    pub registers: BTreeMap<u8, String>,
    /// The firmware's event log, as the kernel shows it (`binary_bios_measurements`), base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// The sealing key, P-256, base64: data sealed for it can be opened only by this TPM, while registers 4, 7, 9, 11,
    /// 12 and 13 have their current values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealing_key: Option<String>,
}
