//! Reads bits, most significant first.

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends the lowest `count` bits of `value`.
    pub fn push(&mut self, value: u64, count: usize) {
        for shift in (0..count.div_ceil(8)).rev() {
            let part = count.saturating_sub(shift * 8).min(8);
            self.push_byte((value >> (shift * 8)) as u8, part);
        }
    }

    /// Appends the lowest `count` bits of a byte, at most eight.
    fn push_byte(&mut self, value: u8, count: usize) {
        if count == 0 {
            return;
        }
        // Shifted to the top of the byte, without the higher bits.
        let value = value << (8 - count);
        let used = self.len % 8;
        match self.bytes.last_mut().filter(|_| used > 0) {
            Some(last) => {
                *last |= value >> used;
                if used + count > 8 {
                    self.bytes.push(value << (8 - used));
                }
            }
            None => self.bytes.push(value),
        }
        self.len += count;
    }

    /// Appends `count` bits of `bytes`, starting at bit `from`; fewer if there are no more.
    pub fn extend(&mut self, bytes: &[u8], from: usize, count: usize) {
        let (mut at, end) = (from, (from + count).min(bytes.len() * 8));
        while at < end {
            let take = (8 - at % 8).min(end - at);
            let byte = bytes.get(at / 8).copied().unwrap_or_default();
            self.push_byte(byte >> (8 - at % 8 - take), take);
            at += take;
        }
    }

    pub fn append(&mut self, other: &Bits) {
        self.extend(&other.bytes, 0, other.len);
    }

    /// The first 32 bits, if there are that many.
    pub fn first_32(&self) -> Option<u32> {
        let first = self.bytes.get(..4).filter(|_| self.len >= 32)?;
        Some(first.iter().fold(0, |all, byte| all << 8 | u32::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bits: &Bits) -> String {
        let all: String = bits.bytes.iter().map(|byte| format!("{byte:08b}")).collect();
        all[..bits.len].to_owned()
    }

    proptest::proptest! {
        #[test]
        fn bits_keep_their_order(parts in proptest::collection::vec((proptest::num::u64::ANY, 0usize..49), 0..8), from in 0usize..20, count in 0usize..300) {
            let (mut bits, mut wanted) = (Bits::default(), String::new());
            for (value, count) in &parts {
                bits.push(*value, *count);
                let all = format!("{value:064b}");
                wanted.push_str(&all[64 - count..]);
            }
            assert_eq!(text(&bits), wanted);
            let mut twice = bits.clone();
            twice.extend(bits.bytes(), from, count.min(bits.len().saturating_sub(from)));
            let more: String = wanted.chars().skip(from).take(count).collect();
            assert_eq!(text(&twice), format!("{wanted}{more}"));
            twice = bits.clone();
            twice.append(&bits);
            assert_eq!(text(&twice), format!("{wanted}{wanted}"));
        }
    }
}
