//! Encrypts secrets for one recipient: armored age files (age-encryption.org/v1) for an X25519 key. `age -d` decrypts
//! them.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use burin_protocol::age;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// Chunk size of the format: there is only one chunk.
const CHUNK: usize = 64 << 10;
const COLUMNS: usize = 64;

/// Why nothing was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AgeError {
    #[error("not an age recipient")]
    Recipient,
    #[error("more than {CHUNK} bytes")]
    TooLong,
    #[error("no random numbers are available, or the recipient's key is unusable")]
    Crypto,
}

impl From<ring::error::Unspecified> for AgeError {
    fn from(_: ring::error::Unspecified) -> Self {
        Self::Crypto
    }
}

/// Encrypts `secret` so that only the holder of the recipient's key can decrypt it: armoured, several lines.
pub fn seal(secret: &[u8], recipient: &str) -> Result<String, AgeError> {
    if secret.len() > CHUNK {
        return Err(AgeError::TooLong);
    }
    let recipient = age::recipient(recipient).ok_or(AgeError::Recipient)?;
    let random = SystemRandom::new();
    let mut file_key = Zeroizing::new([0u8; 16]);
    random.fill(file_key.as_mut())?;

    let ours = EphemeralPrivateKey::generate(&X25519, &random)?;
    let share = ours.compute_public_key()?;
    let salt = [share.as_ref(), &recipient].concat();
    let wrap_key = agree_ephemeral(ours, &UnparsedPublicKey::new(&X25519, recipient), |shared| {
        derived(shared, &salt, "age-encryption.org/v1/X25519")
    })??;
    let wrapped = sealed_chunk(&wrap_key, [0; 12], file_key.as_ref())?;
    let mut header = format!(
        "age-encryption.org/v1\n-> X25519 {}\n{}\n---",
        STANDARD_NO_PAD.encode(share.as_ref()),
        STANDARD_NO_PAD.encode(wrapped)
    );
    let mac_key = derived(file_key.as_ref(), &[], "header")?;
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, mac_key.as_ref()), header.as_bytes());
    header += &format!(" {}\n", STANDARD_NO_PAD.encode(mac.as_ref()));

    let mut nonce = [0u8; 16];
    random.fill(&mut nonce)?;
    let payload_key = derived(file_key.as_ref(), &nonce, "payload")?;
    // The chunk counter, and the flag for the last chunk.
    let last = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let payload = sealed_chunk(&payload_key, last, secret)?;
    Ok(armoured(&[header.as_bytes(), &nonce, &payload].concat()))
}

fn derived(secret: &[u8], salt: &[u8], info: &str) -> Result<Zeroizing<[u8; 32]>, AgeError> {
    struct Length;
    impl KeyType for Length {
        fn len(&self) -> usize {
            32
        }
    }
    let mut key = Zeroizing::new([0u8; 32]);
    Salt::new(HKDF_SHA256, salt).extract(secret).expand(&[info.as_bytes()], Length)?.fill(key.as_mut())?;
    Ok(key)
}

/// Each key encrypts only once.
fn sealed_chunk(key: &[u8; 32], nonce: [u8; 12], secret: &[u8]) -> Result<Vec<u8>, AgeError> {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key)?);
    // With room for the tag, because growing the buffer would leave a copy of the secret behind.
    let mut bytes = Vec::with_capacity(secret.len() + CHACHA20_POLY1305.tag_len());
    bytes.extend_from_slice(secret);
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut bytes)?;
    Ok(bytes)
}

fn armoured(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    let lines = text.as_bytes().chunks(COLUMNS).map(String::from_utf8_lossy);
    let body = lines.map(|line| format!("{line}\n")).collect::<String>();
    format!("-----BEGIN AGE ENCRYPTED FILE-----\n{body}-----END AGE ENCRYPTED FILE-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    const TO: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    #[test]
    fn what_is_sealed_shows_nothing_and_never_twice_the_same() {
        let (one, other) = (seal(b"hunter2", TO).unwrap(), seal(b"hunter2", TO).unwrap());
        assert_ne!(one, other);
        let inside = STANDARD.decode(one.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
        assert!(inside.starts_with(b"age-encryption.org/v1\n-> X25519 "));
        assert!(!inside.windows(7).any(|some| some == b"hunter2"));
        assert_eq!(seal(b"x", "age1nobody"), Err(AgeError::Recipient));
        assert_eq!(seal(&[0; CHUNK + 1], TO), Err(AgeError::TooLong));
    }

    #[test]
    fn age_opens_it() {
        let Ok(made) = Command::new("age-keygen").output() else { return burin_skip::skip!("no age here") };
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        std::fs::write(&key, &made.stdout).unwrap();
        let text = String::from_utf8(made.stdout).unwrap();
        let to = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
        for secret in [b"".as_slice(), b"cbdefghi-jklnrtuv", &[7; CHUNK]] {
            let sealed = seal(secret, to).unwrap();
            let mut age = Command::new("age")
                .arg("-d")
                .arg("-i")
                .arg(&key)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            age.stdin.take().unwrap().write_all(sealed.as_bytes()).unwrap();
            let opened = age.wait_with_output().unwrap();
            assert!(opened.status.success());
            assert_eq!(opened.stdout, secret);
        }
    }
}
