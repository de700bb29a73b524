//! The text format of `pci.ids` and `usb.ids`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead};

/// What is looked up, and what was found. Numbers as the file writes them: lower-case hexadecimal.
#[derive(Debug, Default)]
pub struct Names {
    vendors: BTreeMap<String, Option<String>>,
    devices: BTreeMap<(String, String), Option<String>>,
    /// Vendor, device, and `subvendor subdevice`.
    subsystems: BTreeMap<(String, String, String), Option<String>>,
    /// Base class, and base class with subclass.
    classes: BTreeMap<String, Option<String>>,
}

impl Names {
    pub fn want(&mut self, vendor: &str, device: &str, subsystem: Option<(&str, &str)>, class: &str) {
        self.vendors.entry(vendor.to_owned()).or_default();
        self.devices.entry((vendor.to_owned(), device.to_owned())).or_default();
        if let Some((subvendor, subdevice)) = subsystem {
            let key = (vendor.to_owned(), device.to_owned(), format!("{subvendor} {subdevice}"));
            self.subsystems.entry(key).or_default();
        }
        for end in [2, 4] {
            if let Some(class) = class.get(..end) {
                self.classes.entry(class.to_owned()).or_default();
            }
        }
    }

    /// Reads the file once, keeping only what is wanted.
    pub fn fill(&mut self, mut file: impl BufRead) -> io::Result<()> {
        let (mut vendor, mut device, mut class) = (None::<String>, None::<String>, None::<String>);
        let wanted: BTreeSet<String> = self.vendors.keys().cloned().collect();
        let mut line = Vec::new();
        loop {
            line.clear();
            if file.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end();
            let depth = text.bytes().take_while(|&b| b == b'\t').count();
            let entry = text.get(depth..).unwrap_or_default();
            let Some((id, name)) = entry.split_once("  ") else { continue };
            match depth {
                0 => {
                    (vendor, device, class) = (None, None, None);
                    if let Some(id) = id.strip_prefix("C ") {
                        class = Some(id.to_owned());
                        set(&mut self.classes, &id.to_owned(), name);
                    } else if id.len() == 4 && wanted.contains(id) {
                        vendor = Some(id.to_owned());
                        set(&mut self.vendors, &id.to_owned(), name);
                    }
                }
                1 => {
                    if let Some(vendor) = &vendor {
                        device = Some(id.to_owned());
                        set(&mut self.devices, &(vendor.clone(), id.to_owned()), name);
                    } else if let Some(class) = &class {
                        set(&mut self.classes, &format!("{class}{id}"), name);
                    }
                }
                2 => {
                    if let (Some(vendor), Some(device)) = (&vendor, &device) {
                        set(&mut self.subsystems, &(vendor.clone(), device.clone(), id.to_owned()), name);
                    }
                }
                _ => {}
            }
        }
    }

    pub fn vendor(&self, vendor: &str) -> Option<String> {
        self.vendors.get(vendor).cloned().flatten()
    }

    pub fn device(&self, vendor: &str, device: &str) -> Option<String> {
        self.devices.get(&(vendor.to_owned(), device.to_owned())).cloned().flatten()
    }

    pub fn subsystem(&self, vendor: &str, device: &str, subvendor: &str, subdevice: &str) -> Option<String> {
        let key = (vendor.to_owned(), device.to_owned(), format!("{subvendor} {subdevice}"));
        self.subsystems.get(&key).cloned().flatten()
    }

    /// Of the subclass, or else of the base class.
    pub fn class(&self, class: &str) -> Option<String> {
        let get = |end: usize| self.classes.get(class.get(..end)?).cloned().flatten();
        get(4).or_else(|| get(2))
    }
}

fn set<K: Ord>(map: &mut BTreeMap<K, Option<String>>, key: &K, name: &str) {
    if let Some(value) = map.get_mut(key) {
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
