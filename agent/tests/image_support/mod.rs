//! What the image tests share: images, noise, a web server that misbehaves on request, loop devices.
#![allow(dead_code)]

use burin::disk::Target;
use burin::image::{self, Cancel, Http, ImageError, Progress, Source, WriteRequest};
use burin::protocol::ImageReceipt;
use std::collections::VecDeque;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

pub const MIB: usize = 1 << 20;

/// What targets are full of; made once, as making it is slow.
static DIRT: LazyLock<Vec<u8>> = LazyLock::new(|| noise(32 * MIB, 99));

/// The first bytes of a target that was not touched.
pub fn dirt(len: usize) -> &'static [u8] {
    &DIRT[..len]
}

/// Repeatable noise (xorshift64*).
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// An image with text, noise, long and short runs of zeros, and a first sector that cannot be missed.
pub fn image(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut put = |at: usize, data: &[u8]| {
        if at < len {
            let end = len.min(at + data.len());
            bytes[at..end].copy_from_slice(&data[..end - at]);
        }
    };
    put(0, &noise(3000, 1));
    put(MIB - 100, &noise(200, 2));
    put(MIB + 300_000, &noise(400_000, 3));
    put(2 * MIB + 17, b"a lonely line of text");
    put(5 * MIB, &noise(MIB + 4096, 4));
    put(7 * MIB + 500_000, &"words that compress well ".repeat(20_000).into_bytes());
    put(len.saturating_sub(777), &noise(777, 5));
    bytes
}

/// A file of noise to be written over.
pub fn dirty_file(dir: &Path, len: usize) -> PathBuf {
    let path = dir.join("target");
    fs::write(&path, dirt(len)).unwrap();
    path
}

/// Runs `command` of Debian over `input`.
pub fn tool(dir: &Path, command: &[&str], input: &[u8]) -> Vec<u8> {
    let from = dir.join("tool-input");
    fs::write(&from, input).unwrap();
    let stdin = fs::File::open(&from).unwrap();
    let output = Command::new(command[0]).args(&command[1..]).stdin(stdin).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", command[0]));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

pub fn have(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

/// The image is there byte for byte, and what follows it is zero at both ends.
pub fn assert_written(target: &[u8], image: &[u8]) {
    if let Some(at) = target.iter().zip(image).position(|(a, b)| a != b) {
        panic!("differs at byte {at} of {}", image.len());
    }
    assert!(target.len() >= image.len());
    let rest = &target[image.len()..];
    let edge = rest.len().min(MIB);
    assert!(rest[..edge].iter().all(|byte| *byte == 0), "old bytes right behind the image");
    assert!(rest[rest.len() - edge..].iter().all(|byte| *byte == 0), "old bytes at the end of the target");
}

/// Nothing that boots: the first MiB is zero.
pub fn assert_unbootable(path: &Path) {
    let bytes = fs::read(path).unwrap();
    assert!(bytes[..MIB.min(bytes.len())].iter().all(|byte| *byte == 0), "the first MiB is not zero");
}

#[derive(Debug, Default)]
pub struct Notes(pub Mutex<Vec<String>>);

impl Progress for Notes {
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

pub fn write_to_file(request: WriteRequest, path: &Path) -> Result<ImageReceipt, ImageError> {
    let target = Target::open_file(path).map_err(ImageError::Disk)?;
    image::write(request, &target, &(), &Cancel::default())
}

pub fn from_bytes(bytes: Vec<u8>) -> WriteRequest {
    WriteRequest::new(Source::Reader(Box::new(std::io::Cursor::new(bytes)), "test image".into()))
}

pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_connect(Some(Duration::from_secs(10))).build().new_agent()
}

pub fn http(urls: Vec<String>) -> Http {
    let mut http = Http::new(agent(), urls);
    http.patience = Duration::from_secs(3);
    http
}

pub fn from_http(urls: Vec<String>) -> WriteRequest {
    WriteRequest::new(Source::Http(http(urls)))
}

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
    closed: AtomicBool,
}

impl Server {
    pub fn new(body: Vec<u8>, script: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/image", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            body: Arc::new(body),
            script: Mutex::new(script.into_iter().collect()),
            last: Mutex::new(Answer::Proper),
            requests: Mutex::default(),
            closed: AtomicBool::new(false),
        });
        let server = Self { url, shared: shared.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.closed.load(Ordering::Relaxed) {
                    return;
                }
                let shared = shared.clone();
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        server
    }

    /// What is answered once the script is used up.
    pub fn always(self, answer: Answer) -> Self {
        *self.shared.last.lock().unwrap() = answer;
        self
    }

    /// Request heads so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) {
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
        let answer = shared.script.lock().unwrap().pop_front();
        let answer = answer.unwrap_or_else(|| shared.last.lock().unwrap().clone());
        if respond(&mut stream, &head, &answer, shared).is_none() {
            return;
        }
    }
}

/// None closes the connection.
fn respond(stream: &mut TcpStream, head: &str, answer: &Answer, shared: &Shared) -> Option<()> {
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

/// A loop device over a file of noise; none without root.
pub struct Loop {
    pub device: PathBuf,
    pub backing: PathBuf,
}

impl Loop {
    pub fn new(dir: &Path, len: usize, sector: u32) -> Option<Self> {
        Self::with(dir, len, sector, &[])
    }

    pub fn with(dir: &Path, len: usize, sector: u32, more: &[&str]) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: loop devices need root");
            return None;
        }
        let backing = dir.join(format!("loop-{sector}"));
        fs::write(&backing, dirt(len)).unwrap();
        let sector = sector.to_string();
        let made = Command::new("losetup")
            .args(["--find", "--show", "--direct-io=on", "--sector-size", &sector])
            .args(more)
            .arg(&backing)
            .output();
        let made = match made {
            Ok(made) if made.status.success() => made,
            other => {
                println!("skipped: no loop device to be had: {other:?}");
                return None;
            }
        };
        Some(Self { device: String::from_utf8_lossy(&made.stdout).trim().into(), backing })
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.device).status();
    }
}
