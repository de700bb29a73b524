//! The NOTICE: what the output contains, its licences, and where to get the source.

use std::fmt::Write as _;

use crate::debian::Package;

/// The crates linked into the agent, with their licences, collected when this builder was compiled. Empty if cargo
/// could not list them.
pub const CRATES: &str = include_str!(concat!(env!("OUT_DIR"), "/crates.txt"));

/// Packages of the C libraries linked into the agent, on the machine that compiled this builder: lines of `package
/// version source source-version`.
pub const LIBRARIES: &str = include_str!(concat!(env!("OUT_DIR"), "/libraries.txt"));

/// The contents that the notice describes.
#[derive(Debug)]
pub struct Carried<'a> {
    /// `uname -r`.
    pub kernel_release: &'a str,
    /// The kernel's package, if it came from one.
    pub kernel_package: Option<&'a Package>,
    /// (package or `None`, what was taken from it).
    pub others: &'a [(Option<Package>, String)],
    /// Text about the crates: [`CRATES`], or a file that the user gave.
    pub crates: &'a str,
    /// [`LIBRARIES`].
    pub libraries: &'a str,
    /// Number of firmware files, which have terms of their own.
    pub firmware_files: usize,
}

/// Writes the notice.
pub fn text(carried: &Carried<'_>) -> String {
    let mut out = String::from(
        "burin: what this ramdisk carries\n\
         ================================\n\n\
         burin itself (/init) is licensed under the Apache License, Version 2.0; its source is what this notice was\n\
         built from. It is linked statically with the libraries and crates below. Nothing here takes away rights that\n\
         their licences give you.\n\n\
         Linux kernel and modules\n\
         ------------------------\n\n",
    );
    let release = carried.kernel_release;
    let _ = writeln!(
        out,
        "Linux {release}, GPL-2.0-only WITH Linux-syscall-note; modules as each one's license field says."
    );
    match carried.kernel_package {
        Some(package) => out.push_str(&from_package(package)),
        None => out.push_str(
            "Taken from files, not from a package: whoever gives this ramdisk on also gives the kernel's source.\n",
        ),
    }
    out.push_str("\nC libraries linked into /init\n-----------------------------\n\n");
    let mut known = 0;
    for package in carried.libraries.lines().filter_map(library) {
        let _ = writeln!(out, "{}: {}", package.source, licence_of(&package.source));
        out.push_str(&from_package(&package));
        known += 1;
    }
    if known == 0 {
        out.push_str(
            "libblkid of util-linux: LGPL-2.1-or-later\nGNU C Library: LGPL-2.1-or-later\n\
             Their versions are those of the machine that compiled the agent.\n",
        );
    }
    out.push_str(
        "\nThe LGPL lets you run burin with a changed libblkid or C library: install yours where the linker finds the\n\
         static archives (libblkid.a, libc.a), build burin from its source with `cargo build --release -p burin`, and\n\
         build this ramdisk anew with the result.\n",
    );
    out.push_str(
        "\nTables inside /init\n------------------\n\n\
         pci.ids (https://pci-ids.ucw.cz/) and usb.ids (http://www.linux-usb.org/usb.ids), BSD-3-Clause: compressed and\n\
         otherwise unchanged, so that each table's own head names its version and maintainers.\n",
    );
    if !carried.others.is_empty() {
        out.push_str("\nOther files\n-----------\n\n");
        for (package, what) in carried.others {
            let _ = writeln!(out, "{what}");
            if let Some(package) = package {
                out.push_str(&from_package(package));
            }
        }
    }
    if carried.firmware_files > 0 {
        let n = carried.firmware_files;
        let _ = write!(
            out,
            "\nFirmware\n--------\n\n{n} files under /lib/firmware, each under its maker's terms (WHENCE and LICENSE files of\n\
             linux-firmware): whoever gives this ramdisk on has to keep to them.\n"
        );
    }
    out.push_str("\nRust crates linked into /init\n-----------------------------\n\n");
    out.push_str(carried.crates.trim_end());
    out.push('\n');
    out
}

fn from_package(package: &Package) -> String {
    let Package { name, version, source, source_version } = package;
    format!(
        "    Debian package {name} {version}, built from source {source} {source_version}:\n\
         \x20   apt-get source {source}={source_version}\n\
         \x20   https://snapshot.debian.org/package/{source}/{escaped}/\n",
        escaped = source_version.replace('+', "%2B").replace(':', "%3A")
    )
}

pub(crate) fn library(line: &str) -> Option<Package> {
    let mut words = line.split_whitespace().map(str::to_owned);
    Some(Package { name: words.next()?, version: words.next()?, source: words.next()?, source_version: words.next()? })
}

fn licence_of(source: &str) -> &'static str {
    match source {
        "util-linux" => "libblkid, LGPL-2.1-or-later",
        "glibc" => "GNU C Library, LGPL-2.1-or-later",
        _ if source.starts_with("gcc") => "libgcc, GPL-3.0-or-later WITH GCC-exception-3.1",
        _ => "see the package's copyright file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_told_with_its_source() {
        let kernel = Package {
            name: "linux-image-6.1.0-9-amd64".into(),
            version: "6.1.27-1".into(),
            source: "linux-signed-amd64".into(),
            source_version: "6.1.27+1".into(),
        };
        let text = text(&Carried {
            kernel_release: "6.1.0-9-amd64",
            kernel_package: Some(&kernel),
            others: &[(None, "CA certificates, MPL-2.0".into())],
            crates: "serde 1.0 MIT OR Apache-2.0",
            libraries: "libblkid-dev 2.38.1-5 util-linux 2.38.1-5\nlibc6-dev 2.36-9 glibc 2.36-9\n",
            firmware_files: 0,
        });
        for part in [
            "Linux 6.1.0-9-amd64, GPL-2.0-only",
            "apt-get source linux-signed-amd64=6.1.27+1",
            "https://snapshot.debian.org/package/linux-signed-amd64/6.1.27%2B1/",
            "util-linux: libblkid, LGPL-2.1-or-later",
            "CA certificates, MPL-2.0",
            "pci.ids (https://pci-ids.ucw.cz/) and usb.ids",
            "serde 1.0 MIT OR Apache-2.0",
        ] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
        assert!(!text.contains("Firmware"));
    }

    /// The build script found the agent's crates and the most important licences.
    #[test]
    fn the_crate_list_is_built_in() {
        for part in ["blkid-sys", "rustls", "zstd-sys", "Apache License", "MIT"] {
            assert!(CRATES.contains(part), "{part} is not in the crate list ({} bytes)", CRATES.len());
        }
    }
}
