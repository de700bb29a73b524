//! Finds the LBA format with a given sector size, and the namespaces that a format would affect, in Identify data (NVM
//! Express Base Specification 2.0, 5.17.2; NVM Command Set Specification 1.0, 4.1.5.1).

/// The index of the best format with sectors of `sector` bytes and no metadata.
pub fn format_with(namespace: &[u8], sector: u32) -> Option<u8> {
    let count = namespace.get(25).copied()?.saturating_add(1).min(64);
    let formats = (0..count).filter_map(|index| Some((index, format(namespace, index)?)));
    let fitting = formats.filter(|(_, (metadata, size, _))| *metadata == 0 && *size == sector);
    // Relative performance: 0 is the best.
    fitting.min_by_key(|(index, (_, _, performance))| (*performance, *index)).map(|(index, _)| index)
}

/// Sector size in bytes of the current format, if it has no metadata.
pub fn sector_in_use(namespace: &[u8]) -> Option<u32> {
    let flbas = namespace.get(26).copied()?;
    // Bits 6:5 extend the index beyond 16 formats.
    let (metadata, size, _) = format(namespace, flbas & 0x0f | (flbas & 0x60) >> 1)?;
    (metadata == 0).then_some(size)
}

/// Metadata and sector size in bytes, and relative performance.
fn format(namespace: &[u8], index: u8) -> Option<(u16, u32, u8)> {
    let at = 128 + usize::from(index) * 4;
    let [low, high, shift, performance] = namespace.get(at..at + 4)?.try_into().ok()?;
    let size = 1u32.checked_shl(u32::from(shift)).filter(|_| (9..=16).contains(&shift))?;
    Some((u16::from_le_bytes([low, high]), size, performance & 3))
}

/// Whether formatting one namespace formats all of them (FNA, bit 0).
pub fn formats_all(controller: &[u8]) -> bool {
    controller.get(524).is_none_or(|attributes| attributes & 1 != 0)
}

/// Optional Admin Command Support, byte 256: bit 3 is Namespace Management.
pub fn manages_namespaces(controller: &[u8]) -> bool {
    controller.get(256).is_some_and(|byte| byte & 1 << 3 != 0)
}

/// The number of entries in a list of active namespaces, which ends with a zero.
pub fn active(list: &[u8]) -> usize {
    list.chunks_exact(4).take_while(|number| number.iter().any(|byte| *byte != 0)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The response of QEMU's namespaces: 512 and 4096 bytes, each without metadata and with 8, 16 and 64 bytes of it.
    fn namespace() -> Vec<u8> {
        let mut data = vec![0u8; 4096];
        data[25] = 7;
        for (index, (metadata, shift)) in
            [(0u8, 9u8), (8, 9), (16, 9), (64, 9), (0, 12), (8, 12), (16, 12), (64, 12)].into_iter().enumerate()
        {
            data[128 + index * 4] = metadata;
            data[128 + index * 4 + 2] = shift;
        }
        data
    }

    #[test]
    fn the_best_format_without_metadata_is_taken() {
        let mut data = namespace();
        assert_eq!(
            (format_with(&data, 512), format_with(&data, 4096), format_with(&data, 1024)),
            (Some(0), Some(4), None)
        );
        // A second, faster format with these sectors.
        data[25] = 8;
        data[128 + 4 * 4 + 3] = 2;
        data[128 + 8 * 4 + 2] = 12;
        assert_eq!(format_with(&data, 4096), Some(8));
    }

    #[test]
    fn what_is_in_use_is_told() {
        let mut data = namespace();
        assert_eq!(sector_in_use(&data), Some(512));
        data[26] = 4;
        assert_eq!(sector_in_use(&data), Some(4096));
        data[26] = 5;
        assert_eq!(sector_in_use(&data), None, "with metadata");
    }

    #[test]
    fn whom_a_format_reaches() {
        let mut controller = vec![0u8; 4096];
        assert!(!formats_all(&controller));
        controller[524] = 5;
        assert!(formats_all(&controller) && formats_all(&[]), "what was not read may be any");
        let mut list = vec![0u8; 4096];
        assert_eq!(active(&list), 0);
        (list[0], list[4]) = (1, 2);
        assert_eq!(active(&list), 2);
    }

    proptest! {
        #[test]
        fn junk_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..700), sector: u32) {
            format_with(&bytes, sector);
            sector_in_use(&bytes);
            formats_all(&bytes);
            active(&bytes);
        }
    }
}
