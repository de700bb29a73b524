//! A whole agent in this process, except for PID 1 and the network, and a caller of its API.

use burin::api::LogRing;
use burin::exit::Exit;
use burin::http;
use burin::http::{Ca, Clock, Timeouts, Trust, TrustFiles};
use burin::protocol::Secret;
use burin::protocol::hello::ApiEndpoint;
use burin::run::{Agent, Surroundings};
use log::LevelFilter;
use serde_json::Value;
use simplelog::{Config, WriteLogger};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Mutex;
use std::thread::JoinHandle;

pub const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The logs of all agents in this process: it has one logger, so each log gets everything.
static LOGS: Mutex<Vec<LogRing>> = Mutex::new(Vec::new());

struct Logs;

impl Write for Logs {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        LOGS.lock().unwrap().iter_mut().try_for_each(|log| log.write_all(text))?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts the agent with `words` on its kernel command line. Its log has at least this level.
pub fn start(root: &Path, words: &str, level: LevelFilter) -> JoinHandle<Exit> {
    std::fs::create_dir_all(root.join("proc")).unwrap();
    std::fs::write(root.join("proc/cmdline"), words).unwrap();
    let agent = Agent::new(root).unwrap();
    let mut logs = LOGS.lock().unwrap();
    // Only the first logger counts, so it has the most verbose level.
    let first = WriteLogger::init(LevelFilter::Trace, Config::default(), Logs).is_ok();
    log::set_max_level(if first { level } else { level.max(log::max_level()) });
    logs.push(agent.log.clone());
    drop(logs);
    let surroundings = Surroundings { clock: Clock::trusted(), addresses: vec![LOCAL], listen: LOCAL };
    std::thread::spawn(move || agent.run_in(surroundings))
}

pub struct Caller {
    agent: ureq::Agent,
    url: String,
    token: Secret,
}

impl Caller {
    pub fn new(root: &Path, endpoint: &ApiEndpoint, token: &str) -> Self {
        let ca: Ca = endpoint.fingerprint.parse().unwrap();
        let trust = Trust::controller(Some(&ca), &TrustFiles::below(root), Clock::trusted()).unwrap();
        Self { agent: http::agent(&trust, &Timeouts::CALLS), url: endpoint.url.clone(), token: Secret::new(token) }
    }

    pub fn text(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        let request = request.header("Authorization", format!("Bearer {}", self.token.reveal()));
        let response = match method {
            "GET" => self.agent.run(request.body(()).unwrap()),
            _ => self.agent.run(request.body(body.to_owned()).unwrap()),
        };
        let mut response = response.unwrap();
        (response.status().as_u16(), response.body_mut().with_config().limit(64 << 20).read_to_string().unwrap())
    }

    pub fn call(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, text) = self.text(method, path, body);
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}
