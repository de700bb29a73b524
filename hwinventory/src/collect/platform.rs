//! TPM, BMC, watchdogs, kernel, storage controllers.

use super::{dmi, place};
use crate::model::{Bmc, Kernel, StorageController, Tpm, TpmBank, Watchdog};
use crate::parse::names::natural;
use crate::parse::{ethtool, ipmi, netlink, smbios, tpm};
use crate::source::{Query, Reader};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

pub fn tpms(reader: &Reader) -> Option<Vec<Tpm>> {
    let base = "/sys/class/tpm";
    let names = reader.try_list(base)?;
    let found: Vec<Tpm> = names
        .into_iter()
        .filter_map(|name| {
            let directory = reader.follow(base, &name)?;
            let device = reader.follow(&directory, "device");
            let major = reader.text(&format!("{directory}/tpm_version_major"));
            let mut tpm = Tpm {
                version: match major.as_deref() {
                    Some("1") => Some("1.2".to_owned()),
                    Some("2") => Some("2.0".to_owned()),
                    _ => major,
                },
                driver: device.and_then(|d| reader.link_name(&format!("{d}/driver"))),
                banks: banks(reader, &directory),
                ..Tpm::default()
            };
            if tpm.version.as_deref() == Some("2.0") {
                tpm2(reader, &name, &mut tpm);
            }
            tpm.name = name;
            Some(tpm)
        })
        .collect();
    (!found.is_empty()).then_some(found)
}

fn banks(reader: &Reader, directory: &str) -> Vec<TpmBank> {
    let names = reader.list(directory);
    let mut banks: Vec<TpmBank> = names
        .iter()
        .filter_map(|n| n.strip_prefix("pcr-"))
        .map(|algorithm| {
            let pcr = |n: u32| reader.quiet_text(&format!("{directory}/pcr-{algorithm}/{n}"));
            TpmBank {
                algorithm: algorithm.to_owned(),
                pcrs: (0..24).map_while(pcr).map(|t| t.to_ascii_lowercase()).collect(),
            }
        })
        .collect();
    banks.sort_by(|a, b| a.algorithm.cmp(&b.algorithm));
    banks
}

fn tpm2(reader: &Reader, name: &str, found: &mut Tpm) {
    let device = format!("/dev/{}", name.replace("tpm", "tpmrm"));
    let ask = |command: Vec<u8>| reader.quiet_query(&Query::Tpm { device: device.clone(), command }).ok();
    if let Some((manufacturer, firmware)) = ask(tpm::get_properties()).and_then(|r| tpm::properties(&r)) {
        (found.manufacturer, found.firmware) = (manufacturer, firmware);
    }
    // TCG EK Credential Profile 2.2.1.4: the RSA 2048 and ECC P256 certificates.
    for index in [0x01c0_0002u32, 0x01c0_000a] {
        let Some(size) = ask(tpm::nv_read_public(index)).and_then(|r| tpm::nv_size(&r)) else { continue };
        let mut certificate = Vec::new();
        while certificate.len() < usize::from(size) {
            let offset = certificate.len() as u16;
            let chunk = (size - offset).min(512);
            match ask(tpm::nv_read(index, chunk, offset)).as_deref().and_then(tpm::nv_data) {
                Some(data) if !data.is_empty() => certificate.extend_from_slice(data),
                _ => return,
            }
        }
        found.ek_certificate_sha256 = Some(crate::parse::bytes::hex(&Sha256::digest(&certificate)));
        return;
    }
}

pub fn bmc(reader: &Reader) -> Option<Bmc> {
    let described = dmi::with_table(reader, smbios::bmc_interface).flatten();
    let names = reader.source().list("/sys/class/ipmi").unwrap_or_default();
    let device = names.first().map(|n| format!("/dev/{n}"));
    if described.is_none() && device.is_none() {
        return None;
    }
    let mut bmc = Bmc { device: device.clone(), ..Bmc::default() };
    if let Some((interface, version)) = described {
        (bmc.interface, bmc.ipmi_version) = (interface, version);
    }
    let Some(device) = device else { return Some(bmc) };
    let ask = |netfn: u8, command: u8, data: &[u8]| {
        reader.quiet_query(&Query::Ipmi { device: device.clone(), netfn, command, data: data.to_vec() }).ok()
    };
    let identified = reader.query(&Query::Ipmi { device: device.clone(), netfn: 0x06, command: 0x01, data: vec![] });
    if let Some(id) = identified.and_then(|a| ipmi::device_id(&a)) {
        bmc.device_id = Some(id.device_id);
        bmc.firmware = Some(id.firmware);
        bmc.ipmi_version = Some(id.ipmi_version);
        bmc.manufacturer = ipmi::manufacturer(id.manufacturer_id).map(str::to_owned);
        bmc.manufacturer_id = Some(id.manufacturer_id);
        bmc.product_id = Some(id.product_id);
    } else {
        return Some(bmc);
    }
    bmc.guid = ask(0x06, 0x37, &[]).and_then(|a| ipmi::guid(&a));
    // Channels 1 to 11 may be anything; the first that is a LAN is the BMC's port.
    let channel = (1..=11u8).find(|&c| ask(0x06, 0x42, &[c]).is_some_and(|a| ipmi::is_lan_channel(&a)));
    let Some(channel) = channel else { return Some(bmc) };
    bmc.channel = Some(u64::from(channel));
    let parameter =
        |number: u8| ask(0x0c, 0x02, &[channel, number, 0, 0]).and_then(|a| ipmi::parameter(&a).map(<[u8]>::to_vec));
    let address = |number: u8| {
        let bytes = parameter(number)?;
        netlink::ip(bytes.get(..4)?).filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string())
    };
    bmc.address = address(3);
    bmc.netmask = address(6);
    bmc.gateway = address(12);
    bmc.address_source = parameter(4)
        .and_then(|p| match p.first()? & 0x0f {
            1 => Some("static"),
            2 => Some("dhcp"),
            3 => Some("bios"),
            4 => Some("other"),
            _ => None,
        })
        .map(str::to_owned);
    bmc.mac = parameter(5).and_then(|p| p.get(..6).map(ethtool::address));
    bmc.vlan = parameter(20).and_then(|p| {
        let raw = u16::from_le_bytes(p.first_chunk::<2>().copied()?);
        (raw & 0x8000 != 0).then_some(u64::from(raw & 0x0fff))
    });
    Some(bmc)
}

pub fn watchdogs(reader: &Reader) -> Option<Vec<Watchdog>> {
    let base = "/sys/class/watchdog";
    let names = reader.try_list(base)?;
    let found: Vec<Watchdog> = names
        .into_iter()
        .map(|name| {
            let text = |attribute: &str| reader.quiet_text(&format!("{base}/{name}/{attribute}"));
            let number = |attribute: &str| text(attribute).and_then(|t| t.parse().ok());
            Watchdog {
                identity: text("identity"),
                timeout: number("timeout"),
                max_timeout: number("max_timeout"),
                state: text("state"),
                nowayout: number("nowayout").map(|n: u64| n != 0),
                name,
            }
        })
        .collect();
    (!found.is_empty()).then_some(found)
}

pub fn kernel(reader: &Reader) -> Option<Kernel> {
    let sysctl = |name: &str| reader.quiet_text(&format!("/proc/sys/kernel/{name}"));
    let banner = reader.quiet_text("/proc/version");
    let release = sysctl("osrelease").or_else(|| banner.as_deref()?.split_whitespace().nth(2).map(str::to_owned));
    let modules = reader.quiet_text("/proc/modules");
    let mut modules: Vec<String> =
        modules.iter().flat_map(|t| t.lines()).filter_map(|l| l.split(' ').next()).map(str::to_owned).collect();
    modules.sort();
    let lockdown = reader
        .quiet_text("/sys/kernel/security/lockdown")
        .and_then(|t| Some(t.split_once('[')?.1.split_once(']')?.0.to_owned()));
    let kernel = Kernel {
        version: sysctl("version").or(banner),
        architecture: sysctl("arch"),
        hostname: sysctl("hostname"),
        tainted: sysctl("tainted").and_then(|t| t.parse().ok()),
        iommu: reader.source().list("/sys/kernel/iommu_groups").ok().map(|groups| !groups.is_empty()),
        release,
        modules,
        lockdown,
    };
    (kernel.release.is_some() || kernel.version.is_some()).then_some(kernel)
}

/// SCSI hosts and NVMe controllers, grouped by the PCI function they belong to.
pub fn storage_controllers(reader: &Reader) -> Option<Vec<StorageController>> {
    let mut found: BTreeMap<String, StorageController> = BTreeMap::new();
    let hosts = reader.try_list("/sys/class/scsi_host");
    let nvmes = reader.try_list("/sys/class/nvme");
    if hosts.is_none() && nvmes.is_none() {
        return None;
    }
    for name in hosts.unwrap_or_default() {
        let Some(real) = reader.follow("/sys/class/scsi_host", &name) else { continue };
        let key = place::by_path_of_bus(&real).unwrap_or_else(|| name.clone());
        let controller = found.entry(key).or_insert_with(|| pci_controller(reader, &real));
        let driver = reader.quiet_text(&format!("{real}/proc_name")).filter(|d| d != "<NULL>" && d != "(null)");
        controller.driver = controller.driver.take().filter(|d| d != "virtio-pci").or(driver);
        controller.kind.get_or_insert_with(|| "scsi".to_owned());
        let text = |attribute: &str| reader.quiet_text(&format!("{real}/{attribute}"));
        controller.firmware =
            controller.firmware.take().or_else(|| text("version_fw")).or_else(|| text("firmware_revision"));
        controller.model = controller.model.take().or_else(|| text("board_name"));
        controller.hosts.push(name);
    }
    for name in nvmes.unwrap_or_default() {
        let Some(real) = reader.follow("/sys/class/nvme", &name) else { continue };
        let text = |attribute: &str| reader.quiet_text(&format!("{real}/{attribute}"));
        let mut controller = pci_controller(reader, &real);
        controller.kind = Some("nvme".to_owned());
        controller.model = text("model");
        controller.serial = text("serial");
        controller.firmware = text("firmware_rev");
        controller.state = text("state");
        let key = format!("{}-{name}", controller.pci_address.clone().unwrap_or_default());
        controller.hosts.push(name);
        found.insert(key, controller);
    }
    let mut controllers: Vec<StorageController> = found.into_values().collect();
    for controller in &mut controllers {
        controller.hides_drives = matches!(
            controller.driver.as_deref(),
            Some("megaraid_sas" | "aacraid" | "hpsa" | "smartpqi" | "arcmsr" | "3w-9xxx" | "3w-sas" | "ips")
        );
    }
    controllers.sort_by(|a, b| {
        let key = |c: &StorageController| c.pci_address.clone().unwrap_or_default();
        natural(&key(a), &key(b)).then_with(|| a.serial.cmp(&b.serial))
    });
    Some(controllers)
}

fn pci_controller(reader: &Reader, real: &str) -> StorageController {
    StorageController {
        pci_address: place::pci(real).map(|(address, _)| address.to_owned()),
        driver: place::driver(reader, real),
        numa_node: place::numa_node(reader, real),
        ..StorageController::default()
    }
}
