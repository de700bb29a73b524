//! The mark in the first sector of a half-written disk. The next inventory recognises it, and reads from it which order
//! was being carried out.
//!
//! ASCII `BURIN-UNFINISHED`, a line feed, the order's id in UTF-8, a line feed, and zeros to the end of the sector. There
//! is no boot signature in it: firmware starts nothing from such a disk.

const MAGIC: &[u8] = b"BURIN-UNFINISHED\n";
/// Bytes: the smallest sector that a disk has.
pub const MARK_LENGTH: usize = 512;
/// Bytes of the longest id that fits: as long as an order's id may be.
pub const LONGEST_ID: usize = 128;

/// The mark of an order, [`MARK_LENGTH`] bytes. An id that no order may have (empty, longer than [`LONGEST_ID`], with
/// control characters) is left out: the disk is then an unfinished one that no order takes for its own.
pub fn mark(order_id: &str) -> [u8; MARK_LENGTH] {
    let id = if is_id(order_id) { order_id } else { "" };
    let mut sector = [0; MARK_LENGTH];
    let text = MAGIC.iter().chain(id.as_bytes()).chain(b"\n");
    sector.iter_mut().zip(text).for_each(|(place, byte)| *place = *byte);
    sector
}

/// The order's id in the mark with which `sector` begins. `None` where there is no mark, where it names no order, or
/// where something else than zeros follows.
pub fn parse(sector: &[u8]) -> Option<String> {
    let sector = sector.get(..MARK_LENGTH)?;
    let rest = sector.strip_prefix(MAGIC)?;
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    let (id, rest) = rest.split_at_checked(end)?;
    let id = std::str::from_utf8(id).ok().filter(|id| is_id(id))?;
    let blank = rest.iter().skip(1).all(|&byte| byte == 0);
    blank.then(|| id.to_owned())
}

fn is_id(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= LONGEST_ID && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_layout_is_fixed() {
        let sector = mark("order-7");
        assert_eq!(sector.len(), 512);
        assert!(sector.starts_with(b"BURIN-UNFINISHED\norder-7\n\0"));
        assert_eq!(sector.iter().filter(|&&byte| byte != 0).count(), 17 + 7 + 1);
        assert_eq!(parse(&sector).as_deref(), Some("order-7"));
        // Of a disk with sectors of 4096 bytes.
        assert_eq!(parse(&[sector.as_slice(), &[0; 3584]].concat()).as_deref(), Some("order-7"));
    }

    #[test]
    fn ids_at_the_limits() {
        let longest = "é".repeat(LONGEST_ID / 2);
        assert_eq!(parse(&mark(&longest)).as_deref(), Some(longest.as_str()));
        for id in ["", "  ", "a\nb", "a\0b", "x".repeat(LONGEST_ID + 1).as_str()] {
            let sector = mark(id);
            assert!(sector.starts_with(b"BURIN-UNFINISHED\n\n\0"), "{id:?}");
            assert_eq!(parse(&sector), None, "{id:?}");
        }
    }

    #[test]
    fn anything_else_is_no_mark() {
        let good = mark("order-7");
        assert_eq!(parse(&good[..511]), None, "too short");
        assert_eq!(parse(&vec![0; 512]), None);
        let changed = |at: usize, byte: u8| {
            let mut sector = good;
            sector[at] = byte;
            parse(&sector)
        };
        assert_eq!(changed(0, b'b'), None);
        assert_eq!(changed(20, 0xff), None, "not UTF-8");
        assert_eq!(changed(510, 0x55), None, "something follows");
        assert_eq!(changed(24, b'X'), None, "no end");
    }

    proptest! {
        #[test]
        fn what_is_marked_is_read(id in "[^\\p{Cc}]{1,32}") {
            prop_assume!(!id.trim().is_empty());
            let sector = mark(&id);
            prop_assert_eq!(sector.len(), MARK_LENGTH);
            prop_assert_eq!(&sector[510..], [0, 0]);
            prop_assert_eq!(parse(&sector), Some(id));
        }

        #[test]
        fn any_id_gives_a_sector(id in ".*") {
            prop_assert_eq!(mark(&id).len(), MARK_LENGTH);
        }

        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..600), marked in any::<bool>()) {
            let bytes = if marked { [MAGIC, &bytes].concat() } else { bytes };
            if let Some(id) = parse(&bytes) {
                prop_assert_eq!(mark(&id), &bytes[..MARK_LENGTH]);
            }
        }
    }
}
