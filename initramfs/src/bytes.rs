//! Little-endian fields of binary headers; `None` past the end.

/// Two bytes at `offset`.
pub fn u16_at(data: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(data.get(offset..offset.checked_add(2)?)?.try_into().ok()?))
}

/// Four bytes at `offset`.
pub fn u32_at(data: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(data.get(offset..offset.checked_add(4)?)?.try_into().ok()?))
}

/// Writes four bytes at `offset`; `None` when that is past the end.
pub fn put_u32(data: &mut [u8], offset: usize, value: u32) -> Option<()> {
    data.get_mut(offset..offset.checked_add(4)?)?.copy_from_slice(&value.to_le_bytes());
    Some(())
}

/// Writes two bytes at `offset`; `None` when that is past the end.
pub fn put_u16(data: &mut [u8], offset: usize, value: u16) -> Option<()> {
    data.get_mut(offset..offset.checked_add(2)?)?.copy_from_slice(&value.to_le_bytes());
    Some(())
}
