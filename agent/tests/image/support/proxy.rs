//! An HTTP proxy for tests: forwards requests in absolute form, opens tunnels, may cache, and fails on request.

use super::server::tls;
use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What goes wrong with one request; those beyond the script are served.
#[derive(Debug, Clone, Copy)]
pub enum ProxyFault {
    /// Answers with this end of a status line, tunnel or not.
    Refuse(&'static str),
    /// Closes after so many bytes of the body.
    Cut(usize),
}

#[derive(Debug, Clone)]
pub struct Proxy {
    /// Without scheme: `HOST:PORT`.
    pub address: String,
    shared: Arc<Shared>,
}

/// Whole answers by URL: head and body.
type Cache = Mutex<HashMap<String, (String, Vec<u8>)>>;

#[derive(Debug, Default)]
struct Shared {
    heads: Mutex<Vec<String>>,
    script: Mutex<VecDeque<ProxyFault>>,
    always: Option<ProxyFault>,
    cache: Option<Cache>,
}

impl Proxy {
    pub fn new() -> Self {
        Self::start(Shared::default(), None)
    }

    pub fn faulty(script: impl IntoIterator<Item = ProxyFault>) -> Self {
        Self::start(Shared { script: Mutex::new(script.into_iter().collect()), ..Shared::default() }, None)
    }

    /// The same fault for everybody.
    pub fn always(fault: ProxyFault) -> Self {
        Self::start(Shared { always: Some(fault), ..Shared::default() }, None)
    }

    /// What was fetched whole once is answered from memory, with an Age.
    pub fn caching() -> Self {
        Self::start(Shared { cache: Some(Mutex::default()), ..Shared::default() }, None)
    }

    /// One that is spoken to over TLS, and its certificate. It does not tunnel.
    pub fn tls() -> (Self, String) {
        let (config, pem) = tls();
        (Self::start(Shared::default(), Some(config)), pem)
    }

    fn start(shared: Shared, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = if tls.is_some() { "localhost" } else { "127.0.0.1" };
        let address = format!("{host}:{}", listener.local_addr().unwrap().port());
        let proxy = Self { address, shared: Arc::new(shared) };
        let shared = proxy.shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, tls) = (shared.clone(), tls.clone());
                thread::spawn(move || match tls {
                    Some(config) => {
                        let connection = rustls::ServerConnection::new(config).unwrap();
                        serve(rustls::StreamOwned::new(connection, stream), None, &shared)
                    }
                    None => {
                        let tunnel = stream.try_clone().ok();
                        serve(stream, tunnel, &shared)
                    }
                });
            }
        });
        proxy
    }

    /// Request heads so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.heads.lock().unwrap().clone()
    }
}

/// None closes the connection. `tunnel` is the same connection.
fn serve(mut client: impl Read + Write, tunnel: Option<TcpStream>, shared: &Shared) -> Option<()> {
    loop {
        let head = head(&mut client)?;
        shared.heads.lock().unwrap().push(head.clone());
        let fault = shared.always.or_else(|| shared.script.lock().unwrap().pop_front());
        if let Some(ProxyFault::Refuse(status)) = fault {
            write!(client, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").ok()?;
            continue;
        }
        if let Some(to) = head.strip_prefix("CONNECT ") {
            let server = TcpStream::connect(to.split(' ').next()?).ok()?;
            write!(client, "HTTP/1.1 200 Connected\r\n\r\n").ok()?;
            return relay(tunnel?, server);
        }
        let url = head.split(' ').nth(1)?.to_owned();
        let known = shared.cache.as_ref().and_then(|cache| cache.lock().unwrap().get(&url).cloned());
        let (answer, body) = match known {
            Some((answer, body)) => (answer.replacen("\r\n", "\r\nage: 100\r\n", 1), body),
            None => forward(&head, &url)?,
        };
        if let Some(cache) = shared.cache.as_ref().filter(|_| answer.starts_with("HTTP/1.1 200")) {
            cache.lock().unwrap().entry(url).or_insert_with(|| (answer.clone(), body.clone()));
        }
        client.write_all(answer.as_bytes()).ok()?;
        if let Some(ProxyFault::Cut(count)) = fault {
            let _ = client.write_all(&body[..count.min(body.len())]);
            return client.flush().ok();
        }
        client.write_all(&body).ok()?;
    }
}

/// Asks the server itself: head and body of its answer.
fn forward(head: &str, url: &str) -> Option<(String, Vec<u8>)> {
    let host = url.strip_prefix("http://")?.split('/').next()?;
    let mut server = TcpStream::connect(host).ok()?;
    let own = |line: &&str| line.to_lowercase().starts_with("proxy-");
    let lines = head.split_inclusive("\r\n").filter(|line| !own(line));
    let asked: String = lines.collect::<String>().replacen(&format!("http://{host}"), "", 1);
    server.write_all(asked.as_bytes()).ok()?;
    let answer = self::head(&mut server)?;
    let length = answer.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
    let mut body = Vec::new();
    server.take(length).read_to_end(&mut body).ok()?;
    Some((answer, body))
}

pub fn head(stream: &mut impl Read) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// Bytes both ways until both sides are through.
pub fn relay(mut client: TcpStream, mut server: TcpStream) -> Option<()> {
    let (mut up, mut down) = (client.try_clone().ok()?, server.try_clone().ok()?);
    let upward = thread::spawn(move || {
        let _ = io::copy(&mut up, &mut down);
        let _ = down.shutdown(Shutdown::Write);
    });
    let _ = io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
    upward.join().ok()
}
