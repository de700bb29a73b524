//! Random access to a zstd image by its seek table (zstd's contrib, zstd_seekable_compression_format.md, 0.1.0).

use super::ImageError;
use super::blocks::ReadAt;
use super::budget::LARGEST_FRAME;

const MAGIC: u32 = 0x8f92_eab1;
const SKIPPABLE: u32 = 0x184d_2a5e;
const FOOTER: usize = 9;
/// A table of more bytes belongs to an image of several terabytes.
const LARGEST_TABLE: u64 = 8 << 20;

#[derive(Debug, Clone, Copy)]
struct Frame {
    packed: u64,
    packed_len: usize,
    start: u64,
    len: usize,
}

/// The content of a seekable zstd file.
pub struct Seekable {
    file: Box<dyn ReadAt>,
    frames: Vec<Frame>,
    len: u64,
    /// The frame that was decoded last.
    cached: Option<(usize, Vec<u8>)>,
    name: String,
}

impl Seekable {
    pub fn open(mut file: Box<dyn ReadAt>, name: &str) -> Result<Self, ImageError> {
        let damaged = |what: &str| damaged(name, what);
        let unsupported = |what: &str| ImageError::Unsupported { source_name: name.to_owned(), what: what.to_owned() };
        let plain = || unsupported("has no seek table, which reading parts of a zstd image takes");
        let total = file.len();
        let mut footer = [0; FOOTER];
        file.read_exact_at(&mut footer, total.checked_sub(FOOTER as u64).ok_or_else(plain)?)?;
        let [a, b, c, d, descriptor, magic @ ..] = footer;
        if u32::from_le_bytes(magic) != MAGIC {
            return Err(plain());
        }
        if descriptor & 0x7c != 0 {
            return Err(damaged("its seek table uses reserved bits"));
        }
        let entry = if descriptor & 0x80 != 0 { 12 } else { 8 };
        let table = u64::from(u32::from_le_bytes([a, b, c, d])) * entry;
        if table > LARGEST_TABLE {
            return Err(unsupported("has a seek table beyond 8 MiB"));
        }
        let begin = total.checked_sub(table + FOOTER as u64 + 8);
        let begin = begin.ok_or_else(|| damaged("its seek table is larger than the file"))?;
        let mut bytes = vec![0; table as usize + 8];
        file.read_exact_at(&mut bytes, begin)?;
        let (head, entries) = bytes.split_at(8);
        let size = (table + FOOTER as u64) as u32;
        if !head.iter().eq(SKIPPABLE.to_le_bytes().iter().chain(&size.to_le_bytes())) {
            return Err(damaged("its seek table does not begin where it should"));
        }
        let (mut frames, mut packed, mut start) = (Vec::new(), 0, 0);
        for entry in entries.chunks_exact(entry as usize) {
            let [a, b, c, d, e, f, g, h, ..] = entry else { return Err(damaged("its seek table is cut short")) };
            let (packed_len, len) = (u32::from_le_bytes([*a, *b, *c, *d]), u32::from_le_bytes([*e, *f, *g, *h]));
            let (packed_len, len) = (packed_len as usize, len as usize);
            if packed_len.max(len) > LARGEST_FRAME {
                return Err(unsupported("has frames beyond 8 MiB, too large to read parts of it"));
            }
            frames.push(Frame { packed, packed_len, start, len });
            packed += packed_len as u64;
            start += len as u64;
        }
        if packed != begin {
            return Err(damaged("its seek table tells of more or less than the file holds"));
        }
        Ok(Self { file, frames, len: start, cached: None, name: name.to_owned() })
    }

    fn frame(&mut self, offset: u64) -> Result<(u64, &[u8]), ImageError> {
        // The last that begins at or before: empty ones have the same beginning as what follows.
        let number = self.frames.partition_point(|frame| frame.start <= offset).saturating_sub(1);
        let frame = *self.frames.get(number).ok_or_else(|| damaged(&self.name, "it has no frames"))?;
        if self.cached.as_ref().is_none_or(|(cached, _)| *cached != number) {
            let mut packed = vec![0; frame.packed_len];
            self.file.read_exact_at(&mut packed, frame.packed)?;
            let unpacked = zstd::bulk::decompress(&packed, frame.len);
            match unpacked {
                Ok(bytes) if bytes.len() == frame.len => self.cached = Some((number, bytes)),
                _ => return Err(damaged(&self.name, &format!("the frame at byte {} is broken", frame.packed))),
            }
        }
        Ok((frame.start, self.cached.as_ref().map_or(&[], |(_, bytes)| bytes)))
    }
}

fn damaged(name: &str, what: &str) -> ImageError {
    ImageError::Damaged { source_name: name.to_owned(), format: "seekable zstd", what: what.to_owned() }
}

impl ReadAt for Seekable {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&mut self, mut out: &mut [u8], mut offset: u64) -> Result<(), ImageError> {
        while !out.is_empty() {
            let name = self.name.clone();
            let (start, bytes) = self.frame(offset)?;
            let rest = usize::try_from(offset - start).ok().and_then(|within| bytes.get(within..)).unwrap_or_default();
            let count = rest.len().min(out.len());
            if count == 0 {
                return Err(ImageError::Truncated { source_name: name, offset, expected: None });
            }
            out[..count].copy_from_slice(&rest[..count]);
            out = &mut out[count..];
            offset += count as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(bytes: &[u8], frame: usize, checksums: bool) -> Vec<u8> {
        let (mut file, mut table) = (Vec::new(), Vec::new());
        for part in bytes.chunks(frame) {
            let packed = zstd::bulk::compress(part, 1).unwrap();
            table.extend((packed.len() as u32).to_le_bytes());
            table.extend((part.len() as u32).to_le_bytes());
            table.extend(if checksums { &[0; 4][..] } else { &[] });
            file.extend(packed);
        }
        file.extend(SKIPPABLE.to_le_bytes());
        file.extend((table.len() as u32 + 9).to_le_bytes());
        file.extend(table);
        file.extend((bytes.len().div_ceil(frame) as u32).to_le_bytes());
        file.push(if checksums { 0x80 } else { 0 });
        file.extend(MAGIC.to_le_bytes());
        file
    }

    #[test]
    fn any_part_is_read() {
        let bytes: Vec<u8> = (0..100_000u32).flat_map(|number| number.to_le_bytes()).collect();
        for checksums in [false, true] {
            let mut file = Seekable::open(Box::new(packed(&bytes, 30_000, checksums)), "test").unwrap();
            assert_eq!(file.len(), bytes.len() as u64);
            for (offset, len) in [(0, 10), (29_990, 20), (70_000, 100_000), (399_999, 1), (0, 400_000)] {
                let mut out = vec![0; len];
                file.read_exact_at(&mut out, offset as u64).unwrap();
                assert_eq!(out, &bytes[offset..offset + len]);
            }
            assert!(file.read_exact_at(&mut [0; 2], 399_999).is_err());
        }
        let plain = zstd::bulk::compress(&bytes, 1).unwrap();
        let Err(error) = Seekable::open(Box::new(plain), "test") else { panic!("opened") };
        assert!(error.to_string().contains("no seek table"), "{error}");
    }

    proptest! {
        #[test]
        fn damage_is_an_error_or_bytes_and_never_a_panic(
            at in any::<prop::sample::Index>(), byte in any::<u8>(), tail in any::<bool>(), cut in 0usize..40,
        ) {
            let mut file = packed(&[7; 10_000], 3000, true);
            let at = if tail { file.len() - 1 - at.index(80) } else { at.index(file.len()) };
            file[at] = byte;
            file.truncate(file.len() - cut.saturating_sub(20));
            if let Ok(mut file) = Seekable::open(Box::new(file), "test") {
                let _ = file.read_exact_at(&mut [0; 5000], 2000);
            }
        }

        #[test]
        fn junk_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if bytes.len() > 20 {
                let at = bytes.len() - 4;
                bytes[at..].copy_from_slice(&MAGIC.to_le_bytes());
            }
            prop_assert!(Seekable::open(Box::new(bytes), "test").is_err());
        }
    }
}
