//! Credentials: secrets that only the TPM with a given endorsement key reveals, and only if a given attestation key is
//! loaded in it (part 1, section 24). This is the controller's side of `TPM2_ActivateCredential`.

use crate::bytes::Writer;
use crate::public::{Public, Shape};
use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use num_bigint::BigUint;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{agreement, hmac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The challenge for the TPM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// TPMS_ID_OBJECT: the encrypted secret, with an HMAC over it and the key's name.
    pub credential: Vec<u8>,
    /// Contents of a TPM2B_ENCRYPTED_SECRET: the seed of both keys, encrypted for the endorsement key.
    pub secret: Vec<u8>,
}

/// Wraps `secret` (at most 32 bytes) for the TPM that holds `endorsement` and an object called `name`. `None` if there
/// are no random numbers, or if the kind of endorsement key is not supported.
pub fn make_credential(endorsement: &Public, name: &[u8], secret: &[u8]) -> Option<Challenge> {
    let random = &SystemRandom::new();
    let (seed, encrypted) = match &endorsement.shape {
        Shape::Rsa { modulus, exponent, .. } => for_rsa(modulus, *exponent, random)?,
        Shape::P256 { .. } => for_ecc(endorsement, random)?,
        Shape::Data { .. } => return None,
    };
    let key: [u8; 16] = kdfa(&seed, b"STORAGE", name, 128).get(..16)?.try_into().ok()?;
    let mut identity = Writer::default().sized(secret).0;
    cfb(&key, &mut identity);
    let integrity = kdfa(&seed, b"INTEGRITY", &[], 256);
    let code = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &integrity), &[&identity, name].concat());
    Some(Challenge { credential: Writer::default().sized(code.as_ref()).raw(&identity).0, secret: encrypted })
}

type Seed = Zeroizing<Vec<u8>>;

/// RSAES-OAEP with SHA-256 and the label "IDENTITY" (RFC 8017, section 7.1; part 1, annex B.10.4).
fn for_rsa(modulus: &[u8], exponent: u32, random: &dyn SecureRandom) -> Option<(Seed, Vec<u8>)> {
    // 1024 to 4096 bits: larger keys would only waste our CPU time.
    if !(128..=512).contains(&modulus.len()) {
        return None;
    }
    let mut seed = Zeroizing::new(vec![0; 32]);
    random.fill(&mut seed).ok()?;
    let mut mask_seed = [0; 32];
    random.fill(&mut mask_seed).ok()?;
    let zeros = modulus.len().checked_sub(2 * 32 + 2 + seed.len())?;
    let mut block = Zeroizing::new(Sha256::digest(b"IDENTITY\0").to_vec());
    block.extend(std::iter::repeat_n(0, zeros));
    block.push(1);
    block.extend_from_slice(&seed);
    xor(&mut block, &mgf1(&mask_seed, modulus.len() - 33));
    xor(&mut mask_seed, &mgf1(&block, 32));
    let message = Zeroizing::new([&[0], mask_seed.as_slice(), &block].concat());
    let exponent = if exponent == 0 { 65_537 } else { exponent };
    let modulus_number = BigUint::from_bytes_be(modulus);
    if modulus_number.bits() < 1024 {
        return None;
    }
    let number = BigUint::from_bytes_be(&message).modpow(&BigUint::from(exponent), &modulus_number).to_bytes_be();
    let front = modulus.len().checked_sub(number.len())?;
    Some((seed, [vec![0; front], number].concat()))
}

fn mgf1(seed: &[u8], length: usize) -> Vec<u8> {
    let blocks =
        (0u32..).map(|counter| Sha256::new().chain_update(seed).chain_update(counter.to_be_bytes()).finalize());
    blocks.take(length.div_ceil(32)).flatten().take(length).collect()
}

fn xor(bytes: &mut [u8], mask: &[u8]) {
    bytes.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
}

/// One-pass Diffie-Hellman (part 1, annex C.6.1).
fn for_ecc(endorsement: &Public, random: &dyn SecureRandom) -> Option<(Seed, Vec<u8>)> {
    let theirs = endorsement.point()?;
    let ours = agreement::EphemeralPrivateKey::generate(&agreement::ECDH_P256, random).ok()?;
    let public = ours.compute_public_key().ok()?;
    let (x, y) = public.as_ref().get(1..33).zip(public.as_ref().get(33..65))?;
    let seed =
        agreement::agree_ephemeral(ours, &agreement::UnparsedPublicKey::new(&agreement::ECDH_P256, &theirs), |z| {
            // KDFe (part 1, section 11.4.10.3); one block is enough.
            let hash = Sha256::new().chain_update(1u32.to_be_bytes()).chain_update(z).chain_update(b"IDENTITY\0");
            let hash = hash.chain_update(x).chain_update(theirs.get(1..33).unwrap_or_default());
            Zeroizing::new(hash.finalize().to_vec())
        });
    Some((seed.ok()?, Writer::default().sized(x).sized(y).0))
}

/// KDFa with SHA-256 (part 1, section 11.4.10.2), for up to 256 bits: one block.
fn kdfa(key: &[u8], label: &[u8], context: &[u8], bits: u32) -> Zeroizing<Vec<u8>> {
    let message = [&1u32.to_be_bytes()[..], label, &[0], context, &bits.to_be_bytes()].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    Zeroizing::new(hmac::sign(&key, &message).as_ref().to_vec())
}

/// AES-128 in CFB with an initial vector of zeros.
fn cfb(key: &[u8; 16], bytes: &mut [u8]) {
    let cipher = Aes128::new(&(*key).into());
    let mut feedback = [0; 16];
    for chunk in bytes.chunks_mut(16) {
        let mut block = feedback.into();
        cipher.encrypt_block(&mut block);
        xor(chunk, &block);
        if let Some(room) = feedback.get_mut(..chunk.len()) {
            room.copy_from_slice(chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Quote, Scheme, Signed, verify_certificate};
    use proptest::prelude::*;

    fn rsa(modulus: Vec<u8>, exponent: u32) -> Public {
        let shape = Shape::Rsa { symmetric: Some(128), scheme: Scheme::Null, bits: 2048, exponent, modulus };
        Public { attributes: 0, policy: Vec::new(), shape }
    }

    #[test]
    fn keys_that_only_cost_time_are_refused() {
        assert!(make_credential(&rsa(vec![0xff; 60_000], u32::MAX), b"name", b"secret").is_none());
        assert!(make_credential(&rsa(vec![0; 256], 0), b"name", b"secret").is_none());
        assert!(make_credential(&rsa(vec![0xff; 256], 0), b"name", b"secret").is_some());
    }

    proptest! {
        #[test]
        fn no_key_and_no_certificate_panics(
            modulus in prop::collection::vec(any::<u8>(), 0..300),
            exponent in any::<u32>(),
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let key = rsa(modulus, exponent);
            let _ = make_credential(&key, &bytes, b"secret");
            let point = Shape::P256 { symmetric: None, scheme: Scheme::Null, x: bytes.clone(), y: bytes.clone() };
            let _ = make_credential(&Public { shape: point, ..key.clone() }, b"name", &bytes);
            prop_assert!(verify_certificate(&key, Some(&bytes), &[], &[], 0).is_err());
            let signed = Signed { attest: bytes.clone(), signature: bytes };
            prop_assert!(Result::<Quote, _>::is_err(&signed.verify(&key)));
        }
    }
}
