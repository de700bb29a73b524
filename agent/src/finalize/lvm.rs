//! Parses the metadata of an LVM2 physical volume: label, metadata area and text (lvm2, lib/label/label.h,
//! lib/format_text/layout.h; numbers are little-endian), read from the medium, bypassing every cache. Every checksum is
//! verified.

use super::device::{Device, Sectors};
use crate::error::Coded;
use burin_inspect::lvm_text::{Section, Value};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

const SECTOR: u64 = 512;
/// Where pvcreate puts the label.
const LABEL: u64 = SECTOR;
/// Metadata areas are 1 MiB by default; nobody makes larger ones than this.
const LARGEST: u64 = 64 << 20;
/// Size limit of a group's text: thousands of volumes take less.
const LONGEST: usize = 4 << 20;
const MAGIC: &[u8] = b" LVM2 x[5A%r0N*>";

#[derive(Debug, thiserror::Error)]
pub enum LvmError {
    #[error("{device}: cannot be read", device = device.display())]
    Io { device: PathBuf, source: io::Error },
    #[error("{device}: not a valid physical volume: {why}", device = device.display())]
    Unsound { device: PathBuf, why: &'static str },
}

impl Coded for LvmError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "finalize.lvm_io",
            Self::Unsound { .. } => "finalize.lvm_metadata",
        }
    }
}

/// The metadata as stored on one physical volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Physical {
    /// 32 characters.
    pub uuid: String,
    pub group: Group,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    /// 32 characters.
    pub uuid: String,
    /// Incremented with each change.
    pub seqno: u64,
    /// Bytes.
    pub extent_size: u64,
    pub tags: Vec<String>,
    /// By the names used in segments.
    pub physical: BTreeMap<String, Part>,
    pub volumes: BTreeMap<String, Volume>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub uuid: String,
    /// Offset of the first extent in bytes.
    pub start: u64,
    pub extents: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    pub uuid: String,
    pub tags: Vec<String>,
    pub segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// In extents of the volume.
    pub start: u64,
    pub extents: u64,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Physical volumes, or volumes within the group; stripe size in bytes, 0 if there is only one.
    Striped {
        on: Vec<String>,
        stripe_size: u64,
    },
    /// The volumes that hold the copies.
    Raid1 {
        images: Vec<String>,
    },
    /// Chunk size in bytes.
    ThinPool {
        data: String,
        metadata: String,
        chunk: u64,
    },
    Thin {
        pool: String,
    },
    Other(String),
}

impl Volume {
    pub fn extents(&self) -> u64 {
        self.segments.iter().fold(0, |sum: u64, segment| sum.saturating_add(segment.extents))
    }
}

impl Group {
    /// The physical volumes below a volume, by the group's names for them, without duplicates.
    pub fn below(&self, volume: &str) -> Vec<String> {
        let (mut open, mut seen, mut found) = (vec![volume.to_owned()], Vec::new(), Vec::new());
        while let Some(name) = open.pop() {
            if seen.contains(&name) {
                continue;
            }
            let segments = self.volumes.get(&name).map(|one| one.segments.as_slice()).unwrap_or_default();
            for segment in segments {
                match &segment.kind {
                    Kind::Striped { on, .. } => open.extend(on.iter().cloned()),
                    Kind::Raid1 { images } => open.extend(images.iter().cloned()),
                    Kind::ThinPool { data, metadata, .. } => open.extend([data.clone(), metadata.clone()]),
                    Kind::Thin { pool } => open.push(pool.clone()),
                    Kind::Other(_) => {}
                }
            }
            if self.physical.contains_key(&name) && !found.contains(&name) {
                found.push(name.clone());
            }
            seen.push(name);
        }
        found.sort();
        found
    }
}

/// Reads label, area and text of a physical volume.
pub fn read(node: &Path) -> Result<Physical, LvmError> {
    let io = |source| LvmError::Io { device: node.to_owned(), source };
    let unsound = |why| LvmError::Unsound { device: node.to_owned(), why };
    let device = Device::open_read_only(node).map_err(io)?;
    let mut sector = vec![0; SECTOR as usize];
    device.read_at(LABEL, &mut sector).map_err(io)?;
    let (uuid, start, size) = label(&sector).map_err(unsound)?;
    if start.checked_add(size).is_none_or(|end| end > device.size()) || !(2 * SECTOR..=LARGEST).contains(&size) {
        return Err(unsound("the metadata area is not on the device"));
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    device.read_at(start, &mut bytes).map_err(io)?;
    let text = text(&bytes, start).map_err(unsound)?;
    let group = parse(&text).ok_or_else(|| unsound("the metadata make no sense"))?;
    Ok(Physical { uuid, group })
}

/// The volume's identity, and the position of its metadata area.
fn label(sector: &[u8]) -> Result<(String, u64, u64), &'static str> {
    const SHORT: &str = "the label is cut off";
    if !sector.starts_with(b"LABELONE") || sector.get(24..32) != Some(b"LVM2 001") {
        return Err("there is no label");
    }
    if le64(sector, 8) != Some(LABEL / SECTOR) {
        return Err("the label says that its place is another");
    }
    if le32(sector, 16) != Some(crc(sector.get(20..SECTOR as usize).ok_or(SHORT)?)) {
        return Err("the checksum of the label does not match");
    }
    let header = le32(sector, 20).and_then(|at| sector.get(at as usize..)).ok_or(SHORT)?;
    let uuid = header.get(..32).ok_or(SHORT)?;
    // Two zero-terminated lists of areas: data areas, and metadata areas.
    let mut at = 40;
    while le64(header, at).ok_or(SHORT)? != 0 {
        at += 16;
    }
    let (start, size) = (le64(header, at + 16).ok_or(SHORT)?, le64(header, at + 24).ok_or(SHORT)?);
    Ok((String::from_utf8_lossy(uuid).into_owned(), start, size))
}

/// The text in an area that begins at `start`.
fn text(area: &[u8], start: u64) -> Result<String, &'static str> {
    const SHORT: &str = "the metadata are cut off";
    let header = area.get(..SECTOR as usize).ok_or(SHORT)?;
    if header.get(4..20) != Some(MAGIC) {
        return Err("there is no metadata area");
    }
    if le32(header, 0) != Some(crc(header.get(4..).ok_or(SHORT)?)) {
        return Err("the checksum of the metadata area does not match");
    }
    if le64(header, 24) != Some(start) || le64(header, 32) != Some(area.len() as u64) {
        return Err("the metadata area says that its place is another");
    }
    let number = |at| le64(header, at).and_then(|value| usize::try_from(value).ok()).ok_or(SHORT);
    let (offset, length, sum) = (number(40)?, number(48)?, le32(header, 56).ok_or(SHORT)?);
    if offset < SECTOR as usize || length == 0 || length > area.len().min(LONGEST) {
        return Err("there are no metadata");
    }
    // A ring buffer after the header.
    let straight = area.get(offset..).ok_or(SHORT)?;
    let bytes = match straight.get(..length) {
        Some(bytes) => bytes.to_vec(),
        None => {
            let more = length - straight.len();
            let wrapped = area.get(SECTOR as usize..).and_then(|ring| ring.get(..more)).ok_or(SHORT)?;
            [straight, wrapped].concat()
        }
    };
    if crc(&bytes) != sum {
        return Err("the checksum of the metadata does not match");
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn parse(text: &str) -> Option<Group> {
    let (name, group) = Section::parse(text)?.group()?;
    let mut physical = BTreeMap::new();
    for (name, part) in &group.section("physical_volumes")?.sections {
        let uuid = plain(part.text("id")?);
        let start = part.number("pe_start")?.checked_mul(SECTOR)?;
        physical.insert(name.clone(), Part { uuid, start, extents: part.number("pe_count")? });
    }
    let mut volumes = BTreeMap::new();
    for (name, volume) in group.section("logical_volumes").map(|all| &all.sections).into_iter().flatten() {
        let mut segments: Vec<Segment> = volume.sections.values().map(segment).collect::<Option<_>>()?;
        segments.sort_by_key(|segment| segment.start);
        volumes.insert(name.clone(), Volume { uuid: plain(volume.text("id")?), tags: tags(volume), segments });
    }
    Some(Group {
        uuid: plain(group.text("id")?),
        seqno: group.number("seqno")?,
        extent_size: group.number("extent_size")?.checked_mul(SECTOR)?,
        tags: tags(&group),
        name,
        physical,
        volumes,
    })
}

fn segment(segment: &Section) -> Option<Segment> {
    let kind = match segment.text("type")? {
        "striped" => {
            let stripe_size = segment.number("stripe_size").unwrap_or(0).checked_mul(SECTOR)?;
            Kind::Striped { on: texts(segment, "stripes"), stripe_size }
        }
        "raid1" => {
            // Pairs of a copy's metadata volume and the copy.
            let images = texts(segment, "raids").into_iter().skip(1).step_by(2).collect();
            Kind::Raid1 { images }
        }
        "thin-pool" => Kind::ThinPool {
            data: segment.text("pool")?.to_owned(),
            metadata: segment.text("metadata")?.to_owned(),
            chunk: segment.number("chunk_size")?.checked_mul(SECTOR)?,
        },
        "thin" => Kind::Thin { pool: segment.text("thin_pool")?.to_owned() },
        other => Kind::Other(other.to_owned()),
    };
    Some(Segment { start: segment.number("start_extent")?, extents: segment.number("extent_count")?, kind })
}

fn tags(section: &Section) -> Vec<String> {
    texts(section, "tags")
}

fn texts(section: &Section, name: &str) -> Vec<String> {
    let list = section.list(name).unwrap_or_default();
    let texts = list.iter().filter_map(|value| match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    });
    texts.collect()
}

/// Without hyphens, as in the label.
fn plain(uuid: &str) -> String {
    uuid.replace('-', "")
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// CRC-32 with LVM's own initial value, and not inverted at the end (lib/misc/crc.c).
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xf597_a6cf, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[cfg(test)]
#[path = "lvm_tests.rs"]
mod tests;
