//! Rules about ramdisks that work only on the machine that built them.

use crate::drivers::{HARDWARE, Need};
use crate::faults::FaultRule;
use crate::files::variable;
use crate::look::Look;
use crate::report::{Drivers, Severity};
use crate::system::KernelFound;

pub const FAULTS: &[FaultRule] = &[
    FaultRule {
        code: "check.ramdisk_narrow",
        severity: Severity::Error,
        why: "machines with such disks do not find their root",
        remedy: "install the full kernel instead of a cloud one; set MODULES=most in /etc/initramfs-tools/initramfs.conf and run update-initramfs -u; dracut: --no-hostonly",
        find: ramdisk_narrow,
    },
    FaultRule {
        code: "check.ramdisk_broken",
        severity: Severity::Error,
        why: "the kernel stops unpacking there",
        remedy: "make it again: update-initramfs -u, dracut -f, mkinitcpio -P",
        find: |look| {
            let broken = |found: &KernelFound| {
                let error = found.ramdisk.as_ref()?.broken.as_ref()?;
                Some(format!("{}: {error}", found.kernel.ramdisk.as_ref()?.path))
            };
            look.kernels.iter().filter_map(broken).collect()
        },
    },
    FaultRule {
        code: "check.ramdisk_hostonly",
        severity: Severity::Warning,
        why: "the next update of the kernel builds a ramdisk for one machine only",
        remedy: "set MODULES=most (initramfs-tools) or hostonly=no (dracut), or remove the autodetect hook (mkinitcpio)",
        find: hostonly,
    },
    FaultRule {
        code: "check.drivers_missing",
        severity: Severity::Warning,
        why: "such machines do not boot, or boot without a network",
        remedy: "install the full kernel instead of a cloud one, and put the drivers into the ramdisk",
        find: drivers_missing,
    },
];

fn has_any(drivers: &Drivers) -> bool {
    !drivers.built_in.is_empty() || !drivers.ramdisk.is_empty()
}

fn ramdisk_narrow(look: &Look) -> Vec<String> {
    let mut found = Vec::new();
    for kernel in &look.kernels {
        let Some(ramdisk) = kernel.kernel.ramdisk.as_ref().filter(|_| !is_generic(kernel)) else { continue };
        let missing = HARDWARE.iter().filter(|hardware| {
            let drivers = kernel.kernel.drivers.get(hardware.name);
            hardware.need == Need::Disk && !drivers.is_some_and(has_any)
        });
        let missing: Vec<&str> = missing.map(|hardware| hardware.name).collect();
        if !missing.is_empty() {
            found.push(format!("{} has no driver for {} disks", ramdisk.path, missing.join(" and ")));
        }
    }
    found
}

/// Whether its ramdisk is exempt from these rules: one that could not be read completely is reported only for that.
fn is_generic(kernel: &KernelFound) -> bool {
    kernel.ramdisk.as_ref().is_some_and(|ramdisk| ramdisk.broken.is_some())
}

fn hostonly(look: &Look) -> Vec<String> {
    let Some(files) = look.files() else { return Vec::new() };
    let mut found = Vec::new();
    let mut check = |path: String, name: &str, bad: &[&str]| {
        let value = files.text(&path).and_then(|text| variable(&text, name));
        if let Some(value) = value.filter(|value| bad.contains(&value.trim())) {
            found.push(format!("{path}: {name}={value}"));
        }
    };
    check("/etc/initramfs-tools/initramfs.conf".to_owned(), "MODULES", &["dep", "list"]);
    for path in files.list("/etc/initramfs-tools/conf.d") {
        check(format!("/etc/initramfs-tools/conf.d/{}", path.name), "MODULES", &["dep", "list"]);
    }
    let mut dracut = vec!["/etc/dracut.conf".to_owned()];
    dracut.extend(files.ending("/etc/dracut.conf.d", ".conf"));
    for path in dracut {
        check(path, "hostonly", &["yes", "true", "1"]);
    }
    found
}

fn drivers_missing(look: &Look) -> Vec<String> {
    let mut found = Vec::new();
    for kernel in look.kernels.iter().filter(|kernel| kernel.ramdisk.is_some() && !is_generic(kernel)) {
        for hardware in HARDWARE.iter().filter(|hardware| hardware.need != Need::Disk) {
            let Some(drivers) = kernel.kernel.drivers.get(hardware.name) else { continue };
            let late = hardware.need == Need::Network && !drivers.root.is_empty();
            if !has_any(drivers) && !late {
                let place = if hardware.need == Need::Network { "" } else { "the ramdisk of " };
                found.push(format!("{place}kernel {} has no driver for {}", kernel.kernel.version, hardware.name));
            }
        }
    }
    found
}
