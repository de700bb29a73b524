//! An HTTP proxy that tunnels.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

#[derive(Debug, Clone)]
pub struct Proxy {
    /// Without scheme: `127.0.0.1:PORT`.
    pub address: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Answers everybody with `refusal` (a status line's end), where there is one.
    pub fn new(refusal: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let proxy = Self { address, heads: heads.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let heads = heads.clone();
                thread::spawn(move || tunnel(stream, refusal, &heads));
            }
        });
        proxy
    }

    /// Request heads so far.
    pub fn requests(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn tunnel(mut client: TcpStream, refusal: Option<&str>, heads: &Mutex<Vec<String>>) -> Option<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    heads.lock().unwrap().push(head.clone());
    if let Some(refusal) = refusal {
        return write!(client, "HTTP/1.1 {refusal}\r\ncontent-length: 0\r\n\r\n").ok();
    }
    let to = head.strip_prefix("CONNECT ")?.split(' ').next()?;
    let mut server = TcpStream::connect(to).ok()?;
    write!(client, "HTTP/1.1 200 Connected\r\n\r\n").ok()?;
    let (mut up, mut down) = (client.try_clone().ok()?, server.try_clone().ok()?);
    let upward = thread::spawn(move || {
        let _ = io::copy(&mut up, &mut down);
        let _ = down.shutdown(Shutdown::Write);
    });
    let _ = io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
    upward.join().ok()
}
