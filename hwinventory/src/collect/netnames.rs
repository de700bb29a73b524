//! Predicts the name that systemd's udev gives an interface: naming scheme v252, with the link policy of Debian 12
//! (systemd.net-naming-scheme(7), `99-default.link`).

use super::place;
use crate::model::{Nic, PredictableNames};
use crate::source::Reader;

/// The kernel's limit for names of interfaces.
const LONGEST: usize = 15;
/// Firmware reports nonsense above it.
const LARGEST_INDEX: u64 = u16::MAX as u64;

/// `real` is the interface's directory, free of links.
pub fn names(reader: &Reader, nic: &Nic, real: &str) -> Option<PredictableNames> {
    let text = |attribute: &str| reader.quiet_text(&format!("{real}/{attribute}"));
    // VLANs and the like are built on another interface.
    if text("iflink").zip(text("ifindex")).is_some_and(|(below, own)| below != own) {
        return None;
    }
    let kind = match text("uevent").as_deref().and_then(|u| u.lines().find_map(|l| l.strip_prefix("DEVTYPE="))) {
        Some("wlan") => "wl",
        Some("wwan") => "ww",
        _ => "",
    };
    let prefix = match (text("type")?.as_str(), kind) {
        ("1" | "32" | "256", kind) if !kind.is_empty() => kind,
        ("1", _) => "en",
        ("32", _) => "ib",
        ("256", _) => "sl",
        _ => return None,
    };
    let interface = Interface { reader, real, nic, prefix };
    let mut names = PredictableNames { mac: interface.mac(text("addr_assign_type")), ..PredictableNames::default() };
    if prefix == "en" {
        names.onboard = interface.device_tree();
    }
    interface.place(&mut names);
    // The kernel's own name is kept where the driver says that it is predictable.
    let kept = (text("name_assign_type").as_deref() == Some("2")).then(|| nic.name.clone());
    let usable = |name: &&String| (1..=LONGEST).contains(&name.len());
    let chosen = [&names.onboard, &names.slot, &names.path].into_iter().flatten().find(usable).cloned();
    names.name = kept.or(chosen);
    (names != PredictableNames::default()).then_some(names)
}

struct Interface<'a> {
    reader: &'a Reader,
    real: &'a str,
    nic: &'a Nic,
    prefix: &'static str,
}

/// Names of one PCI function, without the prefix.
#[derive(Default)]
struct PciNames {
    onboard: Option<String>,
    slot: Option<String>,
    path: Option<String>,
    label: Option<String>,
}

impl Interface<'_> {
    fn mac(&self, assigned: Option<String>) -> Option<String> {
        let address = self.reader.quiet_text(&format!("{}/address", self.real))?;
        let digits: String = address.chars().filter(|c| *c != ':').collect();
        let permanent = self.prefix != "ib" && digits.len() == 12 && assigned.as_deref() == Some("0");
        permanent.then(|| format!("{}x{digits}", self.prefix))
    }

    /// By an alias of the device tree, e.g. `ethernet0 = "/soc/ethernet@1c30000"`.
    fn device_tree(&self) -> Option<String> {
        const BASE: &str = "/sys/firmware/devicetree/base";
        let device = self.reader.follow(self.real, "device")?;
        let node = self.reader.follow(&device, "of_node")?;
        let node = node.strip_prefix(BASE)?;
        let aliases = self.reader.source().list(&format!("{BASE}/aliases")).ok()?;
        let points_here = |alias: &&String| {
            alias.starts_with("ethernet")
                && self.reader.quiet_text(&format!("{BASE}/aliases/{alias}")).as_deref() == Some(node)
        };
        let alias = aliases.iter().find(points_here)?;
        let digits = alias.strip_prefix("ethernet")?;
        let index: u32 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
        let rival = if digits.is_empty() { "ethernet0" } else { "ethernet" };
        if index == 0 && aliases.iter().any(|a| a == rival) {
            return None;
        }
        Some(format!("{}d{index}", self.prefix))
    }

    /// Each bus has its own way; the first that knows the device is the only one.
    fn place(&self, names: &mut PredictableNames) {
        let prefix = self.prefix;
        // `/sys/devices/.../0000:00:03.0/virtio2/net/eth0`: without the interface, and without virtio.
        let Some(parent) = self.real.rsplitn(3, '/').nth(2) else { return };
        let skipped =
            parent.rsplit_once('/').filter(|(_, last)| is_numbered(last, "virtio")).map_or(parent, |(up, _)| up);
        let last = skipped.rsplit('/').next().unwrap_or_default();
        if is_ccw(last) {
            let start = last.find(|c| !matches!(c, '.' | '0')).unwrap_or(last.len() - 1);
            names.path = last.get(start..).map(|id| format!("{prefix}c{id}"));
        } else if let Some(slot) = vio_slot(self.real) {
            names.slot = Some(format!("{prefix}v{slot}"));
        } else if let Some(path) = platform(self.real) {
            names.path = Some(format!("{prefix}{path}"));
        } else if let Some(id) = self.real.strip_prefix("/sys/devices/vif-").and_then(|r| r.split('/').next()) {
            let number = id.parse::<u32>().ok().filter(|n| n.to_string() == id);
            names.slot = number.map(|id| format!("{prefix}X{id}"));
        } else if let Some((_, directory)) = place::pci(parent) {
            let found = self.pci(directory);
            let on = |name: Option<String>| name.map(|name| format!("{prefix}{name}"));
            if place::is_pci_address(last) {
                (names.onboard, names.slot, names.path) = (on(found.onboard), on(found.slot), on(found.path));
                names.label = found.label;
            } else if let Some(below) = usb(self.real).or_else(|| bcma(self.real)) {
                let on = |name: Option<String>| name.map(|name| format!("{prefix}{name}{below}"));
                (names.slot, names.path) = (on(found.slot), on(found.path));
            }
        }
    }

    /// A virtual function is called after its physical one.
    fn pci(&self, directory: &str) -> PciNames {
        let Some(physical) = self.reader.follow(directory, "physfn").filter(|p| *p != format!("{directory}/physfn"))
        else {
            return self.function(directory);
        };
        let links = self.reader.source().list(&physical).unwrap_or_default();
        let mut virtual_functions = links.iter().filter(|n| is_numbered(n, "virtfn"));
        let own = virtual_functions.find(|n| self.reader.follow(&physical, n).as_deref() == Some(directory));
        let Some(number) = own.and_then(|n| n.strip_prefix("virtfn")) else { return self.function(directory) };
        let of = self.function(&physical);
        let with = |name: Option<String>| name.map(|name| format!("{name}v{number}"));
        // The label is the physical function's own.
        PciNames { onboard: with(of.onboard), slot: with(of.slot), path: with(of.path), label: None }
    }

    fn function(&self, directory: &str) -> PciNames {
        let text = |attribute: &str| self.reader.quiet_text(&format!("{directory}/{attribute}"));
        let Some((address, _)) = place::pci(directory) else { return PciNames::default() };
        let mut names = PciNames::default();
        let index = text("acpi_index").or_else(|| text("index")).and_then(|t| t.parse::<u64>().ok());
        if let Some(index) = index.filter(|&n| n <= LARGEST_INDEX) {
            names.onboard = Some(format!("o{index}{}", self.port(false)));
            names.label = text("label");
        }
        let Some((domain, bus, device, function)) = parts(address) else { return names };
        let function = if text("ari_enabled").as_deref() == Some("1") { function + device * 8 } else { function };
        let multifunction = self.is_multifunction(directory);
        let mut end = String::new();
        if function > 0 || multifunction {
            end = format!("f{function}");
        }
        end.push_str(&self.port(true));
        let domain = if domain > 0 { format!("P{domain}") } else { String::new() };
        names.path = Some(format!("{domain}p{bus}s{device}{end}"));
        names.slot = self.slot(directory, multifunction).map(|(slot, by_function_id)| {
            let domain = if by_function_id { "" } else { domain.as_str() };
            format!("{domain}s{slot}{end}")
        });
        names
    }

    /// Of several ports on one function: the name on the front panel, or the number.
    fn port(&self, by_device_id: bool) -> String {
        if let Some(name) = self.reader.quiet_text(&format!("{}/phys_port_name", self.real)) {
            return format!("n{name}");
        }
        let mut port = self.nic.port.unwrap_or(0);
        // Older kernels put the port of InfiniBand interfaces here.
        if port == 0 && by_device_id && self.prefix == "ib" {
            let id = self.reader.quiet_text(&format!("{}/dev_id", self.real)).unwrap_or_default();
            port = id.parse().unwrap_or(0);
        }
        if port > 0 { format!("d{port}") } else { String::new() }
    }

    /// Bit 7 of the header type.
    fn is_multifunction(&self, directory: &str) -> bool {
        let config = self.reader.source().read(&format!("{directory}/config")).unwrap_or_default();
        config.get(0x0e).is_some_and(|header| header & 0x80 != 0)
    }

    /// The hot-plug slot of the function, or of a bridge above it: that one only where the function is one of several.
    fn slot(&self, directory: &str, multifunction: bool) -> Option<(u32, bool)> {
        const SLOTS: &str = "/sys/bus/pci/slots";
        let slots = self.reader.source().list(SLOTS).ok()?;
        let mut directory = directory;
        loop {
            let text = |attribute: &str| self.reader.quiet_text(&format!("{directory}/{attribute}"));
            if let Some(id) = text("function_id") {
                let id = u32::from_str_radix(id.trim_start_matches("0x"), 16).ok().filter(|&id| id > 0)?;
                return slots.contains(&format!("{id:08x}")).then_some((id, true));
            }
            let name = directory.rsplit('/').next().unwrap_or_default();
            let holds = |slot: &&String| {
                let address = self.reader.quiet_text(&format!("{SLOTS}/{slot}/address"));
                address.is_some_and(|address| name.starts_with(&address))
            };
            let numbered = slots.iter().filter(|s| s.parse::<u32>().is_ok_and(|n| n > 0));
            if let Some(slot) = { numbered }.find(holds) {
                let is_bridge = text("modalias").is_some_and(|m| {
                    m.starts_with("pci:") && m.rsplit_once('s').is_some_and(|(_, end)| end.starts_with("c04"))
                });
                return if is_bridge && !multifunction { None } else { Some((slot.parse().ok()?, false)) };
            }
            directory = place::pci(directory.rsplit_once('/')?.0)?.1;
        }
    }
}

/// Domain, bus, device, function. The last digit is read as a decimal number, as udev does.
fn parts(address: &str) -> Option<(u32, u32, u32, u32)> {
    let (rest, function) = address.rsplit_once('.')?;
    let mut parts = rest.split(':').map(|p| u32::from_str_radix(p, 16).ok());
    Some((parts.next()??, parts.next()??, parts.next()??, function.parse().ok()?))
}

fn is_numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

/// `0.0.0600`
fn is_ccw(name: &str) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    matches!(parts.as_slice(), [a, b, c] if a.len() == 1 && b.len() == 1 && matches!(c.len(), 4 | 5))
        && name.bytes().all(|b| b == b'.' || b.is_ascii_hexdigit())
}

/// `/sys/devices/vio/30000002/net/eth1`: the lower half of the number.
fn vio_slot(real: &str) -> Option<u32> {
    let (number, name) = real.strip_prefix("/sys/devices/vio/")?.split_once("/net/")?;
    (number.len() == 8 && is_numbered(name, "eth")).then_some(())?;
    u32::from_str_radix(number.get(4..)?, 16).ok()
}

/// `/sys/devices/platform/HISI00C2:00/net/eth0`: vendor of three letters or four characters, model, instance.
fn platform(real: &str) -> Option<String> {
    let (device, name) = real.strip_prefix("/sys/devices/platform/")?.split_once("/net/")?;
    is_numbered(name, "eth").then_some(())?;
    let (id, instance) = device.split_once(':')?;
    let (vendor, model) = match id.len() {
        8 => id.split_at_checked(4)?,
        7 => id.split_at_checked(3)?,
        _ => return None,
    };
    let letters = |b: u8| b.is_ascii_uppercase() || (vendor.len() == 4 && b.is_ascii_digit());
    vendor.bytes().all(letters).then_some(())?;
    let model = u32::from_str_radix(model, 16).ok()?;
    let instance = u32::from_str_radix(instance.get(..2)?, 16).ok()?;
    Some(format!("a{}{model:x}i{instance}", vendor.to_ascii_lowercase()))
}

/// `1-1.4:1.0`: ports, configuration, interface of the nearest USB interface.
fn usb(real: &str) -> Option<String> {
    let interface = real.rsplit('/').find(|part| {
        part.split_once(':').is_some_and(|(ports, rest)| {
            ports.contains('-') && rest.contains('.') && part.bytes().all(|b| b.is_ascii_digit() || b":.-".contains(&b))
        })
    })?;
    let (_, rest) = interface.split_once('-')?;
    let (ports, rest) = rest.split_once(':')?;
    let (configuration, number) = rest.split_once('.')?;
    let mut name = format!("u{}", ports.replace('.', "u"));
    if configuration != "1" {
        name.push_str(&format!("c{configuration}"));
    }
    if number != "0" {
        name.push_str(&format!("i{number}"));
    }
    Some(name)
}

/// `bcma0:1`: the core.
fn bcma(real: &str) -> Option<String> {
    let core = real.rsplit('/').find_map(|part| part.strip_prefix("bcma")?.split_once(':'))?.1;
    let core: u32 = core.parse().ok()?;
    Some(if core > 0 { format!("b{core}") } else { String::new() })
}

#[cfg(test)]
#[path = "netnames_tests.rs"]
mod tests;
