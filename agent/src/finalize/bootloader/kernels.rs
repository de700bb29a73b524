//! The kernels of a tree, in the locations that distributions use.

use super::{BootError, System};
use std::cmp::Ordering;

/// Paths below the root of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    pub version: String,
    pub image: String,
    pub ramdisk: String,
}

/// All of them, the newest first; rescue kernels come last. Each needs a ramdisk, without which `root=UUID=` cannot be
/// found.
pub fn find(system: System<'_>) -> Result<Vec<Kernel>, BootError> {
    let mut found: Vec<(String, String)> = Vec::new();
    for name in system.list("boot")? {
        if let Some(version) = name.strip_prefix("vmlinuz-").filter(|version| !version.ends_with(".old")) {
            found.push((version.to_owned(), format!("boot/{name}")));
        }
    }
    for version in system.list("usr/lib/modules")? {
        let image = format!("usr/lib/modules/{version}/vmlinuz");
        if found.iter().all(|(known, _)| *known != version) && system.has(&image)? {
            found.push((version, image));
        }
    }
    found.sort_by(|(a, _), (b, _)| is_rescue(a).cmp(&is_rescue(b)).then_with(|| compare(b, a)));
    let (mut kernels, mut without) = (Vec::new(), None);
    for (version, image) in found {
        let places = [
            format!("boot/initrd.img-{version}"),
            format!("boot/initramfs-{version}.img"),
            format!("boot/initrd-{version}"),
            format!("usr/lib/modules/{version}/initramfs.img"),
            format!("usr/lib/modules/{version}/initrd"),
        ];
        match system.first(&places)? {
            Some(ramdisk) => kernels.push(Kernel { version, image, ramdisk }),
            None => without = without.or(Some(version)),
        }
    }
    match (kernels.is_empty(), without) {
        (false, _) => Ok(kernels),
        (true, Some(version)) => Err(BootError::NoRamdisk { version }),
        (true, None) => Err(BootError::NoKernel),
    }
}

fn is_rescue(version: &str) -> bool {
    version.contains("rescue")
}

/// Compares digits as numbers and the rest as text: 6.1.0-9 comes before 6.1.0-10.
fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (pieces(a), pieces(b));
    for (one, other) in a.iter().zip(&b) {
        let order = match (one.parse::<u64>(), other.parse::<u64>()) {
            (Ok(one), Ok(other)) => one.cmp(&other),
            _ => one.cmp(other),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// Runs of digits, and the parts between them.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut digits = None;
    for character in text.chars() {
        let digit = character.is_ascii_digit();
        match pieces.last_mut() {
            Some(last) if digits == Some(digit) => last.push(character),
            _ => pieces.push(character.to_string()),
        }
        digits = Some(digit);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_as_numbers() {
        let mut versions = ["6.1.0-9-amd64", "6.10.1", "6.1.0-10-amd64", "5.15", "6.1.0", "linux"];
        versions.sort_by(|a, b| compare(a, b));
        assert_eq!(versions, ["5.15", "6.1.0", "6.1.0-9-amd64", "6.1.0-10-amd64", "6.10.1", "linux"]);
    }
}
