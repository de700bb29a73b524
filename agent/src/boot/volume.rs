//! Reads a volume's label from its first bytes: ISO 9660 and FAT, the formats of boot media.

/// The name for mount(2).
pub const FAT: &str = "vfat";
/// How much of a volume must be read.
pub const HEAD: usize = 34 << 10;
/// Sector 16, ECMA-119 section 8.4.
const DESCRIPTOR: usize = 16 * 2048;

/// A volume that can be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootVolume {
    /// The name for mount(2).
    pub kind: &'static str,
    pub label: String,
}

/// `None` for anything else, and for a volume without a label.
pub fn read(head: &[u8]) -> Option<BootVolume> {
    fat(head).or_else(|| iso(head)).filter(|volume| !volume.label.is_empty())
}

/// Primary volume descriptor: type 1, `CD001`, volume identifier of 32 bytes at 40.
fn iso(head: &[u8]) -> Option<BootVolume> {
    let descriptor = head.get(DESCRIPTOR..)?;
    (descriptor.get(..6)? == b"\x01CD001").then_some(())?;
    Some(BootVolume { kind: "iso9660", label: text(descriptor.get(40..72)?) })
}

/// Microsoft's FAT specification 1.03, section 3: the 11-byte label precedes `FAT12`, `FAT16` or `FAT32`, at a
/// different offset in each layout.
fn fat(head: &[u8]) -> Option<BootVolume> {
    (head.get(510..512)? == [0x55, 0xaa]).then_some(())?;
    let at = |label: usize, kind: usize| {
        let word = head.get(kind..kind + 5)?;
        (word.starts_with(b"FAT")).then(|| head.get(label..label + 11)).flatten()
    };
    let label = at(71, 82).or_else(|| at(43, 54))?;
    Some(BootVolume { kind: FAT, label: text(label) })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_matches(['\0', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn volume(parts: &[(usize, &[u8])]) -> Option<BootVolume> {
        let mut head = vec![0; HEAD];
        for (at, bytes) in parts {
            head[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
        read(&head)
    }

    #[test]
    fn both_kinds_by_what_they_say() {
        let iso = volume(&[(DESCRIPTOR, b"\x01CD001\x01"), (DESCRIPTOR + 40, b"BURIN                           ")]);
        assert_eq!(iso, Some(BootVolume { kind: "iso9660", label: "BURIN".into() }));
        let fat = |label: usize, kind: usize, word: &[u8]| {
            volume(&[(label, b"SITE CONF  "), (kind, word), (510, &[0x55, 0xaa])])
        };
        let expected = Some(BootVolume { kind: "vfat", label: "SITE CONF".into() });
        assert_eq!(fat(71, 82, b"FAT32   "), expected);
        assert_eq!(fat(43, 54, b"FAT16   "), expected);
        // A boot sector with a partition table, and a hybrid ISO with one.
        assert_eq!(volume(&[(510, &[0x55, 0xaa])]), None);
        let hybrid = [(510, [0x55, 0xaa].as_slice()), (DESCRIPTOR, b"\x01CD001\x01"), (DESCRIPTOR + 40, b"X")];
        assert_eq!(volume(&hybrid).unwrap().label, "X");
        assert_eq!(volume(&[(DESCRIPTOR, b"\x01CD001\x01")]), None, "no label");
        assert_eq!(read(b""), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..HEAD + 100)) {
            let _ = read(&bytes);
        }
    }
}
