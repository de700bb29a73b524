//! Recipients of age, `age1...`: X25519 public keys in Bech32 (age-encryption.org/v1, "The X25519 recipient type"; BIP
//! 173).

const ALPHABET: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const PREFIX: &str = "age";
/// 32 bytes in groups of five bits.
const GROUPS: usize = 52;
const CHECKSUM: usize = 6;

/// The key of an `age1...` recipient, or `None` if the text is not one.
pub fn recipient(text: &str) -> Option<[u8; 32]> {
    let lower = text.to_ascii_lowercase();
    if lower != text && text.to_ascii_uppercase() != text {
        return None;
    }
    let data = lower.strip_prefix(PREFIX)?.strip_prefix('1')?;
    let place = |byte: u8| ALPHABET.iter().position(|one| *one == byte).and_then(|at| u8::try_from(at).ok());
    let groups: Vec<u8> = data.bytes().map(place).collect::<Option<_>>()?;
    if groups.len() != GROUPS + CHECKSUM || checksum(&groups) != 1 {
        return None;
    }
    let (mut key, mut bits, mut held) = (Vec::with_capacity(32), 0u32, 0u32);
    for group in groups.iter().take(GROUPS) {
        bits = bits << 5 | u32::from(*group);
        held += 5;
        if held >= 8 {
            held -= 8;
            key.push(u8::try_from(bits >> held & 0xff).unwrap_or_default());
            bits &= (1 << held) - 1;
        }
    }
    // The remaining bits pad the last group.
    (bits == 0).then(|| key.try_into().ok()).flatten()
}

/// 1 for a valid text.
fn checksum(groups: &[u8]) -> u32 {
    let high = PREFIX.bytes().map(|byte| byte >> 5);
    let low = PREFIX.bytes().map(|byte| byte & 31);
    let all = high.chain([0]).chain(low).chain(groups.iter().copied());
    all.fold(1, |sum, value| {
        const GENERATORS: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
        let top = sum >> 25;
        let next = (sum & 0x1ff_ffff) << 5 ^ u32::from(value);
        GENERATORS.iter().enumerate().fold(
            next,
            |sum, (bit, generator)| {
                if top >> bit & 1 == 1 { sum ^ generator } else { sum }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_read_and_slips_of_the_pen_are_none() {
        // From age's own documentation; `age-keygen -y` agrees.
        let text = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
        let key = recipient(text).unwrap();
        assert_eq!(key.len(), 32);
        assert_eq!(recipient(&text.to_uppercase()), Some(key));
        for at in 4..text.len() {
            let mut other = text.to_owned();
            let swapped = if text.as_bytes()[at] == b'q' { "p" } else { "q" };
            other.replace_range(at..=at, swapped);
            assert_eq!(recipient(&other), None, "{other}");
        }
        for junk in ["", "age1", "AGE1ql3z", "age1é", "ssh-ed25519 AAAA", &text[..60]] {
            assert_eq!(recipient(junk), None, "{junk}");
        }
    }
}
