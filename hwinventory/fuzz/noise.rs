//! Deterministic mutations of the corpora, for the plain fuzz driver and the bounded test run.

/// Xorshift.
#[derive(Debug)]
pub struct Noise(pub u64);

impl Noise {
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.draw() % end as u64) as usize }
    }

    /// A seed with a few things wrong: bytes changed to what breaks arithmetic, runs cut out, doubled or moved, the end
    /// cut off, or another seed's end put in its place.
    pub fn mutate(&mut self, seed: &[u8], other: &[u8]) -> Vec<u8> {
        const EDGES: &[u8] =
            &[0, 1, 2, 3, 4, 0x10, 0x20, 0x3f, 0x40, 0x7f, 0x80, 0xfe, 0xff, b'0', b'9', b' ', b'\n', b'-', b','];
        let mut bytes = seed.to_vec();
        for _ in 0..1 + self.below(6) {
            let at = self.below(bytes.len());
            let run = 1 + self.below(16);
            let end = (at + run).min(bytes.len());
            match self.draw() % 10 {
                0..=2 => self.set(&mut bytes, at, |_, noise| EDGES[noise.below(EDGES.len())]),
                3 => self.set(&mut bytes, at, |_, noise| noise.draw() as u8),
                4 => self.set(&mut bytes, at, |byte, noise| byte ^ 1 << noise.below(8)),
                5 => self.set(&mut bytes, at, |byte, noise| byte.wrapping_add(noise.below(5) as u8).wrapping_sub(2)),
                6 => drop(bytes.drain(at..end)),
                7 => {
                    let copy = bytes[at..end].to_vec();
                    let to = self.below(bytes.len() + 1);
                    drop(bytes.splice(to..to, copy));
                }
                8 => bytes.truncate(at),
                _ => {
                    let from = self.below(other.len());
                    bytes.truncate(at);
                    bytes.extend(&other[from..]);
                }
            }
        }
        bytes
    }

    fn set(&mut self, bytes: &mut [u8], at: usize, value: impl FnOnce(u8, &mut Noise) -> u8) {
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value(*byte, self);
        }
    }
}
