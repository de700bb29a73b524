//! Ironic's side: an API that records requests, a file server for images, and a conductor's calls.

use crate::support::eventually;
use burin::http::{self, Ca, Clock, Timeouts, Trust, TrustFiles};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

pub const MAC: &str = "52:54:00:12:34:56";
pub const NODE: &str = "71488fe2-6280-411b-ae7e-0a3ae6438dba";
/// 43 characters, like Ironic's.
pub const TOKEN: &str = "abcdefghijklmnopqrstuvwxyz-0123456789_ABCDE";

#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub path: String,
    pub version: Option<String>,
    pub request_id: Option<String>,
    pub body: Value,
}

pub struct Conductor {
    url: String,
    files: tempfile::TempDir,
    /// Lookup returns asterisks from the start: the token was already given out.
    given: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<Asked>>>,
    agent: Option<(ureq::Agent, String)>,
}

impl Conductor {
    pub fn new() -> Self {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", server.local_addr().unwrap());
        let (files, asked) = (tempfile::tempdir().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let given = Arc::new(AtomicBool::new(false));
        let (directory, noted, stars) = (files.path().to_owned(), asked.clone(), given.clone());
        std::thread::spawn(move || {
            for stream in server.incoming().flatten() {
                let (directory, noted, stars) = (directory.clone(), noted.clone(), stars.clone());
                std::thread::spawn(move || answer(stream, &directory, &noted, &stars));
            }
        });
        Self { url, files, given, asked, agent: None }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// As with virtual media, where the token was made in advance.
    pub fn token_is_given(&self) {
        self.given.store(true, Ordering::Relaxed);
    }

    /// Whether anything listens at the address of the last heartbeat.
    pub fn agent_listens(&self) -> bool {
        let (_, callback) = self.agent.as_ref().unwrap();
        TcpStream::connect(callback.trim_start_matches("https://")).is_ok()
    }

    pub fn files(&self) -> &Path {
        self.files.path()
    }

    pub fn seen(&self, start: &str) -> Vec<Asked> {
        self.asked.lock().unwrap().iter().filter(|asked| asked.path.starts_with(start)).cloned().collect()
    }

    pub fn heartbeats(&self) -> usize {
        self.seen("/v1/heartbeat").len()
    }

    /// Later calls go to the address of the last heartbeat, with the certificate that it contained.
    pub fn wait_heartbeats(&mut self, count: usize) {
        eventually("a heartbeat", || self.heartbeats() >= count);
        let beat = self.seen("/v1/heartbeat").pop().unwrap().body;
        let ca: PathBuf = self.files.path().join("agent.crt");
        std::fs::write(&ca, beat["agent_verify_ca"].as_str().unwrap()).unwrap();
        let trust = Trust::controller(Some(&Ca::File(ca)), &TrustFiles::below(self.files.path()), Clock::trusted());
        let callback = beat["callback_url"].as_str().unwrap().to_owned();
        self.agent = Some((http::agent(&trust.unwrap(), &Timeouts::CALLS), callback));
    }

    pub fn call(&self, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
        let (agent, callback) = self.agent.as_ref().unwrap();
        let request = ureq::http::Request::builder().method(method).uri(format!("{callback}{path}"));
        let reply = match body {
            None => agent.run(request.body(()).unwrap()),
            Some(body) => agent.run(request.body(body.to_owned()).unwrap()),
        };
        let mut reply = reply.unwrap();
        let text = reply.body_mut().read_to_string().unwrap();
        (reply.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub fn command(&self, name: &str, params: &Value, wait: bool) -> (u16, Value) {
        let body = json!({"name": name, "params": params}).to_string();
        self.call("POST", &format!("/v1/commands/?wait={wait}&agent_token={TOKEN}"), Some(&body))
    }

    pub fn list(&self) -> Value {
        self.call("GET", &format!("/v1/commands/?agent_token={TOKEN}"), None).1
    }

    pub fn last(&self) -> Value {
        self.list()["commands"].as_array().unwrap().last().unwrap().clone()
    }

    /// The last command of this name.
    pub fn named(&self, name: &str) -> Value {
        let list = self.list();
        list["commands"].as_array().unwrap().iter().rfind(|command| command["command_name"] == name).unwrap().clone()
    }

    /// The last command, once it is finished.
    pub fn over(&self) -> Value {
        eventually("the command is over", || self.last()["command_status"] != "RUNNING");
        self.last()
    }
}

fn answer(stream: TcpStream, directory: &Path, noted: &Mutex<Vec<Asked>>, given: &AtomicBool) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut asked = Asked { path: path.clone(), ..Asked::default() };
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            let Some((name, value)) = header.trim().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "x-openstack-ironic-api-version" => asked.version = Some(value.to_owned()),
                "x-openstack-request-id" => asked.request_id = Some(value.to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        asked.body = serde_json::from_slice(&body).unwrap_or_default();
        let (status, reply) = reply(&path, directory, noted, given.load(Ordering::Relaxed));
        noted.lock().unwrap().push(asked);
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", reply.len());
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&reply)).is_err() {
            return;
        }
    }
}

/// As a real Ironic (39.0.0) answered.
fn reply(path: &str, directory: &Path, noted: &Mutex<Vec<Asked>>, given: bool) -> (u16, Vec<u8>) {
    let json = |value: Value| (200, value.to_string().into_bytes());
    match path.split(['?', '/']).find(|part| !part.is_empty() && *part != "v1") {
        None => json(json!({"name": "OpenStack Ironic API", "default_version": {"id": "v1", "status": "CURRENT",
            "min_version": "1.1", "version": "1.115"}})),
        Some("lookup") => {
            let again = given || noted.lock().unwrap().iter().any(|asked| asked.path.starts_with("/v1/lookup"));
            let token = if again { "******" } else { TOKEN };
            json(
                json!({"node": {"uuid": NODE, "properties": {}, "instance_info": {}, "driver_internal_info": {}, "links": []},
                "config": {"heartbeat_timeout": 300, "agent_token": token, "agent_token_required": true,
                    "permitted_image_formats": ["raw", "gpt", "qcow2", "iso"], "tls_min_version": "1.3"}}),
            )
        }
        Some("heartbeat") => (202, Vec::new()),
        Some("continue_inspection") => (202, json!({"uuid": NODE}).to_string().into_bytes()),
        Some(file) => match std::fs::read(directory.join(file)) {
            Ok(bytes) => (200, bytes),
            Err(_) => (404, Vec::new()),
        },
    }
}
