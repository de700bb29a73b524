//! Collects the USB devices.

use super::ids;
use crate::model::UsbDevice;
use crate::parse::ids::Names;
use crate::parse::names::natural;
use crate::source::Reader;
use std::path::Path;

const BASE: &str = "/sys/bus/usb/devices";

pub fn collect(reader: &Reader, ids_file: Option<&Path>) -> Option<Vec<UsbDevice>> {
    let names = reader.try_list(BASE)?;
    // `1-1.4:1.0` is an interface of `1-1.4`; `usb1` is a root hub.
    let (interfaces, devices): (Vec<&String>, Vec<&String>) = names.iter().partition(|n| n.contains(':'));
    let mut found: Vec<UsbDevice> = devices
        .into_iter()
        .filter_map(|port| {
            let directory = reader.follow(BASE, port)?;
            let text = |name: &str| reader.quiet_text(&format!("{directory}/{name}"));
            let mut drivers: Vec<String> = interfaces
                .iter()
                .filter(|i| i.split(':').next() == Some(port.as_str()))
                .filter_map(|i| reader.link_name(&format!("{directory}/{i}/driver")))
                .collect();
            drivers.sort();
            drivers.dedup();
            Some(UsbDevice {
                port: port.clone(),
                vendor_id: text("idVendor")?,
                product_id: text("idProduct")?,
                manufacturer: text("manufacturer"),
                product_name: text("product"),
                // A root hub's "serial" is the bus address of its controller.
                serial: text("serial").filter(|_| !port.starts_with("usb")),
                class_id: text("bDeviceClass").zip(text("bDeviceSubClass")).map(|(c, s)| format!("{c}{s}")),
                version: text("version"),
                speed: text("speed").and_then(|t| speed(&t)),
                removable: text("removable").filter(|r| r != "unknown"),
                drivers,
                ..UsbDevice::default()
            })
        })
        .collect();
    found.sort_by(|a, b| natural(&a.port, &b.port));
    let mut names = Names::default();
    for d in &found {
        names.want(&d.vendor_id, &d.product_id, None, d.class_id.as_deref().unwrap_or_default());
    }
    ids::fill(&mut names, ids_file, ids::USB);
    for d in &mut found {
        d.vendor = names.vendor(&d.vendor_id);
        d.product = names.device(&d.vendor_id, &d.product_id);
        d.class = d.class_id.as_deref().and_then(|c| names.class(c));
    }
    Some(found)
}

/// Megabits, `1.5` among them.
fn speed(text: &str) -> Option<u64> {
    let (whole, tenths) = text.split_once('.').unwrap_or((text, "0"));
    let whole: u64 = whole.parse().ok()?;
    whole.checked_mul(10)?.checked_add(tenths.get(..1)?.parse().ok()?)?.checked_mul(100_000)
}
