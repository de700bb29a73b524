//! Quotes: the TPM's statement about its registers, signed with an attestation key.

use crate::bytes::Reader;
use crate::pcr::{PcrSelection, PcrValues, SHA256};
use crate::public::{Public, padded};
use burin_protocol::error::Coded;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

/// TPM_GENERATED_VALUE. A restricted key signs external data only if it does not begin with this value.
const GENERATED: u32 = 0xff54_4347;
const ATTEST_QUOTE: u16 = 0x8018;
const ECDSA: u16 = 0x0018;

/// An attestation and its signature, as returned by the TPM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signed {
    /// TPMS_ATTEST.
    pub attest: Vec<u8>,
    /// TPMT_SIGNATURE.
    pub signature: Vec<u8>,
}

/// A quote whose signature is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// The nonce that was signed together with the registers.
    pub nonce: Vec<u8>,
    pub selection: PcrSelection,
    /// SHA-256 over the registers.
    pub digest: Vec<u8>,
}

/// Why a quote proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    #[error("this is not a quote of SHA-256 registers")]
    NotAQuote,
    #[error("the key cannot be an attestation key of a TPM")]
    Key,
    #[error("the quote is not signed with the attestation key, or was changed")]
    Signature,
    #[error("the quote is for another challenge or another machine")]
    Nonce,
    #[error("the register values are not those that were quoted")]
    Registers,
}

impl Coded for QuoteError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotAQuote => "attest.quote",
            Self::Key => "attest.key",
            Self::Signature => "attest.signature",
            Self::Nonce => "attest.nonce",
            Self::Registers => "attest.registers",
        }
    }
}

impl Signed {
    pub fn verify(&self, key: &Public) -> Result<Quote, QuoteError> {
        if !key.is_attestation_key() {
            return Err(QuoteError::Key);
        }
        let point = key.point().ok_or(QuoteError::Key)?;
        let signature = self.fixed().ok_or(QuoteError::Signature)?;
        let holds = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(&self.attest, &signature);
        holds.map_err(|_| QuoteError::Signature)?;
        self.parse().ok_or(QuoteError::NotAQuote)
    }

    /// r and s, 32 bytes each.
    fn fixed(&self) -> Option<Vec<u8>> {
        let mut reader = Reader(&self.signature);
        if (reader.u16()?, reader.u16()?) != (ECDSA, SHA256) {
            return None;
        }
        let (r, s) = (padded(reader.sized()?)?, padded(reader.sized()?)?);
        reader.is_empty().then(|| [r, s].concat())
    }

    fn parse(&self) -> Option<Quote> {
        let mut reader = Reader(&self.attest);
        if (reader.u32()?, reader.u16()?) != (GENERATED, ATTEST_QUOTE) {
            return None;
        }
        let (_signer, nonce) = (reader.sized()?, reader.sized()?.to_vec());
        // Clock, counts of resets and restarts, whether the clock is safe; firmware version.
        reader.take(8 + 4 + 4 + 1 + 8)?;
        let (selection, digest) = (PcrSelection::read(&mut reader)?, reader.sized()?.to_vec());
        reader.is_empty().then_some(Quote { nonce, selection, digest })
    }
}

impl Quote {
    /// Checks that the quote was made for `nonce`, and that `values` are exactly the quoted registers.
    pub fn check(&self, nonce: &[u8], values: &PcrValues) -> Result<(), QuoteError> {
        if self.nonce != nonce {
            return Err(QuoteError::Nonce);
        }
        if self.selection.is_empty()
            || values.selection() != self.selection
            || values.digest().as_slice() != self.digest
        {
            return Err(QuoteError::Registers);
        }
        Ok(())
    }
}
