//! The planner on synthetic machines: which disks it chooses, what orders inject, what plans contain.

mod disks;
mod erase;
mod keep;
mod plans;
mod sectors;
mod values;

use super::testing::machine;
use super::*;
use burin_protocol::error::Coded;
use burin_protocol::order::{self, parse_value};
use burin_protocol::plan::steps::{BootEntry, CreateRaid, InstallBoot, Mount, Preserve, WriteFstab, WriteSeed};
use burin_protocol::plan::{Device, Verdict};
use serde_json::{Value, json};

pub(super) fn order(disks: Value) -> Order {
    parse_value(&json!({
        "version": "order/v1", "id": "test",
        "images": { "debian": { "urls": ["http://x/debian.raw"] } },
        "layouts": [ { "name": "only", "disks": disks } ]
    }))
    .unwrap()
}

pub(super) fn run(short: Value, order: &Order) -> Result<Plan, Refusal> {
    plan(&machine(&short), order, &BTreeMap::new())
}

pub(super) fn refused(short: Value, order: &Order) -> Refusal {
    run(short, order).unwrap_err()
}

pub(super) fn names(plan: &Plan) -> Vec<String> {
    let word = |step: &Step| serde_json::to_value(step).unwrap()["step"].as_str().unwrap().to_owned();
    plan.steps.iter().map(word).collect()
}
