//! The kernel's sensors (`/sys/class/hwmon`) and power zones (`/sys/class/powercap`, RAPL).

use super::isolate::{self, SectionTask};
use super::pool::{self, Limits, SPARE};
use super::{Options, place};
use crate::model::{PowerLimit, PowerZone, Sensor, SensorChip, SensorKind, Sensors};
use crate::parse::names::natural;
use crate::source::Reader;
use std::collections::BTreeMap;
use std::time::Duration;

const HWMON: &str = "/sys/class/hwmon";
const POWERCAP: &str = "/sys/class/powercap";

/// Reading a chip may ask a disk or a slow bus: each has a deadline of its own.
pub fn start(options: &Options, limit: Duration) -> SectionTask<Sensors> {
    let deadline = options.device_deadline;
    isolate::section("sensors", "sysfs", &options.source, limit + SPARE, move |reader| {
        let mut names = reader.source().list(HWMON).unwrap_or_default();
        names.sort_by(|a, b| natural(a, b));
        let mut jobs = Vec::new();
        for name in names {
            let Some(real) = reader.follow(HWMON, &name) else { continue };
            // Asks the disk what its own health tells already, and there may be thousands.
            if reader.quiet_text(&format!("{real}/name")).as_deref() != Some("drivetemp") {
                jobs.push((name, real));
            }
        }
        let limits = Limits::new(deadline, limit);
        let outcomes = pool::devices(jobs, &limits, reader.source(), |reader, real: String, publish| {
            publish(&chip(reader, &real));
        });
        let mut sensors = Sensors { chips: Vec::new(), power_zones: power_zones(reader) };
        for outcome in outcomes {
            let (chip, _, problems) = outcome.into_device();
            for problem in problems {
                reader.problem(&problem.what, problem.status, problem.message);
            }
            sensors.chips.extend(chip.filter(|c| !c.sensors.is_empty()));
        }
        sensors.chips.sort_by(|a, b| (&a.device, &a.name).cmp(&(&b.device, &b.name)));
        (sensors != Sensors::default()).then_some(sensors)
    })
}

fn chip(reader: &Reader, real: &str) -> SensorChip {
    let files = reader.list(real);
    // `temp1_input`, `temp1_max`, ...: by sensor.
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for file in &files {
        if let Some((sensor, attribute)) = file.split_once('_') {
            groups.entry(sensor).or_default().push(attribute);
        }
    }
    let mut sensors: Vec<Sensor> = groups
        .iter()
        .filter_map(|(name, attributes)| {
            let (kind, unit) = kind(name)?;
            sensor(reader, &format!("{real}/{name}"), name, attributes, (kind, unit))
        })
        .collect();
    sensors.sort_by(|a, b| natural(&a.name, &b.name));
    SensorChip {
        name: reader.quiet_text(&format!("{real}/name")).unwrap_or_default(),
        device: reader.follow(real, "device").map(|device| owner(&device)),
        sensors,
    }
}

/// What the chip sits on: a controller or disk by its own name, else the PCI function, else the device's name.
fn owner(device: &str) -> String {
    let last = device.rsplit('/').next().unwrap_or_default();
    match place::pci(device) {
        Some((_, directory)) if directory != device => last.to_owned(),
        Some((address, _)) => address.to_owned(),
        None => last.to_owned(),
    }
}

/// What a sensor of that name measures, and what its numbers are divided by (Documentation/hwmon/sysfs-interface.rst).
fn kind(name: &str) -> Option<(SensorKind, f64)> {
    let word = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if word.len() == name.len() {
        return None;
    }
    Some(match word {
        "temp" => (SensorKind::Temperature, 1e3),
        "in" => (SensorKind::Voltage, 1e3),
        "curr" => (SensorKind::Current, 1e3),
        "power" => (SensorKind::Power, 1e6),
        "energy" => (SensorKind::Energy, 1e6),
        "fan" => (SensorKind::Fan, 1.0),
        "humidity" => (SensorKind::Humidity, 1e3),
        _ => return None,
    })
}

fn sensor(
    reader: &Reader,
    path: &str,
    name: &str,
    attributes: &[&str],
    (kind, unit): (SensorKind, f64),
) -> Option<Sensor> {
    let text = |a: &str| attributes.contains(&a).then(|| reader.quiet_text(&format!("{path}_{a}"))).flatten();
    let number = |a: &str| text(a).and_then(|t| t.parse::<i64>().ok()).map(|n| n as f64 / unit);
    let flag = |a: &str| text(a).is_some_and(|t| t != "0");
    if !attributes.iter().any(|a| matches!(*a, "input" | "average")) {
        return None;
    }
    Some(Sensor {
        name: name.to_owned(),
        label: text("label"),
        kind,
        value: number("input").or_else(|| number("average")),
        low: number("min"),
        high: number("max").or_else(|| number("cap")),
        critical: number("crit"),
        alarm: ["alarm", "crit_alarm", "max_alarm", "min_alarm", "lcrit_alarm"].iter().any(|a| flag(a)),
        fault: flag("fault"),
    })
}

/// Zones and their parts: `intel-rapl:0`, `intel-rapl:0:1`.
fn power_zones(reader: &Reader) -> Vec<PowerZone> {
    let mut names = reader.source().list(POWERCAP).unwrap_or_default();
    names.sort_by(|a, b| natural(a, b));
    let text = |zone: &str, attribute: &str| reader.quiet_text(&format!("{POWERCAP}/{zone}/{attribute}"));
    let micro =
        |zone: &str, attribute: &str| text(zone, attribute).and_then(|t| t.parse::<u64>().ok()).map(|n| n as f64 / 1e6);
    let zone = |zone: &String| {
        let name = text(zone, "name")?;
        let parent = zone.rsplit_once(':').map(|(up, _)| up).filter(|up| names.iter().any(|n| n == up));
        let limit = |n: u32| {
            let limit = PowerLimit {
                name: text(zone, &format!("constraint_{n}_name")),
                limit: micro(zone, &format!("constraint_{n}_power_limit_uw")),
                max: micro(zone, &format!("constraint_{n}_max_power_uw")),
                window: micro(zone, &format!("constraint_{n}_time_window_us")),
            };
            (limit != PowerLimit::default()).then_some(limit)
        };
        Some(PowerZone {
            name,
            parent: parent.and_then(|up| text(up, "name")),
            enabled: text(zone, "enabled").map(|t| t != "0"),
            energy: micro(zone, "energy_uj"),
            limits: (0..MOST_LIMITS).map_while(limit).collect(),
        })
    };
    names.iter().filter_map(zone).collect()
}

/// Long term, short term, peak.
const MOST_LIMITS: u32 = 4;
