//! Makes a FAT12/16 volume with a few files in memory, just enough for a seed partition. Layout as in Microsoft's "FAT:
//! General Overview of On-Disk Format" 1.03. The same input gives the same bytes.
//!
//! FAT and not ISO 9660, because only FAT can be mounted on a disk with 4096-byte sectors.

/// Entries of the root directory; a whole number of sectors for every sector size.
const ROOT_ENTRIES: usize = 512;
const ENTRY: usize = 32;
/// 1980-01-01, FAT's earliest date.
const DATE: [u8; 2] = [0x21, 0x00];
const FIXED_DISK: u8 = 0xf8;
/// With fewer clusters a volume is FAT12 by definition, otherwise FAT16.
const FAT16_CLUSTERS: usize = 4085;
const MOST_CLUSTERS: usize = 65524;
const CLUSTER_BYTES: usize = 2048;

const DIRECTORY: u8 = 0x10;
const LABEL: u8 = 0x08;
const ARCHIVE: u8 = 0x20;
const LONG_NAME: u8 = 0x0f;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FatError {
    #[error("a volume of {bytes} bytes in {sector_size}-byte sectors is not possible")]
    Geometry { bytes: u64, sector_size: u32 },
    #[error("the files do not fit")]
    Full,
    #[error("{name:?} is not a file name that FAT can hold")]
    Name { name: String },
}

/// Makes a volume of `bytes` bytes. Paths have `/` between directories; `label` is upper case, at most 11 characters.
pub fn volume(
    label: &str,
    serial: u32,
    files: &[(&str, &[u8])],
    sector_size: u32,
    bytes: u64,
) -> Result<Vec<u8>, FatError> {
    let geometry = Geometry::new(sector_size, bytes).ok_or(FatError::Geometry { bytes, sector_size })?;
    let label = padded(label, 11)?;
    let mut volume = Volume { geometry, clusters: Vec::new(), next: Vec::new() };
    let mut root = entry(&label, LABEL, 0, 0);
    root.extend(volume.entries(&tree(files)?, 0)?);
    if root.len() > ROOT_ENTRIES * ENTRY {
        return Err(FatError::Full);
    }
    root.resize(ROOT_ENTRIES * ENTRY, 0);

    let fat = volume.fat();
    let mut image = volume.geometry.boot_sector(&label, serial);
    image.extend_from_slice(&fat);
    image.extend_from_slice(&fat);
    image.extend_from_slice(&root);
    image.extend(volume.clusters);
    image.resize(geometry.sectors * geometry.sector, 0);
    Ok(image)
}

#[derive(Debug, Clone, Copy)]
struct Geometry {
    /// Bytes.
    sector: usize,
    sectors: usize,
    /// Sectors per cluster.
    cluster: usize,
    /// Sectors per table.
    fat: usize,
    clusters: usize,
}

impl Geometry {
    fn new(sector_size: u32, bytes: u64) -> Option<Self> {
        let sector = usize::try_from(sector_size).ok().filter(|size| [512, 1024, 2048, 4096].contains(size))?;
        let sectors = usize::try_from(bytes).ok()? / sector;
        let cluster = (CLUSTER_BYTES / sector).max(1);
        let root = ROOT_ENTRIES * ENTRY / sector;
        let room = sectors.checked_sub(1 + root)?;
        // Two bytes per entry are enough for either kind.
        let fat = ((room / cluster + 2) * 2).div_ceil(sector);
        let clusters = room.checked_sub(2 * fat)? / cluster;
        (clusters > 0 && clusters <= MOST_CLUSTERS).then_some(Self { sector, sectors, cluster, fat, clusters })
    }

    fn cluster_bytes(&self) -> usize {
        self.cluster * self.sector
    }

    fn is_fat16(&self) -> bool {
        self.clusters >= FAT16_CLUSTERS
    }

    /// Section "Boot Sector and BPB".
    fn boot_sector(&self, label: &[u8], serial: u32) -> Vec<u8> {
        let short = u16::try_from(self.sectors).unwrap_or(0);
        let long = if short == 0 { self.sectors as u32 } else { 0 };
        let mut bytes = vec![0xeb, 0x3c, 0x90];
        bytes.extend_from_slice(b"MSWIN4.1");
        bytes.extend_from_slice(&(self.sector as u16).to_le_bytes());
        bytes.push(self.cluster as u8);
        bytes.extend_from_slice(&1u16.to_le_bytes());
        bytes.push(2);
        bytes.extend_from_slice(&(ROOT_ENTRIES as u16).to_le_bytes());
        bytes.extend_from_slice(&short.to_le_bytes());
        bytes.push(FIXED_DISK);
        bytes.extend_from_slice(&(self.fat as u16).to_le_bytes());
        // Sectors per track and heads: the usual dummy values for disks without a geometry.
        bytes.extend_from_slice(&[32, 0, 2, 0]);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&long.to_le_bytes());
        bytes.extend_from_slice(&[0x80, 0, 0x29]);
        bytes.extend_from_slice(&serial.to_le_bytes());
        bytes.extend_from_slice(label);
        bytes.extend_from_slice(if self.is_fat16() { b"FAT16   " } else { b"FAT12   " });
        bytes.resize(510, 0);
        bytes.extend_from_slice(&[0x55, 0xaa]);
        bytes.resize(self.sector, 0);
        bytes
    }
}

enum Node<'a> {
    File(&'a [u8]),
    Directory(Vec<(&'a str, Node<'a>)>),
}

fn tree<'a>(files: &[(&'a str, &'a [u8])]) -> Result<Vec<(&'a str, Node<'a>)>, FatError> {
    let mut root = Vec::new();
    for (path, bytes) in files {
        insert(&mut root, path, bytes)?;
    }
    Ok(root)
}

fn insert<'a>(directory: &mut Vec<(&'a str, Node<'a>)>, path: &'a str, bytes: &'a [u8]) -> Result<(), FatError> {
    let (name, rest) = path.split_once('/').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let invalid = || FatError::Name { name: name.to_owned() };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) || name.starts_with('.') || name.ends_with('.')
    {
        return Err(invalid());
    }
    let at = directory.iter().position(|(known, _)| known.eq_ignore_ascii_case(name));
    match (at.and_then(|at| directory.get_mut(at)), rest) {
        (Some((_, Node::Directory(below))), Some(rest)) => insert(below, rest, bytes),
        (Some(_), _) => Err(invalid()),
        (None, None) => {
            directory.push((name, Node::File(bytes)));
            Ok(())
        }
        (None, Some(rest)) => {
            let mut below = Vec::new();
            insert(&mut below, rest, bytes)?;
            directory.push((name, Node::Directory(below)));
            Ok(())
        }
    }
}

struct Volume {
    geometry: Geometry,
    /// Contents of the clusters from number 2 on.
    clusters: Vec<u8>,
    /// For each cluster from number 2 on, the next one in its chain; `None` at the end.
    next: Vec<Option<u16>>,
}

impl Volume {
    /// Directory entries of `nodes`, whose contents get their clusters. `own` is the directory's cluster, 0 for the root.
    fn entries(&mut self, nodes: &[(&str, Node<'_>)], own: u16) -> Result<Vec<u8>, FatError> {
        let mut bytes = Vec::new();
        for (index, (name, node)) in nodes.iter().enumerate() {
            let alias = alias(name, index + 1)?;
            let (attributes, first, length) = match node {
                Node::File(content) => {
                    let first = self.reserve(content.len())?;
                    self.fill(first, content);
                    (ARCHIVE, first, u32::try_from(content.len()).map_err(|_| FatError::Full)?)
                }
                Node::Directory(below) => {
                    // Names are up to 64 characters: an alias entry and up to five of the long name.
                    let first = self.reserve((2 + below.len() * 6) * ENTRY)?;
                    let mut content = entry(b".          ", DIRECTORY, first, 0);
                    content.extend(entry(b"..         ", DIRECTORY, own, 0));
                    content.extend(self.entries(below, first)?);
                    self.fill(first, &content);
                    (DIRECTORY, first, 0)
                }
            };
            bytes.extend(long_name(name, &alias));
            bytes.extend(entry(&alias, attributes, first, length));
        }
        Ok(bytes)
    }

    /// A chain of clusters for `length` bytes; an empty file has none, and its first cluster is 0.
    fn reserve(&mut self, length: usize) -> Result<u16, FatError> {
        let count = length.div_ceil(self.geometry.cluster_bytes());
        if count == 0 {
            return Ok(0);
        }
        let start = self.next.len();
        if start + count > self.geometry.clusters {
            return Err(FatError::Full);
        }
        // At most 65524 clusters: the numbers fit.
        self.next.extend((start + 1..start + count).map(|index| Some(index as u16 + 2)));
        self.next.push(None);
        self.clusters.resize(self.next.len() * self.geometry.cluster_bytes(), 0);
        Ok(start as u16 + 2)
    }

    fn fill(&mut self, first: u16, content: &[u8]) {
        let start = usize::from(first.saturating_sub(2)) * self.geometry.cluster_bytes();
        if let Some(slot) = self.clusters.get_mut(start..start + content.len()) {
            slot.copy_from_slice(content);
        }
    }

    /// Section "FAT Data Structure".
    fn fat(&self) -> Vec<u8> {
        let last = if self.geometry.is_fat16() { 0xffff } else { 0xfff };
        let head = [last & 0xff00 | u16::from(FIXED_DISK), last];
        let entries = head.into_iter().chain(self.next.iter().map(|next| next.unwrap_or(last)));
        let mut bytes = Vec::new();
        if self.geometry.is_fat16() {
            bytes.extend(entries.flat_map(u16::to_le_bytes));
        } else {
            // Two entries in three bytes.
            let mut low: Option<u16> = None;
            for value in entries {
                match low.take() {
                    None => low = Some(value),
                    Some(first) => {
                        bytes.extend([first as u8, (first >> 8) as u8 | (value << 4) as u8, (value >> 4) as u8]);
                    }
                }
            }
            bytes.extend(low.into_iter().flat_map(u16::to_le_bytes));
        }
        bytes.resize(self.geometry.fat * self.geometry.sector, 0);
        bytes
    }
}

/// Section "FAT Directory Structure".
fn entry(name: &[u8], attributes: u8, first_cluster: u16, length: u32) -> Vec<u8> {
    let mut bytes = name.to_vec();
    bytes.extend_from_slice(&[attributes, 0, 0, 0, 0]);
    // Created, accessed, high cluster, time, date.
    bytes.extend_from_slice(&DATE);
    bytes.extend_from_slice(&DATE);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&DATE);
    bytes.extend_from_slice(&first_cluster.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes
}

/// The 8.3 name that accompanies every long name, `META-D~1`, numbered by its position in the directory.
fn alias(name: &str, number: usize) -> Result<Vec<u8>, FatError> {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let tail = format!("~{number}");
    let upper = |text: &str, most: usize| -> String {
        text.chars().filter(|&c| c != '.').take(most).map(|c| c.to_ascii_uppercase()).collect()
    };
    let stem = upper(stem, 8usize.saturating_sub(tail.len())) + &tail;
    let mut bytes = padded(&stem, 8)?;
    bytes.extend(padded(&upper(extension, 3), 3)?);
    Ok(bytes)
}

fn padded(text: &str, length: usize) -> Result<Vec<u8>, FatError> {
    if text.len() > length || !text.is_ascii() {
        return Err(FatError::Name { name: text.to_owned() });
    }
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(length, b' ');
    Ok(bytes)
}

/// Section "FAT Long Directory Entries": thirteen units per entry, the last part first.
fn long_name(name: &str, alias: &[u8]) -> Vec<u8> {
    let checksum = alias.iter().fold(0u8, |sum, &byte| sum.rotate_right(1).wrapping_add(byte));
    let units: Vec<u16> = name.encode_utf16().collect();
    let parts = units.len().div_ceil(13);
    let mut bytes = Vec::new();
    for (index, part) in units.chunks(13).enumerate().rev() {
        let mut units = part.to_vec();
        if units.len() < 13 {
            units.push(0);
        }
        units.resize(13, 0xffff);
        let text: Vec<u8> = units.into_iter().flat_map(u16::to_le_bytes).collect();
        let (first, rest) = text.split_at(10);
        let (second, third) = rest.split_at(12);
        let last = if index + 1 == parts { 0x40 } else { 0 };
        bytes.push((index + 1) as u8 | last);
        bytes.extend_from_slice(first);
        bytes.extend_from_slice(&[LONG_NAME, 0, checksum]);
        bytes.extend_from_slice(second);
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(third);
    }
    bytes
}
