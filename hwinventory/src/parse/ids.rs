//! The text format of `pci.ids` and `usb.ids`.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

/// What is looked up, and what was found. Numbers as the file writes them: lower-case hexadecimal.
#[derive(Debug, Default)]
pub struct Names {
    vendors: BTreeMap<String, Vendor>,
    /// Base class, and base class with subclass.
    classes: BTreeMap<String, Option<String>>,
}

#[derive(Debug, Default)]
struct Vendor {
    name: Option<String>,
    devices: BTreeMap<String, Device>,
}

#[derive(Debug, Default)]
struct Device {
    name: Option<String>,
    /// By `subvendor subdevice`.
    subsystems: BTreeMap<String, Option<String>>,
}

impl Names {
    pub fn want(&mut self, vendor: &str, device: &str, subsystem: Option<(&str, &str)>, class: &str) {
        let vendor = self.vendors.entry(vendor.to_owned()).or_default();
        let device = vendor.devices.entry(device.to_owned()).or_default();
        if let Some((subvendor, subdevice)) = subsystem {
            device.subsystems.entry(format!("{subvendor} {subdevice}")).or_default();
        }
        for end in [2, 4] {
            if let Some(class) = class.get(..end) {
                self.classes.entry(class.to_owned()).or_default();
            }
        }
    }

    /// Nothing is looked up.
    pub fn is_empty(&self) -> bool {
        self.vendors.is_empty() && self.classes.is_empty()
    }

    /// Reads the file once, keeping only what is wanted. Most of its forty thousand lines belong to vendors of whom the
    /// machine has nothing: of those the first byte is all that is looked at.
    pub fn fill(&mut self, mut file: impl BufRead) -> io::Result<()> {
        let mut above = Above::Unwanted;
        let mut device = None::<String>;
        let mut line = Vec::new();
        loop {
            line.clear();
            if file.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            if matches!((line.first(), &above), (Some(b'#'), _) | (Some(b'\t'), Above::Unwanted)) {
                continue;
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end();
            let depth = text.bytes().take_while(|&b| b == b'\t').count();
            let entry = text.get(depth..).unwrap_or_default();
            let Some((id, name)) = entry.split_once("  ") else { continue };
            match (depth, &above) {
                (0, _) => (above, device) = (self.top(id, name), None),
                (1, Above::Vendor(vendor)) => {
                    let wanted = self.vendors.get_mut(vendor).and_then(|v| v.devices.get_mut(id));
                    device = wanted.is_some().then(|| id.to_owned());
                    wanted.into_iter().for_each(|d| d.name = Some(name.trim().to_owned()));
                }
                (2, Above::Vendor(vendor)) => {
                    let Some(device) = &device else { continue };
                    let above = self.vendors.get_mut(vendor).and_then(|v| v.devices.get_mut(device));
                    set(above.and_then(|d| d.subsystems.get_mut(id)), name);
                }
                (1, Above::Class(class)) => set(self.classes.get_mut(&format!("{class}{id}")), name),
                _ => {}
            }
        }
    }

    /// A line without indentation: a vendor, or a class.
    fn top(&mut self, id: &str, name: &str) -> Above {
        if let Some(class) = id.strip_prefix("C ") {
            set(self.classes.get_mut(class), name);
            return Above::Class(class.to_owned());
        }
        match self.vendors.get_mut(id) {
            Some(vendor) => {
                vendor.name = Some(name.trim().to_owned());
                Above::Vendor(id.to_owned())
            }
            None => Above::Unwanted,
        }
    }

    pub fn vendor(&self, vendor: &str) -> Option<String> {
        self.vendors.get(vendor)?.name.clone()
    }

    pub fn device(&self, vendor: &str, device: &str) -> Option<String> {
        self.vendors.get(vendor)?.devices.get(device)?.name.clone()
    }

    pub fn subsystem(&self, vendor: &str, device: &str, subvendor: &str, subdevice: &str) -> Option<String> {
        let device = self.vendors.get(vendor)?.devices.get(device)?;
        device.subsystems.get(&format!("{subvendor} {subdevice}")).cloned().flatten()
    }

    /// Of the subclass, or else of the base class.
    pub fn class(&self, class: &str) -> Option<String> {
        let get = |end: usize| self.classes.get(class.get(..end)?).cloned().flatten();
        get(4).or_else(|| get(2))
    }
}

/// What indented lines belong to.
enum Above {
    /// A wanted one.
    Vendor(String),
    Class(String),
    Unwanted,
}

fn set(wanted: Option<&mut Option<String>>, name: &str) {
    if let Some(value) = wanted {
        *value = Some(name.trim().to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_wanted() {
        let file = "# x\n8086  Intel Corporation\n\t1533  I210\n\t\t15d9 1533  Super I210\n1af4  Red Hat\n\nC 02  Network controller\n\t00  Ethernet controller\n";
        let mut names = Names::default();
        names.want("8086", "1533", Some(("15d9", "1533")), "020000");
        names.want("1af4", "1041", None, "02ff00");
        names.fill(file.as_bytes()).expect("memory does not fail");
        assert_eq!(names.vendor("8086").as_deref(), Some("Intel Corporation"));
        assert_eq!(names.device("8086", "1533").as_deref(), Some("I210"));
        assert_eq!(names.subsystem("8086", "1533", "15d9", "1533").as_deref(), Some("Super I210"));
        assert_eq!(names.device("1af4", "1041"), None);
        assert_eq!(names.class("020000").as_deref(), Some("Ethernet controller"));
        assert_eq!(names.class("02ff00").as_deref(), Some("Network controller"));
    }
}
