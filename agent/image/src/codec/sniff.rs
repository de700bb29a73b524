//! Detects the format of an image by its first bytes, never by its name.

use crate::codec::{CODECS, Codec, Compression};

/// Number of first bytes that [`compression`] and [`container`] need, if the source has them.
pub const LEN: usize = 4096;

/// zstd and lz4 share the magic numbers of skippable frames, 0x184D2A50 to 0x184D2A5F (RFC 8878, 3.1.2).
pub fn skippable(head: &[u8]) -> Option<u32> {
    match head {
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, a, b, c, d, ..] => Some(u32::from_le_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}

/// Whether these few bytes may be the truncated start of a member.
pub fn may_begin(codec: &dyn Codec, head: &[u8]) -> bool {
    let skip = codec.skippable()
        && matches!(
            head,
            [0x50..=0x5f] | [0x50..=0x5f, 0x2a] | [0x50..=0x5f, 0x2a, 0x4d] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]
        );
    skip || codec.magics().iter().any(|magic| head.starts_with(magic) || magic.starts_with(head))
}

/// pzstd writes a skippable frame of 4 bytes before each frame, with the frame's compressed length.
pub fn announces(head: &[u8]) -> bool {
    head.first() == Some(&0x50) && skippable(head) == Some(4)
}

/// Whether zstd data starts with one of many frames, not with a single one: with pzstd's skippable frame, or with a
/// frame whose decoded size is at most `small` bytes according to its header (RFC 8878, 3.1.1.1).
pub fn many_frames(head: &[u8], small: u64) -> bool {
    let [0x28, 0xb5, 0x2f, 0xfd, descriptor, rest @ ..] = head else { return announces(head) };
    let single = descriptor & 0x20 != 0;
    let before = usize::from(!single) + [0, 1, 2, 4][usize::from(descriptor & 3)];
    let (len, more) = match (descriptor >> 6, single) {
        (0, false) => return false,
        (0, true) => (1, 0),
        (1, _) => (2, 256),
        (2, _) => (4, 0),
        _ => (8, 0),
    };
    let size = rest.get(before..before + len);
    size.is_some_and(|size| size.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)) + more <= small)
}

pub fn compression(head: &[u8]) -> Compression {
    if let Some(codec) = CODECS.iter().find(|codec| codec.begins(head)) {
        return Compression::of(*codec);
    }
    // The frame after a skippable one shows which format it is; pzstd starts like this.
    let Some(len) = skippable(head) else { return Compression::NONE };
    match usize::try_from(len).ok().and_then(|len| head.get(len.checked_add(8)?..)) {
        Some(rest) if rest.len() >= 4 && rest.len() < head.len() => compression(rest),
        _ => Compression::of(&crate::codec::zstd::Zstd),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// Probably the raw bytes of a disk.
    Raw,
    Qcow2,
}

pub fn container(head: &[u8]) -> Container {
    if head.starts_with(b"QFI\xfb") { Container::Qcow2 } else { Container::Raw }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_frames_show_in_the_first() {
        assert!(many_frames(&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4], 8 << 20), "pzstd");
        for (len, small) in [(100, true), (300, true), (70_000, true), (8 << 20, true), ((8 << 20) + 1, false)] {
            let bytes = vec![7; len];
            let frame = zstd::bulk::compress(&bytes, 1).unwrap();
            assert_eq!(many_frames(&frame, 8 << 20), small, "{len}");
        }
        // A stream does not know its final length.
        let stream = zstd::stream::encode_all(&[7; 100][..], 1).unwrap();
        assert!(!many_frames(&stream, 8 << 20) && !many_frames(&stream[..5], 8 << 20) && !many_frames(&[], 1));
    }

    #[test]
    fn each_magic_is_known() {
        let cases: [(&[u8], &str); 10] = [
            (&[0x1f, 0x8b, 8, 0], "gzip"),
            (b"\xfd7zXZ\0", "xz"),
            (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
            (&[0x04, 0x22, 0x4d, 0x18], "lz4"),
            (&[0x02, 0x21, 0x4c, 0x18], "lz4"),
            (b"BZh91AY&SY", "bzip2"),
            (b"BZh9 not one", "none"),
            (&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4, 0x28, 0xb5, 0x2f, 0xfd], "zstd"),
            (&[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0, 0x04, 0x22, 0x4d, 0x18], "lz4"),
            (b"", "none"),
        ];
        for (head, wanted) in cases {
            assert_eq!(compression(head).name(), wanted, "{head:x?}");
        }
        assert_eq!(container(b"QFI\xfb\0\0\0\x03"), Container::Qcow2);
        assert_eq!(container(&[0; 512]), Container::Raw);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_something(mut head in proptest::collection::vec(proptest::num::u8::ANY, 0..600), skip in proptest::bool::ANY) {
            compression(&head);
            container(&head);
            if skip && head.len() >= 4 {
                head[..4].copy_from_slice(&[0x5e, 0x2a, 0x4d, 0x18]);
                compression(&head);
            }
        }
    }
}
