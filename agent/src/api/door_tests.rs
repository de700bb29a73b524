//! Requests of callers and controllers in any sequence: one order at a time, and nothing that was not agreed upon.

use super::*;
use crate::protocol::{Problem, hello, receipt};
use crate::report::SpoolLimits;
use proptest::prelude::*;
use serde_json::json;

#[derive(Debug, Clone)]
enum Step {
    Put(u8),
    Plan,
    /// The digest of this order's plan, under one of two keys or none.
    Apply(u8, Option<u8>),
    Cancel,
    Power(Power),
    /// The engine looks for work, and completes what it finds with this result.
    Work(bool),
    /// A controller's order, from begin to finish.
    Controller(u8, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let power = prop_oneof![Just(Power::Reboot), Just(Power::Poweroff), Just(Power::Kexec)];
    prop_oneof![
        3 => (0..3_u8).prop_map(Step::Put),
        3 => Just(Step::Plan),
        4 => (0..3_u8, proptest::option::of(0..2_u8)).prop_map(|(order, key)| Step::Apply(order, key)),
        1 => Just(Step::Cancel),
        1 => power.prop_map(Step::Power),
        3 => any::<bool>().prop_map(Step::Work),
        1 => (0..3_u8, any::<bool>()).prop_map(|(order, success)| Step::Controller(order, success)),
    ]
}

fn order(number: u8) -> String {
    let layouts = json!([{"name": "l", "disks": {"root": {"image": "i"}}}]);
    json!({"version": "order/v1", "id": format!("o{number}"), "images": {"i": {"urls": ["http://x/y"]}}, "layouts": layouts})
        .to_string()
}

fn digest(id: &str) -> String {
    format!("sha256:{id}")
}

fn plan_of(order: &Order) -> Plan {
    let trace = json!({"attributes": [], "layouts": [], "sets": []});
    serde_json::from_value(json!({
        "version": "plan/v1", "order": order.id, "order_digest": "sha256:00", "digest": digest(&order.id),
        "layout": "l", "disks": [], "steps": [], "finish": "reboot", "trace": trace,
    }))
    .unwrap()
}

fn receipt_of(order: &str, success: bool) -> Receipt {
    let problem = || Problem { code: "x.y".into(), message: "m".into(), causes: vec![], hint: None };
    serde_json::from_value(json!({
        "version": receipt::VERSION, "order": order, "attempt": 1, "boot_id": "b", "plan_digest": digest(order),
        "problem": (!success).then(problem), "images": [], "stages": [],
    }))
    .unwrap()
}

fn door() -> Door {
    let hello = serde_json::from_value(json!({
        "version": hello::VERSION, "identity": {"macs": []}, "boot_id": "b", "instance": "i", "agent_version": "0",
        "capabilities": [], "inventory": null,
    }));
    let emitter = Emitter::open(None, "b", "/", &[], SpoolLimits::default()).unwrap();
    let planner: Planner = Arc::new(|order| Ok(plan_of(order)));
    let door = Door::new(hello.unwrap(), ControlFlag::default(), &emitter, LogRing::new(100), planner);
    door.set_kexec(Arc::new(|_| Ok(())));
    door.set_inventory(json!({}));
    door
}

proptest! {
    #[test]
    fn one_order_at_a_time_and_only_what_was_looked_at(steps in proptest::collection::vec(step(), 0..60)) {
        let door = door();
        // Work promised to callers that the engine has not yet taken.
        let mut promised: VecDeque<ApiWork> = VecDeque::new();
        let mut keys = std::collections::BTreeMap::new();
        for step in steps {
            let before = door.status();
            let busy = before.phase == Phase::Applying;
            match step {
                Step::Put(number) => {
                    let same = door.order().is_some_and(|raw| raw == order(number).as_bytes());
                    let done = door.put_order(order(number).as_bytes());
                    prop_assert_eq!(done.is_ok(), same || !busy);
                    if done.is_ok() && !same {
                        prop_assert_eq!(door.status().phase, Phase::Ordered);
                        prop_assert!(door.plan().is_none() && door.receipt().is_none());
                        keys.clear();
                    }
                }
                Step::Plan => {
                    let made = door.make_plan();
                    prop_assert_eq!(made.is_ok(), !busy && before.order.is_some());
                }
                Step::Apply(number, key) => {
                    let (wanted, key) = (digest(&format!("o{number}")), key.map(|key| format!("k{key}")));
                    let known = key.as_ref().and_then(|key| keys.get(key)).cloned();
                    let reply = door.apply(&ApplyRequest { plan_digest: wanted.clone() }, key.as_deref());
                    let looked_at = before.phase == Phase::Planned && before.plan_digest.as_ref() == Some(&wanted);
                    match (&reply, known) {
                        (Ok(_), Some(once)) => prop_assert_eq!(once, wanted),
                        (Ok(reply), None) => {
                            prop_assert!(looked_at, "{:?}", before);
                            let order = Box::new(serde_json::from_str(&order(number)).unwrap());
                            prop_assert_eq!(&reply.plan_digest, &wanted);
                            promised.push_back(ApiWork::Apply { order, plan_digest: wanted.clone() });
                            // Only the latest key is remembered.
                            keys.clear();
                            keys.extend(key.map(|key| (key, wanted)));
                        }
                        (Err(_), known) => prop_assert!(!looked_at || known.is_some(), "{:?} {:?}", before, reply),
                    }
                }
                Step::Cancel => prop_assert_eq!(door.cancel().is_ok(), busy),
                Step::Power(action) => {
                    let possible = !busy && (action != Power::Kexec || before.phase == Phase::Done);
                    prop_assert_eq!(door.power(action).is_ok(), possible, "{:?} {:?}", action, before);
                    if possible {
                        promised.push_back(ApiWork::Power(action));
                    }
                }
                Step::Work(success) => {
                    let work = door.next_work(Duration::ZERO);
                    prop_assert_eq!(&work, &promised.pop_front(), "what was promised is done, once, in its order");
                    if let Some(ApiWork::Apply { order, .. }) = work {
                        prop_assert_eq!(door.status().phase, Phase::Applying);
                        door.finish(&receipt_of(&order.id, success));
                    }
                }
                Step::Controller(number, success) => {
                    let theirs: Order = serde_json::from_str(&order(number)).unwrap();
                    let began = door.begin(&theirs, order(number).as_bytes());
                    prop_assert_eq!(began, promised.is_empty(), "callers who were told yes come first");
                    if began {
                        prop_assert_eq!(door.status().order, Some(theirs.id.clone()));
                        door.set_plan(&plan_of(&theirs));
                        door.finish(&receipt_of(&theirs.id, success));
                    }
                }
            }
            let now = door.status();
            let success = door.receipt().map(|receipt| receipt.problem.is_none());
            prop_assert!(now.phase != Phase::Done || success == Some(true), "{:?}", now);
            prop_assert!(now.phase != Phase::Failed || success == Some(false), "{:?}", now);
            let applies = promised.iter().filter(|work| matches!(work, ApiWork::Apply { .. })).count();
            prop_assert!(applies <= 1, "{} orders at a time", applies);
        }
    }
}
