//! Collects enclosures and backplanes, from the kernel's `ses` driver or by asking them (SES pages).

use super::Options;
use super::isolate::{self, SectionTask};
use super::pool::{self, Limits, SPARE};
use crate::model::{Enclosure, EnclosureElement, EnclosureSlot, Status};
use crate::parse::names::natural;
use crate::parse::ses;
use crate::source::{Query, Reader};
use std::time::Duration;

const CLASS: &str = "/sys/class/enclosure";
const SCSI: &str = "/sys/bus/scsi/devices";
/// The SCSI peripheral type of enclosure services (SPC-5 6.6.2).
const SERVICES: &str = "13";

pub fn start(options: &Options, limit: Duration) -> SectionTask<Vec<Enclosure>> {
    let deadline = options.device_deadline;
    isolate::section("enclosures", "sysfs, ses pages", &options.source, limit + SPARE, move |reader| {
        let mut names: Vec<String> = reader.source().list(SCSI).unwrap_or_default();
        names.retain(|n| reader.quiet_text(&format!("{SCSI}/{n}/type")).as_deref() == Some(SERVICES));
        // Dumps may have the one directory without the other.
        names.extend(reader.source().list(CLASS).unwrap_or_default());
        names.sort_by(|a, b| natural(a, b));
        names.dedup();
        let jobs = names.iter().map(|name| (name.clone(), name.clone())).collect();
        let limits = Limits::new(deadline, limit);
        let outcomes = pool::devices(jobs, &limits, reader.source(), |reader, name: String, publish| {
            let mut enclosure = from_driver(reader, &name);
            publish(&enclosure);
            pages(reader, &name, &mut enclosure);
            publish(&enclosure);
        });
        let mut found = Vec::new();
        for (name, outcome) in names.iter().zip(outcomes) {
            let (enclosure, status, problems) = outcome.into_device();
            for problem in problems {
                reader.problem(&problem.what, problem.status, problem.message);
            }
            if status == Status::Timeout {
                reader.problem(name, status, "the enclosure did not answer");
            }
            found.extend(enclosure);
        }
        (!found.is_empty()).then_some(found)
    })
}

/// `/sys/class/enclosure/H:C:T:L`: a directory for each component.
fn from_driver(reader: &Reader, name: &str) -> Enclosure {
    let device = |attribute: &str| reader.quiet_text(&format!("{SCSI}/{name}/{attribute}"));
    let mut enclosure = Enclosure {
        hctl: Some(name.to_owned()),
        vendor: device("vendor"),
        model: device("model"),
        firmware: device("rev"),
        source: "ses".to_owned(),
        ..Enclosure::default()
    };
    let Some(real) = reader.follow(CLASS, name) else { return enclosure };
    let id = reader.quiet_text(&format!("{real}/id")).map(|id| id.trim_start_matches("0x").to_ascii_lowercase());
    enclosure.logical_id = id.filter(|id| id.bytes().any(|b| b != b'0'));
    let mut components = reader.list(&real);
    components.sort_by(|a, b| natural(a, b));
    for component in components {
        let text = |attribute: &str| reader.quiet_text(&format!("{real}/{component}/{attribute}"));
        let flag = |attribute: &str| text(attribute).and_then(|t| t.parse::<u64>().ok()).map(|n| n != 0);
        if !matches!(text("type").as_deref(), Some("device" | "array device")) {
            continue;
        }
        enclosure.slots.push(EnclosureSlot {
            number: text("slot").and_then(|t| t.parse().ok()),
            status: text("status"),
            fault: flag("fault"),
            locate: flag("locate"),
            power: text("power_status").map(|t| t == "on"),
            disk: disk_in(reader, &real, &component),
            sas_addresses: Vec::new(),
            name: Some(component),
        });
    }
    enclosure
}

fn disk_in(reader: &Reader, enclosure: &str, component: &str) -> Option<String> {
    let device = reader.follow(&format!("{enclosure}/{component}"), "device")?;
    reader.source().list(&format!("{device}/block")).ok()?.into_iter().next()
}

/// The largest answer that the length field of the command allows for, without the last odd byte.
const ROOM: u16 = 0xfffc;

fn pages(reader: &Reader, name: &str, enclosure: &mut Enclosure) {
    let generic = reader.source().list(&format!("{SCSI}/{name}/scsi_generic")).ok().and_then(|n| n.into_iter().next());
    let Some(device) = generic.map(|n| format!("/dev/{n}")) else { return };
    let ask = |page: u8| Query::Scsi { device: device.clone(), cdb: ses::receive(page, ROOM), length: u32::from(ROOM) };
    let Some(configuration) = reader.query(&ask(ses::CONFIGURATION)).and_then(|p| ses::configuration(&p)) else {
        return;
    };
    let optional = |page: u8| reader.quiet_query(&ask(page)).unwrap_or_default();
    let status = optional(ses::STATUS);
    let elements = ses::elements(&configuration, &status, &optional(ses::DESCRIPTORS), &optional(ses::ADDITIONAL));
    enclosure.logical_id = enclosure.logical_id.take().or(configuration.id);
    enclosure.vendor = enclosure.vendor.take().or(configuration.vendor);
    enclosure.model = enclosure.model.take().or(configuration.product);
    enclosure.firmware = enclosure.firmware.take().or(configuration.revision);
    enclosure.status = ses::overall(&status).map(str::to_owned);
    if enclosure.slots.is_empty() {
        enclosure.source = "ses-pages".to_owned();
    }
    let slots: Vec<&ses::Element> = elements.iter().filter(|e| ses::is_slot(e.kind)).collect();
    for (at, element) in slots.iter().enumerate() {
        slot(at, slots.len(), element, enclosure);
    }
    let others = elements.iter().filter(|e| !ses::is_slot(e.kind));
    enclosure.elements = others
        .map(|e| EnclosureElement {
            kind: e.kind_word().to_owned(),
            name: e.name.clone(),
            status: e.status_word().map(str::to_owned),
            temperature: e.temperature(),
            speed: e.fan_speed(),
            voltage: e.voltage(),
            current: e.current(),
        })
        .collect();
}

/// Joins what a page says of a slot with what the driver shows: by name, which the driver takes from the same page, or by
/// number.
fn slot(at: usize, count: usize, element: &ses::Element, enclosure: &mut Enclosure) {
    let number = element.slot.map(u64::from);
    let same_name = |s: &EnclosureSlot| s.name.is_some() && s.name == element.name;
    let known = enclosure.slots.iter().position(same_name);
    let known = known.or_else(|| enclosure.slots.iter().position(|s| number.is_some() && s.number == number));
    let at = known.or((enclosure.source == "ses" && enclosure.slots.len() == count).then_some(at));
    let index = at.unwrap_or_else(|| {
        enclosure.slots.push(EnclosureSlot { name: element.name.clone(), ..EnclosureSlot::default() });
        enclosure.slots.len() - 1
    });
    let Some(slot) = enclosure.slots.get_mut(index) else { return };
    slot.number = slot.number.or(number);
    slot.status = slot.status.take().or(element.status_word().map(str::to_owned));
    slot.fault = slot.fault.or(Some(element.fault()));
    slot.locate = slot.locate.or(Some(element.locate()));
    slot.power = slot.power.or(Some(element.powered()));
    slot.sas_addresses.clone_from(&element.addresses);
}
