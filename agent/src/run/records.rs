//! Reads the BMC's records: event log, sensors and FRUs. Many BMCs take ten seconds and more for them, and an order
//! rarely needs them. They are therefore read in the background after hello, and reported when they are there.

use super::Agent;
use crate::api::Door;
use crate::protocol::Kind;
use crate::protocol::event::InventorySections;
use crate::report::Emitter;
use hwinventory::Inventory;
use hwinventory::model::{BmcRecords, Section, Status};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

/// The records, once they have been read; later inventories include them.
pub type Records = Arc<OnceLock<Section<BmcRecords>>>;

impl Agent {
    /// Reads on a separate thread, for `burin.bmc=` seconds at most.
    pub(super) fn read_bmc(&self, inventory: &Inventory, door: Option<&Door>, emitter: &Emitter) {
        let time = self.config.bmc;
        // In tests the inventory is another machine's, but the BMC would be this one's.
        if time.is_zero() || self.root != Path::new("/") {
            return;
        }
        let (inventory, door, emitter) = (inventory.clone(), door.cloned(), emitter.clone());
        let known = self.records.clone();
        let read = move || {
            let options = hwinventory::Options { bmc_time: time, ..hwinventory::Options::default() };
            let records = hwinventory::bmc_records(&options);
            if records.status != Status::Absent {
                tell(inventory, known.get_or_init(|| records), door.as_ref(), &emitter);
            }
        };
        if let Err(error) = thread::Builder::new().name("bmc-records".to_owned()).spawn(read) {
            log::warn!("the BMC's records cannot be read: {error}");
        }
    }
}

/// Adds the records to the inventory that callers see, and sends controllers and sinks an event.
fn tell(mut inventory: Inventory, records: &Section<BmcRecords>, door: Option<&Door>, emitter: &Emitter) {
    let (events, sensors) = (records.data.events.len(), records.data.sensors.len());
    log::info!("{events} events and {sensors} sensors read from the BMC, in {}", took(records.milliseconds));
    hwinventory::add_bmc_records(&mut inventory, records.clone());
    let section = |value: serde_json::Result<serde_json::Value>| value.unwrap_or_default();
    let sections = BTreeMap::from([
        ("bmc_records".to_owned(), section(serde_json::to_value(&inventory.bmc_records))),
        ("findings".to_owned(), section(serde_json::to_value(&inventory.findings))),
    ]);
    if let (Some(door), Ok(document)) = (door, serde_json::to_value(&inventory)) {
        door.set_inventory(document);
    }
    emitter.emit(Kind::Inventory(InventorySections { sections }));
}

fn took(milliseconds: u64) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_millis(milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hwinventory::model::BmcSensor;

    /// The event contains the records and the conclusions from them.
    #[test]
    fn they_are_told_with_what_they_mean() {
        let emitter = Emitter::disconnected();
        let events = emitter.listen(8);
        let sensor =
            BmcSensor { name: "PSU1 Status".into(), states: vec!["input lost".into()], ..BmcSensor::default() };
        let data = BmcRecords { sensors: vec![sensor], ..BmcRecords::default() };
        let records = Section { status: Status::Ok, data, ..Section::default() };
        tell(Inventory::default(), &records, None, &emitter);
        let told: Vec<_> = events.try_iter().filter_map(|event| event.kind()).collect();
        let [Kind::Inventory(told)] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(told.sections["bmc_records"]["data"]["sensors"][0]["name"], "PSU1 Status");
        assert_eq!(told.sections["findings"][0]["code"], "bmc.sensor");
    }
}
