//! Computes the name that udev's `path_id` gives a device below `/dev/disk/by-path` (ID_PATH). It walks from the device
//! up to the root of the device tree; each bus on the way adds its part.

mod bus;
mod scsi;

use crate::model::Disk;
use crate::source::Reader;

/// Of a block device; `real` is its directory, free of links. `None` where udev has no name either: what it hangs on is
/// not known, or tells nothing apart.
pub fn of_disk(reader: &Reader, real: &str, disk: &Disk) -> Option<String> {
    let mut walk = Walk::new(reader, real);
    walk.namespace = disk.nvme.as_ref().map(|nvme| (nvme.namespace_id, nvme.controller.as_deref()));
    walk.up()?;
    let name = walk.name().filter(|_| walk.transport)?;
    // 60-persistent-storage.rules tells the boot areas of an eMMC from the rest of it.
    let area = super::disk::emmc_area(&disk.name).and_then(|area| area.strip_prefix("boot"));
    Some(area.map(|number| format!("{name}-boot{number}")).unwrap_or(name))
}

/// Of an interface, from the directory of the device that it belongs to.
pub fn of_device(reader: &Reader, real: &str) -> Option<String> {
    let mut walk = Walk::new(reader, real);
    walk.up()?;
    walk.name()
}

/// Buses whose devices are called by their own names: what they put in front, whether the device above all is known by
/// them, and whether they are a transport of disks.
const PLAIN: &[(&str, &str, bool, bool)] = &[
    ("pci", "pci-", true, false),
    ("platform", "platform-", true, true),
    ("amba", "amba-", true, true),
    ("acpi", "acpi-", true, false),
    ("xen", "xen-", true, false),
    ("scm", "scm-", true, true),
    ("ccw", "ccw-", true, true),
    ("ccwgroup", "ccwgroup-", true, true),
    ("iucv", "iucv-", true, true),
];

struct Walk<'a> {
    reader: &'a Reader,
    /// Components below `/sys/devices`.
    parts: Vec<String>,
    /// What the buses said, nearest to the device first.
    names: Vec<String>,
    /// Something above the device has a name that lasts.
    parent: bool,
    transport: bool,
    /// Of an NVMe disk: number of the namespace, name of the controller.
    namespace: Option<(Option<u64>, Option<&'a str>)>,
}

impl<'a> Walk<'a> {
    fn new(reader: &'a Reader, real: &str) -> Walk<'a> {
        Walk { reader, parts: parts(real), names: Vec::new(), parent: false, transport: false, namespace: None }
    }

    /// `None` where a bus cannot say its part.
    fn up(&mut self) -> Option<()> {
        let mut next = self.parts.len().checked_sub(1);
        while let Some(at) = next {
            let bus = bus::name(self.reader, &self.parts, at);
            let top = match bus.as_deref() {
                None => at,
                Some("scsi") => self.scsi(at)?,
                Some("usb") => self.usb(at),
                Some("virtio") => {
                    self.transport = true;
                    self.topmost(at, "virtio")
                }
                Some("cciss") => self.cciss(at)?,
                Some("nvme") => self.nvme(at),
                // With native multipath the namespace hangs below the subsystem: the walk goes on from its controller.
                Some("nvme-subsystem") => self.nvme_subsystem(at),
                Some(bus) => self.plain(at, bus),
            };
            next = top.checked_sub(1);
        }
        Some(())
    }

    fn name(&self) -> Option<String> {
        let names: Vec<&str> = self.names.iter().rev().map(String::as_str).collect();
        (self.parent && !names.is_empty()).then(|| names.join("-"))
    }

    fn part(&self, at: usize) -> &str {
        self.parts.get(at).map(String::as_str).unwrap_or_default()
    }

    fn directory(&self, at: usize) -> String {
        bus::directory(&self.parts, at)
    }

    /// Devices of one bus below one another count once.
    fn topmost(&self, mut at: usize, bus: &str) -> usize {
        while let Some(above) = at.checked_sub(1)
            && bus::name(self.reader, &self.parts, above).as_deref() == Some(bus)
        {
            at = above;
        }
        at
    }

    fn plain(&mut self, at: usize, bus: &str) -> usize {
        let Some((_, prefix, parent, transport)) = PLAIN.iter().find(|(name, ..)| *name == bus) else { return at };
        self.names.push(format!("{prefix}{}", self.part(at)));
        self.parent |= parent;
        self.transport |= transport;
        self.topmost(at, bus)
    }

    /// `1-1.4:1.0` is interface 1.0 of the device in port 1.4 of bus 1.
    fn usb(&mut self, at: usize) -> usize {
        self.transport = true;
        let Some((_, port)) = self.part(at).split_once('-') else { return at };
        self.names.push(format!("usb-0:{port}"));
        self.topmost(at, "usb")
    }

    /// `c0d1`: the second disk of the first controller.
    fn cciss(&mut self, at: usize) -> Option<usize> {
        self.transport = true;
        let (_, disk) = self.part(at).split_once('d')?;
        self.names.push(format!("cciss-disk{}", disk.parse::<u32>().ok()?));
        Some(self.topmost(at, "cciss"))
    }

    fn nvme(&mut self, at: usize) -> usize {
        let Some((Some(number), _)) = self.namespace else { return at };
        self.names.push(format!("nvme-{number}"));
        (self.parent, self.transport) = (true, true);
        self.topmost(at, "nvme")
    }

    fn nvme_subsystem(&mut self, at: usize) -> usize {
        let Some((Some(number), controller)) = self.namespace else { return at };
        self.names.push(format!("nvme-{number}"));
        (self.parent, self.transport) = (true, true);
        let directory = self.directory(at);
        let Some(real) = controller.and_then(|name| self.reader.follow(&directory, name)) else { return at };
        self.parts = parts(&real);
        self.parts.len().saturating_sub(1)
    }
}

fn parts(real: &str) -> Vec<String> {
    let path = real.strip_prefix("/sys/devices/").unwrap_or(real);
    path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}
