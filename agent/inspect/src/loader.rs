//! How firmware starts an image, and the command lines that its boot loaders hand to kernels.

use crate::files::{Files, lines, variable};
use crate::pe::{PeFile, contains};
use crate::report::{BootFacts, CommandLine, LoaderFacts};
use crate::volumes::Volume;
use burin_table::Head;
use burin_table::head::{Purpose, TableKind};

/// Limit for EFI programs, unified kernel images included.
const LARGEST: u64 = 512 << 20;
/// Depth to which an EFI system partition's folders are searched.
const DEEPEST: u32 = 4;
/// Files of boot loaders with `linux` lines or `options`, below a root or a boot partition.
const GRUB: &[&str] = &["/grub/grub.cfg", "/grub2/grub.cfg", "/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"];
const SYSLINUX: &[&str] =
    &["/extlinux/extlinux.conf", "/syslinux/syslinux.cfg", "/syslinux.cfg", "/isolinux/isolinux.cfg"];
const ENTRIES: &[&str] = &["/loader/entries", "/boot/loader/entries", "/efi/loader/entries"];

/// A unified kernel image, or another program with a command line and a ramdisk in it.
#[derive(Debug)]
pub struct Unified {
    pub path: String,
    pub release: Option<String>,
    pub ramdisk: Vec<u8>,
}

/// The program that a BIOS starts.
pub fn bios(head: &Head, volumes: &[Volume]) -> Option<String> {
    let sector = head.bytes().get(..440).unwrap_or_default();
    let name = match () {
        () if contains(sector, b"GRUB") => "GRUB",
        () if contains(sector, b"SYSLINUX") || contains(sector, b"isolinux") => "syslinux",
        () if contains(sector, b"LILO") => "LILO",
        () => "a boot sector",
    };
    if !head.boot_code || head.filesystem.is_some_and(|name| name == "vfat") {
        return None;
    }
    // GRUB's first sector starts what follows it: in a partition of its own, or in the gap before the first one.
    let loads = |volume: &&Volume| volume.type_name.as_deref() == Some("bios-boot");
    let core = match (name, head.table, volumes.iter().find(loads)) {
        ("GRUB", TableKind::Gpt, Some(volume)) => volume.disk.head(4096).ok().is_some_and(|core| is_used(&core)),
        ("GRUB", TableKind::Mbr, _) => head.bytes().get(512..4096).is_some_and(is_used),
        // In a GPT without such a partition, GRUB's core may be in a file, addressed by its blocks.
        _ => name != "a boot sector" || starts_a_partition(head),
    };
    core.then(|| name.to_owned())
}

fn is_used(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| *byte != 0)
}

/// The protective MBR of many tools contains code that only prints that the disk does not boot.
fn starts_a_partition(head: &Head) -> bool {
    let active = |entry: usize| head.bytes().get(446 + 16 * entry) == Some(&0x80);
    (0..4).any(active) && !contains(head.bytes().get(..440).unwrap_or_default(), b"not a bootable")
}

/// Programs of an EFI system partition; unified kernel images are passed to `take`.
pub fn programs(esp: &Files, take: &mut dyn FnMut(Unified), command_lines: &mut Vec<CommandLine>) -> Vec<LoaderFacts> {
    let (mut found, mut folders) = (Vec::new(), vec![("/EFI".to_owned(), 0)]);
    while let Some((folder, depth)) = folders.pop() {
        for entry in esp.list(&folder) {
            let path = format!("{folder}/{}", entry.name);
            if esp.is_folder(&path) {
                if depth < DEEPEST {
                    folders.push((path, depth + 1));
                }
                continue;
            }
            if !entry.name.to_ascii_lowercase().ends_with(".efi") {
                continue;
            }
            let Some(bytes) = esp.bytes(&path, LARGEST) else { continue };
            let Some(program) = PeFile::parse(&bytes) else { continue };
            let fallback = path.to_ascii_lowercase() == format!("/efi/boot/{}", program.fallback_name());
            unified(&program, &path, take, command_lines);
            let (architecture, is) = (program.architecture().to_owned(), program.is());
            found.push(LoaderFacts { path, architecture, is, fallback, signed: program.is_signed() });
        }
    }
    found.sort_by(|a, b| (!a.fallback, &a.path).cmp(&(!b.fallback, &b.path)));
    found
}

fn unified(program: &PeFile<'_>, path: &str, take: &mut dyn FnMut(Unified), command_lines: &mut Vec<CommandLine>) {
    let text = |name: &str| program.section(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    if program.section(".linux").is_none() {
        return;
    }
    let clean = |text: String| text.trim_matches(['\0', '\n', ' ']).to_owned();
    if let Some(words) = text(".cmdline").map(clean) {
        command_lines.push(CommandLine { from: path.to_owned(), words });
    }
    let ramdisk = program.section(".initrd").unwrap_or_default().to_vec();
    take(Unified { path: path.to_owned(), release: text(".uname").map(clean), ramdisk });
}

/// Command lines of the boot loaders in a tree: a root with its boot folder, a boot partition, or an ESP.
pub fn command_lines(files: &Files, found: &mut Vec<CommandLine>) {
    let mut add = |from: String, words: String| {
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        let known = found.iter().any(|known: &CommandLine| known.words == words);
        if !words.is_empty() && !known {
            found.push(CommandLine { from, words });
        }
    };
    let on_esp = files.list("/EFI").into_iter().map(|entry| format!("/EFI/{}/grub.cfg", entry.name));
    for path in GRUB.iter().map(|path| (*path).to_owned()).chain(on_esp) {
        let Some(text) = files.text(&path) else { continue };
        for line in lines(&text) {
            let mut words = line.split_whitespace();
            if matches!(words.next(), Some("linux" | "linuxefi" | "linux16")) {
                add(path.clone(), words.skip(1).collect::<Vec<_>>().join(" "));
            }
        }
        // Boot loader entries may take their options from GRUB's environment.
        if let Some(options) = text.lines().find_map(|line| line.trim().strip_prefix("set default_kernelopts=")) {
            add(path.clone(), options.trim_matches('"').to_owned());
        }
    }
    for path in ["/grub/grubenv", "/grub2/grubenv", "/boot/grub/grubenv", "/boot/grub2/grubenv"] {
        if let Some(options) = files.text(path).and_then(|text| variable(&text, "kernelopts")) {
            add(path.to_owned(), options);
        }
    }
    for path in SYSLINUX {
        let Some(text) = files.text(path).or_else(|| files.text(&format!("/boot{path}"))) else { continue };
        for line in lines(&text) {
            if let Some((word, rest)) = line.split_once(char::is_whitespace)
                && word.eq_ignore_ascii_case("append")
            {
                add((*path).to_owned(), rest.to_owned());
            }
        }
    }
    for folder in ENTRIES {
        for path in files.ending(folder, ".conf") {
            let Some(text) = files.text(&path) else { continue };
            for line in lines(&text) {
                if let Some(("options", rest)) = line.split_once(char::is_whitespace) {
                    // `$kernelopts` and `$tuned_params` were read above; other variables are ignored.
                    let words = rest.split_whitespace().filter(|word| !word.starts_with('$'));
                    add(path.clone(), words.collect::<Vec<_>>().join(" "));
                }
            }
        }
    }
}

/// Words for the next kernel of the system: a fault here returns with an update.
pub fn templates(files: &Files) -> Vec<CommandLine> {
    let mut found = Vec::new();
    for path in ["/etc/kernel/cmdline", "/usr/lib/kernel/cmdline"] {
        found.extend(files.text(path).map(|words| CommandLine { from: path.to_owned(), words }));
    }
    let mut grub = vec!["/etc/default/grub".to_owned()];
    grub.extend(files.ending("/etc/default/grub.d", ".cfg"));
    for path in grub {
        let Some(text) = files.text(&path) else { continue };
        for name in ["GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"] {
            let words = variable(&text, name).filter(|words| !words.is_empty());
            found.extend(words.map(|words| CommandLine { from: path.clone(), words }));
        }
    }
    found
}

/// Combines the findings.
pub fn boot(head: &Head, volumes: &[Volume], uefi: Vec<LoaderFacts>, command_lines: Vec<CommandLine>) -> BootFacts {
    BootFacts { bios: bios(head, volumes), uefi, command_lines }
}

/// Partitions that firmware may take for an EFI system partition.
pub fn is_esp(volume: &Volume) -> bool {
    volume.purpose == Purpose::Esp
}
