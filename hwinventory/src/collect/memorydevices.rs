//! NVDIMMs (`/sys/bus/nd`), CXL memory (`/sys/bus/cxl`) and DAX devices (`/sys/bus/dax`).

use super::place;
use crate::model::{CxlMemory, CxlRegion, DaxDevice, MemoryDevices, Nvdimm, NvdimmNamespace, NvdimmRegion};
use crate::parse::names::natural;
use crate::source::Reader;

const ND: &str = "/sys/bus/nd/devices";
const CXL: &str = "/sys/bus/cxl/devices";
const DAX: &str = "/sys/bus/dax/devices";

pub fn collect(reader: &Reader) -> Option<MemoryDevices> {
    let names = |bus: &str| {
        let mut names = reader.source().list(bus).unwrap_or_default();
        names.sort_by(|a, b| natural(a, b));
        names
    };
    let (nd, cxl, dax) = (names(ND), names(CXL), names(DAX));
    let found = MemoryDevices {
        nvdimms: of(&nd, "nmem").filter_map(|n| nvdimm(reader, n)).collect(),
        nvdimm_regions: of(&nd, "region").filter_map(|n| region(reader, n)).collect(),
        nvdimm_namespaces: nd
            .iter()
            .filter(|n| n.starts_with("namespace"))
            .filter_map(|n| namespace(reader, n, &nd))
            .collect(),
        cxl_memories: of(&cxl, "mem").filter_map(|n| cxl_memory(reader, n)).collect(),
        cxl_regions: of(&cxl, "region").filter_map(|n| cxl_region(reader, n)).collect(),
        dax: of(&dax, "dax").filter_map(|n| dax_device(reader, n)).collect(),
    };
    (found != MemoryDevices::default()).then_some(found)
}

/// Names of the kind that go on with a digit.
fn of<'a>(names: &'a [String], prefix: &'static str) -> impl Iterator<Item = &'a String> {
    let numbered = move |n: &&String| {
        n.strip_prefix(prefix).is_some_and(|rest| rest.bytes().next().is_some_and(|b| b.is_ascii_digit()))
    };
    names.iter().filter(numbered)
}

/// Decimal, or hexadecimal behind `0x`.
fn number(text: Option<String>) -> Option<u64> {
    let text = text?;
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn nvdimm(reader: &Reader, name: &str) -> Option<Nvdimm> {
    let real = reader.follow(ND, name)?;
    let text = |attribute: &str| reader.quiet_text(&format!("{real}/{attribute}"));
    let nfit = |attribute: &str| text(&format!("nfit/{attribute}"));
    let flags = nfit("flags").or_else(|| text("papr/flags")).unwrap_or_default();
    Some(Nvdimm {
        name: name.to_owned(),
        unique_id: nfit("id"),
        serial: nfit("serial"),
        vendor_id: nfit("vendor"),
        device_id: nfit("device"),
        handle: nfit("handle"),
        physical_id: number(nfit("phys_id")),
        flags: flags.split_whitespace().map(str::to_owned).collect(),
        security: text("security"),
        unsafe_shutdowns: number(nfit("dirty_shutdown")),
    })
}

fn region(reader: &Reader, name: &str) -> Option<NvdimmRegion> {
    let real = reader.follow(ND, name)?;
    let text = |attribute: &str| reader.quiet_text(&format!("{real}/{attribute}"));
    // `nmem0,0,4294967296,0`: module, offset, size, position.
    let mappings = number(text("mappings")).unwrap_or(0).min(64);
    let module = |n: u64| text(&format!("mapping{n}")).and_then(|t| Some(t.split(',').next()?.to_owned()));
    Some(NvdimmRegion {
        name: name.to_owned(),
        // <linux/ndctl.h>: ND_DEVICE_REGION_PMEM and _BLK; volatile regions have a type of their own.
        kind: text("devtype").or_else(|| text("nstype")).map(|t| match t.as_str() {
            "4" | "nd_pmem" => "pmem".to_owned(),
            "5" | "6" | "nd_blk" => "blk".to_owned(),
            "nd_volatile" => "volatile".to_owned(),
            other => other.to_owned(),
        }),
        size: number(text("size")),
        available: number(text("available_size")),
        read_only: number(text("read_only")).map(|n| n != 0),
        numa_node: number(text("numa_node")),
        persistence_domain: text("persistence_domain"),
        nvdimms: (0..mappings).filter_map(module).collect(),
    })
}

fn namespace(reader: &Reader, name: &str, all: &[String]) -> Option<NvdimmNamespace> {
    let real = reader.follow(ND, name)?;
    let text = |attribute: &str| reader.quiet_text(&format!("{real}/{attribute}"));
    let size = number(text("size")).filter(|&n| n > 0)?;
    let region = real.rsplit('/').nth(1).unwrap_or_default();
    // The block device, or the personality (btt, pfn, dax) that has taken the namespace, with its own.
    let block = |directory: &str| reader.source().list(&format!("{directory}/block")).unwrap_or_default();
    let mut devices = block(&real);
    let holders = all.iter().filter(|n| ["btt", "pfn", "dax"].iter().any(|p| n.starts_with(p)));
    for holder in holders {
        let Some(directory) = reader.follow(ND, holder) else { continue };
        if reader.quiet_text(&format!("{directory}/namespace")).as_deref() == Some(name) {
            devices.extend(block(&directory));
            let below = reader.source().list(&directory).unwrap_or_default();
            let nested = below.iter().filter(|n| n.starts_with("dax") && n.contains('.') && **n != *holder);
            devices.extend(nested.cloned());
        }
    }
    devices.sort();
    devices.dedup();
    let mode = text("mode").map(|m| match m.as_str() {
        "memory" => "fsdax".to_owned(),
        "dax" => "devdax".to_owned(),
        "safe" => "sector".to_owned(),
        other => other.to_owned(),
    });
    Some(NvdimmNamespace {
        name: name.to_owned(),
        mode,
        size: Some(size),
        uuid: text("uuid"),
        label: text("alt_name"),
        region: region.starts_with("region").then(|| region.to_owned()),
        devices,
    })
}

fn cxl_memory(reader: &Reader, name: &str) -> Option<CxlMemory> {
    let real = reader.follow(CXL, name)?;
    let text = |attribute: &str| reader.quiet_text(&format!("{real}/{attribute}"));
    Some(CxlMemory {
        name: name.to_owned(),
        pci_address: place::pci(&real).map(|(address, _)| address.to_owned()),
        // Zero is what a device without a serial number says.
        serial: text("serial").filter(|s| s.trim_start_matches("0x").bytes().any(|b| b != b'0')),
        firmware: text("firmware_version"),
        numa_node: number(text("numa_node")),
        volatile_size: number(text("ram/size")),
        persistent_size: number(text("pmem/size")),
        security: text("security/state"),
    })
}

fn cxl_region(reader: &Reader, name: &str) -> Option<CxlRegion> {
    let real = reader.follow(CXL, name)?;
    let text = |attribute: &str| reader.quiet_text(&format!("{real}/{attribute}"));
    let ways = number(text("interleave_ways"));
    let target = |n: u64| text(&format!("target{n}"));
    Some(CxlRegion {
        name: name.to_owned(),
        mode: text("mode"),
        size: number(text("size")),
        uuid: text("uuid").filter(|u| u.bytes().any(|b| !matches!(b, b'0' | b'-'))),
        interleave_ways: ways,
        interleave_granularity: number(text("interleave_granularity")),
        targets: (0..ways.unwrap_or(0).min(16)).filter_map(target).collect(),
    })
}

fn dax_device(reader: &Reader, name: &str) -> Option<DaxDevice> {
    let real = reader.follow(DAX, name)?;
    let text = |attribute: &str| reader.quiet_text(&format!("{real}/{attribute}"));
    Some(DaxDevice {
        name: name.to_owned(),
        size: number(text("size")),
        align: number(text("align")),
        target_node: number(text("target_node")),
        numa_node: number(text("numa_node")),
        driver: reader.link_name(&format!("{real}/driver")),
    })
}
