//! Support for the image tests: images, noise, a web server that misbehaves on request, loop devices.

use burin::disk::Target;
use burin::image::{self, Cancel, Http, ImageError, Progress, Source, WriteRequest};
use burin::protocol::ImageReceipt;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

mod chunks;
mod proxy;
mod registry;
mod server;
mod socks;

pub use chunks::Chunks;
pub use proxy::{Proxy, ProxyFault};
pub use registry::{CONFIG, Door, EMPTY, INDEX, LAYER, MANIFEST, Registry, architecture};
pub use server::{Answer, Server};
pub use socks::Socks;

pub const MIB: usize = 1 << 20;

/// What targets are full of; made once, as making it is slow.
static DIRT: LazyLock<Vec<u8>> = LazyLock::new(|| noise(32 * MIB, 99));

/// The first bytes of a target that was not touched.
pub fn dirt(len: usize) -> &'static [u8] {
    &DIRT[..len]
}

/// Repeatable noise (xorshift64*).
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// An image with text, noise, long and short runs of zeros, and a first sector that cannot be missed.
pub fn image(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut put = |at: usize, data: &[u8]| {
        if at < len {
            let end = len.min(at + data.len());
            bytes[at..end].copy_from_slice(&data[..end - at]);
        }
    };
    put(0, &noise(3000, 1));
    put(MIB - 100, &noise(200, 2));
    put(MIB + 300_000, &noise(400_000, 3));
    put(2 * MIB + 17, b"a lonely line of text");
    put(5 * MIB, &noise(MIB + 4096, 4));
    put(7 * MIB + 500_000, &"words that compress well ".repeat(20_000).into_bytes());
    put(len.saturating_sub(777), &noise(777, 5));
    bytes
}

/// A file of noise to be written over.
pub fn dirty_file(dir: &Path, len: usize) -> PathBuf {
    let path = dir.join("target");
    dirty(&path, len);
    path
}

/// Noise over what a file or device holds. Its blocks stay where they are: to free them and to find others is what takes
/// most of the time on a filesystem.
pub fn dirty(path: &Path, len: usize) {
    let mut file = fs::File::options().write(true).create(true).truncate(false).open(path).unwrap();
    file.write_all(dirt(len)).unwrap();
    if file.metadata().unwrap().is_file() {
        file.set_len(len as u64).unwrap();
    }
}

/// Runs `command` of Debian over `input`.
pub fn tool(dir: &Path, command: &[&str], input: &[u8]) -> Vec<u8> {
    let from = dir.join("tool-input");
    fs::write(&from, input).unwrap();
    let stdin = fs::File::open(&from).unwrap();
    let output = Command::new(command[0]).args(&command[1..]).stdin(stdin).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", command[0]));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

pub fn have(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        burin_skip::skip!("{program} is not installed");
    }
    found
}

static ZEROS: [u8; MIB] = [0; MIB];

/// The image is there byte for byte, and what follows it is zero at both ends.
pub fn assert_written(target: &[u8], image: &[u8]) {
    assert!(target.len() >= image.len());
    let (written, rest) = target.split_at(image.len());
    // Slices are compared at once; looking for the place is slow, and only needed where they differ.
    if written != image {
        let at = written.iter().zip(image).position(|(a, b)| a != b);
        panic!("differs at byte {at:?} of {}", image.len());
    }
    let edge = rest.len().min(MIB);
    assert!(rest[..edge] == ZEROS[..edge], "old bytes right behind the image");
    assert!(rest[rest.len() - edge..] == ZEROS[..edge], "old bytes at the end of the target");
}

/// Nothing that boots: the first MiB is zero.
pub fn assert_unbootable(path: &Path) {
    let bytes = fs::read(path).unwrap();
    let head = bytes.len().min(MIB);
    assert!(bytes[..head] == ZEROS[..head], "the first MiB is not zero");
}

/// The same, but for the mark of an order.
pub fn assert_unfinished(path: &Path, order: &str) {
    let bytes = fs::read(path).unwrap();
    assert_eq!(hwinventory::model::unfinished::parse(&bytes).as_deref(), Some(order));
    assert!(bytes[512..MIB] == ZEROS[512..MIB], "the first MiB is not zero");
}

#[derive(Debug, Default)]
pub struct Notes(pub Mutex<Vec<String>>);

impl Progress for Notes {
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

pub fn write_to_file(request: WriteRequest, path: &Path) -> Result<ImageReceipt, ImageError> {
    let target = Target::open_file(path).map_err(ImageError::Disk)?;
    image::write(request, &target, &(), &Cancel::default())
}

/// `sha256:HEX`.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(bytes);
    format!("sha256:{}", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// `burin` without anything of the environment that steers downloads.
pub fn burin(command: &str) -> Command {
    let mut burin = Command::new(env!("CARGO_BIN_EXE_burin"));
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "burin_password", "burin_bearer"] {
        burin.env_remove(name).env_remove(name.to_uppercase());
    }
    burin.arg(command);
    burin
}

/// zstd with a seek table, frames of 2 MiB.
pub fn seekable(bytes: &[u8]) -> Vec<u8> {
    let (mut file, mut table) = (Vec::new(), Vec::new());
    for part in bytes.chunks(2 * MIB) {
        let packed = zstd::bulk::compress(part, 1).unwrap();
        table.extend((packed.len() as u32).to_le_bytes());
        table.extend((part.len() as u32).to_le_bytes());
        file.extend(packed);
    }
    let count = (table.len() / 8) as u32;
    file.extend(0x184d_2a5e_u32.to_le_bytes());
    file.extend((table.len() as u32 + 9).to_le_bytes());
    file.extend(table);
    file.extend(count.to_le_bytes());
    file.push(0);
    file.extend(0x8f92_eab1_u32.to_le_bytes());
    file
}

/// Lines of JSON on standard output.
pub fn lines(output: &std::process::Output) -> Vec<serde_json::Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

pub fn from_bytes(bytes: Vec<u8>) -> WriteRequest {
    WriteRequest::new(Source::Reader(Box::new(std::io::Cursor::new(bytes)), "test image".into()))
}

pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_connect(Some(Duration::from_secs(10))).build().new_agent()
}

pub fn http(urls: Vec<String>) -> Http {
    let mut http = Http::new(agent(), urls);
    http.patience = Duration::from_secs(3);
    http
}

pub fn from_http(urls: Vec<String>) -> WriteRequest {
    WriteRequest::new(Source::Http(http(urls)))
}

/// A loop device over a file of noise; none without root.
pub struct Loop {
    pub device: PathBuf,
    pub backing: PathBuf,
}

impl Loop {
    pub fn new(dir: &Path, len: usize, sector: u32) -> Option<Self> {
        Self::with(dir, len, sector, &[])
    }

    pub fn with(dir: &Path, len: usize, sector: u32, more: &[&str]) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            burin_skip::skip!("loop devices need root");
            return None;
        }
        let backing = dir.join(format!("loop-{sector}"));
        fs::write(&backing, dirt(len)).unwrap();
        let sector = sector.to_string();
        let made = Command::new("losetup")
            .args(["--find", "--show", "--direct-io=on", "--sector-size", &sector])
            .args(more)
            .arg(&backing)
            .output();
        let made = match made {
            Ok(made) if made.status.success() => made,
            other => {
                burin_skip::skip!("no loop device to be had: {other:?}");
                return None;
            }
        };
        Some(Self { device: String::from_utf8_lossy(&made.stdout).trim().into(), backing })
    }
}

impl Loop {
    /// From now on there is nothing behind the device, and every operation on it fails.
    pub fn pull(&self) {
        fs::File::options().write(true).open(&self.backing).unwrap().set_len(0).unwrap();
        let told = Command::new("losetup").arg("--set-capacity").arg(&self.device).status();
        assert!(told.unwrap().success(), "the device keeps its size");
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.device).status();
    }
}

/// The digest of an image as receipts have it: XXH3-128 of the XXH3-128 of each MiB.
pub fn of_mib(image: &[u8]) -> String {
    use twox_hash::XxHash3_128;
    let each: Vec<u8> = image.chunks(MIB).flat_map(|mib| XxHash3_128::oneshot(mib).to_be_bytes()).collect();
    format!("{:032x}", XxHash3_128::oneshot(&each))
}

/// A whole disk with a GPT of one partition, which begins at 1 MiB and ends where the backup GPT begins.
pub fn gpt_image(len: usize, sector: usize) -> Vec<u8> {
    let mut disk = image(len);
    disk[..MIB].fill(0);
    let last = len / sector - 1;
    let mut table = vec![0; 16384];
    table[..16].copy_from_slice(&[7; 16]);
    table[16..32].copy_from_slice(&[9; 16]);
    table[32..40].copy_from_slice(&((MIB / sector) as u64).to_le_bytes());
    table[40..48].copy_from_slice(&((last - 16384 / sector - 1) as u64).to_le_bytes());
    table[56..64].copy_from_slice(&[b'r', 0, b'o', 0, b'o', 0, b't', 0]);
    let mut header = |at: usize, other: usize, entries: usize| {
        let mut header = vec![0; 92];
        header[..16].copy_from_slice(b"EFI PART\0\0\x01\0\x5c\0\0\0");
        header[24..32].copy_from_slice(&(at as u64).to_le_bytes());
        header[32..40].copy_from_slice(&(other as u64).to_le_bytes());
        header[72..80].copy_from_slice(&(entries as u64).to_le_bytes());
        header[80..84].copy_from_slice(&128u32.to_le_bytes());
        header[84..88].copy_from_slice(&128u32.to_le_bytes());
        header[40..48].copy_from_slice(&((2 + 16384 / sector) as u64).to_le_bytes());
        header[48..56].copy_from_slice(&((last - 16384 / sector - 1) as u64).to_le_bytes());
        header[56..72].copy_from_slice(&[5; 16]);
        header[88..92].copy_from_slice(&crc32fast::hash(&table).to_le_bytes());
        let sum = crc32fast::hash(&header);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        disk[at * sector..at * sector + 92].copy_from_slice(&header);
        disk[entries * sector..entries * sector + 16384].copy_from_slice(&table);
    };
    header(1, last, 2);
    header(last, 1, last - 16384 / sector);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk[450] = 0xee;
    disk[454] = 1;
    disk[458..462].fill(0xff);
    disk
}

/// Nothing was written, or nothing that boots.
pub fn assert_untouched_or_unbootable(error: &ImageError, path: &Path) {
    match error {
        ImageError::Stopped { .. } => assert_unbootable(path),
        _ => {
            let bytes = fs::read(path).unwrap();
            assert!(bytes == dirt(bytes.len()), "it was touched: {error:?}");
        }
    }
}
