//! A connection between agent and controller that can go dead silently: sockets stay open, but nothing arrives any
//! more.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

#[derive(Default)]
struct State {
    dead: AtomicBool,
    /// Incremented when the wire dies: existing connections never receive anything again.
    deaths: AtomicU32,
    /// Connections made to a dead wire.
    swallowed: AtomicU32,
}

pub struct Wire {
    address: SocketAddr,
    state: Arc<State>,
}

impl Wire {
    pub fn to(controller: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Ok(other) = TcpStream::connect(controller) else { continue };
                if shared.dead.load(Ordering::SeqCst) {
                    shared.swallowed.fetch_add(1, Ordering::SeqCst);
                }
                let born = shared.deaths.load(Ordering::SeqCst);
                for (from, to) in [(&stream, &other), (&other, &stream)] {
                    let (from, to, state) = (from.try_clone().unwrap(), to.try_clone().unwrap(), shared.clone());
                    std::thread::spawn(move || forward(from, to, &state, born));
                }
            }
        });
        Self { address, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn die(&self) {
        self.state.deaths.fetch_add(1, Ordering::SeqCst);
        self.state.dead.store(true, Ordering::SeqCst);
    }

    /// For new connections from now on.
    pub fn heal(&self) {
        self.state.dead.store(false, Ordering::SeqCst);
    }

    pub fn swallowed(&self) -> u32 {
        self.state.swallowed.load(Ordering::SeqCst)
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, state: &State, born: u32) {
    from.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let doomed = state.dead.load(Ordering::SeqCst);
    let mut buffer = [0; 4096];
    loop {
        if doomed || state.deaths.load(Ordering::SeqCst) != born {
            // Both ends stay open, for longer than any test.
            std::thread::sleep(Duration::from_secs(3600));
        }
        match from.read(&mut buffer) {
            Ok(0) => return drop(to.shutdown(std::net::Shutdown::Write)),
            Ok(count) if to.write_all(&buffer[..count]).is_err() => return,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}
