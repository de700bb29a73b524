//! Facts about the machine, collected before it gets an order.

use super::Agent;
use crate::boot::{self, CrashReport, MissingFirmware};
use crate::config::Config;
use crate::error::Coded;
use crate::protocol::event::Anomaly;
use crate::protocol::{Identity, Kind};
use crate::report::Emitter;
use crate::settle;
use crate::stage::{Failure, Stages};
use hwinventory::Inventory;
use hwinventory::model::{LldpNeighbour, Nic};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// A disk that spins up, or a slow or emulated machine, may take many seconds to answer; planning should wait rather
/// than refuse.
const DEVICE_DEADLINE: Duration = Duration::from_secs(30);

/// The kernel's id of this boot.
pub fn boot_id(root: &Path) -> String {
    let path = root.join("proc/sys/kernel/random/boot_id");
    match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().to_owned(),
        Err(error) => {
            log::warn!("{}: {error}; using a random boot id", path.display());
            uuid::Uuid::new_v4().to_string()
        }
    }
}

/// Waits for drivers to finish with their devices, then takes the inventory.
pub fn inventory(stages: &mut Stages, agent: &Agent) -> Result<Inventory, Failure> {
    stages.run("devices", || {
        settle::settle(&agent.root, settle::Moment::Hello, &|| false);
        Ok::<_, Infallible>(())
    })?;
    let inventory = stages.run("inventory", || Ok::<_, Infallible>(agent.look.inventory()))?;
    tell_missing_firmware(stages, &agent.root);
    Ok(inventory)
}

/// PID 1 has printed it on the console; this reports it to the controller, once per device and file.
fn tell_missing_firmware(stages: &Stages, root: &Path) {
    static TOLD: Mutex<Vec<MissingFirmware>> = Mutex::new(Vec::new());
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    for missing in boot::missing_firmware(root) {
        if !told.contains(&missing) {
            let anomaly = Anomaly { device: Some(missing.device.clone()), problem: missing.problem() };
            stages.emitter().emit(Kind::Anomaly(anomaly));
            told.push(missing);
        }
    }
}

/// LLDP neighbours by the permanent address of the NIC that heard them.
pub type Heard = OnceLock<BTreeMap<String, Vec<LldpNeighbour>>>;

/// The current inventory, without a stage of its own. Only the first one waits for neighbours: cables do not move
/// between a plan and its application, and waiting half a minute each time would be too long.
pub fn with_neighbours(wait: Duration, heard: &Heard) -> Inventory {
    let Some(heard) = heard.get() else {
        let inventory = collect(wait);
        let _ = heard.set(neighbours(&inventory));
        return inventory;
    };
    let mut inventory = collect(Duration::ZERO);
    recall(&mut inventory, heard);
    inventory
}

fn neighbours(inventory: &Inventory) -> BTreeMap<String, Vec<LldpNeighbour>> {
    inventory.nics.data.iter().filter_map(|nic| Some((address(nic)?, nic.lldp.clone()))).collect()
}

/// Neighbours heard earlier. A NIC that appeared since has none.
fn recall(inventory: &mut Inventory, heard: &BTreeMap<String, Vec<LldpNeighbour>>) {
    for nic in &mut inventory.nics.data {
        if let Some(neighbours) = address(nic).and_then(|address| heard.get(&address)) {
            nic.lldp.clone_from(neighbours);
        }
    }
}

fn address(nic: &Nic) -> Option<String> {
    nic.permanent_mac.clone().or_else(|| nic.mac.clone())
}

fn collect(lldp_wait: Duration) -> Inventory {
    let options = hwinventory::Options {
        agent_version: concat!("burin ", env!("CARGO_PKG_VERSION")).to_owned(),
        device_deadline: DEVICE_DEADLINE,
        lldp_wait,
        ..hwinventory::Options::default()
    };
    let mut inventory = hwinventory::collect(&options);
    // Neither the firmware's variables nor the command line mention a CD or stick that BIOS booted.
    let medium = boot::boot_medium(Path::new("/"));
    for disk in inventory.disks.data.iter_mut().filter(|disk| medium.as_deref() == Some(disk.name.as_str())) {
        disk.boot_medium = true;
    }
    for disk in &inventory.disks.data {
        let model = disk.model.as_deref().unwrap_or("unknown model");
        let serial = disk.serial.as_deref().unwrap_or("no serial number");
        let size = indicatif::DecimalBytes(disk.size);
        let class = serde_json::to_value(disk.class).unwrap_or_default();
        let class = class.as_str().unwrap_or_default();
        log::info!("disk {}: {model}, {serial}, {size}, {class}", disk.path);
    }
    inventory
}

/// How the previous agent process ended. Its output is only in hello, because it is long.
#[derive(Debug, thiserror::Error)]
#[error("the agent before this one ended after {seconds} s: {reason}")]
struct Crashed {
    seconds: u64,
    reason: String,
}

impl Coded for Crashed {
    fn code(&self) -> &'static str {
        "agent.crashed"
    }

    fn hint(&self) -> Option<String> {
        Some("report its last output, which is in hello's last_crash".to_owned())
    }
}

pub fn crash(report: &CrashReport) -> Kind {
    let problem = Crashed { seconds: report.seconds, reason: report.reason.clone() }.problem();
    Kind::Anomaly(Anomaly { device: None, problem })
}

/// A time server is not authenticated; the controller is, over TLS. If they differ, neither is trusted.
#[derive(Debug, thiserror::Error)]
#[error("the time server and the controller differ by {seconds} s")]
struct Disputed {
    seconds: u64,
}

impl Coded for Disputed {
    fn code(&self) -> &'static str {
        "clock.disputed"
    }

    fn hint(&self) -> Option<String> {
        Some("correct the clock that is wrong; until then certificates must be valid by both".to_owned())
    }
}

/// Reports such a difference once, on the console and as an event.
pub fn disputed(emitter: &Emitter) -> impl Fn(Duration) + Send + Sync + use<> {
    let emitter = emitter.clone();
    move |apart| {
        let problem = Disputed { seconds: apart.as_secs() }.problem();
        log::warn!("{} [{}]", problem.message, problem.code);
        emitter.emit(Kind::Anomaly(Anomaly { device: None, problem }));
    }
}

pub fn identity(inventory: &Inventory, config: &Config) -> Identity {
    let system = &inventory.system.data;
    let nics = &inventory.nics.data;
    let boot_mac = config.boot_mac.map(|mac| mac.to_string());
    let macs = nics.iter().filter_map(|nic| nic.permanent_mac.clone().or(nic.mac.clone()));
    let mut macs: Vec<String> = macs.collect();
    macs.sort();
    macs.dedup();
    Identity { system_uuid: system.uuid.clone(), serial: system.serial_number.clone(), macs, boot_mac }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nics(list: &serde_json::Value) -> Inventory {
        let inventory =
            serde_json::json!({ "schema_version": "inventory/v1", "nics": { "status": "ok", "data": list } });
        serde_json::from_value(inventory).unwrap()
    }

    #[test]
    fn neighbours_that_were_heard_once_stay_with_their_nic() {
        let first = nics(&serde_json::json!([
            { "name": "eth0", "mac": "52:54:00:00:00:01", "lldp": [{ "system_name": "leaf-7" }] },
            { "name": "eth1", "mac": "52:54:00:00:00:02", "lldp": [] }
        ]));
        let mut later = nics(&serde_json::json!([
            { "name": "eth0", "mac": "52:54:00:00:00:02", "lldp": [] },
            { "name": "eth1", "mac": "02:00:00:00:00:09", "permanent_mac": "52:54:00:00:00:01", "lldp": [] },
            { "name": "eth2", "mac": "52:54:00:00:00:03", "lldp": [] }
        ]));
        recall(&mut later, &neighbours(&first));
        let names: Vec<Option<&str>> =
            later.nics.data.iter().map(|nic| nic.lldp.first()?.system_name.as_deref()).collect();
        assert_eq!(names, [None, Some("leaf-7"), None]);
    }
}
