//! Firmware files that a driver requested and the ramdisk lacks. The kernel mentions them in one line among thousands,
//! and a NIC or RAID card without its firmware looks like a missing cable or disk.

use crate::error::Coded;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;

const FILE: &str = "run/burin/firmware.json";
/// A device that requests files for ever must not fill the memory.
const MOST: usize = 64;

/// A firmware file that a device needs and the ramdisk lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{device} ({driver}) needs the firmware {file}, which is not in the ramdisk")]
pub struct MissingFirmware {
    /// Its address on the bus: `0000:00:03.0`.
    pub device: String,
    pub driver: String,
    /// Below `/lib/firmware`.
    pub file: String,
}

impl Coded for MissingFirmware {
    fn code(&self) -> &'static str {
        "device.firmware_missing"
    }

    fn hint(&self) -> Option<String> {
        Some("build the ramdisk with --firmware DIR (Debian: the firmware-... packages)".to_owned())
    }
}

impl MissingFirmware {
    /// Parses a record of `/dev/kmsg` (Documentation/ABI/testing/dev-kmsg): `PRIORITY,SEQUENCE,TIME,FLAGS;TEXT`, then
    /// lines that start with a blank. The firmware loader's text is `DRIVER DEVICE: Direct firmware load for FILE
    /// failed with error -2`.
    pub fn parse(record: &str) -> Option<Self> {
        let (_, text) = record.split_once(';')?;
        let text = text.lines().next()?;
        let (who, what) = text.split_once(": Direct firmware load for ")?;
        // ENOENT. Another error, such as a wrong signature, does not mean a missing file.
        let file = what.strip_suffix(" failed with error -2")?;
        let (driver, device) = who.split_once(' ')?;
        Some(Self { device: device.to_owned(), driver: driver.to_owned(), file: file.to_owned() })
    }
}

/// The files missing so far, for the agent.
pub fn missing_firmware(root: &Path) -> Vec<MissingFirmware> {
    let list = std::fs::read(root.join(FILE)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    list.unwrap_or_default()
}

/// Reads the kernel's log from its beginning as long as the process lives.
pub fn watch(root: &Path) {
    let path = root.join("dev/kmsg");
    let published = root.join(FILE);
    let opened = File::open(&path);
    let watching = move |mut log: File| {
        let mut missing: Vec<MissingFirmware> = Vec::new();
        // A record is at most 1 KiB of text and its dictionary (CONSOLE_EXT_LOG_MAX is 8 KiB).
        let mut buffer = vec![0; 8 << 10];
        loop {
            match log.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    let record = String::from_utf8_lossy(buffer.get(..count).unwrap_or_default());
                    if let Some(one) = MissingFirmware::parse(&record).filter(|one| !missing.contains(one))
                        && missing.len() < MOST
                    {
                        log::warn!("[{}] {one}", one.code());
                        missing.push(one);
                        publish(&published, &missing);
                    }
                }
                // Records that were overwritten before we read them.
                Err(error) if error.raw_os_error() == Some(nix::libc::EPIPE) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return log::debug!("the kernel's log: {error}"),
            }
        }
    };
    let started = opened
        .and_then(|log| thread::Builder::new().name("kernel-log".to_owned()).spawn(move || watching(log)).map(drop));
    if let Err(error) = started {
        log::warn!("{}: {error}: missing firmware will not be reported", path.display());
    }
}

fn publish(path: &PathBuf, missing: &[MissingFirmware]) {
    let part = path.with_extension("part");
    let written = serde_json::to_vec(missing)
        .map_err(std::io::Error::from)
        .and_then(|json| std::fs::write(&part, json))
        .and_then(|()| std::fs::rename(&part, path));
    if let Err(error) = written {
        log::debug!("{}: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_loader_s_words() {
        let record = "4,812,9301255,-;e100 0000:00:03.0: Direct firmware load for e100/d101s_ucode.bin failed with error -2\n \
                      SUBSYSTEM=pci\n DEVICE=+pci:0000:00:03.0\n";
        let missing = MissingFirmware::parse(record).unwrap();
        assert_eq!(
            missing.to_string(),
            "0000:00:03.0 (e100) needs the firmware e100/d101s_ucode.bin, which is not in the ramdisk"
        );
        for other in [
            "6,1,2,-;e100 0000:00:03.0: Direct firmware load for x failed with error -22",
            "6,1,2,-;random: crng init done",
            "6,1,2,-;alone: Direct firmware load for x failed with error -2",
            "",
        ] {
            assert_eq!(MissingFirmware::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_log_is_read_once_and_each_file_told_once() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("run/burin")).unwrap();
        assert_eq!(missing_firmware(root.path()), []);
        let one = MissingFirmware { device: "0000:00:03.0".into(), driver: "bnx2".into(), file: "bnx2/a.fw".into() };
        publish(&root.path().join(FILE), std::slice::from_ref(&one));
        assert_eq!(missing_firmware(root.path()), [one]);
    }

    proptest! {
        #[test]
        fn no_record_panics(text in ".{0,300}") {
            let _ = MissingFirmware::parse(&text);
            let _ = MissingFirmware::parse(&format!("6,1,1,-;{text}: Direct firmware load for {text} failed with error -2"));
        }
    }
}
