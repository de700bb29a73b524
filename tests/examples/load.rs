//! Many simulated agents against the reference controller: nothing lost, nothing twice, and how long an answer takes.
//!
//!     cargo run --release -p burin-tests --example load -- --agents 1000 --seconds 60
//!
//! One process has both sides, two descriptors for each agent: `ulimit -n 4096` for a thousand.

use burin::protocol::event::{self, Progress};
use burin::protocol::{Ack, Event, EventId, HelloReply, Kind};
use burin_tests::controller::{Controller, Options};
use clap::Parser;
use serde_json::{Value, json};
use std::error::Error;
use std::process::ExitCode;
use std::sync::Barrier;
use std::time::{Duration, Instant, SystemTime};

#[derive(Debug, Parser)]
#[command(name = "load", about = "Simulated agents against the reference controller")]
struct Arguments {
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=5000))]
    agents: u32,
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Milliseconds between two batches of one agent
    #[arg(long, default_value_t = 1000)]
    pause: u64,
    /// Events in a batch
    #[arg(long, default_value_t = 4)]
    batch: u64,
}

/// Tries of a call after the first.
const TRIES: u32 = 5;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What one agent has seen.
struct Seen {
    machine: String,
    sent: u64,
    acked: u64,
    calls: Calls,
}

#[derive(Default)]
struct Calls {
    latencies: Vec<Duration>,
    retries: u64,
}

fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let directory = tempfile::tempdir()?;
    let controller = Controller::start(Options::new(directory.path()))?;
    let url = controller.url();
    let ready = Barrier::new(arguments.agents as usize);
    let seen: Vec<Result<Seen, Failure>> = std::thread::scope(|scope| {
        let spawn = |number| {
            let builder = std::thread::Builder::new().stack_size(512 << 10);
            let (url, ready) = (&url, &ready);
            builder.spawn_scoped(scope, move || agent(url, number, arguments, ready))
        };
        // A thread that cannot be started would leave the others waiting at the barrier: that ends the process.
        let threads: Vec<_> =
            (0..arguments.agents).map(|number| spawn(number).expect("a thread for an agent")).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("an agent panicked".into()))).collect()
    });

    let (mut latencies, mut retries, mut sent, mut failed, mut wrong) = (Vec::new(), 0, 0, 0, 0);
    for agent in seen {
        let agent = match agent {
            Ok(agent) => agent,
            Err(error) => {
                failed += 1;
                if failed <= 3 {
                    eprintln!("load: an agent failed: {error}");
                }
                continue;
            }
        };
        let view = controller.machine(&agent.machine).unwrap_or_default();
        // Kept once each, in order, without a gap: what was sent, and what the agent was told.
        let kept: Vec<u64> = view.events().map(|event| event.id.sequence).collect();
        if agent.acked != agent.sent || !kept.iter().copied().eq(1..=agent.sent) {
            wrong += 1;
        }
        sent += agent.sent;
        retries += agent.calls.retries;
        latencies.extend(agent.calls.latencies);
    }
    // Once more from the journal alone: what is acknowledged is on the disk.
    controller.stop();
    let restored = Controller::start(Options::new(directory.path()))?;
    let names = restored.machines();
    let kept: usize = names.iter().filter_map(|name| restored.machine(name)).map(|view| view.events().count()).sum();
    latencies.sort_unstable();
    let at = |share: f64| latencies.get((latencies.len() as f64 * share) as usize).copied().unwrap_or_default();
    let report = json!({
        "agents": arguments.agents, "failed": failed, "seconds": arguments.seconds, "calls": latencies.len(), "retries": retries,
        "events_sent": sent, "events_restored": kept, "agents_with_lost_or_doubled_events": wrong,
        "latency_ms": {"p50": millis(at(0.5)), "p99": millis(at(0.99)), "max": millis(latencies.last().copied().unwrap_or_default())},
    });
    println!("{report:#}");
    Ok(failed == 0 && wrong == 0 && kept as u64 == sent)
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 1e2
}

fn agent(url: &str, number: u32, arguments: &Arguments, ready: &Barrier) -> Result<Seen, Failure> {
    let http: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(60))).build().into();
    let boot = uuid::Uuid::new_v4().to_string();
    let hello = json!({
        "version": "hello/v1", "boot_id": boot, "instance": "1", "agent_version": "0",
        "identity": {"system_uuid": format!("10ad0000-0000-4000-8000-{number:012}"), "macs": []},
    });
    let mut calls = Calls::default();
    ready.wait();
    let reply: HelloReply = post(&http, &format!("{url}/v1/hello"), "", "application/json", &hello, &mut calls)?;
    let (place, token) = (format!("{url}/v1/machines/{}/events", reply.machine), reply.token);
    let (end, pause) =
        (Instant::now() + Duration::from_secs(arguments.seconds), Duration::from_millis(arguments.pause));
    // Agents of one rack are powered on together, and do not stay in step.
    std::thread::sleep(pause * (number % 97) / 97);
    let (mut sent, mut acked) = (0, 0);
    while Instant::now() < end {
        let batch = (1..=arguments.batch).map(|step| progress(&boot, sent + step));
        let batch = Value::from(batch.collect::<Result<Vec<_>, _>>()?);
        sent += arguments.batch;
        let ack: Ack = post(&http, &place, token.reveal(), event::BATCH_CONTENT_TYPE, &batch, &mut calls)?;
        acked = ack.acked;
        std::thread::sleep(pause);
    }
    Ok(Seen { machine: reply.machine, sent, acked, calls })
}

fn progress(boot: &str, sequence: u64) -> Result<Value, serde_json::Error> {
    let progress = Progress { stage: "write".into(), read_bytes: sequence << 20, ..Progress::default() };
    let id = EventId { boot_id: boot.to_owned(), sequence };
    serde_json::to_value(Event::new(id, "/load", SystemTime::now(), None, &Kind::Progress(progress)))
}

fn post<T: serde::de::DeserializeOwned>(
    http: &ureq::Agent,
    url: &str,
    token: &str,
    kind: &str,
    body: &Value,
    calls: &mut Calls,
) -> Result<T, Failure> {
    // As an agent does it: a call that broke off is repeated, and harmless where it had arrived.
    let mut pause = Duration::from_millis(100);
    for _ in 0..TRIES {
        match once(http, url, token, kind, body, &mut calls.latencies) {
            Err(error) if error.is::<ureq::Error>() => {
                calls.retries += 1;
                std::thread::sleep(pause);
                pause *= 2;
            }
            result => return result,
        }
    }
    once(http, url, token, kind, body, &mut calls.latencies)
}

fn once<T: serde::de::DeserializeOwned>(
    http: &ureq::Agent,
    url: &str,
    token: &str,
    kind: &str,
    body: &Value,
    latencies: &mut Vec<Duration>,
) -> Result<T, Failure> {
    let request = http.post(url).header("Content-Type", kind).header("Authorization", format!("Bearer {token}"));
    let began = Instant::now();
    let mut response = request.send(body.to_string())?;
    let text = response.body_mut().read_to_string()?;
    latencies.push(began.elapsed());
    Ok(serde_json::from_str(&text)?)
}
