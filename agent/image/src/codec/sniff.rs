//! What an image is, from its first bytes: never from its name.

use std::fmt;

/// How many first bytes [`compression`] and [`container`] want to see, where the source has them.
pub const LEN: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
    Lz4,
    Bzip2,
}

impl Compression {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
            Self::Bzip2 => "bzip2",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// zstd and lz4 share the magic of frames to be skipped, 0x184D2A50 to 0x184D2A5F (RFC 8878, 3.1.2).
pub fn skippable(head: &[u8]) -> Option<u32> {
    match head {
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, a, b, c, d, ..] => Some(u32::from_le_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}

/// Whether these few bytes may be the beginning of a magic, cut short.
pub fn may_begin(compression: Compression, head: &[u8]) -> bool {
    let magics: &[&[u8]] = match compression {
        Compression::None => &[],
        Compression::Gzip => &[&[0x1f, 0x8b, 8]],
        Compression::Xz => &[b"\xfd7zXZ\0"],
        Compression::Zstd => &[&[0x28, 0xb5, 0x2f, 0xfd]],
        Compression::Lz4 => &[&[0x04, 0x22, 0x4d, 0x18], &[0x02, 0x21, 0x4c, 0x18]],
        Compression::Bzip2 => &[b"BZh"],
    };
    let skip = matches!(compression, Compression::Zstd | Compression::Lz4)
        && matches!(
            head,
            [0x50..=0x5f] | [0x50..=0x5f, 0x2a] | [0x50..=0x5f, 0x2a, 0x4d] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]
        );
    skip || magics.iter().any(|magic| head.starts_with(magic) || magic.starts_with(head))
}

/// pzstd puts before each frame one to be skipped, of 4 bytes, that holds the frame's compressed length.
pub fn announces(head: &[u8]) -> bool {
    head.first() == Some(&0x50) && skippable(head) == Some(4)
}

/// Whether zstd begins with one of many frames, not with one for all: with pzstd's announcement, or with a frame that
/// says that it decodes to at most `small` bytes (RFC 8878, 3.1.1.1).
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
    match head {
        [0x1f, 0x8b, 8, ..] => Compression::Gzip,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        [0x04, 0x22, 0x4d, 0x18, ..] | [0x02, 0x21, 0x4c, 0x18, ..] => Compression::Lz4,
        // The digits of pi open a block, those of its square root end an empty stream.
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
        | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => Compression::Bzip2,
        // Cut short: too little to be anything else.
        [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..]
            if head.len() < 10 && [0x31, 0x41, 0x59, 0x26, 0x53, 0x59].starts_with(rest) =>
        {
            Compression::Bzip2
        }
        _ => match skippable(head) {
            // Behind a frame to be skipped the real one says which it is; pzstd begins so.
            Some(len) => match usize::try_from(len).ok().and_then(|len| head.get(len.checked_add(8)?..)) {
                Some(rest) if rest.len() >= 4 && rest.len() < head.len() => compression(rest),
                _ => Compression::Zstd,
            },
            None => Compression::None,
        },
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// Bytes as they belong on the disk, as far as one can tell.
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
        // A stream does not know how long it will be.
        let stream = zstd::stream::encode_all(&[7; 100][..], 1).unwrap();
        assert!(!many_frames(&stream, 8 << 20) && !many_frames(&stream[..5], 8 << 20) && !many_frames(&[], 1));
    }

    #[test]
    fn each_magic_is_known() {
        let cases: [(&[u8], Compression); 10] = [
            (&[0x1f, 0x8b, 8, 0], Compression::Gzip),
            (b"\xfd7zXZ\0", Compression::Xz),
            (&[0x28, 0xb5, 0x2f, 0xfd], Compression::Zstd),
            (&[0x04, 0x22, 0x4d, 0x18], Compression::Lz4),
            (&[0x02, 0x21, 0x4c, 0x18], Compression::Lz4),
            (b"BZh91AY&SY", Compression::Bzip2),
            (b"BZh9 not one", Compression::None),
            (&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4, 0x28, 0xb5, 0x2f, 0xfd], Compression::Zstd),
            (&[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0, 0x04, 0x22, 0x4d, 0x18], Compression::Lz4),
            (b"", Compression::None),
        ];
        for (head, wanted) in cases {
            assert_eq!(compression(head), wanted, "{head:x?}");
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
