//! Reads the Vital Product Data of PCI cards, each in a thread of its own: some cards take seconds.

use super::Options;
use super::isolate::{self, SectionTask};
use super::pool::{self, Limits, SPARE};
use crate::model::{Inventory, Section, VitalProductData};
use crate::parse::vpd;
use std::collections::BTreeMap;
use std::time::Duration;

const BASE: &str = "/sys/bus/pci/devices";

/// By address without the function: the functions of a card share it.
pub type Found = BTreeMap<String, VitalProductData>;

pub fn start(options: &Options, limit: Duration) -> SectionTask<Found> {
    let deadline = options.device_deadline;
    isolate::section("pci-vpd", "sysfs", &options.source, limit + SPARE, move |reader| {
        let mut paths = BTreeMap::new();
        for address in reader.source().list(BASE).unwrap_or_default() {
            let Some((card, _)) = address.rsplit_once('.') else { continue };
            let Some(real) = reader.follow(BASE, &address) else { continue };
            let has_it = reader.source().list(&real).is_ok_and(|files| files.iter().any(|f| f == "vpd"));
            if has_it {
                paths.entry(card.to_owned()).or_insert_with(|| format!("{real}/vpd"));
            }
        }
        let jobs = paths.values().map(|path| (path.clone(), path.clone())).collect();
        let limits = Limits::new(deadline, limit);
        let outcomes = pool::devices(jobs, &limits, reader.source(), |reader, path: String, publish| {
            // Cards without the data answer with an error as a matter of course.
            publish(&reader.source().read(&path).ok().and_then(|bytes| vpd::vpd(&bytes)));
        });
        let mut found = Found::new();
        for (card, outcome) in paths.into_keys().zip(outcomes) {
            let (data, _, problems) = outcome.into_device();
            for problem in problems {
                reader.problem(&problem.what, problem.status, problem.message);
            }
            found.extend(data.flatten().map(|data| (card, data)));
        }
        Some(found)
    })
}

/// Puts the data beside the functions that have it.
pub fn join(found: Section<Found>, inventory: &mut Inventory) {
    for device in &mut inventory.pci.data {
        let card = device.address.rsplit_once('.').map_or(device.address.as_str(), |(card, _)| card);
        device.vpd = found.data.get(card).cloned();
    }
    inventory.pci.problems.extend(found.problems);
}
