//! Known machines: which of the chosen modules their hardware can use.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::modules::glob;
use crate::modules::modinfo::module_name;
use crate::modules::tree::Module;

/// Buses whose devices an inventory lists. A module that serves only these is kept if a machine has such a device; one
/// that serves others (file systems, ciphers, ACPI, SCSI disks behind any adapter) is always kept.
const BUSES: [&str; 6] = ["pci:", "usb:", "virtio:", "vmbus:", "xen:", "pcmcia:"];

/// Drivers for devices that may be plugged in later: a keyboard, a stick.
const PLUGGED_IN: [&str; 4] = ["usbhid", "hid_generic", "usb_storage", "uas"];

/// The hardware of the machines in some inventories.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hardware {
    drivers: BTreeSet<String>,
    modaliases: BTreeSet<String>,
}

/// Why an inventory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HardwareError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} is not JSON", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("{} names no device: expected what `hwinventory collect` or `burin inventory` prints", path.display())]
    Nothing { path: PathBuf },
}

impl Hardware {
    /// Adds the machine of one inventory, in burin's own format. It may be embedded in another document, such as a
    /// hello.
    pub fn add(&mut self, path: &Path) -> Result<(), HardwareError> {
        let text = std::fs::read(path).map_err(|source| HardwareError::Read { path: path.to_owned(), source })?;
        let inventory =
            serde_json::from_slice(&text).map_err(|source| HardwareError::Json { path: path.to_owned(), source })?;
        let mut found = Hardware::default();
        found.walk(&inventory);
        if found == Hardware::default() {
            return Err(HardwareError::Nothing { path: path.to_owned() });
        }
        self.drivers.append(&mut found.drivers);
        self.modaliases.append(&mut found.modaliases);
        Ok(())
    }

    fn walk(&mut self, value: &Value) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.walk(value)),
            Value::Object(fields) => {
                let text = |name: &str| fields.get(name).and_then(Value::as_str);
                self.drivers.extend(text("driver").map(module_name));
                let several = fields.get("drivers").and_then(Value::as_array).into_iter().flatten();
                self.drivers.extend(several.filter_map(Value::as_str).map(module_name));
                self.modaliases.extend(text("modalias").map(str::to_owned));
                self.modaliases.extend(pci(&text));
                fields.values().for_each(|value| self.walk(value));
            }
            _ => {}
        }
    }

    /// Whether a machine has, or might have, a device for this module.
    pub fn wants(&self, module: &Module) -> bool {
        let aliases = &module.info.aliases;
        let elsewhere = |alias: &String| !BUSES.iter().any(|bus| alias.starts_with(bus));
        if aliases.is_empty() || aliases.iter().any(elsewhere) || PLUGGED_IN.contains(&module.name.as_str()) {
            return true;
        }
        self.drivers.contains(&module.name) || aliases.iter().any(|alias| self.has(alias))
    }

    fn has(&self, alias: &str) -> bool {
        let pattern = without_sets(alias);
        self.modaliases.iter().any(|modalias| glob::matches(&pattern, modalias))
    }
}

/// The kernel's modalias for a PCI device, as in `file2alias` and `pci_uevent`.
fn pci<'a>(text: &impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    let number = |name: &str| text(name).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let (vendor, device, class) = (number("vendor_id")?, number("device_id")?, number("class_id")?);
    let of = |name| number(name).unwrap_or_default();
    let (base, sub, interface) = (class >> 16 & 0xff, class >> 8 & 0xff, class & 0xff);
    Some(format!(
        "pci:v{vendor:08X}d{device:08X}sv{:08X}sd{:08X}bc{base:02X}sc{sub:02X}i{interface:02X}",
        of("subsystem_vendor_id"),
        of("subsystem_device_id"),
    ))
}

/// `[0-9a]` matches one character; treating it as any character is harmless here.
fn without_sets(alias: &str) -> String {
    let mut pattern = String::with_capacity(alias.len());
    let mut rest = alias;
    while let Some((before, after)) = rest.split_once('[') {
        pattern.push_str(before);
        pattern.push('?');
        rest = after.split_once(']').map_or("", |(_, behind)| behind);
    }
    pattern + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;
    use crate::modules::modinfo::ModInfo;

    const INVENTORY: &str = r#"{"inventory": {"pci": {"status": "ok", "data": [
        {"address": "0000:03:00.0", "vendor_id": "8086", "device_id": "1563", "class_id": "020000", "driver": "ixgbe",
         "subsystem_vendor_id": "8086", "subsystem_device_id": "35d4"},
        {"address": "0000:04:00.0", "vendor_id": "144d", "device_id": "a808", "class_id": "010802"}]},
        "nics": {"data": [{"name": "eth0", "driver": "virtio-net"}]},
        "usb": {"data": [{"port": "1-1", "vendor_id": "0bda", "product_id": "8153", "drivers": ["r8152"]}]},
        "unclaimed": {"data": [{"bus": "pci", "device": "0000:05:00.0",
         "modalias": "pci:v000014E4d00001657sv00001028sd00001F5Bbc02sc00i00", "modules": [], "loaded": []}]}}}"#;

    fn module(name: &str, aliases: &[&str]) -> Module {
        let info = ModInfo { aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(), ..ModInfo::default() };
        let path = format!("kernel/{name}.ko");
        Module { name: name.to_owned(), source: PathBuf::from(&path), path, arch: Arch::X86_64, info }
    }

    fn known(text: &str) -> Result<Hardware, HardwareError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut hardware = Hardware::default();
        hardware.add(file.path()).map(|()| hardware)
    }

    #[test]
    fn a_module_stays_for_its_device_and_goes_where_nobody_has_one() {
        let hardware = known(INVENTORY).unwrap();
        let stays = [
            module("ixgbe", &["pci:v00008086d00001563sv*sd*bc*sc*i*"]),
            // By class, by a device without a driver, by the driver's name alone.
            module("nvme", &["pci:v*d*sv*sd*bc01sc08i02*"]),
            module("tg3", &["pci:v000014E4d00001657sv*sd*bc*sc*i*"]),
            module("virtio_net", &["virtio:d00000001v*"]),
            module("r8152", &["usb:v0BDAp8153d*dc*dsc*dp*icFFisc*ip*in*"]),
            // Kept for all machines.
            module("usb_storage", &["usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*"]),
            module("sd_mod", &["scsi:t-0x00*"]),
            module("ext4", &["fs-ext4"]),
            module("libcrc32c", &[]),
            module("iTCO_wdt", &["platform:iTCO_wdt"]),
        ];
        for module in &stays {
            assert!(hardware.wants(module), "{}", module.name);
        }
        let goes = [
            module("mlx5_core", &["pci:v000015B3d00001013sv*sd*bc*sc*i*"]),
            module("virtio_scsi", &["virtio:d00000008v*"]),
            module("asix", &["usb:v0B95p1780d*dc*dsc*dp*ic*isc*ip*in*"]),
            module("hv_netvsc", &["vmbus:635161f83edfc546913ff2d2f965ed0e"]),
        ];
        for module in &goes {
            assert!(!hardware.wants(module), "{}", module.name);
        }
    }

    #[test]
    fn sets_in_aliases_are_one_character() {
        assert_eq!(without_sets("usb:v0BDAp[0-9]A*d0[1-3]"), "usb:v0BDAp?A*d0?");
        assert_eq!(without_sets("usb:v0[unclosed"), "usb:v0?");
    }

    #[test]
    fn what_is_no_inventory_is_refused() {
        assert!(matches!(known("{}"), Err(HardwareError::Nothing { .. })));
        assert!(matches!(known("pci"), Err(HardwareError::Json { .. })));
        let missing = Hardware::default().add(Path::new("/nonexistent/inventory.json"));
        assert!(matches!(missing, Err(HardwareError::Read { .. })));
    }
}
