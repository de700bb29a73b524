//! Parses /etc/fstab and resolves its device names within an image.

use crate::files::lines;
use crate::volumes::Volume;

/// A line of fstab(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FstabLine {
    pub what: String,
    pub at: String,
    pub filesystem: String,
    pub options: Vec<String>,
}

pub fn parse(text: &str) -> Vec<FstabLine> {
    let line = |line: &str| {
        let mut fields = line.split_whitespace().map(unescaped);
        let (what, at) = (fields.next()?, fields.next()?);
        let filesystem = fields.next().unwrap_or_default();
        let options = fields.next().unwrap_or_default().split(',').map(str::to_owned).collect();
        Some(FstabLine { what: what.trim_matches('"').replace("=\"", "=").replace('"', ""), at, filesystem, options })
    };
    lines(text).filter_map(line).collect()
}

/// `\040` is a blank.
fn unescaped(field: &str) -> String {
    ["\\040", "\\011", "\\134"]
        .into_iter()
        .zip([" ", "\t", "\\"])
        .fold(field.to_owned(), |field, (from, to)| field.replace(from, to))
}

impl FstabLine {
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
    }

    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|known| known == option)
    }
}

/// What the name of a block device refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// A UUID, which the image itself contains.
    Uuid(String),
    Label(String),
    PartUuid(String),
    PartLabel(String),
    /// `GROUP/VOLUME`.
    Logical(String),
    /// A name given by the kernel, or by a disk's location or serial number.
    Device(String),
    /// Not a block device, or one that does not depend on hardware.
    Other,
}

/// Interprets `UUID=...`, `/dev/...` and so on.
pub fn named(what: &str) -> Named {
    let what = what.trim_matches('"');
    for (tag, link) in
        [("UUID", "by-uuid"), ("LABEL", "by-label"), ("PARTUUID", "by-partuuid"), ("PARTLABEL", "by-partlabel")]
    {
        let value = what.strip_prefix(tag).and_then(|rest| rest.strip_prefix('='));
        let value = value.or_else(|| what.strip_prefix(&format!("/dev/disk/{link}/")));
        if let Some(value) = value {
            let value = value.trim_matches(['"', '\'']).to_owned();
            return match tag {
                "UUID" => Named::Uuid(value),
                "LABEL" => Named::Label(value),
                "PARTUUID" => Named::PartUuid(value),
                _ => Named::PartLabel(value),
            };
        }
    }
    let Some(device) = what.strip_prefix("/dev/") else { return Named::Other };
    if device.starts_with("disk/") {
        // by-id, by-path and by-diskseq refer to this machine's hardware. The other directories refer to names within
        // the image.
        let own = ["by-dname", "by-designator", "by-loop"].iter().any(|own| device.contains(own));
        return if own { Named::Other } else { Named::Device(what.to_owned()) };
    }
    if let Some(mapped) = device.strip_prefix("mapper/") {
        return mapper(mapped).map_or(Named::Other, Named::Logical);
    }
    let kernel =
        ["sd", "vd", "hd", "xvd", "nvme", "mmcblk", "md", "dm-", "loop", "nbd", "ubd", "dasd", "pmem", "cciss"];
    let is_kernel = |name: &str| kernel.iter().any(|prefix| is_device(name, prefix));
    match device.split_once('/') {
        None if is_kernel(device) => Named::Device(what.to_owned()),
        Some(("md" | "cciss", _)) => {
            if device.starts_with("md/") {
                Named::Other
            } else {
                Named::Device(what.to_owned())
            }
        }
        Some((group, volume)) if !volume.contains('/') => Named::Logical(format!("{group}/{volume}")),
        _ => Named::Other,
    }
}

/// `sda1`, `nvme0n1p2`: the prefix, and then a letter or a digit as the kernel has it.
fn is_device(name: &str, prefix: &str) -> bool {
    let Some(rest) = name.strip_prefix(prefix) else { return false };
    let letters = matches!(prefix, "sd" | "vd" | "hd" | "xvd" | "ubd" | "dasd");
    let first = rest.bytes().next().unwrap_or(b' ');
    let tail = rest.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
    tail && if letters { first.is_ascii_lowercase() } else { first.is_ascii_digit() }
}

/// `vg-root` is volume `root` of group `vg`; a hyphen in a name is doubled.
fn mapper(name: &str) -> Option<String> {
    let marked = name.replace("--", "\0");
    let (group, volume) = marked.split_once('-')?;
    Some(format!("{group}/{volume}").replace('\0', "-"))
}

/// The volume that is referred to, if it is in the image.
pub fn volume<'a>(volumes: &'a [Volume], named: &Named) -> Option<&'a Volume> {
    let same = |own: Option<&str>, wanted: &str| own.is_some_and(|own| own.eq_ignore_ascii_case(wanted));
    volumes.iter().find(|one| match named {
        Named::Uuid(uuid) => same(one.uuid.as_deref(), uuid),
        Named::Label(label) => one.label.as_deref() == Some(label),
        Named::PartUuid(uuid) => same(one.guid.map(|guid| guid.to_string()).as_deref(), uuid),
        Named::PartLabel(label) => one.number.is_some() && one.name == *label,
        Named::Logical(name) => one.number.is_none() && one.name == *name,
        // The number at the end is the partition number.
        Named::Device(device) => {
            let digits = device.trim_end_matches(|c: char| c.is_ascii_digit()).len();
            one.number.is_some() && device.get(digits..).and_then(|number| number.parse().ok()) == one.number
        }
        Named::Other => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices_are_told_from_names_of_the_image() {
        for device in
            ["/dev/sda1", "/dev/vda", "/dev/nvme0n1p2", "/dev/mmcblk0p1", "/dev/disk/by-path/pci-0000", "/dev/md0"]
        {
            assert_eq!(named(device), Named::Device(device.to_owned()), "{device}");
        }
        for (text, wanted) in [
            ("UUID=ab-c", Named::Uuid("ab-c".into())),
            ("/dev/disk/by-uuid/ab-c", Named::Uuid("ab-c".into())),
            ("LABEL=\"root\"", Named::Label("root".into())),
            ("/dev/mapper/my--vg-root", Named::Logical("my-vg/root".into())),
            ("/dev/vg0/root", Named::Logical("vg0/root".into())),
            ("/dev/mapper/luks", Named::Other),
            ("tmpfs", Named::Other),
            ("/dev/sdcard-like", Named::Other),
            ("/dev/root", Named::Other),
        ] {
            assert_eq!(named(text), wanted, "{text}");
        }
    }
}
