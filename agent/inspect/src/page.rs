//! The report in readable form.

use crate::report::{Drivers, Finding, KernelFacts, Report, Severity};
use burin_protocol::image::ImageFormat;
use burin_protocol::plan::words::decimal;
use std::fmt::Write;

/// A page of text.
pub fn page(report: &Report) -> String {
    let mut out = String::new();
    image(report, &mut out);
    boot(report, &mut out);
    system(report, &mut out);
    order(report, &mut out);
    findings(report, &mut out);
    out
}

fn image(report: &Report, out: &mut String) {
    let image = &report.image;
    let format = format!("{:?}", image.format).to_lowercase();
    let packed = match image.compression.as_str() {
        "none" => String::new(),
        name => {
            format!(", {name}{}", image.wire_bytes.map(|bytes| format!(" of {}", decimal(bytes))).unwrap_or_default())
        }
    };
    let _ = writeln!(out, "{}\n  {format}{packed}, {} on the disk", image.name, decimal(image.bytes));
    let table = &report.table;
    let sectors = table.sector_size.map(|size| format!(", for {size}-byte sectors")).unwrap_or_default();
    match table.kind.as_str() {
        "none" => out.push_str("  no partition table\n"),
        kind => {
            let _ = writeln!(out, "  {}{sectors}", kind.to_uppercase());
        }
    }
    let rows: Vec<[String; 5]> = table
        .volumes
        .iter()
        .map(|volume| {
            let name = match volume.number {
                Some(number) => number.to_string(),
                None if volume.name.is_empty() => "all".to_owned(),
                None => volume.name.clone(),
            };
            let label = volume.label.as_ref().map(|label| format!(" \"{label}\"")).unwrap_or_default();
            let filesystem = volume.filesystem.clone().unwrap_or_else(|| "-".to_owned());
            let kind = volume.type_name.clone().unwrap_or_default();
            [name, kind, decimal(volume.size), format!("{filesystem}{label}"), volume.mounts.join(" ")]
        })
        .collect();
    columns(&rows, out);
}

fn columns(rows: &[[String; 5]], out: &mut String) {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..5).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let _ = writeln!(out, "    {}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

fn boot(report: &Report, out: &mut String) {
    let nothing = report.system.is_none() && report.boot.bios.is_none() && report.boot.uefi.is_empty();
    // The boot loader of a tree is installed where the tree is unpacked.
    if nothing || report.image.format == ImageFormat::Tar {
        return;
    }
    out.push_str("\nBoots by\n");
    let _ = writeln!(out, "  BIOS  {}", report.boot.bios.as_deref().unwrap_or("no"));
    if report.boot.uefi.is_empty() {
        out.push_str("  UEFI  no\n");
    }
    for loader in &report.boot.uefi {
        let mut words = vec![loader.architecture.clone()];
        words.extend(loader.is.clone());
        words.extend(loader.fallback.then(|| "found without a boot entry".to_owned()));
        words.extend(loader.signed.then(|| "signed".to_owned()));
        let _ = writeln!(out, "  UEFI  {} ({})", loader.path, words.join(", "));
    }
    for line in &report.boot.command_lines {
        let _ = writeln!(out, "  words {}\n        ({})", line.words, line.from);
    }
}

fn system(report: &Report, out: &mut String) {
    let Some(system) = &report.system else { return };
    let _ = writeln!(out, "\nSystem\n  {}, root on {} ({})", system.name, system.root, system.filesystem);
    let consoles =
        if system.consoles.is_empty() { "the kernel's default".to_owned() } else { system.consoles.join(", ") };
    let _ = writeln!(out, "  consoles: {consoles}");
    match &system.cloud_init {
        None => out.push_str("  no cloud-init\n"),
        Some(found) => {
            let version = found.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
            let off = if found.enabled { "" } else { ", switched off" };
            let list = match found.datasources.is_empty() {
                true => "any datasource".to_owned(),
                false => format!("datasources {}", found.datasources.join(", ")),
            };
            let _ = writeln!(out, "  cloud-init{version}{off}: {list}");
        }
    }
    system.kernels.iter().for_each(|found| kernel(found, out));
}

fn kernel(kernel: &KernelFacts, out: &mut String) {
    let _ = writeln!(out, "  kernel {}", kernel.version);
    match &kernel.ramdisk {
        None => out.push_str("    no ramdisk was found\n"),
        Some(ramdisk) => {
            let (size, packed) = (decimal(ramdisk.bytes), ramdisk.compressions.join(" + "));
            let _ = writeln!(out, "    ramdisk {}: {size}, {packed}, {} modules", ramdisk.path, ramdisk.modules);
        }
    }
    for (name, Drivers { built_in, ramdisk, root }) in &kernel.drivers {
        let mut words = Vec::new();
        for (place, modules) in [("built in", built_in), ("in the ramdisk", ramdisk), ("in the root", root)] {
            if !modules.is_empty() {
                words.push(format!("{} ({place})", modules.join(" ")));
            }
        }
        let words = if words.is_empty() { "NONE".to_owned() } else { words.join(", ") };
        let _ = writeln!(out, "    {name}: {words}");
    }
}

fn order(report: &Report, out: &mut String) {
    let Some(order) = &report.order else { return };
    let _ = writeln!(out, "\nOrder {}, layout {}, image {}", order.id, order.layout, order.image);
    for step in &order.steps {
        let _ = writeln!(out, "  {}  {}", if step.possible { "yes" } else { "NO " }, step.step);
        let code = step.code.as_ref().map(|code| format!(" [{code}]")).unwrap_or_default();
        if let Some(message) = &step.message {
            let _ = writeln!(out, "       {message}{code}");
        }
        if let Some(remedy) = &step.remedy {
            let _ = writeln!(out, "       what to do: {remedy}");
        }
    }
}

fn findings(report: &Report, out: &mut String) {
    if !report.not_looked_at.is_empty() {
        out.push_str("\nNot looked at\n");
        for what in &report.not_looked_at {
            let _ = writeln!(out, "  {what}");
        }
    }
    let of = |severity: Severity, accepted: bool| -> Vec<&Finding> {
        report.findings.iter().filter(|one| one.severity == severity && one.accepted == accepted).collect()
    };
    let groups = [
        ("What will break elsewhere", of(Severity::Error, false)),
        ("What may surprise", of(Severity::Warning, false)),
    ];
    for (title, found) in groups {
        if found.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n{title}");
        // One paragraph per code, with all its places.
        let mut codes: Vec<&str> = Vec::new();
        for finding in &found {
            if codes.contains(&finding.code.as_str()) {
                continue;
            }
            codes.push(&finding.code);
            for same in found.iter().filter(|same| same.code == finding.code) {
                let _ = writeln!(out, "  {}", same.what);
            }
            let _ = writeln!(out, "    {} [{}]\n    what to do: {}", finding.why, finding.code, finding.remedy);
        }
    }
    let accepted = report.findings.iter().filter(|finding| finding.accepted).count();
    if accepted > 0 {
        let _ = writeln!(out, "\nAccepted as they are: {accepted}");
    }
    let (errors, warnings) = (of(Severity::Error, false).len(), of(Severity::Warning, false).len());
    let impossible = report.order.iter().flat_map(|order| &order.steps).filter(|step| !step.possible).count();
    let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    let verdict = match (errors, impossible) {
        (0, 0) if report.not_looked_at.is_empty() => "good: nothing was found that breaks elsewhere".to_owned(),
        (0, 0) => "nothing was found that breaks elsewhere, as far as it was looked at".to_owned(),
        (0, steps) => format!("{} of the order cannot be done on it", count(steps, "step")),
        (errors, _) => count(errors, "error"),
    };
    let warned = if warnings > 0 { format!(", {}", count(warnings, "warning")) } else { String::new() };
    let _ = writeln!(out, "\n{verdict}{warned}");
}
