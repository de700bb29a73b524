//! Estimates from a few MiB of the target whether a delta is faster than writing the whole image. A whole write passes
//! over the device twice (write, read back). A delta reads the device once and then passes twice over what differs, so
//! on the device it is faster as long as no more than half differs; it never needs more of the network. It is therefore
//! chosen if at least half of the sampled MiB match. Zeros of the image are not sampled: a whole write creates them
//! without fetching or writing anything, and a blank disk would look like a match.

use crate::delta::caibx::{self, Caibx};
use crate::error::ImageError;
use crate::flow::stop::Stop;
use crate::proof::signature::Signed;
use burin_disk::{CHUNK, Target};
use burin_sys::aligned::AlignedBuf;
use std::os::unix::fs::FileExt;

/// An image's index, and when to use it.
#[derive(Debug, Clone)]
pub struct DeltaRequest {
    pub index: Caibx,
    /// The index has the required digest: chunks that match it need no digest of the download.
    pub proven: bool,
    /// Its verified signature.
    pub signed: Option<Signed>,
    /// Use the index even if a whole write is estimated to be faster. An index that does not fit the image is then an
    /// error.
    pub always: bool,
}

impl DeltaRequest {
    pub fn new(index: Caibx) -> Self {
        Self { index, proven: false, signed: None, always: false }
    }
}

/// Number of MiB of the target that are sampled.
const SAMPLES: usize = 32;

/// The result of sampling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Estimate {
    pub sampled: u32,
    pub matching: u32,
}

impl Estimate {
    /// Samples the target evenly over the size of the image.
    pub fn take(index: &Caibx, target: &Target, stop: &Stop) -> Result<Self, ImageError> {
        let zeros = caibx::sha256(&vec![0; caibx::CHUNK as usize]);
        let per_mib = CHUNK / caibx::CHUNK as usize;
        let inner = index.length.saturating_sub(1) / CHUNK as u64;
        let filled = |mib: &usize| {
            let digests = index.digests.get(mib * per_mib..(mib + 1) * per_mib).unwrap_or_default();
            digests.iter().any(|digest| *digest != zeros)
        };
        let filled: Vec<usize> = (1..usize::try_from(inner).unwrap_or(0)).filter(filled).collect();
        let count = filled.len().min(SAMPLES);
        let (mut buf, mut estimate) = (AlignedBuf::zeroed(CHUNK), Self::default());
        for sample in (0..count).filter_map(|number| filled.get(number * filled.len() / count)) {
            stop.check()?;
            let offset = (sample * CHUNK) as u64;
            let read = target.file().read_exact_at(&mut buf[..CHUNK], offset);
            estimate.sampled += 1;
            estimate.matching += u32::from(read.is_ok() && index.matches(offset, &buf[..CHUNK]));
        }
        Ok(estimate)
    }

    pub fn wins(self) -> bool {
        self.sampled > 0 && self.matching * 2 >= self.sampled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cancel;
    use crate::delta::caibx::Indexer;

    const MIB: usize = 1 << 20;

    fn estimate(image: &[u8], held: &[u8]) -> Estimate {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("target");
        std::fs::write(&path, held).unwrap();
        let mut indexer = Indexer::default();
        indexer.update(image);
        let target = Target::open_file(&path).unwrap();
        Estimate::take(&indexer.finish(), &target, &Stop::new(&Cancel::default())).unwrap()
    }

    /// Bytes that differ from MiB to MiB.
    fn filled(mibs: std::ops::Range<usize>) -> Vec<u8> {
        mibs.flat_map(|mib| vec![mib as u8 + 1; MIB]).collect()
    }

    #[test]
    fn it_is_chosen_where_half_of_it_is_there() {
        let image = filled(0..40);
        let held = |right: usize| [filled(0..right), filled(100..100 + 40 - right)].concat();
        let all = estimate(&image, &image);
        assert_eq!(all, Estimate { sampled: 32, matching: 32 });
        assert!(all.wins() && estimate(&image, &held(30)).wins());
        assert!(!estimate(&image, &held(10)).wins());
        assert_eq!(estimate(&image, &vec![0; 40 * MIB]).matching, 0);
    }

    #[test]
    fn zeros_and_both_ends_say_nothing() {
        // A blank target already contains an image of zeros; writing it whole costs nothing.
        let mut image = vec![0; 40 * MIB];
        assert_eq!(estimate(&image, &vec![0; 40 * MIB]), Estimate::default());
        image[7 * MIB + 9] = 1;
        let blank = estimate(&image, &vec![0; 40 * MIB]);
        assert_eq!(blank, Estimate { sampled: 1, matching: 0 });
        assert!(!blank.wins() && estimate(&image, &image).wins());
        assert!(!estimate(&filled(0..2), &filled(0..2)).wins());
    }
}
