//! Looks for filesystems, RAID members and partition tables with libblkid.

use super::open_device;
use crate::model::Signature;
use crate::model::kept::{self, KeptPartition, Remembered};
use crate::model::unfinished::{self, MARK_LENGTH};
use crate::parse::bytes::hex;
use crate::parse::group;
use crate::parse::probed::{Probed, ProbedPartition};
use blkid::prober::{ProbeState, Prober};
use blkid::{PartitionsFlags, SuperblocksFlags};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A device full of signatures must not keep us for ever.
const MOST: usize = 32;
/// Bytes at each end of a disk: partition tables, and the superblocks of what uses it whole.
const EDGE: u64 = 1 << 20;

/// What libblkid recognises on a block device, as the JSON of [`Probed`].
pub fn probe(device: &str) -> io::Result<Vec<u8>> {
    let file = open_device(device)?;
    let error = |e: blkid::BlkIdError| io::Error::other(e.to_string());
    let mut prober = Prober::new().map_err(error)?;
    if let Err(e) = prober.set_device(file.as_raw_fd(), 0, None) {
        // A drive without a medium, or a device of size zero, holds no signatures.
        let last = io::Error::last_os_error();
        return match last.raw_os_error() {
            Some(libc::ENOMEDIUM) => Err(io::ErrorKind::NotFound.into()),
            _ => Err(error(e)),
        };
    }
    prober.enable_superblocks(true).map_err(error)?;
    let flags =
        SuperblocksFlags::DEFAULT | SuperblocksFlags::USAGE | SuperblocksFlags::VERSION | SuperblocksFlags::MAGIC;
    prober.set_superblocks_flags(flags).map_err(error)?;
    prober.enable_partitions(true).map_err(error)?;
    prober.set_partitions_flags(PartitionsFlags::MAGIC).map_err(error)?;

    let mut probed = Probed::default();
    while probed.signatures.len() < MOST {
        match prober.do_probe() {
            Ok(ProbeState::Success) => {}
            Ok(_) => break,
            Err(e) => return Err(error(e)),
        }
        let value = |name: &str| prober.lookup_value(name).ok().filter(|v| !v.is_empty());
        let offset = |name: &str| value(name).and_then(|v| v.parse().ok());
        if let Some(kind) = value("TYPE") {
            probed.signatures.push(Signature {
                kind,
                usage: value("USAGE"),
                uuid: value("UUID"),
                label: value("LABEL"),
                version: value("VERSION"),
                offset: offset("SBMAGIC_OFFSET"),
                group: None,
            });
        } else if let Some(kind) = value("PTTYPE") {
            probed.table = Some(kind.clone());
            probed.table_id = value("PTUUID");
            probed.signatures.push(Signature {
                kind,
                usage: Some("partition-table".to_owned()),
                uuid: value("PTUUID"),
                offset: offset("PTMAGIC_OFFSET"),
                ..Signature::default()
            });
        }
    }
    if probed.table.is_some() {
        probed.partitions = partitions(&prober);
    }
    let file = File::from(file);
    let size = (&file).seek(SeekFrom::End(0))?;
    for signature in &mut probed.signatures {
        // What cannot be read tells nothing of a group.
        signature.group = group::read(&signature.kind, size, |at, part| file.read_exact_at(part, at)).ok().flatten();
    }
    if !is_partition(device) {
        // A disk that is at its end for some bytes has other ways to say so.
        probed.edges = edges(&file).ok();
        let mut sector = [0u8; MARK_LENGTH];
        probed.unfinished = file.read_exact_at(&mut sector, 0).ok().and_then(|()| unfinished::parse(&sector));
        if probed.unfinished.is_some() {
            // What cannot be read is no word that there is nothing.
            probed.remembered = remembered(&file)?;
        }
    }
    serde_json::to_vec(&probed).map_err(io::Error::other)
}

fn is_partition(device: &str) -> bool {
    let name = Path::new(device).file_name().unwrap_or_default();
    Path::new("/sys/class/block").join(name).join("partition").exists()
}

fn edges(file: &File) -> io::Result<String> {
    let size = (&mut &*file).seek(SeekFrom::End(0))?;
    let length = EDGE.min(size);
    let mut hash = Sha256::new();
    // Little by little: dozens of disks are read at once.
    let mut bytes = [0u8; 32 << 10];
    for start in [0, size - length] {
        let mut at = 0;
        while at < length {
            let left = usize::try_from(length - at).unwrap_or(usize::MAX);
            let end = left.min(bytes.len());
            let part = bytes.get_mut(..end).unwrap_or_default();
            file.read_exact_at(part, start + at)?;
            hash.update(&*part);
            at += end as u64;
        }
    }
    Ok(hex(&hash.finalize()))
}

/// Partitions of a disk that is half written: by the record for that, or else by the table that is still there, or there
/// already. None where neither is.
fn remembered(file: &File) -> io::Result<Option<Remembered>> {
    let mut slots = [vec![0; kept::SLOT], vec![0; kept::SLOT]];
    for (bytes, place) in slots.iter_mut().zip(kept::PLACES) {
        match file.read_exact_at(bytes, place) {
            // Too small a disk to remember anything.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
    }
    let [first, second] = &slots;
    let found = match kept::newest([first, second]) {
        Some((_, record)) => Some(Remembered { recorded: true, partitions: record.partitions }),
        None => table(file)?.map(|partitions| Remembered { recorded: false, partitions }),
    };
    Ok(found)
}

/// A GPT, whatever stands in the first sector.
fn table(file: &File) -> io::Result<Option<Vec<KeptPartition>>> {
    let mut prober = Prober::new().map_err(io::Error::other)?;
    prober.set_device(file.as_raw_fd(), 0, None).map_err(io::Error::other)?;
    prober.enable_superblocks(false).map_err(io::Error::other)?;
    prober.enable_partitions(true).map_err(io::Error::other)?;
    prober.set_partitions_flags(PartitionsFlags::FORCE_GPT).map_err(io::Error::other)?;
    let state = prober.do_probe().map_err(io::Error::other)?;
    let is_gpt = matches!(state, ProbeState::Success) && prober.lookup_value("PTTYPE").is_ok_and(|kind| kind == "gpt");
    if !is_gpt {
        return Ok(None);
    }
    let list = prober.part_list().and_then(|list| list.get_partitions()).map_err(io::Error::other)?;
    // libblkid counts sectors of 512 bytes, whatever the disk's are.
    let bytes = |sectors: i64| u64::try_from(sectors).ok()?.checked_mul(512);
    let partition = |one: &blkid::partition::Partition| {
        Some(KeptPartition {
            number: u32::try_from(one.partno().ok()?).ok()?,
            start: bytes(one.start().ok()?)?,
            size: bytes(one.size().ok()?)?,
            type_guid: one.typ_string()?.to_ascii_lowercase(),
            guid: one.uuid()?.to_ascii_lowercase(),
            name: one.name().unwrap_or_default(),
            attributes: one.flags(),
        })
    };
    Ok(Some(list.iter().filter_map(partition).collect()))
}

fn partitions(prober: &Prober) -> Vec<ProbedPartition> {
    let list = prober.part_list().and_then(|list| list.get_partitions()).unwrap_or_default();
    let parts = list.iter().filter_map(|p| {
        Some(ProbedPartition {
            number: u64::try_from(p.partno().ok()?).ok()?,
            uuid: p.uuid(),
            kind: p.typ_string().or_else(|| Some(format!("0x{:x}", p.typ()))),
            label: p.name().filter(|n| !n.is_empty()),
            flags: p.flags(),
        })
    });
    parts.collect()
}
