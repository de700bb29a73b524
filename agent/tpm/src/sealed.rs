//! Secrets for one machine in one state: ECDH with its sealing key (P-256), HKDF-SHA256, AES-256-GCM. Sealing needs no
//! TPM. Opening needs this machine's TPM, with its registers as in the key's policy.

use crate::error::TpmError;
use crate::pcr::PcrSelection;
use crate::public::Public;
use crate::session::Auth;
use crate::tpm::{Tpm, Transport};
use burin_protocol::error::Coded;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{self, ECDH_P256, EphemeralPrivateKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

const POINT: usize = 65;
const SALT: usize = 16;
const LABEL: &[u8] = b"burin-sealed/v1";

#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("the sealed data does not have burin's format")]
    Malformed,
    #[error("the data was sealed for another machine, state or field, or has been changed")]
    Other,
    #[error("no random numbers are available, or the key's curve is not supported")]
    Key,
    #[error(transparent)]
    Tpm(#[from] TpmError),
}

impl Coded for SealError {
    fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "sealed.malformed",
            Self::Other => "sealed.other",
            Self::Key => "sealed.key",
            Self::Tpm(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Malformed => "make it with `burin order seal`",
            Self::Other => "seal it again, for the key that this machine's hello has now",
            Self::Key => return None,
            Self::Tpm(error) => return error.hint(),
        };
        Some(hint.to_owned())
    }
}

/// The opened contents.
#[derive(Debug, Clone)]
pub struct Unsealed {
    /// Random, so that a digest over secret and salt cannot be used to test guesses of the secret.
    pub salt: [u8; SALT],
    pub secret: Zeroizing<Vec<u8>>,
}

/// Seals `secret` for the holder of `key`. `context` states where the secret belongs: opening it elsewhere fails.
pub fn seal(key: &Public, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, SealError> {
    let random = SystemRandom::new();
    let theirs = key.point().ok_or(SealError::Key)?;
    let ours = EphemeralPrivateKey::generate(&ECDH_P256, &random).map_err(|_| SealError::Key)?;
    let public = ours.compute_public_key().map_err(|_| SealError::Key)?;
    let peer = agreement::UnparsedPublicKey::new(&ECDH_P256, &theirs);
    let derived = agreement::agree_ephemeral(ours, &peer, |shared| derive(shared, public.as_ref(), &theirs));
    let derived = derived.map_err(|_| SealError::Key)?.ok_or(SealError::Key)?;
    let mut salt = [0; SALT];
    random.fill(&mut salt).map_err(|_| SealError::Key)?;
    let mut bytes = [&salt, secret].concat();
    let sealed = derived.seal_in_place_append_tag(once(), Aad::from(context), &mut bytes);
    sealed.map_err(|_| SealError::Key)?;
    Ok([public.as_ref(), &bytes].concat())
}

/// Opens with a loaded key, in a separate session. `selection` contains the registers of the key's policy.
pub fn open_sealed<T: Transport>(
    tpm: &mut Tpm<T>,
    key: &crate::Loaded,
    selection: PcrSelection,
    context: &[u8],
    sealed: &[u8],
) -> Result<Unsealed, SealError> {
    let (public, bytes) = sealed.split_at_checked(POINT).ok_or(SealError::Malformed)?;
    let ours = key.public.point().ok_or(SealError::Key)?;
    let session = tpm.policy_session()?;
    let shared = tpm.policy_pcr(session, selection).and_then(|()| tpm.ecdh(key.handle, public, Auth::Policy(session)));
    let _ = tpm.flush(session);
    let derived = derive(&*shared?, public, &ours).ok_or(SealError::Key)?;
    let mut bytes = Zeroizing::new(bytes.to_vec());
    let opened = derived.open_in_place(once(), Aad::from(context), &mut bytes).map_err(|_| SealError::Other)?;
    let (salt, secret) = opened.split_first_chunk().ok_or(SealError::Malformed)?;
    Ok(Unsealed { salt: *salt, secret: Zeroizing::new(secret.to_vec()) })
}

/// A constant nonce: each key encrypts only one message.
fn once() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn derive(shared: &[u8], ours: &[u8], theirs: &[u8]) -> Option<LessSafeKey> {
    let secret = Salt::new(HKDF_SHA256, &[]).extract(shared);
    let info = [LABEL, ours, theirs];
    let derived = secret.expand(&info, &AES_256_GCM).ok()?;
    Some(LessSafeKey::new(UnboundKey::from(derived)))
}
