//! udev's own word on a made-up machine: its files in a directory, mounted over `/sys` for one `udevadm`.

use crate::support::{self, Machine};
use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// `ID_PATH` of block devices of the machine, in the order of their names; `None` with a word about it where udev cannot be
/// asked.
pub fn places(machine: &Machine, names: &[String]) -> Option<Vec<Option<String>>> {
    if !support::has("udevadm") || !support::has("unshare") {
        return None;
    }
    let root = tempfile::tempdir().expect("a temporary directory");
    write(machine, root.path());
    names
        .iter()
        .map(|name| {
            let device = machine.links.get(&format!("/sys/block/{name}")).expect("a disk");
            let found = id_path(root.path(), device);
            if found.is_none() {
                println!("not compared: udevadm cannot look below another /sys here");
            }
            found
        })
        .collect()
}

/// `ID_PATH` of a device below `root/sys`; the outer `None` where it cannot be asked.
pub fn id_path(root: &Path, device: &str) -> Option<Option<String>> {
    let script = "mount --bind \"$0/sys\" /sys && exec udevadm test-builtin path_id \"$1\"";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(root)
        .arg(device)
        .env("SYSTEMD_DEVICE_VERIFY_SYSFS", "0")
        .output()
        .ok()?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    if ["mount:", "unshare:", "Failed to open device", "No such device"].iter().any(|e| errors.contains(e)) {
        println!("{errors}");
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.lines().find_map(|l| l.strip_prefix("ID_PATH=")).map(str::to_owned))
}

/// Files and links, and what the kernel adds to every device: `uevent`, and a link to its bus or class.
fn write(machine: &Machine, root: &Path) {
    let at = |path: &str| root.join(path.trim_start_matches('/'));
    let mut devices = BTreeSet::new();
    for (path, bytes) in machine.files.iter().filter(|(path, _)| path.starts_with("/sys/")) {
        std::fs::create_dir_all(at(path).parent().expect("below the root")).expect("writable");
        std::fs::write(at(path), bytes).expect("writable");
        let mut above = path.rsplit_once('/').map(|(directory, _)| directory);
        while let Some(directory) = above.filter(|d| d.starts_with("/sys/devices/")) {
            devices.insert(directory.to_owned());
            above = directory.rsplit_once('/').map(|(directory, _)| directory);
        }
    }
    for device in &devices {
        let parts: Vec<&str> = device.trim_start_matches("/sys/devices/").split('/').collect();
        let Some((kind, subsystem, devtype)) = what(&parts) else { continue };
        std::fs::write(at(&format!("{device}/uevent")), devtype.map(|t| format!("DEVTYPE={t}\n")).unwrap_or_default())
            .expect("writable");
        if subsystem.is_empty() {
            continue;
        }
        let home = format!("/sys/{kind}/{subsystem}");
        let name = parts.last().expect("a name");
        let entry = if kind == "bus" { format!("{home}/devices/{name}") } else { format!("{home}/{name}") };
        std::fs::create_dir_all(at(&entry).parent().expect("below the root")).expect("writable");
        let _ = symlink(device, at(&entry));
        let _ = symlink(home, at(&format!("{device}/subsystem")));
    }
    for (path, target) in machine.links.iter().filter(|(path, _)| path.starts_with("/sys/")) {
        std::fs::create_dir_all(at(path).parent().expect("below the root")).expect("writable");
        let _ = symlink(target, at(path));
    }
}

/// Bus or class, its name, and the type of a device, as the kernel has them; `None` for directories that are no devices.
fn what(parts: &[&str]) -> Option<(&'static str, &'static str, Option<&'static str>)> {
    const CLASSES: &[&str] =
        &["sas_port", "sas_device", "fc_transport", "iscsi_session", "iscsi_connection", "ata_port", "mmc_host"];
    let (name, above) = (*parts.last()?, parts.len().checked_sub(2).map(|n| parts[n]).unwrap_or_default());
    let starts = |prefix: &str| name.starts_with(prefix);
    let digit = name.starts_with(|c: char| c.is_ascii_digit());
    if let Some(class) = CLASSES.iter().find(|class| above == **class) {
        return Some(("class", class, None));
    }
    Some(match name {
        "block" | "nvme" | "virtual" | "platform" | "queue" => return None,
        _ if CLASSES.contains(&name) => return None,
        _ if above == "block" => ("class", "block", Some("disk")),
        _ if name.contains("n1") && above.starts_with("nvme") => ("class", "block", Some("disk")),
        _ if starts("nvme") => ("class", "nvme", None),
        _ if starts("pci") || starts("css") => ("bus", "", None),
        _ if digit && name.split(':').count() == 4 => ("bus", "scsi", Some("scsi_device")),
        _ if starts("target") => ("bus", "scsi", Some("scsi_target")),
        _ if starts("host") => ("bus", "scsi", Some("scsi_host")),
        _ if starts("usb") || (digit && name.contains('-') && !name.contains(':')) => {
            ("bus", "usb", Some("usb_device"))
        }
        _ if digit && name.contains('-') => ("bus", "usb", Some("usb_interface")),
        _ if digit && name.matches(':').count() == 2 => ("bus", "pci", None),
        _ if starts("virtio") => ("bus", "virtio", None),
        _ if starts("VMBUS") || starts("ACPI") || starts("LNX") => ("bus", "acpi", None),
        _ if above.starts_with("VMBUS") => ("bus", "vmbus", None),
        _ if starts("0.0.") && above.starts_with("0.0.") => ("bus", "ccw", None),
        _ if starts("0.0.") => ("bus", "css", None),
        _ if starts("vbd-") => ("bus", "xen", None),
        _ if starts("c0d") => ("bus", "cciss", None),
        _ if starts("mmc0:") || starts("mmc1:") => ("bus", "mmc", None),
        _ if ["port-", "end_device", "expander", "rport", "session", "connection", "ata"].iter().any(|p| starts(p)) => {
            ("bus", "", None)
        }
        _ if parts.contains(&"platform") && !parts.iter().any(|p| p.starts_with("pci")) => ("bus", "platform", None),
        _ => ("bus", "", None),
    })
}
