//! Attempts to impersonate a machine or a controller.

use crate::support::caller::start;
use crate::support::*;
use burin::calls::ControllerError;
use burin::dialect::native::{Next, Session};
use burin::error::Coded;
use burin::protocol::order::PAYLOAD_TYPE;
use burin::protocol::{Identity, Kind, Secret};
use burin_sign::{Envelope, PublicKey, SecretKey, verify};
use log::LevelFilter;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

fn other_machine() -> Identity {
    let (system_uuid, serial) = (Some("4c4c4544-0002".to_owned()), Some("S2".to_owned()));
    Identity { system_uuid, serial, macs: vec!["52:54:00:ab:00:02".into()], boot_mac: None }
}

fn key() -> Arc<SecretKey> {
    Arc::new(SecretKey::generate().unwrap().0)
}

/// The code of the controller's refusal, or `None` if there is a session.
fn refused(agent: Agent) -> Option<String> {
    let agent = agent.impatient();
    match Session::connect(agent.options.clone(), agent.hello.clone(), &agent.emitter) {
        Ok(_) => None,
        Err(ControllerError::GaveUp { source, .. }) => match *source {
            ControllerError::Status { problem, .. } => Some(problem.unwrap().code),
            other => panic!("{other:?}"),
        },
        Err(other) => panic!("{other:?}"),
    }
}

fn with_key(bench: &Bench, boot: &str, key: &Arc<SecretKey>) -> Agent {
    let mut agent = bench.agent(boot);
    agent.options.key = Some(key.clone());
    agent.hello.key = Some(key.public().to_string());
    agent
}

#[test]
fn a_join_token_that_was_stolen_from_one_machine_is_worth_nothing_for_another() {
    let tokens = tempfile::tempdir().unwrap();
    std::fs::write(tokens.path().join(format!("{MACHINE}.token")), "of-the-first-machine\n").unwrap();
    std::fs::write(tokens.path().join("s2.token"), "of-the-second-machine\n").unwrap();
    let bench = Bench::new(|options| options.join_tokens = Some(tokens.path().to_owned()));
    let hello = |identity: Option<Identity>, token: Option<&str>| {
        let mut agent = bench.agent("boot-1");
        agent.options.join_token = token.map(Secret::new);
        agent.hello.identity = identity.unwrap_or(agent.hello.identity);
        refused(agent)
    };
    let no = Some("token.join".to_owned());
    assert_eq!(hello(None, Some("of-the-first-machine")), None);
    assert_eq!(hello(Some(other_machine()), Some("of-the-second-machine")), None);
    assert_eq!(hello(Some(other_machine()), Some("of-the-first-machine")), no);
    assert_eq!(hello(None, Some("of-the-second-machine")), no);
    for token in [None, Some(""), Some("default")] {
        assert_eq!(hello(None, token), no, "{token:?}");
    }
    // Names of both: an order is found by any of them, and one of them is not the token's.
    let both = |token: &str| {
        let mut agent = bench.agent("boot-1");
        agent.options.join_token = Some(Secret::new(token));
        agent.hello.identity.serial = Some("s2".to_owned());
        refused(agent)
    };
    assert_eq!((both("of-the-first-machine"), both("of-the-second-machine")), (no.clone(), no.clone()));
    // An unexpected machine has no token.
    let unknown = Identity { system_uuid: Some("4c4c4544-0003".into()), ..Identity::default() };
    assert_eq!(hello(Some(unknown), Some("of-the-first-machine")), no);
    // iPXE hands each machine its own.
    let site = |query: &str| {
        let reply = ureq::get(format!("{}/ipxe/site.img?{query}", bench.controller().url())).call();
        reply.ok().map(|mut reply| zstd::decode_all(reply.body_mut().read_to_vec().unwrap().as_slice()).unwrap())
    };
    let archive = site("serial=S2&mac=52-54-00-ab-00-02").unwrap();
    assert!(String::from_utf8_lossy(&archive).contains("burin.token=of-the-second-machine"));
    assert_eq!(site("serial=S3"), None);
}

#[test]
fn an_identity_in_use_gets_no_second_token() {
    let bench = Bench::new(|options| options.in_use = PATIENCE * 60);
    let (ours, theirs) = (key(), key());
    let session = with_key(&bench, "boot-1", &ours).connect();
    session.next_order(std::time::Duration::ZERO).unwrap();
    let in_use = Some("hello.in_use".to_owned());
    // Somebody who overheard the machine's names, and even its boot id.
    assert_eq!(refused(bench.agent("boot-2")), in_use);
    assert_eq!(refused(bench.agent("boot-1")), in_use, "without a key");
    assert_eq!(refused(with_key(&bench, "boot-1", &theirs)), in_use);
    assert_eq!(refused(with_key(&bench, "boot-2", &theirs)), in_use);
    // With the machine's public key, but without the private key.
    let mut forged = with_key(&bench, "boot-1", &theirs);
    forged.hello.key = Some(ours.public().to_string());
    assert_eq!(refused(forged), Some("hello.signature".to_owned()));
    // The current token stays valid, and the machine itself may ask again, for example after a crash.
    session.next_order(std::time::Duration::ZERO).unwrap();
    assert_eq!(refused(with_key(&bench, "boot-1", &ours)), None);
    // Once the work is done, another boot may come at once.
    let session = with_key(&bench, "boot-1", &ours).connect();
    let code = session.post_receipt(&receipt_for("o1", 1, "boot-1"), PATIENCE / 20).unwrap_err();
    assert_eq!(code.code(), "controller.unacknowledged", "a receipt without evidence is nobody's");
}

#[test]
fn a_receipt_frees_the_machine_for_its_next_boot() {
    let bench = Bench::new(|options| options.in_use = PATIENCE * 60);
    let session = bench.agent("boot-1").connect();
    session.next_order(std::time::Duration::ZERO).unwrap();
    assert_eq!(refused(bench.agent("boot-2")), Some("hello.in_use".to_owned()));
    session.post_receipt(&receipt_for("o1", 1, "boot-1"), PATIENCE).unwrap();
    drop(session);
    eventually("the next boot", || refused(bench.agent("boot-2")).is_none());
}

/// An order that does not fit this machine's disks: it passes every gate, and is then refused by the plan.
fn order_for(id: &str, valid: Value) -> Vec<u8> {
    let images = json!({"debian": {"urls": ["http://127.0.0.1:9/debian.raw"]}});
    let root = json!({"match": {"serial": "no disk has this serial number"}, "image": "debian"});
    let layouts = json!([{"name": "none", "disks": {"root": root}}]);
    json!({"version": "order/v1", "id": id, "valid": valid, "images": images, "layouts": layouts})
        .to_string()
        .into_bytes()
}

struct Locked {
    bench: Bench,
    root: tempfile::TempDir,
    owner: SecretKey,
    agent: std::thread::JoinHandle<burin::exit::Exit>,
}

impl Locked {
    /// An agent whose ramdisk accepts only its owner's orders.
    fn new(this_boot: bool) -> Self {
        Self::of(SecretKey::generate().unwrap().0, this_boot)
    }

    fn of(owner: SecretKey, this_boot: bool) -> Self {
        let (bench, root) = (Bench::new(|_| {}), tempfile::tempdir().unwrap());
        let keys = [owner.public().to_string()];
        let policy = json!({"version": "policy/v1", "no_api": true, "orders": {"keys": keys, "this_boot": this_boot}});
        std::fs::create_dir_all(root.path().join("etc/burin")).unwrap();
        std::fs::write(root.path().join("etc/burin/policy.json"), policy.to_string()).unwrap();
        let agent = start(root.path(), &format!("burin.controller={}", bench.controller().url()), LevelFilter::Info);
        eventually("hello", || !bench.controller().machines().is_empty());
        Self { bench, root, owner, agent }
    }

    fn machine(&self) -> burin_tests::controller::MachineView {
        let machine = self.bench.controller().machines().remove(0);
        self.bench.controller().machine(&machine).unwrap()
    }

    fn key(&self) -> PublicKey {
        self.machine().hello.unwrap().key.unwrap().parse().unwrap()
    }

    fn give(&self, bytes: impl AsRef<[u8]>) {
        self.bench.controller().put_order("default", bytes).unwrap();
    }

    fn sign(&self, order: &[u8]) -> Vec<u8> {
        Envelope::sign(PAYLOAD_TYPE, order, &[&self.owner]).to_bytes()
    }

    /// Codes of orders that were refused before they were parsed.
    fn refused(&self) -> Vec<String> {
        let refused = |kind| match kind {
            Some(Kind::OrderRefused(refused)) => Some(refused.problem.code),
            _ => None,
        };
        self.machine().events().filter_map(|event| refused(event.kind())).collect()
    }

    fn receipt(&self, order: &str) -> burin::protocol::Receipt {
        self.bench.controller().wait_receipt(order, PATIENCE).unwrap().1
    }

    fn outcome(&self, order: &str) -> String {
        self.receipt(order).problem.unwrap().code
    }

    fn end(self) {
        self.give("");
        self.agent.join().unwrap();
        drop(self.root);
    }
}

const LATER: &str = "2999-01-01T00:00:00Z";

#[test]
fn a_rogue_controller_orders_nothing() {
    let locked = Locked::new(false);
    assert_eq!(locked.machine().hello.unwrap().api, None, "no API from outside");
    let valid = json!({"when": {}, "not_after": LATER});
    let order = order_for("rogue", valid.clone());
    locked.give(&order);
    eventually("no signature", || locked.refused() == ["order.unsigned"]);
    let rogue = SecretKey::generate().unwrap().0;
    locked.give(Envelope::sign(PAYLOAD_TYPE, &order, &[&rogue]).to_bytes());
    eventually("another signature", || locked.refused() == ["order.unsigned", "sign.signature"]);
    // The owner's signature on something that he did not sign.
    let mut forged = Envelope::parse(&locked.sign(&order)).unwrap();
    forged.payload = Envelope::unsigned(PAYLOAD_TYPE, &order_for("forged", valid)).payload;
    locked.give(forged.to_bytes());
    eventually("another order", || locked.refused().len() == 3);
    assert_eq!(locked.refused()[2], "sign.signature");

    // Signed by the owner, but for another machine, another time, or no machine in particular.
    let machines = json!({"machines": ["52:54:00:00:00:77"], "not_after": LATER});
    locked.give(locked.sign(&order_for("elsewhere", machines)));
    assert_eq!(locked.outcome("elsewhere"), "plan.other_machine");
    locked.give(locked.sign(&order_for("late", json!({"when": {}, "not_after": "2020-01-01T00:00:00Z"}))));
    assert_eq!(locked.outcome("late"), "order.too_late");
    locked.give(locked.sign(&order_for("unbound", json!({"not_after": LATER}))));
    assert_eq!(locked.outcome("unbound"), "policy.unbound");
    let early = json!({"when": {}, "not_before": "2998-01-01T00:00:00Z", "not_after": LATER});
    locked.give(locked.sign(&order_for("early", early)));
    assert_eq!(locked.outcome("early"), "order.too_early");
    assert!(locked.machine().grants.is_empty(), "nothing was begun");

    // And a correct one.
    locked.give(locked.sign(&order_for("right", json!({"when": {}, "not_after": LATER}))));
    assert_eq!(locked.outcome("right"), "plan.no_match");
    assert_eq!(locked.receipt("right").order_signers, [locked.owner.public().to_string()]);
    locked.end();
}

#[test]
fn an_order_of_one_boot_is_replayed_in_another_in_vain() {
    let (_, pkcs8) = SecretKey::generate().unwrap();
    let boot = || Locked::of(SecretKey::from_pkcs8(&pkcs8).unwrap(), true);
    let first = boot();
    let order = |id: &str, valid: Value| first.sign(&order_for(id, valid));
    let recorded = order("recorded", json!({"key": first.key().to_string(), "not_after": LATER}));
    first.give(&recorded);
    assert_eq!(first.outcome("recorded"), "plan.no_match");
    first.give(order("any", json!({"when": {}, "not_after": LATER})));
    assert_eq!(first.outcome("any"), "policy.any_boot");
    first.end();
    // The same machine and owner, one boot later.
    let second = boot();
    second.give(&recorded);
    assert_eq!(second.outcome("recorded"), "order.other_boot");
    second.end();
}

/// How others verify the evidence: securesystemslib and in-toto's own library.
fn read_by_others(directory: &Path, envelope: &Value, key: &PublicKey) -> Option<bool> {
    let Some(tools) = std::env::var_os("BURIN_PYTHON_TOOLS") else {
        burin_skip::skip!("BURIN_PYTHON_TOOLS is not set; scripts/test sets it");
        return None;
    };
    let (file, public) = (directory.join("evidence.json"), directory.join("machine.pem"));
    std::fs::write(&file, envelope.to_string()).unwrap();
    std::fs::write(&public, key.pem()).unwrap();
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", Path::new(&tools).join("modules"));
    let output =
        python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/evidence.py")).args([&file, &public]).output().unwrap();
    println!("{output:?}");
    Some(output.status.success())
}

#[test]
fn a_receipt_is_evidence_and_a_changed_one_is_not() {
    let locked = Locked::new(false);
    let order = order_for("told", json!({"when": {}, "not_after": LATER}));
    locked.give(locked.sign(&order));
    let (receipt, key) = (locked.receipt("told"), locked.key());
    let statement = verify(&receipt, &[key]).unwrap();
    let predicate = &statement.predicate;
    assert_eq!(predicate.receipt.order, "told");
    assert!(predicate.software.agent.is_some() && predicate.software.policy.is_some(), "{:?}", predicate.software);
    let sha256 = |bytes: &[u8]| {
        use sha2::{Digest, Sha256};
        format!("sha256:{}", burin::protocol::hex(Sha256::digest(bytes)))
    };
    assert_eq!(predicate.order_bytes, sha256(&order), "what the owner wrote, byte by byte");
    assert_eq!(statement.subject[0].name, "order:told");
    // A false success.
    let mut better = receipt.clone();
    better.problem = None;
    assert_eq!(verify(&better, &[key]).unwrap_err().code(), "receipt.changed");
    assert_eq!(verify(&receipt, &[locked.owner.public()]).unwrap_err().code(), "sign.signature");

    let directory = tempfile::tempdir().unwrap();
    let evidence = receipt.evidence.unwrap();
    if let Some(right) = read_by_others(directory.path(), &evidence, &key) {
        assert!(right);
        let mut forged = evidence.clone();
        forged["payload"] = json!(evidence["payload"].as_str().unwrap().replacen('A', "B", 1));
        assert_eq!(read_by_others(directory.path(), &forged, &key), Some(false));
        assert_eq!(read_by_others(directory.path(), &evidence, &locked.owner.public()), Some(false));
    }
    locked.end();
}

#[test]
fn somebody_elses_evidence_is_not_taken_by_the_controller() {
    let bench = Bench::new(|_| {});
    let (ours, theirs) = (key(), key());
    let session = with_key(&bench, "boot-1", &ours).connect();
    let told = receipt_for("o1", 1, "boot-1");
    let predicate = burin_sign::Predicate {
        machine: Identity::default(),
        software: burin_sign::Software::default(),
        started: LATER.into(),
        finished: LATER.into(),
        clock_trusted: true,
        order_bytes: "sha256:00".into(),
        receipt: told.clone(),
    };
    let signed = |key: &SecretKey| {
        let envelope = burin_sign::Statement::new(predicate.clone()).sign(key).unwrap();
        burin::protocol::Receipt { evidence: Some(serde_json::to_value(envelope).unwrap()), ..told.clone() }
    };
    assert!(session.post_receipt(&signed(&theirs), PATIENCE / 60).is_err());
    assert!(bench.view().receipts.is_empty());
    session.post_receipt(&signed(&ours), PATIENCE).unwrap();
    assert!(matches!(session.next_order(std::time::Duration::ZERO), Ok(Next::None)));
}
