//! Reads numbers from bytes of a disk; `None` past the end.

pub fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

macro_rules! number {
    ($name:ident, $type:ty, $from:ident) => {
        pub fn $name(bytes: &[u8], at: usize) -> Option<$type> {
            let end = at.checked_add(size_of::<$type>())?;
            bytes.get(at..end)?.try_into().ok().map(<$type>::$from)
        }
    };
}

number!(le16, u16, from_le_bytes);
number!(le32, u32, from_le_bytes);
number!(le64, u64, from_le_bytes);
number!(be16, u16, from_be_bytes);
number!(be32, u32, from_be_bytes);
number!(be64, u64, from_be_bytes);
