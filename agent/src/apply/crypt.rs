//! Runs cryptsetup: passes keys to it, and keeps track of open LUKS volumes.

use super::bound::BoundDisk;
use super::live::{Closed, Live};
use super::mapped::Mapped;
use super::tools::Tool;
use super::{ApplyError, mapped};
use crate::image::Cancel;
use crate::protocol::plan::steps::CreateLuks;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

pub const CRYPTSETUP: Tool = Tool { name: "cryptsetup", package: "cryptsetup-bin" };
/// Where a program finds its input: by this name it can be read from any position, and more than once.
const INPUT: &str = "/proc/self/fd/0";
/// The same under another name: if two files have the same name, cryptsetup 2.6 uses the first for both.
const INPUT_TOO: &str = "/proc/thread-self/fd/0";
/// A probe or an inventory may hold the device open for a moment.
pub const CLOSE_PATIENCE: Duration = Duration::from_secs(15);
const AGAIN: Duration = Duration::from_millis(300);

/// Runs cryptsetup on a device; `input` is secret.
pub fn run(root: &Path, arguments: &[String], device: &Path, input: &[u8], cancel: &Cancel) -> Result<(), ApplyError> {
    let all: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    CRYPTSETUP.run_on(root, &all, device, input, cancel)
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|&word| word.to_owned()).collect()
}

/// How a key is derived.
fn pbkdf(step: &CreateLuks, is_random: bool) -> Vec<String> {
    if is_random {
        // As systemd does for long random keys.
        return words(&["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--hash", "sha512"]);
    }
    let mut all = words(&["--pbkdf", "argon2id"]);
    all.extend(["--pbkdf-memory".to_owned(), (step.pbkdf.memory / 1024).to_string()]);
    all.extend(["--pbkdf-force-iterations".to_owned(), step.pbkdf.iterations.to_string()]);
    all.extend(["--pbkdf-parallel".to_owned(), step.pbkdf.threads.to_string()]);
    all
}

/// The input is the first key.
pub fn format(step: &CreateLuks, is_random: bool, node: &Path) -> Vec<String> {
    let mut all = words(&["luksFormat", "--type", "luks2", "--batch-mode", "--key-file", INPUT]);
    all.extend(["--uuid".to_owned(), step.uuid.clone()]);
    all.extend(["--cipher".to_owned(), step.cipher.clone()]);
    all.extend(["--key-size".to_owned(), step.key_bits.to_string()]);
    all.extend(["--sector-size".to_owned(), step.sector_size.to_string()]);
    all.extend(["--offset".to_owned(), (step.offset / 512).to_string()]);
    all.extend(pbkdf(step, is_random));
    all.push(node.display().to_string());
    all
}

/// The input is the first key, followed by the new one.
pub fn add_key(step: &CreateLuks, is_random: bool, lengths: (usize, usize), node: &Path) -> Vec<String> {
    let mut all = words(&["luksAddKey", "--batch-mode", "--key-file", INPUT]);
    all.extend(["--keyfile-size".to_owned(), lengths.0.to_string()]);
    all.extend(["--new-keyfile-offset".to_owned(), lengths.0.to_string()]);
    all.extend(["--new-keyfile-size".to_owned(), lengths.1.to_string()]);
    all.extend(pbkdf(step, is_random));
    all.extend([node.display().to_string(), INPUT_TOO.to_owned()]);
    all
}

/// The input is the token.
pub fn import_token(node: &Path) -> Vec<String> {
    let mut all = words(&["token", "import", "--json-file", INPUT]);
    all.push(node.display().to_string());
    all
}

/// The input is the key of this slot.
pub fn test_key(slot: usize, node: &Path) -> Vec<String> {
    let mut all = words(&["open", "--type", "luks2", "--test-passphrase", "--batch-mode", "--key-file", INPUT]);
    all.extend(["--key-slot".to_owned(), slot.to_string(), node.display().to_string()]);
    all
}

/// The input is a key.
pub fn open(name: &str, node: &Path) -> Vec<String> {
    let mut all = words(&["open", "--type", "luks2", "--batch-mode", "--disable-keyring", "--key-file", INPUT]);
    all.extend([node.display().to_string(), name.to_owned()]);
    all
}

/// Concatenates two keys.
pub fn both(first: &[u8], second: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut all = Zeroizing::new(Vec::with_capacity(first.len() + second.len()));
    all.extend_from_slice(first);
    all.extend_from_slice(second);
    all
}

/// The device-mapper identity of an opened volume.
pub fn dm_uuid(uuid: &str, name: &str) -> String {
    format!("CRYPT-LUKS2-{}-{name}", uuid.replace('-', ""))
}

/// An open volume.
#[derive(Debug)]
pub struct OpenVolume {
    pub mapped: Mapped,
    pub disks: Vec<Arc<BoundDisk>>,
    /// The root directory with cryptsetup.
    pub root: PathBuf,
}

impl Live for OpenVolume {
    fn name(&self) -> String {
        format!("the LUKS volume {}", self.mapped.name)
    }

    fn disks(&self) -> Vec<Arc<BoundDisk>> {
        self.disks.clone()
    }

    /// The kernel then drops its key.
    fn close(&self) -> Result<Option<Closed>, ApplyError> {
        let arguments = ["close", self.mapped.name.as_str()].map(OsStr::new);
        let is_open = || !mapped::with_uuid(&self.mapped.sys, &self.mapped.uuid).is_empty();
        let close = || CRYPTSETUP.run_with(&self.root, &arguments, &self.mapped.link(), &Cancel::default());
        if let Err(error) = until_gone(&is_open, close) {
            log::warn!("{}: {error}", self.mapped.link().display());
        }
        // A volume that was never loaded is not recognised by cryptsetup.
        mapped::remove(&self.mapped)?;
        if is_open() {
            return Err(self.mapped.wrong("it is still open after it was closed".to_owned()));
        }
        Ok(None)
    }
}

/// Retries until it is done, or nothing is left to do.
pub fn until_gone(
    is_there: &dyn Fn() -> bool,
    mut close: impl FnMut() -> Result<(), ApplyError>,
) -> Result<(), ApplyError> {
    let deadline = Instant::now() + CLOSE_PATIENCE;
    while is_there() {
        match close() {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => std::thread::sleep(AGAIN),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::plan::{Device, PlannedPbkdf};

    fn step() -> CreateLuks {
        CreateLuks {
            name: "crypt".to_owned(),
            on: Device::Raid { name: "md".to_owned() },
            uuid: "u-u".to_owned(),
            cipher: "aes-xts-plain64".to_owned(),
            key_bits: 512,
            sector_size: 4096,
            offset: 16 << 20,
            size: 1 << 30,
            pbkdf: PlannedPbkdf { memory: 64 << 20, iterations: 4, threads: 4 },
            keys: Vec::new(),
        }
    }

    #[test]
    fn arguments_say_everything_but_what_is_secret() {
        let node = Path::new("/dev/burin/1-0/md127");
        let words = format(&step(), false, node).join(" ");
        for word in
            ["--type luks2", "--offset 32768", "--pbkdf argon2id --pbkdf-memory 65536", "--key-file /proc/self/fd/0"]
        {
            assert!(words.contains(word), "{words}");
        }
        let words = add_key(&step(), true, (7, 71), node).join(" ");
        for word in [
            "--keyfile-size 7",
            "--new-keyfile-offset 7",
            "--new-keyfile-size 71",
            "--pbkdf pbkdf2",
            "md127 /proc/thread-self/fd/0",
        ] {
            assert!(words.contains(word), "{words}");
        }
        assert_eq!(dm_uuid("0f8f-ad5b", "crypt"), "CRYPT-LUKS2-0f8fad5b-crypt");
    }

    /// The host's own cryptsetup accepts files as devices, except for opening them.
    #[test]
    fn a_volume_is_made_with_two_keys_and_a_token_by_the_program_itself() {
        if !Path::new("/usr/sbin/cryptsetup").exists() {
            return burin_skip::skip!("no cryptsetup here");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(40 << 20).unwrap();
        let step = CreateLuks {
            pbkdf: PlannedPbkdf { memory: 32 << 20, iterations: 4, threads: 1 },
            uuid: "0f8fad5b-d9cb-869f-a165-70867728950e".to_owned(),
            ..step()
        };
        let (first, second) = (b"correct horse".as_slice(), b"battery\nstaple".as_slice());
        let run = |arguments: &[String], input: &[u8]| {
            super::run(Path::new("/"), arguments, file.path(), input, &Cancel::default())
        };
        run(&format(&step, false, file.path()), first).unwrap();
        let keys = both(first, second);
        run(&add_key(&step, true, (first.len(), second.len()), file.path()), &keys).unwrap();
        run(&import_token(file.path()), br#"{"type":"systemd-recovery","keyslots":["1"]}"#).unwrap();
        run(&test_key(0, file.path()), first).unwrap();
        run(&test_key(1, file.path()), second).unwrap();
        run(&test_key(1, file.path()), first).unwrap_err();
        let header = crate::finalize::luks::read(file.path()).unwrap();
        assert_eq!(header.uuid, step.uuid);
        assert_eq!(header.metadata.keyslots.keys().collect::<Vec<_>>(), ["0", "1"]);
        assert_eq!(header.metadata.tokens["0"].keyslots, ["1"]);
        assert_eq!(header.metadata.segments["0"].offset, (16u64 << 20).to_string());
    }

    #[test]
    fn what_is_busy_is_asked_again_and_what_is_gone_is_left() {
        let left = std::cell::Cell::new(3);
        until_gone(&|| left.get() > 0, || {
            left.set(left.get() - 1);
            Err(ApplyError::Cancelled)
        })
        .unwrap();
        assert_eq!(left.get(), 0);
    }
}
