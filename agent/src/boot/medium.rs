//! The boot medium: a CD, a BMC's virtual CD, or a USB stick. Its parameters are read before the agent starts, so that
//! they can configure a network without DHCP.

use super::volume::{self, BootVolume, FAT};
use super::{devices, mounts};
use crate::config::{self, Word, medium};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The word on the kernel command line that names the label.
const WORD: &str = "burin.medium";
const FILE: &str = "burin.conf";
/// The part that is kept in the ramdisk: the agent's configuration reads `words`; `device` says which disk it is.
const KEPT: &str = "run/burin/medium";
/// A BMC's virtual drive appears half a minute after its USB hub does.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(500);
/// More time than the kernel needs to read a stick's partition table.
const PARTITIONS: Duration = Duration::from_secs(2);
/// NICs must be present before a section can refer to their addresses.
const NIC_QUIET: Duration = Duration::from_secs(1);
const NIC_PATIENCE: Duration = Duration::from_secs(30);
/// Parameters and orders are small; a larger file is not valid.
const LARGEST: u64 = 16 << 20;

/// Whether the agent may start.
#[derive(Debug, Clone)]
pub struct Ready {
    done: Arc<AtomicBool>,
    deadline: Instant,
}

impl Ready {
    /// A device that hangs must not keep the agent from starting.
    pub fn is(&self) -> bool {
        self.done.load(Ordering::Acquire) || Instant::now() >= self.deadline
    }
}

/// If the kernel command line names a medium, looks for it on a separate thread.
pub fn fetch(root: &Path, cmdline: &str) -> Ready {
    let label = config::words(cmdline).into_iter().rev().find_map(|word| match word {
        Word { ref key, value: Some(value) } if key == WORD && !value.is_empty() => Some(value),
        _ => None,
    });
    let done = Arc::new(AtomicBool::new(label.is_none()));
    let ready = Ready { done: Arc::clone(&done), deadline: Instant::now() + PATIENCE + NIC_PATIENCE };
    let Some(label) = label else { return ready };
    let root = root.to_owned();
    let work = move || {
        match find(&root, &label, Instant::now() + PATIENCE) {
            Some((device, volume)) => {
                if let Err(error) = keep(&root, &device, &volume) {
                    log::error!("{FILE} of the boot medium {}: {error}", device.display());
                }
            }
            None => log::error!("no volume labelled {label} within {} s: continuing without it", PATIENCE.as_secs()),
        }
        done.store(true, Ordering::Release);
    };
    if let Err(error) = thread::Builder::new().name("medium".to_owned()).spawn(work) {
        log::error!("the boot medium cannot be searched for: {error}");
        ready.done.store(true, Ordering::Release);
    }
    ready
}

/// Finds the device with this label. A stick has the ISO and, on a partition, the editable volume, which takes
/// precedence.
fn find(root: &Path, label: &str, deadline: Instant) -> Option<(PathBuf, BootVolume)> {
    log::info!("looking for the boot medium, a volume labelled {label}");
    loop {
        match look(root, label) {
            // The disk appears before its partitions do.
            Some((device, volume)) if volume.kind != FAT && !is_cdrom(&device) => {
                thread::sleep(PARTITIONS);
                return look(root, label).or(Some((device, volume)));
            }
            None if Instant::now() < deadline => thread::sleep(LOOK),
            found => return found,
        }
    }
}

fn is_cdrom(device: &Path) -> bool {
    device.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("sr"))
}

/// The best of the present volumes with this label.
fn look(root: &Path, label: &str) -> Option<(PathBuf, BootVolume)> {
    let mut found: Vec<(PathBuf, BootVolume)> = Vec::new();
    for entry in fs::read_dir(root.join("sys/class/block")).into_iter().flatten().flatten() {
        let device = root.join("dev").join(entry.file_name());
        if let Some(volume) = head(&device).ok().as_deref().and_then(volume::read)
            && volume.label.eq_ignore_ascii_case(label)
        {
            found.push((device, volume));
        }
    }
    found.sort_by_key(|(device, volume)| (volume.kind != FAT, device.clone()));
    found.into_iter().next()
}

fn head(device: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(volume::HEAD);
    File::open(device)?.take(volume::HEAD as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Copies what applies to this machine into the ramdisk, and releases the medium.
fn keep(root: &Path, device: &Path, volume: &BootVolume) -> io::Result<()> {
    log::info!("boot medium: {} ({})", device.display(), volume.kind);
    let kept = root.join(KEPT);
    fs::create_dir_all(&kept)?;
    fs::write(kept.join("device"), whole_disk(root, device))?;
    let mount = mounts::Medium::mount(device, volume.kind, &kept.join("mnt"))?;
    let text = match read(&mount.path().join(FILE)) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            log::info!("there is no {FILE} on the boot medium");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    if medium::asks_for_macs(&text) {
        devices::settle(root, NIC_QUIET, NIC_PATIENCE);
    }
    let files = format!("/{KEPT}/files");
    let parameters = medium::read(&text, &names(root), &files);
    for warning in &parameters.warnings {
        log::warn!("{warning}");
    }
    for file in &parameters.files {
        let to = kept.join("files").join(file);
        let copied = read(&mount.path().join(file)).and_then(|bytes| write(&to, &bytes));
        if let Err(error) = copied {
            log::error!("{FILE} names {file}: {error}");
        }
    }
    write(&kept.join("words"), parameters.text.as_bytes())?;
    log::info!("{FILE}: {} words for this machine", parameters.text.lines().count());
    Ok(())
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)? as u64 > LARGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// Readable by root only, because it may contain a token.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)
}

/// `sda` for a partition on it.
fn whole_disk(root: &Path, device: &Path) -> String {
    let name = device.file_name().unwrap_or_default();
    let sys = fs::canonicalize(root.join("sys/class/block").join(name)).unwrap_or_default();
    let disk = if sys.join("partition").exists() { sys.parent() } else { Some(sys.as_path()) };
    disk.and_then(Path::file_name).unwrap_or(name).to_string_lossy().into_owned()
}

/// The kernel name of the medium's disk, if there is one.
pub fn boot_medium(root: &Path) -> Option<String> {
    fs::read_to_string(root.join(KEPT).join("device")).ok().filter(|name| !name.is_empty())
}

fn names(root: &Path) -> medium::Names {
    let text =
        |path: &str| fs::read_to_string(root.join(path)).ok().map(|text| text.trim().trim_matches('\0').to_owned());
    let dmi = |name: &str| text(&format!("sys/class/dmi/id/{name}"));
    let serials = ["product_serial", "board_serial", "chassis_serial"].into_iter().filter_map(dmi);
    let tree = text("proc/device-tree/serial-number");
    let nics = fs::read_dir(root.join("sys/class/net")).into_iter().flatten().flatten();
    let macs = nics.filter_map(|nic| fs::read_to_string(nic.path().join("address")).ok());
    medium::Names {
        serials: serials.chain(tree).filter(|serial| !serial.is_empty()).collect(),
        uuid: dmi("product_uuid"),
        macs: macs.map(|mac| mac.trim().to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stick_is_found_by_its_label_and_the_volume_that_can_be_changed_counts() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for directory in ["sys/class/block/sda", "sys/class/block/sda1", "sys/class/block/sr0", "dev"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::write(root.join("dev/sr0"), "no medium").unwrap();
        let mut head = vec![0; volume::HEAD];
        head[16 * 2048..16 * 2048 + 6].copy_from_slice(b"\x01CD001");
        head[16 * 2048 + 40..16 * 2048 + 45].copy_from_slice(b"BURIN");
        fs::write(root.join("dev/sda"), &head).unwrap();
        let now = Instant::now();
        assert_eq!(find(root, "burin", now).unwrap().1.kind, "iso9660");
        let mut fat = vec![0; volume::HEAD];
        fat[71..82].copy_from_slice(b"BURIN      ");
        fat[82..90].copy_from_slice(b"FAT32   ");
        fat[510..512].copy_from_slice(&[0x55, 0xaa]);
        fs::write(root.join("dev/sda1"), &fat).unwrap();
        let (device, volume) = find(root, "BURIN", now).unwrap();
        assert_eq!((device, volume.kind), (root.join("dev/sda1"), "vfat"));
        assert_eq!(find(root, "OTHER", now), None);
    }

    #[test]
    fn without_the_word_nobody_waits() {
        let root = tempfile::tempdir().unwrap();
        assert!(fetch(root.path(), "console=ttyS0 burin.medium=").is());
        assert_eq!(boot_medium(root.path()), None);
    }

    #[test]
    fn a_machine_s_names_are_all_its_labels() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("sys/class/dmi/id/product_serial", "S1\n");
        put("sys/class/dmi/id/chassis_serial", "\n");
        put("sys/class/dmi/id/product_uuid", "u-1\n");
        put("sys/class/net/eth0/address", "52:54:00:00:00:01\n");
        let names = names(root.path());
        assert_eq!(
            (names.serials, names.uuid, names.macs),
            (vec!["S1".into()], Some("u-1".into()), vec!["52:54:00:00:00:01".into()])
        );
    }
}
