//! Values of an inventory beside what dmidecode prints of the same table. What it prints otherwise: widths of slots stand
//! before their type, interfaces and type details are explained in brackets, voltages are in volts.

use super::printed::{Printed, printed, volts};
use hwinventory::Inventory;

/// One table, as both read it.
struct Both<'a> {
    context: &'a str,
    text: &'a str,
    inventory: &'a Inventory,
    compared: usize,
}

/// Every field that both have; how many structures were compared.
pub fn compare(context: &str, text: &str, inventory: &Inventory) -> usize {
    let mut both = Both { context, text, inventory, compared: 0 };
    for part in PARTS {
        part(&mut both);
    }
    both.compared
}

const PARTS: &[fn(&mut Both<'_>)] = &[
    |both| both.firmware(),
    |both| both.system(),
    |both| both.boards(),
    |both| both.chassis(),
    |both| both.processors(),
    |both| both.slots(),
    |both| both.oem_strings(),
    |both| both.arrays(),
    |both| both.modules(),
    |both| both.ipmi(),
    |both| both.power_supplies(),
    |both| both.onboard_devices(),
    |both| both.host_interfaces(),
];

impl Both<'_> {
    /// The structures of one type, as dmidecode prints them.
    fn of(&mut self, kind: u8) -> Vec<Printed> {
        let found = printed(self.context, self.text, kind);
        self.compared += found.len();
        found
    }

    fn firmware(&mut self) {
        let context = self.context;
        let system = &self.inventory.system.data;
        if let (Some(theirs), Some(ours)) = (self.of(0).first(), &system.bios) {
            theirs.text("Vendor", ours.vendor.as_deref());
            theirs.text("Version", ours.version.as_deref());
            theirs.text("Release Date", ours.date.as_deref());
            theirs.text("BIOS Revision", ours.release.as_deref());
            theirs.text("Firmware Revision", ours.embedded_controller_release.as_deref());
            theirs.size("ROM Size", ours.rom_size);
            let says = |word: &str| theirs.fields.get("Characteristics").is_some_and(|c| c.contains(word));
            // dmidecode prints the extension bytes of a firmware that says it does not support characteristics (SeaBIOS);
            // the inventory believes it, and says nothing.
            let known = !says("BIOS characteristics not supported");
            assert_eq!(ours.uefi, ours.uefi.filter(|_| known), "{context}");
            if known {
                assert_eq!(ours.uefi.unwrap_or(false), says("UEFI is supported"), "{context}");
                assert_eq!(ours.virtual_machine.unwrap_or(false), says("System is a virtual machine"), "{context}");
            }
        }
    }

    fn system(&mut self) {
        let system = &self.inventory.system.data;
        if let Some(theirs) = self.of(1).first() {
            theirs.text("Manufacturer", system.manufacturer.as_deref());
            theirs.text("Product Name", system.product_name.as_deref());
            theirs.text("Version", system.version.as_deref());
            theirs.text("Serial Number", system.serial_number.as_deref());
            theirs.text("UUID", system.uuid.as_deref());
            theirs.text("Wake-up Type", system.wake_up_type.as_deref());
            theirs.text("SKU Number", system.sku_number.as_deref());
            theirs.text("Family", system.family.as_deref());
        }
    }

    fn boards(&mut self) {
        let context = self.context;
        let system = &self.inventory.system.data;
        let boards = self.of(2);
        assert_eq!(system.baseboards.len(), boards.len(), "{context}: boards");
        for (ours, theirs) in system.baseboards.iter().zip(&boards) {
            theirs.text("Manufacturer", ours.manufacturer.as_deref());
            theirs.text("Product Name", ours.product_name.as_deref());
            theirs.text("Version", ours.version.as_deref());
            theirs.text("Serial Number", ours.serial_number.as_deref());
            theirs.text("Asset Tag", ours.asset_tag.as_deref());
            theirs.text("Location In Chassis", ours.location.as_deref());
            theirs.text("Type", ours.kind.as_deref());
        }
    }

    fn chassis(&mut self) {
        let context = self.context;
        let system = &self.inventory.system.data;
        let cases = self.of(3);
        assert_eq!(system.chassis.len(), cases.len(), "{context}: chassis");
        for (ours, theirs) in system.chassis.iter().zip(&cases) {
            theirs.text("Manufacturer", ours.manufacturer.as_deref());
            theirs.text("Type", ours.kind.as_deref());
            theirs.text("Version", ours.version.as_deref());
            theirs.text("Serial Number", ours.serial_number.as_deref());
            theirs.text("Asset Tag", ours.asset_tag.as_deref());
            theirs.text("SKU Number", ours.sku_number.as_deref());
            theirs.number("Height", " U", 1, ours.height);
        }
    }

    fn processors(&mut self) {
        let context = self.context;
        let packages = self.of(4);
        assert_eq!(self.inventory.cpu.data.packages.len(), packages.len(), "{context}: sockets");
        for (ours, theirs) in self.inventory.cpu.data.packages.iter().zip(&packages) {
            let status = match &ours.status {
                _ if !ours.populated => "Unpopulated".to_owned(),
                Some(status) => format!("Populated, {status}"),
                None => "Populated, Unknown".to_owned(),
            };
            if let Some(theirs) = theirs.get("Status").filter(|s| !s.contains("OUT OF SPEC")) {
                assert_eq!(status, theirs, "{context}");
            }
            theirs.text("Socket Designation", ours.designation.as_deref());
            theirs.text("Upgrade", ours.upgrade.as_deref().filter(|u| *u != "None"));
            if !ours.populated {
                continue;
            }
            theirs.text("Type", ours.kind.as_deref());
            theirs.text("Family", ours.family.as_deref());
            theirs.text("Manufacturer", ours.manufacturer.as_deref());
            theirs.text("Version", ours.version.as_deref());
            theirs.text("Serial Number", ours.serial_number.as_deref());
            theirs.text("Asset Tag", ours.asset_tag.as_deref());
            theirs.text("Part Number", ours.part_number.as_deref());
            let id = theirs
                .get("ID")
                .map(|id| id.replace(' ', "").to_lowercase())
                .filter(|id| id.bytes().any(|b| b != b'0'));
            assert_eq!(ours.id, id, "{}", theirs.context);
            assert_eq!(ours.voltage, theirs.get("Voltage").and_then(volts).filter(|&v| v != 0), "{}", theirs.context);
            theirs.number("External Clock", " MHz", 1_000_000, ours.external_clock);
            theirs.number("Max Speed", " MHz", 1_000_000, ours.max_speed);
            theirs.number("Current Speed", " MHz", 1_000_000, ours.current_speed);
            theirs.number("Core Count", "", 1, ours.cores);
            theirs.number("Core Enabled", "", 1, ours.enabled_cores);
            theirs.number("Thread Count", "", 1, ours.threads);
            let list =
                theirs.get("Characteristics").map_or(0, |c| c.lines().filter(|l| !l.contains("OUT OF SPEC")).count());
            assert_eq!(ours.characteristics.len(), list, "{} characteristics", theirs.context);
        }
    }

    fn slots(&mut self) {
        let context = self.context;
        let system = &self.inventory.system.data;
        let slots = self.of(9);
        assert_eq!(system.slots.len(), slots.len(), "{context}: slots");
        for (ours, theirs) in system.slots.iter().zip(&slots) {
            theirs.text("Designation", ours.designation.as_deref());
            let kind: Vec<&str> = [ours.width.as_deref(), ours.kind.as_deref()].into_iter().flatten().collect();
            // A width that the specification does not know stands before the type.
            let known =
                theirs.get("Type").map(|t| t.replace("<OUT OF SPEC>", "").trim().to_owned()).filter(|t| !t.is_empty());
            assert_eq!(Some(kind.join(" ")).filter(|k| !k.is_empty()), known, "{}", theirs.context);
            theirs.text("Current Usage", ours.usage.as_deref());
            theirs.text("Length", ours.length.as_deref());
            theirs.text("Bus Address", ours.pci_address.as_deref());
            // What the id means depends on the bus; dmidecode shows it for some only.
            if let Some(id) = theirs.get("ID").and_then(|id| id.parse::<u64>().ok()) {
                assert_eq!(ours.id, Some(id), "{}", theirs.context);
            }
        }
    }

    fn oem_strings(&mut self) {
        let context = self.context;
        let system = &self.inventory.system.data;
        let theirs: Vec<String> = self
            .of(11)
            .iter()
            .flat_map(|p| {
                p.fields.iter().filter(|(k, _)| k.starts_with("String ")).map(|(_, v)| v.clone()).collect::<Vec<_>>()
            })
            .collect();
        let mut ours = system.oem_strings.clone();
        let mut theirs: Vec<String> = theirs.into_iter().filter(|t| !t.is_empty()).collect();
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "{context}: OEM strings");
    }

    fn arrays(&mut self) {
        let context = self.context;
        let arrays = self.of(16);
        assert_eq!(self.inventory.memory.data.arrays.len(), arrays.len(), "{context}: arrays");
        for (ours, theirs) in self.inventory.memory.data.arrays.iter().zip(&arrays) {
            theirs.text("Location", ours.location.as_deref());
            theirs.text("Use", ours.usage.as_deref());
            theirs.text("Error Correction Type", ours.error_correction.as_deref().filter(|w| *w != "None"));
            theirs.size("Maximum Capacity", ours.max_capacity);
            theirs.number("Number Of Devices", "", 1, ours.slots.filter(|&n| n != 0));
        }
    }

    fn modules(&mut self) {
        let context = self.context;
        let dimms = self.of(17);
        assert_eq!(self.inventory.memory.data.dimms.len(), dimms.len(), "{context}: DIMM slots");
        for (ours, theirs) in self.inventory.memory.data.dimms.iter().zip(&dimms) {
            let empty = theirs.fields.get("Size").map(String::as_str) == Some("No Module Installed");
            assert_eq!(ours.populated, !empty, "{}", theirs.context);
            theirs.text("Locator", ours.locator.as_deref());
            theirs.text("Bank Locator", ours.bank.as_deref());
            if !ours.populated {
                continue;
            }
            theirs.size("Size", ours.size);
            theirs.text("Form Factor", ours.form_factor.as_deref());
            theirs.text("Type", ours.kind.as_deref());
            theirs.number("Speed", " MT/s", 1_000_000, ours.rated_speed);
            theirs.number("Configured Memory Speed", " MT/s", 1_000_000, ours.configured_speed);
            theirs.number("Rank", "", 1, ours.ranks);
            theirs.number("Total Width", " bits", 1, ours.total_width);
            theirs.number("Data Width", " bits", 1, ours.data_width);
            theirs.text("Manufacturer", ours.manufacturer.as_deref());
            theirs.text("Part Number", ours.part_number.as_deref());
            theirs.text("Serial Number", ours.serial_number.as_deref());
            theirs.text("Asset Tag", ours.asset_tag.as_deref());
            theirs.text("Memory Technology", ours.technology.as_deref());
            assert_eq!(ours.configured_voltage, theirs.get("Configured Voltage").and_then(volts), "{}", theirs.context);
        }
    }

    fn ipmi(&mut self) {
        let context = self.context;
        if let Some(theirs) = self.of(38).first() {
            let ours = self.inventory.bmc.data.interface.as_deref();
            let word = theirs.get("Interface Type").map(|t| t.split(' ').next().unwrap_or_default());
            assert_eq!(ours, word, "{context}");
            theirs.text("Specification Version", self.inventory.bmc.data.ipmi_version.as_deref());
        }
    }

    fn power_supplies(&mut self) {
        let context = self.context;
        let system = &self.inventory.system.data;
        let supplies = self.of(39);
        assert_eq!(system.power_supplies.len(), supplies.len(), "{context}: power supplies");
        for (ours, theirs) in system.power_supplies.iter().zip(&supplies) {
            theirs.text("Location", ours.location.as_deref());
            theirs.text("Name", ours.name.as_deref());
            theirs.text("Manufacturer", ours.manufacturer.as_deref());
            theirs.text("Serial Number", ours.serial_number.as_deref());
            theirs.text("Asset Tag", ours.asset_tag.as_deref());
            theirs.text("Model Part Number", ours.part_number.as_deref());
            theirs.number("Max Power Capacity", " W", 1000, ours.max_power);
        }
    }

    fn onboard_devices(&mut self) {
        let context = self.context;
        let system = &self.inventory.system.data;
        let devices = self.of(41);
        if !devices.is_empty() {
            assert_eq!(system.onboard_devices.len(), devices.len(), "{context}: onboard devices");
            for (ours, theirs) in system.onboard_devices.iter().zip(&devices) {
                theirs.text("Reference Designation", ours.designation.as_deref());
                theirs.text("Type", ours.kind.as_deref());
                let status = ours.enabled.map(|e| if e { "Enabled" } else { "Disabled" });
                theirs.text("Status", status);
                theirs.number("Type Instance", "", 1, ours.instance.filter(|&n| n != 0));
                theirs.text("Bus Address", ours.pci_address.as_deref());
            }
        }
    }

    fn host_interfaces(&mut self) {
        let context = self.context;
        let interfaces = self.of(42);
        assert_eq!(self.inventory.bmc.data.host_interfaces.len(), interfaces.len(), "{context}: host interfaces");
        for (ours, theirs) in self.inventory.bmc.data.host_interfaces.iter().zip(&interfaces) {
            if let Some(kind) = theirs.get("Host Interface Type") {
                assert_eq!(
                    ours.kind.as_deref().map(str::to_lowercase),
                    Some(kind.to_lowercase()),
                    "{}",
                    theirs.context
                );
            }
            let Some(redfish) = &ours.redfish else { continue };
            theirs.text("Service UUID", redfish.uuid.as_deref());
            theirs.text("IPv4 Address", redfish.host_address.as_deref());
            theirs.text("IPv4 Redfish Service Address", redfish.address.as_deref());
            theirs.text("IPv4 Redfish Service Mask", redfish.netmask.as_deref());
            theirs.number("Redfish Service Port", "", 1, redfish.port);
            theirs.text("Redfish Service Hostname", redfish.hostname.as_deref());
        }
    }
}
