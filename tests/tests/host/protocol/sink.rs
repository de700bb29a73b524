//! A CloudEvents receiver in twenty lines: HTTP/1.1 by hand, one request per connection.

use burin::protocol::Event;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

pub struct Sink {
    address: String,
    events: Arc<Mutex<Vec<Event>>>,
    single: Arc<AtomicBool>,
}

impl Sink {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (events, single) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (kept, only) = (events.clone(), single.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream);
                let (mut length, mut kind, mut line) = (0, String::new(), String::new());
                while reader.read_line(&mut line).unwrap_or(0) > 2 {
                    let lower = line.to_ascii_lowercase();
                    if let Some(value) = lower.strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    if let Some(value) = lower.strip_prefix("content-type:") {
                        kind = value.trim().to_owned();
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let batch = kind == "application/cloudevents-batch+json";
                let status = if batch && only.load(Ordering::Relaxed) {
                    "415 Unsupported Media Type"
                } else if batch {
                    kept.lock().unwrap().extend(serde_json::from_slice::<Vec<Event>>(&body).unwrap());
                    "202 Accepted"
                } else {
                    assert_eq!(kind, "application/cloudevents+json");
                    kept.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
                    "204 No Content"
                };
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                reader.get_mut().write_all(head.as_bytes()).unwrap();
            }
        });
        Self { address, events, single }
    }

    pub fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    pub fn received(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    pub fn no_batches(&self) {
        self.single.store(true, Ordering::Relaxed);
    }
}
