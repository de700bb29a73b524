//! Parses the superblock of an MD array's member, version 1 (linux/raid/md_p.h, `struct mdp_superblock_1`; all numbers
//! little-endian), read from the medium, bypassing every cache.

use super::device::{Device, Sectors};
use crate::error::Coded;
use std::io;
use std::path::{Path, PathBuf};
use uuid::Uuid;

const MAGIC: u32 = 0xa92b_4efc;
const SECTOR: u64 = 512;
/// The fixed part; two bytes per device follow.
const FIXED: usize = 256;
/// With roles for as many devices as Linux allows in such an array.
const LENGTH: usize = 4096;
/// Roles of devices that are not active members.
const SPARE: u16 = 0xffff;
const FAILED: u16 = 0xfffe;
const JOURNAL: u16 = 0xfffd;
/// Bits of the feature map.
const HAS_BITMAP: u32 = 1;
const HAS_JOURNAL: u32 = 1 << 9;
const HAS_PPL: u32 = 1 << 10 | 1 << 11;

#[derive(Debug, thiserror::Error)]
pub enum MdError {
    #[error("{device}: cannot be read", device = device.display())]
    Io { device: PathBuf, source: io::Error },
    #[error("{device}: no MD superblock of metadata {metadata}: {why}", device = device.display())]
    NoSuperblock { device: PathBuf, metadata: String, why: &'static str },
}

impl Coded for MdError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "finalize.md_io",
            Self::NoSuperblock { .. } => "finalize.md_superblock",
        }
    }
}

/// A device's role in its array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Its position, from 0.
    Active(u16),
    Spare,
    Failed,
    Journal,
}

/// An array's metadata as stored on one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    pub uuid: Uuid,
    /// `HOST:NAME`, or only a name.
    pub name: String,
    pub level: i32,
    /// The chunk layout, in the level's own numbers.
    pub layout: u32,
    /// In bytes; 0 if the level has no chunks.
    pub chunk: u64,
    pub raid_disks: u32,
    /// `None` if it does not state its own role.
    pub role: Option<Role>,
    /// The consistency mechanism: `bitmap`, `ppl`, `journal`, or none of them.
    pub keeps: Option<&'static str>,
    /// Offset of the array's data in the member, in bytes.
    pub data_offset: u64,
    /// Bytes of the member that the array uses.
    pub size: u64,
    /// It is read only if no other member can be.
    pub write_mostly: bool,
    /// Equal on members of one array that were stopped together.
    pub events: u64,
    /// Bytes up to which the members are known to be in sync; `None`: they are completely in sync.
    pub resynced: Option<u64>,
}

/// Offset of the superblock of `metadata` 1.0, 1.1 or 1.2 on a member of `size` bytes.
pub fn offset(metadata: &str, size: u64) -> Option<u64> {
    match metadata {
        // At least 8 KiB before the end, and aligned to 4 KiB.
        "1.0" => Some((size / SECTOR).checked_sub(16)? / 8 * 8 * SECTOR),
        "1.1" => Some(0),
        "1.2" => Some(4096),
        _ => None,
    }
}

/// Reads the superblock of a member.
pub fn read(member: &Path, metadata: &str) -> Result<Superblock, MdError> {
    let io = |source| MdError::Io { device: member.to_owned(), source };
    let missing = |why| MdError::NoSuperblock { device: member.to_owned(), metadata: metadata.to_owned(), why };
    let device = Device::open_read_only(member).map_err(io)?;
    let offset = offset(metadata, device.size()).ok_or_else(|| missing("there is no room for one"))?;
    let mut bytes = vec![0; LENGTH];
    device.read_at(offset, &mut bytes).map_err(io)?;
    parse(&bytes, offset).map_err(missing)
}

/// `at` is the offset of `bytes` on the member: a superblock that was copied elsewhere is invalid.
pub fn parse(bytes: &[u8], at: u64) -> Result<Superblock, &'static str> {
    const SHORT: &str = "it is cut off";
    let u32_at = |offset: usize| Some(u32::from_le_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?));
    let u64_at = |offset: usize| Some(u64::from_le_bytes(bytes.get(offset..offset + 8)?.try_into().ok()?));
    if u32_at(0) != Some(MAGIC) {
        return Err("the magic number is missing");
    }
    if u32_at(4) != Some(1) {
        return Err("it is of another major version");
    }
    if u64_at(144).and_then(|sector| sector.checked_mul(SECTOR)) != Some(at) {
        return Err("it says that its place is another");
    }
    let devices = u32_at(220).ok_or(SHORT)? as usize;
    let length = devices.checked_mul(2).and_then(|roles| roles.checked_add(FIXED)).ok_or(SHORT)?;
    if Some(checksum(bytes.get(..length).ok_or(SHORT)?)) != u32_at(216) {
        return Err("the checksum does not match");
    }
    let number = u32_at(160).ok_or(SHORT)? as usize;
    let role = number.checked_mul(2).and_then(|place| bytes.get(FIXED + place..FIXED + place + 2));
    let role = role.and_then(|two| Some(u16::from_le_bytes(two.try_into().ok()?)));
    let role = role.filter(|_| number < devices).map(|role| match role {
        SPARE => Role::Spare,
        FAILED => Role::Failed,
        JOURNAL => Role::Journal,
        place => Role::Active(place),
    });
    let features = u32_at(8).ok_or(SHORT)?;
    let keeps = [(HAS_JOURNAL, "journal"), (HAS_PPL, "ppl"), (HAS_BITMAP, "bitmap")];
    let name = bytes.get(32..64).ok_or(SHORT)?.split(|byte| *byte == 0).next().unwrap_or_default();
    let bytes_at = |offset| u64_at(offset).map(|sectors| sectors.saturating_mul(SECTOR));
    Ok(Superblock {
        uuid: Uuid::from_bytes(bytes.get(16..32).and_then(|uuid| uuid.try_into().ok()).ok_or(SHORT)?),
        name: String::from_utf8_lossy(name).into_owned(),
        level: u32_at(72).ok_or(SHORT)?.cast_signed(),
        layout: u32_at(76).ok_or(SHORT)?,
        chunk: u64::from(u32_at(88).ok_or(SHORT)?) * SECTOR,
        raid_disks: u32_at(92).ok_or(SHORT)?,
        role,
        keeps: keeps.iter().find(|(bit, _)| features & bit != 0).map(|(_, word)| *word),
        data_offset: bytes_at(128).ok_or(SHORT)?,
        size: bytes_at(80).ok_or(SHORT)?,
        write_mostly: bytes.get(184).ok_or(SHORT)? & 1 == 1,
        events: u64_at(200).ok_or(SHORT)?,
        resynced: u64_at(208).filter(|sector| *sector != u64::MAX).map(|sectors| sectors.saturating_mul(SECTOR)),
    })
}

/// The sum of all 32-bit words and a last half word, with its carry added, as if the checksum field were zero.
fn checksum(bytes: &[u8]) -> u32 {
    let mut sum: u64 = 0;
    for (index, word) in bytes.chunks(4).enumerate() {
        if index * 4 != 216 {
            sum += word.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
        }
    }
    let folded = (sum & 0xffff_ffff) + (sum >> 32);
    // As in the kernel: a single carry.
    u32::try_from(folded & 0xffff_ffff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A member as mdadm 4.2 leaves it, field by field.
    fn superblock(at: u64) -> Vec<u8> {
        let mut bytes = vec![0u8; LENGTH];
        let mut put = |offset: usize, value: &[u8]| bytes[offset..offset + value.len()].copy_from_slice(value);
        put(0, &MAGIC.to_le_bytes());
        put(4, &1u32.to_le_bytes());
        put(16, &[0xab; 16]);
        put(32, b"any:root");
        put(72, &1u32.to_le_bytes());
        put(8, &1u32.to_le_bytes());
        put(76, &2u32.to_le_bytes());
        put(80, &2_095_104u64.to_le_bytes());
        put(88, &128u32.to_le_bytes());
        put(92, &2u32.to_le_bytes());
        put(128, &2048u64.to_le_bytes());
        put(144, &(at / 512).to_le_bytes());
        put(160, &1u32.to_le_bytes());
        put(200, &17u64.to_le_bytes());
        put(220, &128u32.to_le_bytes());
        put(256, &[0, 0, 1, 0, 0xfe, 0xff]);
        let sum = checksum(&bytes[..FIXED + 256]);
        bytes[216..220].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    #[test]
    fn a_member_says_what_it_is_of() {
        let found = parse(&superblock(4096), 4096).unwrap();
        assert_eq!((found.name.as_str(), found.level, found.raid_disks), ("any:root", 1, 2));
        assert_eq!((found.role, found.data_offset, found.events), (Some(Role::Active(1)), 1 << 20, 17));
        assert_eq!((found.layout, found.chunk, found.keeps), (2, 65536, Some("bitmap")));
        assert_eq!(found.size, 2_095_104 * 512);
        assert_eq!((found.resynced, found.write_mostly), (Some(0), false));
        assert_eq!(found.uuid, Uuid::from_bytes([0xab; 16]));
    }

    #[test]
    fn roles_and_what_is_kept_are_told_apart() {
        let with = |role: u16, features: u32| {
            let mut bytes = superblock(4096);
            bytes[8..12].copy_from_slice(&features.to_le_bytes());
            bytes[258..260].copy_from_slice(&role.to_le_bytes());
            let sum = checksum(&bytes[..FIXED + 256]);
            bytes[216..220].copy_from_slice(&sum.to_le_bytes());
            let found = parse(&bytes, 4096).unwrap();
            (found.role.unwrap(), found.keeps)
        };
        assert_eq!(with(3, 0), (Role::Active(3), None));
        assert_eq!(with(0xffff, 1 << 11), (Role::Spare, Some("ppl")));
        assert_eq!(with(0xfffe, 1 << 9), (Role::Failed, Some("journal")));
        assert_eq!(with(0xfffd, 1), (Role::Journal, Some("bitmap")));
    }

    #[test]
    fn damage_a_copy_elsewhere_and_a_cut_are_no_superblock() {
        let good = superblock(4096);
        assert!(parse(&good, 0).unwrap_err().contains("place"));
        for at in [20, 95, 300] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(parse(&bad, 4096).unwrap_err().contains("checksum"), "byte {at}");
        }
        for length in [0, 3, 219, 300] {
            parse(&good[..length], 4096).unwrap_err();
        }
        parse(&[0; LENGTH], 4096).unwrap_err();
    }

    #[test]
    fn places_are_those_of_the_versions() {
        assert_eq!(offset("1.2", 1 << 30), Some(4096));
        assert_eq!(offset("1.1", 1 << 30), Some(0));
        assert_eq!(offset("1.0", (1 << 30) + 512), Some((1 << 30) - 8192));
        assert_eq!((offset("1.0", 4096), offset("0.90", 1 << 30)), (None, None));
    }

    proptest::proptest! {
        #[test]
        fn junk_never_panics(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600), magic in proptest::bool::ANY) {
            if magic && bytes.len() > 8 {
                bytes[..8].copy_from_slice(&[0xfc, 0x4e, 0x2b, 0xa9, 1, 0, 0, 0]);
            }
            let _ = parse(&bytes, 4096);
        }
    }
}
