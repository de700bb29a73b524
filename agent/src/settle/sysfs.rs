//! Finds devices in sysfs that have not shown their disks (attributes as in the kernel's Documentation/ABI).

use super::sought::{Seeking, Sought};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// PCI class codes 01xx: mass storage controllers.
const STORAGE_CLASS: &str = "0x01";
/// USB class of mass storage (USB Mass Storage Class Specification Overview).
const USB_STORAGE: &str = "08";
/// SCSI peripheral types driven by sd: direct access, simplified, host managed zones (SPC).
const DISK_TYPES: [&str; 3] = ["0", "14", "20"];
/// `delay_use` if the parameter cannot be read: the kernel's default.
const USB_DELAY: Duration = Duration::from_secs(1);

/// Everything below `root` whose disks may still appear.
pub fn look(root: &Path) -> Vec<Sought> {
    let sys = Sys::new(root);
    let mut found = Vec::new();
    sys.usb(&mut found);
    sys.nvme(&mut found);
    sys.scsi_hosts(&mut found);
    sys.scsi_disks(&mut found);
    sys.links(&mut found);
    sys.fibre_channel(&mut found);
    sys.functions(&mut found);
    sys.volumes(&mut found);
    found
}

/// Kernel names of disks backed by hardware, without their partitions.
pub fn disks(root: &Path) -> BTreeSet<String> {
    let entries = entries(&root.join("sys/class/block"));
    let real = entries.into_iter().filter(|(_, path)| path.join("device").exists() && !path.join("partition").exists());
    real.filter(|(_, path)| read(&path.join("hidden")).as_deref() != Some("1")).map(|(name, _)| name).collect()
}

/// The directories that must be compared with each other, with links followed.
struct Sys {
    sys: PathBuf,
    blocks: Vec<PathBuf>,
    /// SCSI devices of any type, without targets and hosts.
    scsi: Vec<(String, PathBuf)>,
    hosts: Vec<(String, PathBuf)>,
}

impl Sys {
    fn new(root: &Path) -> Self {
        // The real path, because entries below it are compared by path.
        let sys = fs::canonicalize(root.join("sys")).unwrap_or_else(|_| root.join("sys"));
        let scsi = entries(&sys.join("bus/scsi/devices")).into_iter().filter(|(_, path)| path.join("type").exists());
        Self {
            blocks: entries(&sys.join("class/block")).into_iter().map(|(_, path)| path).collect(),
            scsi: scsi.collect(),
            hosts: entries(&sys.join("class/scsi_host")),
            sys,
        }
    }

    fn serves(&self, device: &Path) -> bool {
        self.blocks.iter().chain(self.scsi.iter().map(|(_, path)| path)).any(|path| path.starts_with(device))
    }

    fn usb(&self, found: &mut Vec<Sought>) {
        let delay =
            read(&self.sys.join("module/usb_storage/parameters/delay_use")).map_or(USB_DELAY, |text| delay(&text));
        for (name, path) in entries(&self.sys.join("bus/usb/devices")) {
            if read(&path.join("bInterfaceClass")).as_deref() != Some(USB_STORAGE) || self.serves(&path) {
                continue;
            }
            let seeking = match link_name(&path.join("driver")) {
                Some(_) => Seeking::Usb { delay },
                None => Seeking::UsbWithoutDriver,
            };
            found.push(Sought { device: name, seeking });
        }
    }

    fn nvme(&self, found: &mut Vec<Sought>) {
        for (name, path) in entries(&self.sys.join("class/nvme")) {
            let state = read(&path.join("state")).unwrap_or_default();
            let namespaces = || entries(&path).iter().any(|(entry, _)| is_namespace(&name, entry));
            match state.as_str() {
                "new" | "resetting" | "connecting" => {
                    found.push(Sought { device: name, seeking: Seeking::Nvme { state } });
                }
                "live" if !namespaces() => found.push(Sought { device: name, seeking: Seeking::NvmeEmpty }),
                _ => {}
            }
        }
    }

    /// Hosts of ATA ports, USB adapters and Fibre Channel are recognised in other ways.
    fn scsi_hosts(&self, found: &mut Vec<Sought>) {
        for (name, path) in &self.hosts {
            let state = read(&path.join("state")).unwrap_or_default();
            if matches!(state.as_str(), "created" | "recovery") {
                found.push(Sought { device: name.clone(), seeking: Seeking::ScsiHost { state } });
                continue;
            }
            let Some(host) = ancestor(path, |part| part == name) else { continue };
            let own_signs = ancestor(&host, |part| numbered(part, "ata") || part.starts_with("usb")).is_some()
                || self.sys.join("class/fc_host").join(name).exists();
            if !own_signs && !self.serves(&host) {
                found.push(Sought { device: name.clone(), seeking: Seeking::ScsiHostEmpty });
            }
        }
    }

    fn scsi_disks(&self, found: &mut Vec<Sought>) {
        for (name, path) in &self.scsi {
            let disk = read(&path.join("type")).is_some_and(|kind| DISK_TYPES.contains(&kind.as_str()));
            // A device that was given up will not become a disk.
            let lost = matches!(read(&path.join("state")).as_deref(), Some("offline" | "cancel" | "deleted"));
            if disk && !lost && !self.blocks.iter().any(|block| block.starts_with(path)) && self.sd_drives() {
                found.push(Sought { device: name.clone(), seeking: Seeking::ScsiDisk });
            }
        }
    }

    /// Without sd no SCSI device becomes a disk, however long one waits.
    fn sd_drives(&self) -> bool {
        self.sys.join("bus/scsi/drivers/sd").exists()
    }

    fn links(&self, found: &mut Vec<Sought>) {
        for (name, path) in entries(&self.sys.join("class/ata_link")) {
            let speed = read(&path.join("sata_spd")).unwrap_or_default();
            let Some(port) = ancestor(&path, |part| numbered(part, "ata")) else { continue };
            if speed.ends_with("Gbps") && !self.serves(&port) {
                found.push(Sought { device: name, seeking: Seeking::Link { speed } });
            }
        }
    }

    fn fibre_channel(&self, found: &mut Vec<Sought>) {
        for (name, path) in entries(&self.sys.join("class/fc_host")) {
            let state = read(&path.join("port_state")).unwrap_or_default();
            let served = ancestor(&path, |part| part == name).is_some_and(|host| self.serves(&host));
            if !served {
                let state = if state == "Online" { "online without a target".to_owned() } else { state };
                found.push(Sought { device: name, seeking: Seeking::FibreChannel { state } });
            }
        }
        for (name, path) in entries(&self.sys.join("class/fc_remote_ports")) {
            let state = read(&path.join("port_state")).unwrap_or_default();
            if state == "Blocked" {
                found.push(Sought { device: name, seeking: Seeking::FibreChannel { state } });
            }
        }
    }

    /// Controllers without any other sign: no SCSI host, no ATA port, no NVMe controller.
    fn functions(&self, found: &mut Vec<Sought>) {
        let below = |class: &str| entries(&self.sys.join("class").join(class)).into_iter().map(|(_, path)| path);
        let told: Vec<PathBuf> = ["scsi_host", "ata_port", "nvme", "mmc_host"]
            .into_iter()
            .flat_map(below)
            .chain(self.blocks.clone())
            .collect();
        for (name, path) in entries(&self.sys.join("bus/pci/devices")) {
            let storage = read(&path.join("class")).is_some_and(|class| class.starts_with(STORAGE_CLASS));
            // A controller without a driver has no disks for us.
            let Some(driver) = link_name(&path.join("driver")).filter(|_| storage) else { continue };
            if !told.iter().any(|other| other.starts_with(&path)) {
                found.push(Sought { device: name, seeking: Seeking::Function { driver } });
            }
        }
    }

    fn volumes(&self, found: &mut Vec<Sought>) {
        for (name, path) in entries(&self.sys.join("class/block")) {
            if let Some(state) = read(&path.join("md/array_state")).filter(|state| state == "inactive") {
                found.push(Sought { device: name.clone(), seeking: Seeking::Array { state } });
            }
            let map = read(&path.join("dm/uuid")).is_some_and(|uuid| uuid.starts_with("mpath-"));
            if map && entries(&path.join("slaves")).is_empty() {
                found.push(Sought { device: name, seeking: Seeking::Multipath });
            }
        }
    }
}

/// Seconds, or milliseconds with their unit: newer kernels accept both.
fn delay(text: &str) -> Duration {
    match text.strip_suffix("ms") {
        Some(number) => number.parse().map_or(USB_DELAY, Duration::from_millis),
        None => text.parse().map_or(USB_DELAY, Duration::from_secs),
    }
}

/// `nvme0n1`, or `nvme0c1n1` if the kernel combines the paths of one namespace.
fn is_namespace(controller: &str, entry: &str) -> bool {
    let rest = entry.strip_prefix(controller);
    rest.is_some_and(|rest| rest.starts_with(['n', 'c']) && rest.ends_with(|c: char| c.is_ascii_digit()))
}

/// `ata7`.
fn numbered(part: &str, word: &str) -> bool {
    part.strip_prefix(word).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The nearest parent directory whose name matches; the path itself does not count.
fn ancestor(path: &Path, fits: impl Fn(&str) -> bool) -> Option<PathBuf> {
    path.ancestors()
        .skip(1)
        .find(|one| one.file_name().and_then(|name| name.to_str()).is_some_and(&fits))
        .map(Path::to_owned)
}

fn link_name(path: &Path) -> Option<String> {
    Some(fs::read_link(path).ok()?.file_name()?.to_string_lossy().into_owned())
}

fn read(path: &Path) -> Option<String> {
    Some(String::from_utf8_lossy(&fs::read(path).ok()?).trim().to_owned())
}

/// Names and real paths, sorted; none if the directory does not exist.
fn entries(directory: &Path) -> Vec<(String, PathBuf)> {
    let Ok(list) = fs::read_dir(directory) else { return Vec::new() };
    let mut found: Vec<(String, PathBuf)> = list
        .flatten()
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, fs::canonicalize(entry.path()).ok()?)))
        .collect();
    found.sort();
    found
}
