//! Kills the agent at every stage of an order, on this host: an agent process on a machine whose only disk is a loop
//! device. In every case both sides must end in a correct state: no write without a grant, no second grant, and no
//! false success. `vm/agent_killed.rs` does the same with PID 1 and a real kernel.

use crate::support::host::{Host, has_loops};
use crate::support::{Bench, PATIENCE, eventually};
use burin::protocol::{Decision, Receipt};
use burin_tests::controller::{Call, Fault, ImageFault, Options};
use burin_tests::deploy::{Image, OrderBuilder, SMALL_MARK};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const LONG: Duration = Duration::from_secs(3600);

/// A controller with a small image, and a machine.
struct Scene {
    bench: Bench,
    host: Host,
    image: Image,
}

impl Scene {
    fn new(change: impl FnOnce(&mut Options)) -> Option<Self> {
        if !has_loops() {
            return None;
        }
        let images: PathBuf = tempfile::tempdir().unwrap().keep();
        let bench = Bench::new(|options| {
            options.images = Some(images.clone());
            change(options);
        });
        let image = Image::small(&images, "small.raw.zst", 40 * MIB).unwrap();
        let host = Host::new(&format!("burin.controller={} burin.api=off", bench.controller().url()));
        Some(Self { bench, host, image })
    }

    fn order(&self) {
        let images = format!("{}/images", self.bench.controller().url());
        let order = OrderBuilder::new("o1", "nobody", &images, &self.image)
            .set("/layouts/0/disks/system/match", json!({ "serial": "LOOP" }))
            .set("/layouts/0/disks/system/grow", Value::Null)
            .set("/seed", Value::Null)
            .set("/policies/finish", json!("poweroff"));
        self.bench.controller().put_order("default", order.json()).unwrap();
    }

    fn hellos(&self, count: usize) {
        let journal = self.bench.options.state.join("journal.jsonl");
        let said = || std::fs::read_to_string(&journal).unwrap().matches("{\"hello\":").count();
        eventually("hello", || said() >= count);
    }

    fn struck(&self, call: Call) {
        eventually("the call is made", || self.bench.controller().faults().left(call) == 0);
    }

    fn granted(&self) -> usize {
        let granted =
            |reply: &&_| matches!(reply, (_, burin::protocol::GrantReply { decision: Decision::Granted, .. }));
        self.bench.view().grants.iter().filter(granted).count()
    }

    fn receipt(&self) -> Receipt {
        self.bench.controller().wait_receipt("o1", PATIENCE).expect("a receipt").1
    }

    /// The machine continues, undisturbed, until it succeeds.
    fn succeeds(&self) {
        self.bench.controller().faults().heal();
        assert_eq!(self.host.start().wait(), Some(71), "power off, as the order says");
        assert_eq!(self.receipt().problem, None);
        assert_eq!(self.granted(), 1);
        self.is_installed();
    }

    fn is_installed(&self) {
        assert_eq!(self.receipt_of_success().images[0].digest.content.as_ref(), Some(&self.image.content));
        assert_eq!(self.host.disk.partitions().unwrap()[0].name, SMALL_MARK);
    }

    fn receipt_of_success(&self) -> Receipt {
        let receipts = self.bench.view().receipts;
        receipts.into_iter().find(|receipt| receipt.problem.is_none()).expect("a receipt of success")
    }

    /// The next agent gets no second grant: it reports that, and leaves the disk as it is.
    fn is_refused(&self) {
        self.bench.controller().faults().heal();
        let before = self.host.disk.digest().unwrap();
        let agent = self.host.start();
        let receipt = self.receipt();
        assert_eq!(receipt.problem.map(|problem| problem.code).as_deref(), Some("controller.grant_refused"));
        assert!(receipt.images.is_empty());
        assert_eq!(self.granted(), 1);
        assert_eq!(self.host.disk.digest().unwrap(), before, "the disk was written without a grant");
        agent.kill();
    }
}

#[test]
fn at_hello() {
    let Some(scene) = Scene::new(|_| {}) else { return };
    scene.order();
    scene.bench.controller().faults().set(Call::Hello, Fault::Stall(LONG), 1);
    let agent = scene.host.start();
    scene.struck(Call::Hello);
    agent.kill();
    scene.succeeds();
}

#[test]
fn while_waiting_for_an_order() {
    let Some(scene) = Scene::new(|_| {}) else { return };
    let agent = scene.host.start();
    scene.hellos(1);
    agent.kill();
    scene.order();
    scene.succeeds();
}

#[test]
fn while_asking_for_leave() {
    let Some(scene) = Scene::new(|_| {}) else { return };
    scene.order();
    scene.bench.controller().faults().set(Call::Grant, Fault::Stall(LONG), 1);
    let agent = scene.host.start();
    scene.struck(Call::Grant);
    agent.kill();
    // Nothing has been granted yet: the next agent may get the grant.
    assert_eq!(scene.granted(), 0);
    scene.succeeds();
}

#[test]
fn with_a_grant_that_it_never_heard_of() {
    let Some(scene) = Scene::new(|_| {}) else { return };
    scene.order();
    let before = scene.host.disk.digest().unwrap();
    scene.bench.controller().faults().set(Call::Grant, Fault::LoseReply, u32::MAX);
    let agent = scene.host.start();
    eventually("the grant", || scene.granted() == 1);
    agent.kill();
    assert_eq!(scene.host.disk.digest().unwrap(), before);
    scene.is_refused();
}

#[test]
fn in_mid_image() {
    for reset in [false, true] {
        let Some(scene) = Scene::new(|_| {}) else { return };
        scene.order();
        let before = scene.host.disk.digest().unwrap();
        let fault = ImageFault::Stall(scene.image.wire_size / 2, LONG);
        scene.bench.controller().faults().set_image(&scene.image.file, fault, 1);
        let agent = scene.host.start();
        eventually("something is written", || scene.host.disk.digest().unwrap() != before);
        agent.kill();
        assert!(scene.host.disk.is_unfinished().unwrap(), "a disk that was cut short must not boot");
        if reset {
            scene.host.reset(2);
        }
        scene.is_refused();
    }
}

#[test]
fn in_mid_image_with_a_second_attempt_allowed() {
    let Some(scene) = Scene::new(|options| options.max_attempts = 2) else { return };
    scene.order();
    let fault = ImageFault::Stall(scene.image.wire_size / 2, LONG);
    scene.bench.controller().faults().set_image(&scene.image.file, fault, 1);
    let agent = scene.host.start();
    eventually("the grant", || scene.granted() == 1);
    std::thread::sleep(Duration::from_millis(200));
    agent.kill();
    scene.bench.controller().faults().heal();
    assert_eq!(scene.host.start().wait(), Some(71));
    assert_eq!((scene.receipt().attempt, scene.granted()), (2, 2));
    scene.is_installed();
}

#[test]
fn with_a_receipt_that_nobody_acknowledged() {
    for reset in [false, true] {
        let Some(scene) = Scene::new(|options| options.hold_receipts = true) else { return };
        scene.order();
        let agent = scene.host.start();
        let receipt = scene.receipt();
        assert_eq!(receipt.problem, None);
        agent.kill();
        let installed = scene.host.disk.digest().unwrap();
        scene.bench.controller().acknowledge();
        if reset {
            scene.host.reset(2);
        }
        // The work is done: the next agent posts the receipt that it finds, asks for an order, and gets none.
        let agent = scene.host.start();
        scene.hellos(2);
        let place = scene.host.root().join("run/burin/receipt.json");
        eventually("nothing is left to acknowledge", || !place.exists());
        scene.bench.controller().put_order("default", "").unwrap();
        assert_eq!(agent.wait(), Some(0), "there is nothing more to do");
        assert_eq!(scene.bench.view().receipts, [receipt]);
        assert_eq!(scene.granted(), 1);
        assert_eq!(scene.host.disk.digest().unwrap(), installed, "what was installed was written again");
        scene.is_installed();
    }
}

/// Whenever the agent is killed, the system is installed in the end, and no attempt had two owners.
#[test]
fn at_any_time() {
    const KILLS: u32 = 12;
    let Some(scene) = Scene::new(|options| options.max_attempts = KILLS + 2) else { return };
    scene.order();
    for round in 0..KILLS {
        let agent = scene.host.start();
        // Spread over the duration of an undisturbed run, on fast and on slow machines.
        std::thread::sleep(Duration::from_millis(u64::from(round * round) * 10));
        agent.kill();
        if round % 3 == 2 {
            scene.host.reset(round + 2);
        }
    }
    let done = || scene.bench.view().receipts.iter().any(|receipt| receipt.problem.is_none());
    if !done() {
        assert_eq!(scene.host.start().wait(), Some(71));
    }
    assert!(done());
    scene.is_installed();
    let view = scene.bench.view();
    let granted: Vec<_> = view.grants.iter().filter(|(_, reply)| reply.decision == Decision::Granted).collect();
    for (request, _) in &granted {
        let same = granted.iter().filter(|(other, _)| other.attempt == request.attempt).count();
        assert_eq!(same, 1, "attempt {} was granted twice", request.attempt);
    }
    let successes = view.receipts.iter().filter(|receipt| receipt.problem.is_none()).count();
    assert_eq!(successes, 1, "{:?}", view.receipts);
    // Nothing was requested after the success.
    let last = view.receipts.iter().find(|receipt| receipt.problem.is_none()).map(|receipt| receipt.attempt);
    assert_eq!(granted.iter().map(|(request, _)| request.attempt).max(), last);
}
