//! Disks that appear late: no order is planned while devices are known to be starting, and an order whose disk is
//! missing is planned again as long as devices appear.

use super::attempt::{Attempt, Planned};
use crate::boot;
use crate::error::Coded;
use crate::plan::{Reason, Refusal};
use crate::protocol::event::{Anomaly, Kind};
use crate::report::Emitter;
use crate::settle::{self, Moment};
use hwinventory::Inventory;
use hwinventory::model::Disk;
use std::collections::BTreeSet;
use std::time::Duration;

/// A disk that shows no sign may still appear this long after the agent first looked.
const YOUNG: Duration = Duration::from_secs(60);
/// If the order states the number of disks, it is worth waiting longer.
const YOUNG_EXPECTING: Duration = Duration::from_secs(180);

/// The plan, and the inventory from which it was made.
pub fn plan(attempt: &Attempt<'_>) -> Result<(Inventory, Planned), Refusal> {
    let (agent, root) = (attempt.agent, &attempt.agent.root);
    let abort = || attempt.control.is_cancelled();
    let moment = Moment::Plan { least: agent.config.settle };
    let mut inventory = attempt.inventory.clone();
    let mut told = false;
    loop {
        // Outside of the ramdisk nothing brings up devices: there is nothing to wait for.
        if boot::is_ours(root) {
            settle::settle(root, moment, &abort);
            if came(&inventory, &settle::disks(root)) {
                inventory = agent.look.inventory();
            }
        }
        let refusal = match attempt.planned(&inventory) {
            Ok(planned) => return Ok((inventory, planned)),
            Err(refusal) => refusal,
        };
        let left = patience(&refusal).max(agent.config.settle).saturating_sub(settle::age());
        if !boot::is_ours(root) || !refusal.lacks_a_device() || left.is_zero() || abort() {
            return attempt.plan(&inventory).map(|planned| (inventory, planned));
        }
        if !told {
            told = true;
            log::warn!("no plan yet [{}]: {refusal}", refusal.code());
            log::info!("looking for late devices, for {} s more", left.as_secs());
        }
        if settle::news(root, left, &abort) {
            settle::settle(root, Moment::Hello, &abort);
            inventory = agent.look.inventory();
        }
    }
}

fn patience(refusal: &Refusal) -> Duration {
    match refusal.reason {
        Reason::FewDisks { .. } => YOUNG_EXPECTING,
        _ => YOUNG,
    }
}

/// Whether the kernel now has other disks than the inventory.
fn came(inventory: &Inventory, now: &BTreeSet<String>) -> bool {
    let known: BTreeSet<&str> = inventory.disks.data.iter().map(|disk| disk.name.as_str()).collect();
    now.iter().any(|name| !known.contains(name.as_str()))
}

/// A disk that was not known when the order was planned.
#[derive(Debug, thiserror::Error)]
#[error("the disk {name} appeared after the order was planned, and is not part of the plan")]
struct CameLate {
    name: String,
}

impl Coded for CameLate {
    fn code(&self) -> &'static str {
        "disk.came_late"
    }

    fn hint(&self) -> Option<String> {
        Some(
            "set the number of disks in the order (policies.expected_disks), or wait longer with burin.settle="
                .to_owned(),
        )
    }
}

/// Reports disks that appeared between plan and apply.
pub fn tell(emitter: &Emitter, before: &Inventory, now: &Inventory) {
    for disk in newcomers(&before.disks.data, &now.disks.data) {
        let serial = disk.serial.as_deref().unwrap_or("no serial number");
        let late = CameLate { name: format!("{} ({serial})", disk.path) };
        log::warn!("{late}");
        emitter.emit(Kind::Anomaly(Anomaly { device: Some(disk.path.clone()), problem: late.problem() }));
    }
}

/// Compared by identity, not by kernel names.
fn newcomers<'a>(before: &[Disk], now: &'a [Disk]) -> Vec<&'a Disk> {
    let identity = |disk: &Disk| (disk.identity.value.clone(), disk.serial.clone(), disk.by_path.clone(), disk.size);
    let known: BTreeSet<_> = before.iter().map(identity).collect();
    now.iter().filter(|disk| !known.contains(&identity(disk))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::LogRing;
    use crate::apply::Paths;
    use crate::config::Config;
    use crate::control::ControlFlag;
    use crate::http::{self, Clock, Timeouts, Trust, TrustFiles};
    use crate::protocol::Order;
    use crate::protocol::order::{Finish, parse_bytes};
    use crate::run::{Agent, Look};
    use serde_json::json;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn disks(list: &serde_json::Value) -> Inventory {
        let inventory = json!({ "schema_version": "inventory/v1", "disks": { "status": "ok", "data": list } });
        serde_json::from_value(inventory).unwrap()
    }

    #[test]
    fn who_came_between_plan_and_apply_is_told() {
        let before = disks(&json!([{ "name": "sda", "path": "/dev/sda", "serial": "A", "size": 10 }]));
        let now = disks(&json!([
            { "name": "sdb", "path": "/dev/sdb", "serial": "A", "size": 10 },
            { "name": "sda", "path": "/dev/sda", "serial": "B", "size": 5 },
        ]));
        let emitter = Emitter::disconnected();
        let events = emitter.listen(8);
        tell(&emitter, &before, &now);
        tell(&emitter, &now, &now);
        let told: Vec<_> = events.try_iter().filter_map(|event| event.kind()).collect();
        let [Kind::Anomaly(anomaly)] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(anomaly.problem.code, "disk.came_late");
        assert_eq!(anomaly.device.as_deref(), Some("/dev/sda"));
        assert!(anomaly.problem.message.contains("(B)"), "{}", anomaly.problem.message);
    }

    /// A ramdisk of ours in a directory, whose second disk appears at the second inventory.
    fn agent(root: &std::path::Path) -> Agent {
        for directory in ["run/burin", "sys/kernel", "sys/class/block"] {
            std::fs::create_dir_all(root.join(directory)).unwrap();
        }
        let idle = boot::DeviceState { coldplugged: true, loading: 0 };
        std::fs::write(root.join("run/burin/devices.json"), serde_json::to_vec(&idle).unwrap()).unwrap();
        std::fs::write(root.join("sys/kernel/uevent_seqnum"), "1\n").unwrap();
        let look = Look(Arc::new(|| disks(&json!([disk("A", 2_000_000_000), disk("LATE", 1_000_000_000)]))));
        let log = LogRing::new(1000);
        let chip = crate::attest::Chip::below(root);
        let (paths, records) = (Paths::default(), std::sync::Arc::default());
        Agent { root: root.to_owned(), config: Config::default(), paths, log, look, records, chip }
    }

    fn disk(serial: &str, size: u64) -> serde_json::Value {
        let identity = json!({ "kind": "serial", "value": serial, "strength": "strong" });
        json!({
            "name": format!("sd-{serial}"), "path": format!("/dev/sd-{serial}"), "status": "ok", "serial": serial,
            "size": size, "mounts": [], "signatures": [], "logical_block_size": 512, "identity": identity.clone(),
            "identities": [identity]
        })
    }

    fn order(policies: &serde_json::Value) -> Order {
        let set = json!({ "match": { "size": { "ge": "1GB" } }, "order_by": [{ "asc": "size" }], "image": "d", "on_existing": "destroy" });
        let text = json!({
            "version": "order/v1", "id": "o", "images": { "d": { "urls": ["http://h/d.raw"] } },
            "layouts": [{ "name": "smallest", "disks": { "root": set } }], "policies": policies
        });
        parse_bytes(text.to_string().as_bytes()).unwrap()
    }

    fn serials(inventory: &Inventory) -> Vec<&str> {
        inventory.disks.data.iter().filter_map(|disk| disk.serial.as_deref()).collect()
    }

    /// The plan if one disk is there at first, and the kernel announces a device until the inventory is taken again.
    fn planned(
        root: &std::path::Path,
        order: &Order,
        first: &Inventory,
        control: ControlFlag,
    ) -> Result<Inventory, Refusal> {
        let agent = agent(root);
        let trust = Trust::downloads(None, &TrustFiles::below(root), Clock::trusted()).unwrap();
        let attempt = Attempt {
            agent: &agent,
            order,
            number: 1,
            inventory: first,
            download: http::agent(&trust, &Timeouts::DOWNLOADS),
            control,
            boot_id: "boot-1",
            door: None,
            judge: None,
            finish: Finish::Hold,
        };
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 2.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(700));
                    std::fs::write(root.join("sys/kernel/uevent_seqnum"), format!("{number}\n")).unwrap();
                }
            });
            let result = plan(&attempt).map(|(inventory, _)| inventory);
            over.store(true, Ordering::Relaxed);
            result
        })
    }

    #[test]
    fn an_order_that_expects_more_disks_waits_for_them() {
        let root = tempfile::tempdir().unwrap();
        let first = disks(&json!([disk("A", 2_000_000_000)]));
        let order = order(&json!({ "expected_disks": 2 }));
        let inventory = planned(root.path(), &order, &first, ControlFlag::default()).unwrap();
        assert_eq!(serials(&inventory), ["A", "LATE"]);
    }

    #[test]
    fn a_missing_disk_is_looked_for_again_unless_the_order_is_called_off() {
        let root = tempfile::tempdir().unwrap();
        let nothing = disks(&json!([]));
        let order = order(&json!({}));
        let inventory = planned(root.path(), &order, &nothing, ControlFlag::default()).unwrap();
        assert_eq!(serials(&inventory), ["A", "LATE"]);
        let cancelled = ControlFlag::default();
        cancelled.cancel();
        let refusal = planned(root.path(), &order, &nothing, cancelled).unwrap_err();
        assert_eq!(refusal.code(), "plan.no_match");
    }

    #[test]
    fn an_inventory_is_stale_when_the_kernel_has_more() {
        let inventory = disks(&json!([{ "name": "sda", "path": "/dev/sda", "size": 10 }]));
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert!(!came(&inventory, &names(&["sda"])));
        assert!(!came(&inventory, &names(&[])));
        assert!(came(&inventory, &names(&["sda", "sdb"])));
    }
}
