//! Collects the machine's identity: maker, model, serial numbers, boards, firmware version, hypervisor.

use super::dmi;
use crate::model::{Baseboard, Bios, Chassis, System};
use crate::parse::names::{real, real_uuid};
use crate::parse::smbios;
use crate::source::Reader;

pub fn collect(reader: &Reader) -> Option<System> {
    let system = dmi::with_table(reader, smbios::system).or_else(|| from_class(reader)).or_else(|| device_tree(reader));
    system.map(|mut system| {
        system.hypervisor = hypervisor(reader, &system);
        system
    })
}

/// The kernel's own reading of the tables: less, but readable where the tables are not.
fn from_class(reader: &Reader) -> Option<System> {
    let names = reader.try_list("/sys/class/dmi/id")?;
    let get = |name: &str| {
        names.iter().any(|n| n == name).then(|| real(reader.text(&format!("/sys/class/dmi/id/{name}")))).flatten()
    };
    Some(System {
        manufacturer: get("sys_vendor"),
        product_name: get("product_name"),
        version: get("product_version"),
        serial_number: get("product_serial"),
        uuid: real_uuid(get("product_uuid").map(|t| t.to_ascii_lowercase())),
        sku_number: get("product_sku"),
        family: get("product_family"),
        bios: Some(Bios {
            vendor: get("bios_vendor"),
            version: get("bios_version"),
            date: get("bios_date"),
            release: get("bios_release"),
            embedded_controller_release: get("ec_firmware_release"),
            ..Bios::default()
        }),
        baseboards: vec![Baseboard {
            manufacturer: get("board_vendor"),
            product_name: get("board_name"),
            version: get("board_version"),
            serial_number: get("board_serial"),
            asset_tag: get("board_asset_tag"),
            ..Baseboard::default()
        }],
        chassis: vec![Chassis {
            manufacturer: get("chassis_vendor"),
            kind: get("chassis_type").and_then(|t| t.parse().ok()).and_then(smbios::chassis_kind),
            version: get("chassis_version"),
            serial_number: get("chassis_serial"),
            asset_tag: get("chassis_asset_tag"),
            ..Chassis::default()
        }],
        ..System::default()
    })
}

/// Boards without SMBIOS.
fn device_tree(reader: &Reader) -> Option<System> {
    let base = "/sys/firmware/devicetree/base";
    let product_name = reader.text(&format!("{base}/model"))?;
    let serial_number = real(reader.text(&format!("{base}/serial-number")));
    // `vendor,board`, most specific first, separated by NUL.
    let compatible = reader.text(&format!("{base}/compatible"));
    let manufacturer = compatible.as_deref().and_then(|c| c.split([',', '\0']).next()).map(str::to_owned);
    Some(System { manufacturer, product_name: Some(product_name), serial_number, ..System::default() })
}

fn hypervisor(reader: &Reader, system: &System) -> Option<String> {
    if let Some(kind) = reader.quiet_text("/sys/hypervisor/type") {
        return Some(kind);
    }
    const KNOWN: &[(&str, &str)] = &[
        ("QEMU", "qemu"),
        ("KVM", "kvm"),
        ("VMware", "vmware"),
        ("innotek", "virtualbox"),
        ("Oracle VirtualBox", "virtualbox"),
        ("Xen", "xen"),
        ("Bochs", "bochs"),
        ("Amazon EC2", "amazon"),
        ("Google Compute Engine", "google"),
        ("DigitalOcean", "digitalocean"),
        ("BHYVE", "bhyve"),
        ("Parallels", "parallels"),
        ("Nutanix", "kvm"),
        ("OpenStack", "kvm"),
        ("KubeVirt", "kvm"),
        ("oVirt", "kvm"),
        ("RHEV", "kvm"),
    ];
    // Machines that were given another maker's name often still have the hypervisor's chassis.
    let chassis = system.chassis.first().and_then(|c| c.manufacturer.clone());
    let names = [&system.manufacturer, &system.product_name, &chassis];
    let bios = system.bios.as_ref();
    for (text, name) in KNOWN {
        if names.iter().any(|n| n.as_deref().is_some_and(|n| n.contains(text))) {
            return Some((*name).to_owned());
        }
    }
    if system.manufacturer.as_deref() == Some("Microsoft Corporation")
        && system.product_name.as_deref() == Some("Virtual Machine")
    {
        return Some("microsoft".to_owned());
    }
    bios.and_then(|b| b.virtual_machine).filter(|&v| v).map(|_| "unknown".to_owned())
}
