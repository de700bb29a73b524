//! A web server that misbehaves on request.

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What the server does to one request; requests beyond the script are answered properly.
#[derive(Debug, Clone)]
pub enum Answer {
    Proper,
    /// Closes after so many bytes of the body.
    Cut(usize),
    /// Stops sending after so many bytes of the body, and keeps the connection open.
    Hang(usize),
    /// Takes the request and answers nothing at all.
    Silence,
    Status(u16),
    /// Sends the whole with 200, whatever range was asked for.
    Whole,
    /// Proper, with another ETag.
    Etag(&'static str),
    /// Proper, from other bytes.
    Other(Arc<Vec<u8>>),
    /// Says that the whole has so many bytes, and closes when there are no more.
    Length(u64),
    /// A range that was not asked for.
    WrongRange,
    Redirect(String),
}

#[derive(Debug, Clone)]
pub struct Server {
    pub url: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    body: Arc<Vec<u8>>,
    script: Mutex<VecDeque<Answer>>,
    /// After the script, again and again.
    last: Mutex<Answer>,
    requests: Mutex<Vec<String>>,
    /// Other files, by path.
    beside: Mutex<HashMap<String, Vec<u8>>>,
    /// An Authorization that every request must have, in small letters.
    wanted: Mutex<Option<String>>,
    closed: AtomicBool,
}

impl Server {
    pub fn new(body: Vec<u8>, script: impl IntoIterator<Item = Answer>) -> Self {
        Self::start(body, script, None)
    }

    /// With TLS, by a certificate for `localhost` that is its own CA. Also that certificate, as PEM.
    pub fn tls(body: Vec<u8>) -> (Self, String) {
        let (config, pem) = tls();
        (Self::start(body, [], Some(config)), pem)
    }

    fn start(body: Vec<u8>, script: impl IntoIterator<Item = Answer>, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = match tls {
            Some(_) => format!("https://localhost:{port}/image"),
            None => format!("http://127.0.0.1:{port}/image"),
        };
        let shared = Arc::new(Shared {
            body: Arc::new(body),
            script: Mutex::new(script.into_iter().collect()),
            last: Mutex::new(Answer::Proper),
            requests: Mutex::default(),
            beside: Mutex::default(),
            wanted: Mutex::default(),
            closed: AtomicBool::new(false),
        });
        let server = Self { url, shared: shared.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.closed.load(Ordering::Relaxed) {
                    return;
                }
                let (shared, tls) = (shared.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    Some(config) => {
                        let connection = rustls::ServerConnection::new(config).unwrap();
                        serve(rustls::StreamOwned::new(connection, stream), &shared);
                    }
                    None => serve(stream, &shared),
                });
            }
        });
        server
    }

    /// What is answered once the script is used up.
    pub fn always(self, answer: Answer) -> Self {
        *self.shared.last.lock().unwrap() = answer;
        self
    }

    /// Another file, at `path`, which is always answered properly. A `.minisig` that is not named is not there.
    pub fn beside(self, path: &str, body: impl Into<Vec<u8>>) -> Self {
        self.shared.beside.lock().unwrap().insert(path.to_lowercase(), body.into());
        self
    }

    /// Answers 401 to requests without this Authorization.
    pub fn wants(self, authorization: &str) -> Self {
        *self.shared.wanted.lock().unwrap() = Some(authorization.to_lowercase());
        self
    }

    /// The URL of `path` there.
    pub fn at(&self, path: &str) -> String {
        self.url.replace("/image", path)
    }

    /// Request heads so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }
}

/// What a server on `localhost` speaks TLS with, and its certificate as PEM.
pub fn tls() -> (Arc<rustls::ServerConfig>, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let pem = made.cert.pem();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (Arc::new(config), pem)
}

fn serve(mut stream: impl Read + Write, shared: &Shared) {
    loop {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return,
            }
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        shared.requests.lock().unwrap().push(head.clone());
        let wanted = shared.wanted.lock().unwrap().clone();
        if wanted.is_some_and(|wanted| !head.contains(&format!("\r\nauthorization: {wanted}\r\n"))) {
            if plain(&mut stream, "401 Unauthorized", b"").is_none() {
                return;
            }
            continue;
        }
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let other = shared.beside.lock().unwrap().get(&path).cloned();
        if other.is_some() || path.ends_with(".minisig") {
            let sent = match other {
                Some(body) => plain(&mut stream, "200 OK", &body),
                None => plain(&mut stream, "404 Not Found", b""),
            };
            match sent {
                Some(()) => continue,
                None => return,
            }
        }
        let answer = shared.script.lock().unwrap().pop_front();
        let answer = answer.unwrap_or_else(|| shared.last.lock().unwrap().clone());
        if respond(&mut stream, &head, &answer, shared).is_none() {
            return;
        }
    }
}

fn plain(stream: &mut impl Write, status: &str, body: &[u8]) -> Option<()> {
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len()).ok()?;
    stream.write_all(body).ok()
}

/// None closes the connection.
fn respond(stream: &mut (impl Read + Write), head: &str, answer: &Answer, shared: &Shared) -> Option<()> {
    let field = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim().to_owned())
    };
    let body = match answer {
        Answer::Other(body) => body.clone(),
        _ => shared.body.clone(),
    };
    let etag = match answer {
        Answer::Etag(etag) => format!("\"{etag}\""),
        _ => "\"one\"".to_owned(),
    };
    match answer {
        Answer::Status(status) => {
            write!(stream, "HTTP/1.1 {status} Because\r\ncontent-length: 0\r\n\r\n").ok()?;
            return Some(());
        }
        Answer::Silence => {
            let _ = stream.read(&mut [0; 16]);
            return None;
        }
        Answer::Redirect(to) => {
            write!(stream, "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n").ok()?;
            return Some(());
        }
        _ => {}
    }
    let range = field("range:").and_then(|range| {
        let range = range.strip_prefix("bytes=")?.to_owned();
        let (first, last) = range.split_once('-')?;
        let first: usize = first.parse().ok()?;
        Some((first, last.parse().map_or(body.len(), |last: usize| last + 1).min(body.len())))
    });
    let same = field("if-range:").is_none_or(|validator| validator == etag);
    let (start, end, partial) = match (range, answer) {
        (_, Answer::Whole) | (None, _) => (0, body.len(), false),
        (Some((start, end)), _) if same && start < body.len() => (start, end, true),
        _ => (0, body.len(), false),
    };
    let told = match answer {
        Answer::Length(length) => *length as usize,
        _ => body.len(),
    };
    if partial {
        let shown = if matches!(answer, Answer::WrongRange) { start + 1 } else { start };
        let length = end - start + told - body.len().min(told);
        let last = shown + (end - start) - 1;
        let range = format!("content-range: bytes {shown}-{last}/{told}\r\ncontent-length: {length}");
        write!(stream, "HTTP/1.1 206 Partial Content\r\n{range}\r\netag: {etag}\r\n\r\n").ok()?;
    } else {
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {told}\r\netag: {etag}\r\n\r\n").ok()?;
    }
    let content = &body[start..end];
    match answer {
        Answer::Cut(count) => {
            let _ = stream.write_all(&content[..(*count).min(content.len())]);
            None
        }
        Answer::Hang(count) => {
            let _ = stream.write_all(&content[..(*count).min(content.len())]);
            // Until the other side gives up.
            let _ = stream.read(&mut [0; 16]);
            None
        }
        Answer::Length(_) => {
            let _ = stream.write_all(&content[..content.len().min(told)]);
            None
        }
        _ => stream.write_all(content).ok(),
    }
}
