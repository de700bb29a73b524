//! Volume groups of LVM2 as far as their volumes are linear (lvm2, lib/format_text/layout.h and its text format).

use crate::disk::Disk;
use crate::lvm_text::{Section, Value};
use crate::tree::bytes::{le32, le64};
use burin_image::{ImageError, ReadAt};
use std::collections::BTreeMap;

const SECTOR: u64 = 512;
/// Limit for metadata.
const LARGEST: u64 = 4 << 20;

#[derive(Debug)]
pub struct LinearGroup {
    pub name: String,
    /// Indexes of the given disks.
    pub members: Vec<usize>,
    pub volumes: Vec<(String, Disk)>,
}

/// The groups whose members are all among `disks`. Inconsistent metadata is skipped: its volumes are then reported as
/// not inspected.
pub fn groups(disks: &[Disk]) -> Result<Vec<LinearGroup>, ImageError> {
    let mut members: BTreeMap<String, usize> = BTreeMap::new();
    let mut texts: BTreeMap<String, Section> = BTreeMap::new();
    for (index, disk) in disks.iter().enumerate() {
        let Some((id, text)) = metadata(disk)? else { continue };
        members.insert(id, index);
        if let Some((name, section)) = Section::parse(&text).and_then(Section::group) {
            texts.insert(name, section);
        }
    }
    Ok(texts.into_iter().filter_map(|(name, section)| group(name, &section, &members, disks)).collect())
}

fn group(name: String, section: &Section, known: &BTreeMap<String, usize>, disks: &[Disk]) -> Option<LinearGroup> {
    let extent = section.number("extent_size")?.checked_mul(SECTOR)?;
    let mut members = Vec::new();
    let mut parts: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    for (member, values) in &section.section("physical_volumes")?.sections {
        let index = *known.get(&values.text("id")?.replace('-', ""))?;
        members.push(index);
        parts.insert(member, (index, values.number("pe_start")?.checked_mul(SECTOR)?));
    }
    let mut volumes = Vec::new();
    for (volume, values) in section.section("logical_volumes").map(|all| &all.sections).into_iter().flatten() {
        if let Some(disk) = linear(values, extent, &parts, disks) {
            volumes.push((volume.clone(), disk));
        }
    }
    Some(LinearGroup { name, members, volumes })
}

fn linear(volume: &Section, extent: u64, parts: &BTreeMap<&str, (usize, u64)>, disks: &[Disk]) -> Option<Disk> {
    let mut stretches = Vec::new();
    for segment in volume.sections.values() {
        let (start, count) = (segment.number("start_extent")?, segment.number("extent_count")?);
        if segment.text("type")? != "striped" || segment.number("stripe_count")? != 1 {
            return None;
        }
        let [Value::Text(member), Value::Number(first)] = segment.list("stripes")? else { return None };
        let (index, data) = parts.get(member.as_str())?;
        let len = count.checked_mul(extent)?;
        let part = disks.get(*index)?.part(first.checked_mul(extent)?.checked_add(*data)?, len);
        stretches.push((start.checked_mul(extent)?, part));
    }
    stretches.sort_by_key(|(start, _)| *start);
    let ends: Option<Vec<u64>> = stretches.iter().map(|(start, part)| start.checked_add(part.len())).collect();
    let len = ends?.into_iter().max()?;
    Some(Disk::new(Box::new(Linear { stretches, len })))
}

/// Ranges of other disks, one after the other.
struct Linear {
    stretches: Vec<(u64, Disk)>,
    len: u64,
}

impl ReadAt for Linear {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&mut self, mut out: &mut [u8], mut offset: u64) -> Result<(), ImageError> {
        while !out.is_empty() {
            let inside = |(start, part): &&(u64, Disk)| offset >= *start && offset - start < part.len();
            let Some((start, part)) = self.stretches.iter().find(inside) else {
                let source_name = "a logical volume".to_owned();
                return Err(ImageError::Truncated { source_name, offset, expected: Some(self.len) });
            };
            let within = offset - start;
            let count = usize::try_from(part.len() - within).unwrap_or(usize::MAX).min(out.len());
            let (now, later) = out.split_at_mut(count);
            part.read_exact(within, now)?;
            out = later;
            offset += count as u64;
        }
        Ok(())
    }
}

/// The member's identity, and the group's text.
fn metadata(disk: &Disk) -> Result<Option<(String, String)>, ImageError> {
    let head = disk.head(4 * SECTOR as usize)?;
    let label = (0..4).find_map(|sector| head.get(sector * 512..).filter(|at| at.starts_with(b"LABELONE")));
    let header = label.and_then(|label| label.get(le32(label, 20)? as usize..));
    let Some(header) = header else { return Ok(None) };
    let Some(id) = header.get(..32).map(|id| String::from_utf8_lossy(id).into_owned()) else { return Ok(None) };
    // Two lists of areas, each terminated by zeros: data areas, then metadata areas.
    let mut at = 40;
    while le64(header, at).is_some_and(|offset| offset != 0) {
        at += 16;
    }
    let (Some(start), Some(size)) = (le64(header, at + 16), le64(header, at + 24)) else { return Ok(None) };
    let area = disk.part(start, size);
    let first = area.head(512)?;
    let (Some(offset), Some(len)) = (le64(&first, 40), le64(&first, 48)) else { return Ok(None) };
    if first.get(4..20) != Some(b" LVM2 x[5A%r0N*>") || len > LARGEST || offset >= area.len() {
        return Ok(None);
    }
    // The area is a ring buffer after its header.
    let straight = len.min(area.len() - offset);
    let mut bytes = area.read(offset, straight as usize)?;
    if len > straight {
        bytes.extend(area.read(512, (len - straight) as usize)?);
    }
    Ok(Some((id, String::from_utf8_lossy(&bytes).into_owned())))
}
