//! A kernel's ramdisk: cpio archives one after the other, each compressed or not, as the kernel unpacks them
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read};

/// Limit for all unpacked archives together.
const MOST: u64 = 4 << 30;
/// Limit for a file that is kept.
const LARGEST_KEPT: u64 = 1 << 20;
const LZ4_LEGACY: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
const LZ4_BLOCK: usize = 8 << 20;
const HEADER: usize = 110;
const ALIGN: u64 = 4;

/// The contents of a ramdisk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ramdisk {
    /// `gzip`, `zstd`, ... of its archives, in order; `none` for early microcode.
    pub compressions: Vec<&'static str>,
    /// Modules by name, with `_` for `-`.
    pub modules: BTreeSet<String>,
    pub names: usize,
    /// Names of programs: files in a `bin` or `sbin`.
    pub programs: BTreeSet<String>,
    /// Files that state how it was made and where its root is, by path without a leading slash.
    pub kept: BTreeMap<String, Vec<u8>>,
    /// Why it could not be read completely.
    pub broken: Option<String>,
}

type Decode = for<'a, 'b> fn(&'b mut &'a [u8]) -> io::Result<Box<dyn Read + 'b>>;

/// Compressions by magic number, with the function that reads one member and leaves what follows.
const CODECS: &[(&str, &[u8], Decode)] = &[
    ("gzip", &[0x1f, 0x8b], |input| Ok(Box::new(flate2::bufread::GzDecoder::new(input)))),
    ("zstd", &[0x28, 0xb5, 0x2f, 0xfd], |input| {
        Ok(Box::new(zstd::stream::read::Decoder::with_buffer(input)?.single_frame()))
    }),
    ("xz", b"\xfd7zXZ\0", |input| Ok(Box::new(liblzma::bufread::XzDecoder::new(input)))),
    ("bzip2", b"BZh", |input| Ok(Box::new(bzip2::bufread::BzDecoder::new(input)))),
    ("lz4", &LZ4_LEGACY, |input| Ok(Box::new(Lz4Legacy::new(input)))),
    ("lzma", &[0x5d, 0, 0], |input| {
        let stream = liblzma::stream::Stream::new_lzma_decoder(1 << 30).map_err(io::Error::other)?;
        Ok(Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream)))
    }),
];

/// Reads as much of it as possible.
pub fn read(bytes: &[u8]) -> Ramdisk {
    let (mut ramdisk, mut left) = (Ramdisk::default(), MOST);
    let mut rest = bytes;
    loop {
        let zeros = rest.iter().position(|byte| *byte != 0).unwrap_or(rest.len());
        rest = rest.get(zeros..).unwrap_or_default();
        if rest.is_empty() {
            return ramdisk;
        }
        let ended = if is_cpio(rest) {
            ramdisk.compressions.push("none");
            archives(&mut rest, false, &mut left, &mut ramdisk)
        } else {
            match CODECS.iter().find(|(_, magic, _)| rest.starts_with(magic)) {
                Some((name, _, decode)) => {
                    ramdisk.compressions.push(name);
                    decode(&mut rest).and_then(|mut decoded| archives(&mut decoded, true, &mut left, &mut ramdisk))
                }
                None => Err(io::Error::other("neither a cpio archive nor a compression that the kernel knows")),
            }
        };
        if let Err(error) = ended {
            ramdisk.broken = Some(error.to_string());
            return ramdisk;
        }
    }
}

fn is_cpio(bytes: &[u8]) -> bool {
    matches!(bytes.get(..6), Some(b"070701" | b"070702"))
}

/// Reads archives until the end of `input`, or only the first one if what follows may not be one.
fn archives(input: &mut dyn Read, all: bool, left: &mut u64, into: &mut Ramdisk) -> io::Result<()> {
    loop {
        let mut header = [0; HEADER];
        if !begin(input, &mut header)? {
            return Ok(());
        }
        if !is_cpio(&header) {
            return Err(io::Error::other("damaged: no cpio header where one has to be"));
        }
        let field = |at: usize| {
            let digits = header.get(at..at + 8).and_then(|digits| std::str::from_utf8(digits).ok());
            digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or_else(|| io::Error::other("damaged"))
        };
        let (mode, size, name_size) = (field(14)?, field(54)?, field(94)?);
        if name_size > 4096 || size > *left {
            return Err(io::Error::other("damaged: a name or a file is too large"));
        }
        *left -= size;
        let mut name = vec![0; name_size as usize];
        input.read_exact(&mut name)?;
        skip(input, padding(HEADER as u64 + name_size))?;
        let name = String::from_utf8_lossy(name.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
        if name == "TRAILER!!!" {
            if all { continue } else { return Ok(()) }
        }
        let name = name.trim_start_matches("./").trim_start_matches('/').to_owned();
        into.names += 1;
        into.modules.extend(module(&name));
        into.programs.extend(program(&name));
        if mode & 0o170_000 == 0o100_000 && size <= LARGEST_KEPT && is_kept(&name) {
            let mut bytes = vec![0; size as usize];
            input.read_exact(&mut bytes)?;
            into.kept.insert(name, bytes);
        } else {
            skip(input, size)?;
        }
        skip(input, padding(size))?;
    }
}

/// Reads the next header after zero padding; false at the end.
fn begin(input: &mut dyn Read, header: &mut [u8; HEADER]) -> io::Result<bool> {
    let mut first = [0];
    loop {
        match input.read(&mut first)? {
            0 => return Ok(false),
            _ if first == [0] => {}
            _ => break,
        }
    }
    let [start, rest @ ..] = header;
    *start = first[0];
    input.read_exact(rest)?;
    Ok(true)
}

fn padding(size: u64) -> u64 {
    size.next_multiple_of(ALIGN) - size
}

fn skip(input: &mut dyn Read, count: u64) -> io::Result<()> {
    match io::copy(&mut input.take(count), &mut io::sink())? {
        skipped if skipped == count => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn is_kept(name: &str) -> bool {
    let places = ["conf/", "etc/conf.d/", "etc/cmdline.d/", "etc/fstab", "usr/lib/dracut/", "lib/dracut/", "etc/udev/"];
    places.iter().any(|place| name.starts_with(place)) || name.ends_with("/modules.builtin")
}

/// The program's name: `usr/sbin/mdadm` is `mdadm`.
fn program(path: &str) -> Option<String> {
    let (folder, name) = path.rsplit_once('/')?;
    matches!(folder, "bin" | "sbin" | "usr/bin" | "usr/sbin").then(|| name.to_owned())
}

/// The module's name: `drivers/nvme/host/nvme.ko.xz` is `nvme`.
pub fn module(path: &str) -> Option<String> {
    let name = path.rsplit('/').next()?;
    let stem = ["", ".gz", ".xz", ".zst", ".lz4"].iter().find_map(|end| name.strip_suffix(&format!(".ko{end}")))?;
    Some(stem.replace('-', "_"))
}

/// lz4 as used by kernels: blocks of length and data, up to the end of the input or to something that is not a block.
struct Lz4Legacy<'b, 'a> {
    input: &'b mut &'a [u8],
    block: Vec<u8>,
    used: usize,
    begun: bool,
}

impl<'b, 'a> Lz4Legacy<'b, 'a> {
    fn new(input: &'b mut &'a [u8]) -> Self {
        Self { input, block: Vec::new(), used: 0, begun: false }
    }

    fn next(&mut self) -> io::Result<bool> {
        loop {
            if !self.begun || self.input.starts_with(&LZ4_LEGACY) {
                self.input.consume(LZ4_LEGACY.len().min(self.input.len()));
                self.begun = true;
            }
            let Some(Ok(length)) = self.input.get(..4).map(<[u8; 4]>::try_from) else {
                self.input.consume(self.input.len());
                return Ok(false);
            };
            let length = u32::from_le_bytes(length) as usize;
            if length == 0 || length > LZ4_BLOCK + LZ4_BLOCK / 255 + 16 {
                return Ok(false);
            }
            let packed = self.input.get(4..4 + length).ok_or(io::ErrorKind::UnexpectedEof)?;
            let mut block = vec![0; LZ4_BLOCK];
            let count = lz4_flex::block::decompress_into(packed, &mut block).map_err(io::Error::other)?;
            block.truncate(count);
            self.input.consume(4 + length);
            (self.block, self.used) = (block, 0);
            if count > 0 {
                return Ok(true);
            }
        }
    }
}

impl Read for Lz4Legacy<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.used == self.block.len() && !self.next()? {
            return Ok(0);
        }
        let mut rest = self.block.get(self.used..).unwrap_or_default();
        let count = rest.read(out)?;
        self.used += count;
        Ok(count)
    }
}

#[cfg(test)]
#[path = "ramdisk_tests.rs"]
mod tests;
