//! Proof that the job was done: the installed system's own output, and every byte of the disks.

use super::{DeployError, Scene, order, scene};
use burin::protocol::Receipt;
use sha2::{Digest, Sha256};

/// The start of the installed system's report on its console.
pub(super) const MARK: &str = "burin-proof serial=";

#[derive(Debug, Clone)]
pub struct Proof {
    pub hostname: String,
    /// The fingerprint of the authorized key, as printed by cloud-init.
    pub fingerprint: String,
    /// The system's report of its root: device, bytes of the partition and of the filesystem.
    pub root: String,
    pub root_bytes: u64,
    pub filesystem_bytes: u64,
    pub receipt: Receipt,
}

impl Proof {
    pub(super) fn gather(scene: &Scene, console: &str) -> Result<Self, DeployError> {
        let not = |why: String| DeployError::NotProven(why);
        if !console.contains(&format!("{} login:", scene.hostname)) {
            return Err(not(format!("no login prompt of {}", scene.hostname)));
        }
        let fingerprint = fingerprint(order::SSH_KEY);
        if !console.contains(&fingerprint) {
            return Err(not(format!("the system did not show the injected key's fingerprint {fingerprint}")));
        }
        let report = console.lines().find(|line| line.contains(MARK)).unwrap_or_default();
        let value = |key: &str| {
            let found = report.split_whitespace().find_map(|word| word.strip_prefix(&format!("{key}=")));
            found.unwrap_or_default().to_owned()
        };
        if value("serial") != scene::TARGET_SERIAL {
            return Err(not(format!("the system runs from another disk: {report}")));
        }
        let number = |key: &str| value(key).parse::<u64>().unwrap_or(0);

        if scene.bystander.file.digest()? != scene.bystander.digest {
            return Err(not(format!("{} was changed", scene.bystander.file.path().display())));
        }
        scene.target.verify_table()?;

        let told = scene.controller.wait_receipt(&scene.order_id, std::time::Duration::ZERO);
        let Some((_, receipt)) = told else { return Err(not("no receipt reached the controller".to_owned())) };
        if receipt.problem.is_some() || receipt.images.is_empty() {
            return Err(not(format!("the receipt is not one of success: {receipt:?}")));
        }
        if let Some(image) = receipt.images.iter().find(|image| image.verified_bytes < image.written_bytes) {
            return Err(not(format!(
                "{} bytes were written and only {} read back",
                image.written_bytes, image.verified_bytes
            )));
        }
        Ok(Self {
            hostname: scene.hostname.clone(),
            fingerprint,
            root: value("root"),
            root_bytes: number("size"),
            filesystem_bytes: number("filesystem"),
            receipt,
        })
    }
}

/// SHA-256 of the key's blob in cloud-init's notation: hexadecimal pairs with colons.
pub fn fingerprint(key: &str) -> String {
    let blob = decode(key.split_whitespace().nth(1).unwrap_or_default());
    Sha256::digest(blob).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// Base64, RFC 4648 section 4; ends at the first character outside of its alphabet.
fn decode(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0, 0u32);
    for six in text.bytes().map_while(value) {
        held = (held << 6) | u32::from(six);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_a_key_and_its_fingerprint_is_that_of_its_bytes() {
        let blob = decode(order::SSH_KEY.split(' ').nth(1).unwrap());
        assert_eq!(&blob[..15], b"\0\0\0\x0bssh-ed25519");
        assert_eq!(&blob[15..19], [0, 0, 0, 32]);
        assert_eq!(blob.len(), 19 + 32);
        assert_eq!(decode("Zm9vYg=="), b"foob");
        assert_eq!(fingerprint("x AAAA y").len(), 32 * 3 - 1);
    }
}
