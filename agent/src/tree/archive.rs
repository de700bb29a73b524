//! The entries of a tar stream: ustar and pax (IEEE Std 1003.1, `pax`), GNU tar's long names, and its sparse files in
//! all formats (old GNU; pax 0.0, 0.1 and 1.0). Values of pax records are bytes and may contain anything, even
//! newlines.

use super::manifest::fill;
use super::sparse::{self, SparseSegment};
use std::io::{self, ErrorKind, Read};
use tar::{EntryType, Header};

pub(super) const BLOCK: usize = 512;
/// Size limit of one entry's pax records; extended attributes are at most 64 KiB each.
const LONGEST_EXTENSION: u64 = 8 << 20;
/// Limit for records in one header: each takes more memory than its bytes, and compression can make millions of them
/// from almost nothing.
const MOST_RECORDS: usize = 8192;
/// Limit for all global headers together; real archives have only a handful.
const MOST_GLOBALS: usize = 256;
/// Size limit of all global records together, because every entry has them.
const LONGEST_GLOBALS: usize = 1 << 20;
/// Size limit of a long name; the kernel accepts 4096 bytes.
const LONGEST_NAME: u64 = 64 << 10;

/// `KEY=VALUE`, in the order in which they were written.
pub(super) type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// A file's metadata in the archive.
#[derive(Debug)]
pub(super) struct TarEntry {
    pub path: Vec<u8>,
    pub link: Vec<u8>,
    pub kind: EntryType,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    /// Seconds and nanoseconds.
    pub mtime: (i64, i64),
    /// Major and minor number of a device.
    pub device: (u64, u64),
    pub records: Records,
    /// Of the file, holes included.
    pub size: u64,
    /// Where the stored bytes belong in the file, in ascending order.
    pub segments: Vec<SparseSegment>,
}

/// An archive being read. As a reader it returns the stored bytes of the entry that [`Archive::next`] returned last.
pub(super) struct Archive<'a> {
    from: &'a mut dyn Read,
    /// Stored bytes of this entry not yet read, and the padding of its last block.
    left: u64,
    padding: u64,
    globals: Records,
    /// Whether it may end without its end marker.
    open_end: bool,
}

impl<'a> Archive<'a> {
    pub fn new(from: &'a mut dyn Read) -> Self {
        Self { from, left: 0, padding: 0, globals: Records::new(), open_end: false }
    }

    /// A layer, whose end is known from its digest: umoci omits the end marker and the padding of the last block.
    pub fn layer(from: &'a mut dyn Read) -> Self {
        Self { open_end: true, ..Self::new(from) }
    }

    /// The next entry; `None` at the archive's end marker. An archive that ends without one was truncated.
    pub fn next(&mut self) -> io::Result<Option<TarEntry>> {
        let (mut records, mut long_path, mut long_link) = (Records::new(), None, None);
        loop {
            self.skip()?;
            let mut block = [0; BLOCK];
            match fill(self.from, &mut block)? {
                BLOCK => {}
                0 if self.open_end => return Ok(None),
                _ => return Err(ErrorKind::UnexpectedEof.into()),
            }
            if block.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            let header = Header::from_byte_slice(&block);
            if number(field(&block, 148, 8)) != Some(checksum(&block)) {
                return Err(invalid("a header's checksum is wrong"));
            }
            let size = number(field(&block, 124, 12)).ok_or_else(|| invalid("a header's size is no number"))?;
            match header.entry_type() {
                EntryType::XHeader => records = self.records(size)?,
                EntryType::XGlobalHeader => {
                    let records = self.records(size)?;
                    self.add_globals(records)?;
                }
                EntryType::GNULongName => long_path = Some(self.name(size)?),
                EntryType::GNULongLink => long_link = Some(self.name(size)?),
                // A volume label.
                kind if kind.as_byte() == b'V' => self.expect(size),
                kind => {
                    let mut all = self.globals.clone();
                    all.append(&mut records);
                    return self.entry(&block, kind, size, all, long_path, long_link).map(Some);
                }
            }
        }
    }

    fn entry(
        &mut self,
        block: &[u8; BLOCK],
        kind: EntryType,
        size: u64,
        records: Records,
        long_path: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> io::Result<TarEntry> {
        let header = Header::from_byte_slice(block);
        let said = |key: &str| value(&records, key).filter(|value| !value.is_empty());
        let decimal = |key: &str| -> io::Result<Option<u64>> {
            let parse = |value: &[u8]| std::str::from_utf8(value).ok()?.trim().parse().ok();
            said(key).map(|value| parse(value).ok_or_else(|| invalid(&format!("{key} is no number")))).transpose()
        };
        let named = said("GNU.sparse.name").or_else(|| said("path")).map(<[u8]>::to_vec);
        let path = named.or(long_path).unwrap_or_else(|| header.path_bytes().into_owned());
        let link = said("linkpath").map(<[u8]>::to_vec).or(long_link);
        let link = link.unwrap_or_else(|| header.link_name_bytes().map(|link| link.into_owned()).unwrap_or_default());
        let kind = match kind {
            // How Unix V7 archives store directories.
            EntryType::Regular if path.ends_with(b"/") => EntryType::Directory,
            kind => kind,
        };
        let of_header = |offset, length, what: &str| {
            number(field(block, offset, length)).ok_or_else(|| invalid(&format!("a header's {what} is no number")))
        };
        let mode = of_header(100, 8, "mode")?;
        let uid = decimal("uid")?.map_or_else(|| of_header(108, 8, "owner"), Ok)?;
        let gid = decimal("gid")?.map_or_else(|| of_header(116, 8, "group"), Ok)?;
        let mtime = match said("mtime") {
            Some(text) => time(&String::from_utf8_lossy(text)).ok_or_else(|| invalid("mtime is no time"))?,
            // Times before 1970 are in two's complement.
            None => (of_header(136, 12, "time")? as i64, 0),
        };
        let device = match kind {
            EntryType::Char | EntryType::Block => (of_header(329, 8, "device")?, of_header(337, 8, "device")?),
            _ => (0, 0),
        };
        let stored = match kind {
            EntryType::Directory | EntryType::Symlink | EntryType::Char | EntryType::Block | EntryType::Fifo => 0,
            _ => decimal("size")?.unwrap_or(size),
        };
        self.expect(stored);
        let (size, segments) = match kind {
            EntryType::GNUSparse => {
                let (size, segments) = sparse::old_gnu(block, || {
                    let mut next = [0; BLOCK];
                    self.from.read_exact(&mut next).map(|()| next)
                })?;
                (size, sparse::check(segments, stored, size)?)
            }
            _ => match sparse::of_records(&records)? {
                None => (stored, vec![SparseSegment { offset: 0, length: stored }]),
                Some(sparse::Map::Stored { size }) => {
                    let segments = sparse::stored(self)?;
                    let stored = self.left;
                    (size, sparse::check(segments, stored, size)?)
                }
                Some(sparse::Map::Told { size, segments }) => (size, sparse::check(segments, stored, size)?),
            },
        };
        let mode = u32::try_from(mode & 0o7777).unwrap_or(0);
        Ok(TarEntry { path, link, kind, mode, uid, gid, mtime, device, records, size, segments })
    }

    fn expect(&mut self, stored: u64) {
        self.left = stored;
        self.padding = (BLOCK as u64 - stored % BLOCK as u64) % BLOCK as u64;
    }

    fn skip(&mut self) -> io::Result<()> {
        let rest = self.left.saturating_add(self.padding);
        let skipped = io::copy(&mut (&mut *self.from).take(rest), &mut io::sink())?;
        let needed = if self.open_end { self.left } else { rest };
        if skipped < needed {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// The last record of a name counts.
    fn add_globals(&mut self, records: Records) -> io::Result<()> {
        for (key, value) in records {
            match self.globals.iter_mut().find(|(known, _)| *known == key) {
                Some(known) => known.1 = value,
                None => self.globals.push((key, value)),
            }
            let bytes: usize = self.globals.iter().map(|(key, value)| key.len() + value.len()).sum();
            if self.globals.len() > MOST_GLOBALS || bytes > LONGEST_GLOBALS {
                return Err(invalid("global records without end"));
            }
        }
        Ok(())
    }

    fn extension(&mut self, size: u64, longest: u64) -> io::Result<Vec<u8>> {
        if size > longest {
            return Err(invalid(&format!("an extended header of {size} bytes")));
        }
        self.expect(size);
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn name(&mut self, size: u64) -> io::Result<Vec<u8>> {
        let mut name = self.extension(size, LONGEST_NAME)?;
        name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
        Ok(name)
    }

    fn records(&mut self, size: u64) -> io::Result<Records> {
        let bytes = self.extension(size, LONGEST_EXTENSION)?;
        records(&bytes).ok_or_else(|| invalid("an extended header that is not made of pax records"))
    }
}

impl Read for Archive<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        let Some(out) = out.get_mut(..room).filter(|out| !out.is_empty()) else { return Ok(0) };
        let count = self.from.read(out)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// The last record of this name.
pub(super) fn value<'r>(records: &'r Records, key: &str) -> Option<&'r [u8]> {
    records.iter().rev().find(|(name, _)| name == key.as_bytes()).map(|(_, value)| value.as_slice())
}

pub(super) fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}

pub(super) fn field(block: &[u8], offset: usize, length: usize) -> &[u8] {
    block.get(offset..offset + length).unwrap_or_default()
}

/// Octal digits between blanks and zero bytes, nothing for 0; or, with the highest bit set, big-endian (GNU, star).
pub(super) fn number(field: &[u8]) -> Option<u64> {
    if field.first().is_some_and(|first| first & 0x80 != 0) {
        let negative = field.first() == Some(&0xff);
        let start = if negative { u64::MAX } else { 0 };
        let bytes = field.iter().enumerate().map(|(i, byte)| if i == 0 && !negative { byte & 0x7f } else { *byte });
        return Some(bytes.fold(start, |value, byte| value << 8 | u64::from(byte)));
    }
    let text = std::str::from_utf8(field).ok()?;
    let text = text.split('\0').next().unwrap_or_default().trim();
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

/// The sum of all bytes, with those of the checksum itself counted as blanks.
fn checksum(block: &[u8; BLOCK]) -> u64 {
    let blank = |(i, byte): (usize, &u8)| if (148..156).contains(&i) { u64::from(b' ') } else { u64::from(*byte) };
    block.iter().enumerate().map(blank).sum()
}

/// `LENGTH KEY=VALUE\n`, where the length includes itself and the newline.
fn records(mut bytes: &[u8]) -> Option<Records> {
    let mut records = Records::new();
    while !bytes.is_empty() {
        let blank = bytes.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(bytes.get(..blank)?).ok()?.parse().ok()?;
        let record = bytes.get(blank + 1..length)?.strip_suffix(b"\n")?;
        if records.len() == MOST_RECORDS {
            return None;
        }
        let equals = record.iter().position(|byte| *byte == b'=')?;
        records.push((record.get(..equals)?.to_vec(), record.get(equals + 1..)?.to_vec()));
        bytes = bytes.get(length..)?;
    }
    Some(records)
}

/// Seconds with a fraction, as in pax.
fn time(text: &str) -> Option<(i64, i64)> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let (seconds, nanoseconds): (i64, i64) = (seconds.parse().ok()?, digits.parse().ok()?);
    // Before 1970 the fraction counts backwards.
    Some(match text.starts_with('-') && nanoseconds > 0 {
        true => (seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds),
        false => (seconds, nanoseconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"  755 \0 "), Some(0o755));
        assert_eq!(number(b"        "), Some(0));
        assert_eq!(number(b"12345678"), None);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]), Some(2 << 32));
        assert_eq!(number(&[0xff; 12]).map(|n| n as i64), Some(-1));
    }

    #[test]
    fn records_hold_any_bytes() {
        let found = records(b"12 key=a\nb=\n8 x=\xff\0\n\n5 y=\n").unwrap_or_default();
        let wanted: [(&[u8], &[u8]); 3] = [(b"key", b"a\nb="), (b"x", b"\xff\0\n"), (b"y", b"")];
        assert_eq!(found.len(), 3);
        for ((key, value), wanted) in found.iter().zip(wanted) {
            assert_eq!((key.as_slice(), value.as_slice()), wanted);
        }
        for bad in
            [&b"5 a=b\n"[..], b"7 a=b\n", b"x a=b\n", b"6 a=bb", b"99999999999999999999 a=b\n", b"0 =", b"5 ab\n"]
        {
            assert_eq!(records(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn only_a_layer_may_end_without_its_mark_and_never_within_a_file() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_size(3);
        builder.append_data(&mut header, "new", &b"abc"[..]).unwrap();
        let whole = builder.into_inner().unwrap();
        let count = |bytes: &[u8], layer: bool| -> io::Result<usize> {
            let mut from = bytes;
            let mut archive = if layer { Archive::layer(&mut from) } else { Archive::new(&mut from) };
            let mut count = 0;
            while archive.next()?.is_some() {
                count += 1;
            }
            Ok(count)
        };
        for (length, plain, layer) in
            [(whole.len(), true, true), (2 * BLOCK, false, true), (BLOCK + 3, false, true), (BLOCK + 2, false, false)]
        {
            assert_eq!(count(&whole[..length], false).is_ok(), plain, "{length}");
            assert_eq!(count(&whole[..length], true).ok(), layer.then_some(1), "{length}");
        }
    }

    #[test]
    fn records_without_end_are_refused() {
        let many = |count: usize| b"5 a=\n".repeat(count);
        assert_eq!(records(&many(MOST_RECORDS)).map(|found| found.len()), Some(MOST_RECORDS));
        assert_eq!(records(&many(MOST_RECORDS + 1)), None);
        let mut nothing = io::empty();
        let mut archive = Archive::new(&mut nothing);
        let record = |key: usize, length: usize| vec![(key.to_le_bytes().to_vec(), vec![0; length])];
        for _ in 0..1000 {
            archive.add_globals(record(1, 1000)).unwrap();
        }
        assert_eq!(archive.globals.len(), 1);
        assert!((0..=MOST_GLOBALS).any(|key| archive.add_globals(record(key, 1)).is_err()));
        let mut nothing = io::empty();
        let mut archive = Archive::new(&mut nothing);
        assert!(archive.add_globals(record(1, LONGEST_GLOBALS + 1)).is_err());
    }

    #[test]
    fn times_have_fractions_and_may_be_negative() {
        assert_eq!(time("5.5"), Some((5, 500_000_000)));
        assert_eq!(time("5"), Some((5, 0)));
        assert_eq!(time("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time("x"), None);
    }
}
