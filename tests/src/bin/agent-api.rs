//! The agent's own API with a stand-in for the engine, for programs that try what it does with any input.
//!
//! No disk is touched: no order finds a disk here.

use burin::api::{Door, LogRing, Options, Server};
use burin::controller::{ControlFlag, Emitter, Limits};
use burin::protocol::{Hello, Identity, Problem, Secret, hello};
use clap::Parser;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// The agent's API without a machine behind it.
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
    let boot_id = "stand-in";
    let hello = Hello {
        version: hello::VERSION.to_owned(),
        identity: Identity::default(),
        boot_id: boot_id.to_owned(),
        instance: "stand-in".to_owned(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        capabilities: vec![],
        inventory: serde_json::Value::Null,
        last_crash: None,
        last_state: None,
        api: None,
    };
    let emitter = Emitter::open(None, boot_id, "/", &[], Limits::default())?;
    let planner = Arc::new(|_: &_| {
        let message = "there are no disks behind this stand-in".to_owned();
        Err(Problem { code: "plan.none".to_owned(), message, causes: vec![], hint: None })
    });
    let door = Door::new(hello, ControlFlag::default(), &emitter, LogRing::new(1 << 16), planner);
    door.set_token(Secret::new(arguments.token.clone()));
    door.set_inventory(serde_json::json!({"version": "inventory/v1"}));
    let options = Options { listen: arguments.listen, addresses: vec![arguments.listen.ip()] };
    let server = Server::start(&options, door.clone())?;
    println!("listening on {} {}", server.endpoint().url, server.endpoint().fingerprint);
    loop {
        // The planner refuses every order, so that there is never more to do than to reboot, which is not done.
        door.next_work(Duration::from_secs(3600));
    }
}
