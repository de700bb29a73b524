//! Random access to a zstd image by its seek table (zstd's contrib, zstd_seekable_compression_format.md, 0.1.0).

use crate::codec::zstd::LARGEST_FRAME;
use crate::error::ImageError;
use crate::source::random::ReadAt;
use std::ops::Range;
use std::sync::Arc;
use zstd::bulk::Decompressor;

const MAGIC: u32 = 0x8f92_eab1;
const SKIPPABLE: u32 = 0x184d_2a5e;
const FOOTER: usize = 9;
/// Larger tables would belong to images of several terabytes.
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
    /// The last fetched frame: the next range may start in it.
    last: Option<CompressedFrame>,
    name: String,
}

/// A compressed frame.
#[derive(Debug, Clone)]
pub struct CompressedFrame {
    number: usize,
    frame: Frame,
    bytes: Arc<Vec<u8>>,
}

impl CompressedFrame {
    /// Its range in the image.
    pub fn range(&self) -> Range<u64> {
        self.frame.start..self.frame.start + self.frame.len as u64
    }
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
        Ok(Self { file, frames, len: start, last: None, name: name.to_owned() })
    }

    /// Length of the image in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Size of the largest frame, compressed or decoded.
    pub fn largest(&self) -> usize {
        self.frames.iter().map(|frame| frame.packed_len.max(frame.len)).max().unwrap_or(0)
    }

    /// Fetches the frames that contain `range` of the image, in order, with one request.
    pub fn fetch(&mut self, range: Range<u64>) -> Result<Vec<CompressedFrame>, ImageError> {
        // Empty frames have the same start as the next one.
        let first = self.frames.partition_point(|frame| frame.start + frame.len as u64 <= range.start);
        let wanted = self.frames.get(first..).unwrap_or_default().iter().take_while(|frame| frame.start < range.end);
        let wanted: Vec<(usize, Frame)> = (first..).zip(wanted.copied()).collect();
        let mut fetched: Vec<CompressedFrame> = self.last.take_if(|last| last.number == first).into_iter().collect();
        let missing = wanted.get(fetched.len()..).unwrap_or_default();
        if let (Some((_, from)), Some((_, to))) = (missing.first(), missing.last()) {
            let packed = to.packed + to.packed_len as u64 - from.packed;
            // Only maliciously made frames are much larger than their content.
            if packed > 2 * (range.end - range.start) + 2 * LARGEST_FRAME as u64 {
                return Err(damaged(&self.name, "its frames take far more than they hold"));
            }
            let mut bytes = vec![0; usize::try_from(packed).unwrap_or(0)];
            self.file.read_exact_at(&mut bytes, from.packed)?;
            let mut rest = bytes.as_slice();
            for &(number, frame) in missing {
                let (now, later) = rest.split_at(frame.packed_len);
                fetched.push(CompressedFrame { number, frame, bytes: Arc::new(now.to_vec()) });
                rest = later;
            }
        }
        self.last = fetched.last().cloned();
        Ok(fetched)
    }

    pub fn decoder(&self) -> FrameDecoder {
        FrameDecoder { name: self.name.clone(), decoder: None, whole: Vec::new(), number: None }
    }
}

/// Decodes frames.
pub struct FrameDecoder {
    name: String,
    decoder: Option<Decompressor<'static>>,
    /// The last partially used frame, decoded.
    whole: Vec<u8>,
    number: Option<usize>,
}

impl Clone for FrameDecoder {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), decoder: None, whole: Vec::new(), number: None }
    }
}

impl FrameDecoder {
    /// Fills the part of `out` that `packed` covers. `offset` is the position of `out` in the image.
    pub fn unpack(&mut self, packed: &CompressedFrame, out: &mut [u8], offset: u64) -> Result<(), ImageError> {
        let range = packed.range();
        let (from, to) = (range.start.max(offset), range.end.min(offset + out.len() as u64));
        if from >= to {
            return Ok(());
        }
        let to_usize = |place: u64| usize::try_from(place).unwrap_or(usize::MAX);
        let out = &mut out[to_usize(from - offset)..to_usize(to - offset)];
        if out.len() == packed.frame.len {
            return decode(&mut self.decoder, packed, out, &self.name);
        }
        if self.number != Some(packed.number) {
            self.number = None;
            self.whole.resize(packed.frame.len, 0);
            decode(&mut self.decoder, packed, &mut self.whole, &self.name)?;
            self.number = Some(packed.number);
        }
        out.copy_from_slice(&self.whole[to_usize(from - range.start)..to_usize(to - range.start)]);
        Ok(())
    }
}

fn decode(
    decoder: &mut Option<Decompressor<'static>>,
    packed: &CompressedFrame,
    out: &mut [u8],
    name: &str,
) -> Result<(), ImageError> {
    let broken = || damaged(name, &format!("the frame at byte {} is broken", packed.frame.packed));
    let decoder = match decoder {
        Some(decoder) => decoder,
        none => none.insert(Decompressor::new().map_err(|_| broken())?),
    };
    match decoder.decompress_to_buffer(&packed.bytes, out) {
        Ok(len) if len == out.len() => Ok(()),
        _ => Err(broken()),
    }
}

fn damaged(name: &str, what: &str) -> ImageError {
    ImageError::Damaged { source_name: name.to_owned(), format: "seekable zstd", what: what.to_owned() }
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

    /// Decodes a range of the image that starts and ends within frames.
    fn read(file: &mut Seekable, decoder: &mut FrameDecoder, range: Range<u64>) -> Result<Vec<u8>, ImageError> {
        let mut out = vec![0; (range.end - range.start) as usize];
        let fetched = file.fetch(range.clone())?;
        assert!(fetched.windows(2).all(|two| two[0].range().end == two[1].range().start));
        assert!(fetched.iter().all(|packed| packed.range().end > range.start && packed.range().start < range.end));
        fetched.iter().try_for_each(|packed| decoder.unpack(packed, &mut out, range.start))?;
        Ok(out)
    }

    #[test]
    fn any_part_is_read() {
        let bytes: Vec<u8> = (0..100_000u32).flat_map(|number| number.to_le_bytes()).collect();
        for checksums in [false, true] {
            let mut file = Seekable::open(Box::new(packed(&bytes, 30_000, checksums)), "test").unwrap();
            assert_eq!(file.len(), bytes.len() as u64);
            let mut decoder = file.decoder();
            for (offset, len) in
                [(0, 10), (29_990, 20), (30_000, 30_000), (70_000, 100_000), (399_999, 1), (0, 400_000)]
            {
                let range = offset as u64..(offset + len) as u64;
                assert_eq!(read(&mut file, &mut decoder, range).unwrap(), &bytes[offset..offset + len]);
            }
        }
        let plain = zstd::bulk::compress(&bytes, 1).unwrap();
        let Err(error) = Seekable::open(Box::new(plain), "test") else { panic!("opened") };
        assert!(error.to_string().contains("no seek table"), "{error}");
    }

    #[test]
    fn frames_that_hold_next_to_nothing_do_not_take_all_memory() {
        let (count, each) = (4, 5 << 20);
        let mut file = vec![0; count * each];
        file.extend(SKIPPABLE.to_le_bytes());
        file.extend((count as u32 * 8 + 9).to_le_bytes());
        (0..count).for_each(|_| file.extend([(each as u32).to_le_bytes(), 1u32.to_le_bytes()].concat()));
        file.extend((count as u32).to_le_bytes());
        file.push(0);
        file.extend(MAGIC.to_le_bytes());
        let mut file = Seekable::open(Box::new(file), "test").unwrap();
        assert_eq!(file.fetch(0..2).unwrap().len(), 2);
        let error = file.fetch(0..4).unwrap_err();
        assert!(error.to_string().contains("more than they hold"), "{error}");
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
                let mut decoder = file.decoder();
                let _ = read(&mut file, &mut decoder, 2000..7000);
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
