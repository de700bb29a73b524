//! The disk that is written: a loop device with direct I/O over a preallocated file.

use super::Result;
use super::error::{BenchError, tool};
use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;

/// Unit of comparisons.
const STEP: usize = 4 << 20;
/// Address alignment for direct I/O.
const ALIGN: usize = 4096;
/// Unit of changes: a chunk of casync's and burin's index.
const CHUNK: u64 = 256 << 10;

#[derive(Debug)]
pub struct BenchDevice {
    path: PathBuf,
    backing: PathBuf,
    size: u64,
}

/// Bytes that went through the device since it was attached. Zeroing counts as writing here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub read: u64,
    pub written: u64,
    pub discarded: u64,
}

impl Traffic {
    /// From /sys/block/NAME/stat (Documentation/block/stat.rst), in sectors of 512 bytes.
    pub fn parse(stat: &str) -> Option<Self> {
        let fields: Vec<u64> = stat.split_whitespace().map_while(|field| field.parse().ok()).collect();
        let bytes = |index: usize| fields.get(index).map(|sectors| sectors * 512);
        Some(Self { read: bytes(2)?, written: bytes(6)?, discarded: bytes(13)? })
    }

    pub fn since(self, before: Self) -> Self {
        Self {
            read: self.read - before.read,
            written: self.written - before.written,
            discarded: self.discarded - before.discarded,
        }
    }
}

impl BenchDevice {
    /// `size` bytes, backed by a file in `directory`.
    pub fn attach(directory: &Path, size: u64) -> Result<Self> {
        let backing = directory.join("disk.raw");
        let name = backing.to_string_lossy().into_owned();
        File::create(&backing).map_err(BenchError::file("make", &backing))?;
        tool("fallocate", &["-l", &size.to_string(), &name])?;
        let path = tool("losetup", &["--find", "--show", "--partscan", "--direct-io=on", &name])?;
        Ok(Self { path: path.trim().into(), backing, size })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn name(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// Fills the device with noise, so that anything left unwritten is detected. Leaves nothing in a cache.
    pub fn fill_with_noise(&self) -> Result<()> {
        let device = format!("--filename={}", self.name());
        let steady = ["--name=noise", "--rw=write", "--bs=4M", "--direct=1", "--iodepth=4", "--ioengine=io_uring"];
        tool("fio", &[&steady[..], &["--output=/dev/null", device.as_str()]].concat())?;
        self.settle()
    }

    /// Overwrites a 4 KiB block in one of twenty chunks of 256 KiB with noise, always the same ones.
    pub fn dirty(&self) -> Result<()> {
        let file = OpenOptions::new().write(true).open(&self.path).map_err(BenchError::file("open", &self.path))?;
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for chunk in 0..self.size / CHUNK {
            if random() % 20 == 0 {
                let offset = chunk * CHUNK + random() % (CHUNK / 4096) * 4096;
                let noise: Vec<u8> = (0..512).flat_map(|_| random().to_le_bytes()).collect();
                file.write_all_at(&noise, offset).map_err(BenchError::file("write to", &self.path))?;
            }
        }
        file.sync_all().map_err(BenchError::file("flush", &self.path))?;
        drop(file);
        self.settle()
    }

    /// Waits until everything is written, and drops the device's pages from the cache.
    pub fn settle(&self) -> Result<()> {
        tool("blockdev", &["--flushbufs", &self.name()])?;
        tool("sync", &[&self.backing.to_string_lossy()])?;
        Ok(())
    }

    pub fn traffic(&self) -> Result<Traffic> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = format!("/sys/block/{name}/stat");
        let text = std::fs::read_to_string(&path).map_err(BenchError::file("read", &path))?;
        Traffic::parse(&text).ok_or_else(|| BenchError::odd(path, text))
    }

    /// Bytes that are zeros without having been written: holes and unwritten extents of the backing file.
    pub fn unwritten(&self) -> Result<u64> {
        let text = tool("filefrag", &["-v", &self.backing.to_string_lossy()])?;
        let data = written_extents(&text).ok_or_else(|| BenchError::odd("filefrag", text))?;
        Ok(self.size.saturating_sub(data))
    }

    /// Whether the device contains `image` and nothing else, read past every cache.
    pub fn holds(&self, image: &Path) -> Result<bool> {
        let half = self.size.div_ceil(2).next_multiple_of(STEP as u64).min(self.size);
        let (first, second) = thread::scope(|scope| {
            let other = scope.spawn(move || self.same(image, half, self.size));
            (self.same(image, 0, half), other.join().unwrap_or(Ok(false)))
        });
        Ok(first? && second?)
    }

    fn same(&self, image: &Path, from: u64, to: u64) -> Result<bool> {
        let direct = OpenOptions::new().read(true).custom_flags(OFlag::O_DIRECT.bits()).open(&self.path);
        let (direct, wanted) = (
            direct.map_err(BenchError::file("open", &self.path))?,
            File::open(image).map_err(BenchError::file("open", image))?,
        );
        let mut room = vec![0; STEP + ALIGN];
        let start = room.as_ptr().align_offset(ALIGN);
        let here = &mut room[start..start + STEP];
        let mut there = vec![0; STEP];
        let mut offset = from;
        while offset < to {
            let len = (to - offset).min(STEP as u64) as usize;
            direct.read_exact_at(&mut here[..len], offset).map_err(BenchError::file("read", &self.path))?;
            wanted.read_exact_at(&mut there[..len], offset).map_err(BenchError::file("read", image))?;
            if here[..len] != there[..len] {
                return Ok(false);
            }
            offset += len as u64;
        }
        Ok(true)
    }
}

impl Drop for BenchDevice {
    fn drop(&mut self) {
        let _ = tool("losetup", &["--detach", &self.name()]);
        let _ = std::fs::remove_file(&self.backing);
    }
}

/// Bytes in extents with data, from the output of `filefrag -v`.
fn written_extents(text: &str) -> Option<u64> {
    let block: u64 = text.lines().find_map(|line| {
        let (_, tail) = line.split_once(" blocks of ").or_else(|| line.split_once(" block of "))?;
        tail.split(' ').next()?.parse().ok()
    })?;
    let mut blocks = 0;
    for line in text.lines() {
        let columns: Vec<&str> = line.split(':').map(str::trim).collect();
        if columns.first().is_none_or(|index| index.parse::<u64>().is_err()) {
            continue;
        }
        let length: u64 = columns.get(3)?.parse().ok()?;
        if !columns.last()?.contains("unwritten") {
            blocks += length;
        }
    }
    Some(blocks * block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_that_were_written_are_counted() {
        let text = "Filesystem type is: ef53
File size of disk.raw is 16777216 (4096 blocks of 4096 bytes)
 ext:     logical_offset:        physical_offset: length:   expected: flags:
   0:        0..     255:      34816..     35071:    256:
   1:      256..    1023:      35072..     35839:    768:             unwritten
   2:     2048..    2049:      65536..     65537:      2:      36864: last,eof
disk.raw: 2 extents found
";
        assert_eq!(written_extents(text), Some(258 * 4096));
        assert_eq!(written_extents("nothing"), None);
    }

    #[test]
    fn traffic_is_read_off_the_kernels_line() {
        let stat = "1 0 8 0 2 0 16 0 0 0 0 3 0 24 0 0 0";
        let traffic = Traffic::parse(stat).unwrap();
        assert_eq!(traffic, Traffic { read: 4096, written: 8192, discarded: 12288 });
        assert_eq!(traffic.since(Traffic { read: 4096, written: 4096, discarded: 0 }).written, 4096);
        assert_eq!(Traffic::parse("1 2 3"), None);
    }
}
