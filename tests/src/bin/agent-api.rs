//! The agent's own API with a made-up machine behind it, for fuzzing and schema tests.
//!
//! Orders are planned by the real planner, on an inventory of two disks that do not exist; a plan that is applied is
//! receipted at once. No disk of this host is looked at.

use burin::api::{ApiOptions, ApiWork, Door, LogRing, Server};
use burin::control::ControlFlag;
use burin::error::Coded;
use burin::protocol::event::StageFinished;
use burin::protocol::{Hello, Identity, Kind, Order, Plan, Problem, Receipt, Secret, hello, receipt};
use burin::report::{Emitter, SpoolLimits};
use clap::Parser;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// The agent's API with a made-up machine behind it.
#[derive(Debug, Parser)]
#[command(name = "agent-api")]
struct Arguments {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The bearer token that opens it
    #[arg(long)]
    token: String,
}

const BOOT: &str = "stand-in";

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agent-api: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let hello = Hello {
        version: hello::VERSION.to_owned(),
        identity: Identity { serial: Some("STAND-IN".to_owned()), ..Identity::default() },
        boot_id: BOOT.to_owned(),
        instance: BOOT.to_owned(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        capabilities: vec![],
        inventory: machine(),
        last_crash: None,
        last_state: None,
        api: None,
        key: None,
        attestation: None,
    };
    let emitter = Emitter::open(None, BOOT, "/", &[], SpoolLimits::default())?;
    let mut log = LogRing::new(1 << 16);
    log.write_all(b"a made-up machine\n")?;
    let door = Door::new(hello, ControlFlag::default(), &emitter, log, Arc::new(plan));
    door.set_token(Secret::new(arguments.token.clone()));
    door.set_inventory(machine());
    let options = ApiOptions { listen: arguments.listen, addresses: vec![arguments.listen.ip()], callers: None };
    let server = Server::start(&options, door.clone())?;
    println!("listening on {} {}", server.endpoint().url, server.endpoint().fingerprint);
    loop {
        // Whoever wants this machine to reboot is told yes, and nothing happens.
        let Some(ApiWork::Apply { order, plan_digest }) = door.next_work(Duration::from_secs(3600)) else { continue };
        emitter.emit(Kind::StageFinished(StageFinished { stage: "write".to_owned(), duration_ms: 1 }));
        door.finish(&Receipt {
            version: receipt::VERSION.to_owned(),
            order: order.id.clone(),
            attempt: 1,
            boot_id: BOOT.to_owned(),
            plan_digest: Some(plan_digest),
            order_digest: None,
            order_signers: Vec::new(),
            disks: Vec::new(),
            problem: None,
            images: vec![],
            changes: vec![],
            stages: vec![],
            evidence: None,
        });
    }
}

fn plan(order: &Order) -> Result<Plan, Problem> {
    let inventory = serde_json::from_value(machine()).map_err(|error| Problem {
        code: "stand-in.inventory".to_owned(),
        message: error.to_string(),
        causes: vec![],
        hint: None,
    })?;
    burin::plan::plan(&inventory, order, &BTreeMap::new()).map_err(|refusal| refusal.problem())
}

/// `inventory/v1` of a server with an NVMe disk and a hard disk, both empty.
fn machine() -> Value {
    let section = |data: Value| json!({"status": "ok", "data": data});
    let disk = |name: &str, class: &str, serial: &str, size: u64| {
        let identity = json!({"kind": "serial", "value": format!("ACME_{serial}"), "strength": "strong"});
        json!({
            "name": name, "path": format!("/dev/{name}"), "status": "ok", "mounts": [], "signatures": [],
            "logical_block_size": 512, "class": class, "size": size, "serial": serial,
            "identity": identity, "identities": [identity],
        })
    };
    let disks = json!([disk("nvme0n1", "nvme", "N1", 480_103_981_056), disk("sda", "hdd", "H1", 4_000_787_030_016)]);
    json!({
        "schema_version": "inventory/v1",
        "system": section(json!({"serial_number": "STAND-IN"})),
        "firmware": section(json!({"boot_mode": "uefi"})),
        "cpu": section(json!({"architecture": "x86_64"})),
        "disks": section(disks),
        "nics": section(json!([{"name": "eth0", "status": "ok", "mac": "02:00:00:00:00:01"}])),
    })
}
