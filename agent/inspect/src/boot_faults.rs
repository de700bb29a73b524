//! Rules about faults that keep an image from booting on other machines.

use crate::faults::FaultRule;
use crate::files::{lines, variable};
use crate::fstab::{self, Named};
use crate::loader;
use crate::look::Look;
use crate::report::Severity;
use burin_table::gpt;
use burin_table::head::{Purpose, TableKind};

pub const FAULTS: &[FaultRule] = &[
    FaultRule {
        code: "check.foreign_format",
        severity: Severity::Error,
        why: "burin refuses to write it",
        remedy: "publish the disk's bytes, raw or qcow2: qemu-img convert -O qcow2 IN OUT",
        find: |look| look.foreign.iter().map(|what| format!("this is {what}")).collect(),
    },
    FaultRule {
        code: "check.table_damaged",
        severity: Severity::Error,
        why: "firmware and kernels find no partitions",
        remedy: "make the image again, or repair its table: sgdisk -e IMAGE",
        find: |look| match look.head.fault {
            None | Some(gpt::Fault::Length) => Vec::new(),
            Some(fault) => vec![format!("the GPT is damaged ({fault})")],
        },
    },
    FaultRule {
        code: "check.cut_short",
        severity: Severity::Error,
        why: "what lies behind its end is missing",
        remedy: "publish the whole image",
        find: cut_short,
    },
    FaultRule {
        code: "check.no_root",
        severity: Severity::Error,
        why: "nothing more is known about the system, and `root` in an order may not find it",
        remedy: "put an os-release file into the root filesystem; an image without a system cannot boot",
        find: |look| {
            let readable = look.foreign.is_none() && look.root.is_none() && look.unread.is_empty();
            if readable { vec!["no filesystem of the image has an os-release file".to_owned()] } else { Vec::new() }
        },
    },
    FaultRule {
        code: "check.no_kernel",
        severity: Severity::Error,
        why: "there is nothing to boot",
        remedy: "install a kernel package in the image",
        find: |look| {
            let none = look.root.is_some() && !look.is_archive() && look.kernels.is_empty();
            if none { vec!["no kernel was found in the image".to_owned()] } else { Vec::new() }
        },
    },
    FaultRule {
        code: "check.no_boot",
        severity: Severity::Error,
        why: "no firmware can boot it",
        remedy: "install a boot loader into the image: grub-install --target=x86_64-efi --removable, and grub-install DEVICE for BIOS",
        find: |look| {
            let none = look.boot.bios.is_none() && look.boot.uefi.is_empty();
            if look.root.is_some() && !look.is_archive() && none {
                vec!["neither boot code for BIOS nor a program on an EFI system partition".to_owned()]
            } else {
                Vec::new()
            }
        },
    },
    FaultRule {
        code: "check.no_fallback_loader",
        severity: Severity::Error,
        why: "UEFI boots it only with a boot entry, which is lost when NVRAM is cleared or the disk moves",
        remedy: "run grub-install --removable (Debian: --force-extra-removable), or bootctl install, or copy the loader to EFI/BOOT/BOOTX64.EFI",
        find: |look| match look.boot.uefi.first() {
            Some(first) if !look.boot.uefi.iter().any(|loader| loader.fallback) => {
                vec![format!(
                    "the EFI system partition has {} and nothing in EFI/BOOT that firmware looks for",
                    first.path
                )]
            }
            _ => Vec::new(),
        },
    },
    FaultRule {
        code: "check.no_uefi",
        severity: Severity::Warning,
        why: "newer servers have UEFI only",
        remedy: "add an EFI system partition with a boot loader: grub-install --target=x86_64-efi --removable",
        find: |look| match (&look.boot.bios, look.boot.uefi.is_empty()) {
            (Some(bios), true) if !look.is_archive() => vec![format!("it boots by BIOS only ({bios})")],
            _ => Vec::new(),
        },
    },
    FaultRule {
        code: "check.root_device",
        severity: Severity::Error,
        why: "the disk has another name on other hardware, and may have another after a restart",
        remedy: "use root=UUID=...; with GRUB, remove GRUB_DISABLE_LINUX_UUID and run update-grub with /dev/disk mounted",
        find: root_device,
    },
    FaultRule {
        code: "check.root_unknown",
        severity: Severity::Error,
        why: "the kernel waits for a filesystem that never appears",
        remedy: "regenerate the boot loader's configuration after the filesystems are made: update-grub, kernel-install",
        find: |look| unknown(look, "root"),
    },
    FaultRule {
        code: "check.resume_unknown",
        severity: Severity::Warning,
        why: "at every boot the ramdisk waits half a minute or more for a swap that never appears",
        remedy: "remove resume= from the command line and from the ramdisk (/etc/initramfs-tools/conf.d/resume: RESUME=none)",
        find: resume_unknown,
    },
    FaultRule {
        code: "check.loader_unknown",
        severity: Severity::Error,
        why: "GRUB looks for a filesystem that the image does not have, and stops at its prompt",
        remedy: "run grub-install and update-grub again, once the filesystems have their final UUIDs",
        find: loader_unknown,
    },
    FaultRule {
        code: "check.fstab_device",
        severity: Severity::Error,
        why: "the disk has another name on other hardware: the boot stops and waits for it",
        remedy: "use UUID=..., LABEL=... or PARTUUID=... instead (blkid prints them)",
        find: fstab_device,
    },
    FaultRule {
        code: "check.fstab_unknown",
        severity: Severity::Error,
        why: "the boot waits for it and ends in emergency mode",
        remedy: "correct the line, or add nofail",
        find: fstab_unknown,
    },
    FaultRule {
        code: "check.swap_behind_root",
        severity: Severity::Error,
        why: "on a larger disk the root cannot grow over it",
        remedy: "put the swap before the root, or use a swap file",
        find: swap_behind_root,
    },
    FaultRule {
        code: "check.no_serial_console",
        severity: Severity::Warning,
        why: "servers are watched over a serial line or a BMC, which then show nothing",
        remedy: "add console=tty0 console=ttyS0,115200 to the kernel command line",
        find: |look| {
            let lines = &look.boot.command_lines;
            let serial = |word: &str| word.strip_prefix("console=").is_some_and(|name| !name.starts_with("tty0"));
            let any = lines.iter().any(|line| line.words.split_whitespace().any(serial));
            if lines.is_empty() || any {
                Vec::new()
            } else {
                vec!["no kernel command line has a serial console".to_owned()]
            }
        },
    },
];

fn cut_short(look: &Look) -> Vec<String> {
    match look.head.reach() {
        Some(reach) if reach > look.image.bytes && look.head.table != TableKind::None => {
            vec![format!("its last partition ends at byte {reach}, the image at byte {}", look.image.bytes)]
        }
        _ => Vec::new(),
    }
}

fn root_device(look: &Look) -> Vec<String> {
    let mut found = Vec::new();
    for (from, word) in look.all_words() {
        let value = word.strip_prefix("root=").or_else(|| word.strip_prefix("resume="));
        let device = value.filter(|value| matches!(fstab::named(value), Named::Device(_)));
        if device.is_some() || word.starts_with("rd.root=/dev/sd") {
            found.push(format!("{word} in {from}"));
        }
    }
    for (found_in, path, text) in ramdisk_texts(look) {
        let root = variable(&text, "ROOT").filter(|root| matches!(fstab::named(root), Named::Device(_)));
        found.extend(root.map(|root| format!("ROOT={root} in {path} of {found_in}")));
    }
    found
}

/// Texts in ramdisks that they use themselves: ramdisk, path, text.
fn ramdisk_texts(look: &Look) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for kernel in &look.kernels {
        let (Some(ramdisk), Some(report)) = (&kernel.ramdisk, &kernel.kernel.ramdisk) else { continue };
        for (path, bytes) in &ramdisk.kept {
            found.push((report.path.clone(), path.clone(), String::from_utf8_lossy(bytes).into_owned()));
        }
    }
    found
}

/// Every `root=UUID=...` of a filesystem that is not in the image.
fn unknown(look: &Look, name: &str) -> Vec<String> {
    if look.volumes.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (from, word) in look.all_words() {
        let value = word.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
        let Some(named) = value.map(fstab::named).filter(is_own) else { continue };
        if fstab::volume(&look.volumes, &named).is_none() && may_judge(look, &named) {
            found.push(format!("{word} in {from}, and the image has no such filesystem"));
        }
    }
    found
}

fn is_own(named: &Named) -> bool {
    !matches!(named, Named::Device(_) | Named::Other)
}

/// Whether a name can be judged: not if it may refer to something that could not be inspected.
fn may_judge(look: &Look, named: &Named) -> bool {
    let closed = look.volumes.iter().any(|one| {
        let group = one.filesystem == Some("LVM2_member") && one.group.is_none();
        group || matches!(one.filesystem, Some("crypto_LUKS" | "linux_raid_member"))
    });
    match named {
        Named::PartUuid(_) | Named::PartLabel(_) => look.head.table == TableKind::Gpt,
        Named::Logical(_) => !closed && look.volumes.iter().any(|one| one.group.is_some()),
        _ => !closed,
    }
}

fn resume_unknown(look: &Look) -> Vec<String> {
    let mut found = unknown(look, "resume");
    for (ramdisk, path, text) in ramdisk_texts(look) {
        let resume = variable(&text, "RESUME").map(|value| fstab::named(&value)).filter(is_own);
        if let Some(named) = resume
            && fstab::volume(&look.volumes, &named).is_none()
            && may_judge(look, &named)
        {
            found.push(format!("{} in {path} of {ramdisk}, and the image has no such swap", text.trim()));
        }
    }
    found
}

fn loader_unknown(look: &Look) -> Vec<String> {
    let mut found = Vec::new();
    let Some(files) = look.files().filter(|_| !look.volumes.is_empty()) else { return found };
    let mut paths: Vec<String> = ["/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"].map(str::to_owned).to_vec();
    for esp in ["/boot/efi", "/efi", "/boot"] {
        let vendors = files.list(&format!("{esp}/EFI")).into_iter();
        paths.extend(vendors.map(|vendor| format!("{esp}/EFI/{}/grub.cfg", vendor.name)));
    }
    for path in paths {
        let Some(text) = files.text(&path) else { continue };
        for line in lines(&text) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let by_uuid = words.contains(&"--fs-uuid") && words.first() == Some(&"search");
            let uuid = match words.as_slice() {
                ["search.fs_uuid", uuid, ..] => Some(*uuid),
                _ if by_uuid => words.iter().rev().find(|word| !word.starts_with("--")).copied(),
                _ => None,
            };
            let Some(uuid) = uuid.map(|uuid| Named::Uuid(uuid.to_owned())) else { continue };
            if fstab::volume(&look.volumes, &uuid).is_none() && may_judge(look, &uuid) {
                found.push(format!("{path}: {line}"));
            }
        }
    }
    found
}

fn fstab_device(look: &Look) -> Vec<String> {
    let Some(root) = &look.root else { return Vec::new() };
    let mut found: Vec<String> = Vec::new();
    let removable = |at: &str| at.starts_with("/media/");
    for line in root.fstab.iter().filter(|line| !removable(&line.at)) {
        if let Named::Device(device) = fstab::named(&line.what) {
            found.push(format!("/etc/fstab: {device} on {}", line.at));
        }
    }
    for line in lines(&root.files.text("/etc/crypttab").unwrap_or_default()) {
        let mut fields = line.split_whitespace();
        if let (Some(name), Some(Named::Device(device))) = (fields.next(), fields.next().map(fstab::named)) {
            found.push(format!("/etc/crypttab: {device} for {name}"));
        }
    }
    for path in root.files.ending("/etc/systemd/system", ".mount") {
        let text = root.files.text(&path).unwrap_or_default();
        if let Some(Named::Device(device)) = variable(&text, "What").map(|what| fstab::named(&what)) {
            found.push(format!("{path}: {device}"));
        }
    }
    found
}

fn fstab_unknown(look: &Look) -> Vec<String> {
    let Some(root) = look.root.as_ref().filter(|root| root.volume.is_some()) else { return Vec::new() };
    let mut found = Vec::new();
    for line in root.fstab.iter().filter(|line| !line.has("nofail") && !line.has("noauto")) {
        let named = fstab::named(&line.what);
        if is_own(&named) && fstab::volume(&look.volumes, &named).is_none() && may_judge(look, &named) {
            found.push(format!("/etc/fstab: {} on {}, and the image has no such filesystem", line.what, line.at));
        }
    }
    found
}

fn swap_behind_root(look: &Look) -> Vec<String> {
    let Some(root) = look.root_volume() else { return Vec::new() };
    // A logical volume grows with its group, so the partition with the group counts.
    let holder = match root.number {
        Some(_) => Some(root),
        None => {
            let group = root.name.split('/').next();
            look.volumes.iter().find(|one| one.group.is_some() && one.group.as_deref() == group)
        }
    };
    let Some(holder) = holder else { return Vec::new() };
    let swap = |one: &&crate::volumes::Volume| {
        let swap = one.purpose == Purpose::Swap || one.filesystem == Some("swap");
        swap && one.number.is_some() && one.start > holder.start
    };
    let behind = look.volumes.iter().filter(swap);
    behind.map(|one| format!("{} is swap and lies behind the root, {}", one.called(), holder.called())).collect()
}

/// Whether firmware finds a loader without a boot entry, for the order's report.
pub fn has_loader(look: &Look) -> bool {
    look.volumes.iter().any(loader::is_esp) && !look.boot.uefi.is_empty()
}
