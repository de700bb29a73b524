//! A registry for tests (OCI distribution specification 1.1, pull only) that misbehaves on request and records its
//! requests.

use super::{proxy::head, server::tls, sha256};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Whom it serves.
#[derive(Debug, Clone)]
pub enum Door {
    Open,
    /// An Authorization header.
    Basic(String),
    /// Tokens of its own or of another server, each good for so many requests; that one wants an Authorization too.
    Bearer {
        realm: String,
        basic: Option<String>,
        good_for: usize,
    },
    /// Always this challenge.
    Challenge(String),
}

#[derive(Debug, Clone)]
pub struct Registry {
    /// `127.0.0.1:PORT`, or `localhost:PORT` with TLS.
    pub host: String,
    shared: Arc<Shared>,
}

/// A media type and the bytes.
type Served = (String, Arc<Vec<u8>>);

#[derive(Debug)]
struct Shared {
    /// By path: media type and bytes.
    files: Mutex<HashMap<String, Served>>,
    requests: Mutex<Vec<String>>,
    door: Mutex<Door>,
    /// Requests that the last token is still good for, and how many were given.
    token: Mutex<(usize, usize)>,
    /// Where blobs are, instead of here.
    elsewhere: Mutex<Option<String>>,
    /// Blobs end after so many bytes, one answer each.
    cuts: Mutex<VecDeque<usize>>,
}

impl Registry {
    pub fn new() -> Self {
        Self::start(None)
    }

    /// And its certificate, which is its own CA.
    pub fn tls() -> (Self, String) {
        let (config, pem) = tls();
        (Self::start(Some(config)), pem)
    }

    fn start(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let name = if tls.is_some() { "localhost" } else { "127.0.0.1" };
        let host = format!("{name}:{}", listener.local_addr().unwrap().port());
        let shared = Arc::new(Shared {
            files: Mutex::default(),
            requests: Mutex::default(),
            door: Mutex::new(Door::Open),
            token: Mutex::default(),
            elsewhere: Mutex::default(),
            cuts: Mutex::default(),
        });
        let registry = Self { host, shared: shared.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, tls) = (shared.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    Some(config) => {
                        let connection = rustls::ServerConnection::new(config).unwrap();
                        serve(rustls::StreamOwned::new(connection, stream), &shared)
                    }
                    None => serve(stream, &shared),
                });
            }
        });
        registry
    }

    /// `oci+http://HOST/team/image:TAG`
    pub fn name(&self, tag: &str) -> String {
        format!("oci+http://{}/team/image:{tag}", self.host)
    }

    pub fn door(self, door: Door) -> Self {
        *self.shared.door.lock().unwrap() = door;
        self
    }

    pub fn blobs_elsewhere(&self, url: &str) {
        *self.shared.elsewhere.lock().unwrap() = Some(url.to_owned());
    }

    pub fn cut(&self, after: &[usize]) {
        self.shared.cuts.lock().unwrap().extend(after);
    }

    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// How many tokens it gave.
    pub fn tokens(&self) -> usize {
        self.shared.token.lock().unwrap().1
    }

    pub fn put(&self, path: &str, kind: &str, bytes: Vec<u8>) {
        let path = format!("/v2/team/image/{path}");
        self.shared.files.lock().unwrap().insert(path, (kind.to_owned(), Arc::new(bytes)));
    }

    pub fn remove(&self, path: &str) {
        self.shared.files.lock().unwrap().remove(&format!("/v2/team/image/{path}"));
    }

    /// Returns its descriptor.
    pub fn blob(&self, kind: &str, bytes: Vec<u8>) -> Value {
        let (digest, size) = (sha256(&bytes), bytes.len());
        self.put(&format!("blobs/{digest}"), kind, bytes);
        json!({"mediaType": kind, "digest": digest, "size": size})
    }

    /// Under its digest and a tag. Returns its descriptor.
    pub fn manifest(&self, tag: &str, manifest: &Value) -> Value {
        let bytes = manifest.to_string().into_bytes();
        let kind = manifest["mediaType"].as_str().unwrap();
        let (digest, size) = (sha256(&bytes), bytes.len());
        self.put(&format!("manifests/{digest}"), kind, bytes.clone());
        self.put(&format!("manifests/{tag}"), kind, bytes);
        json!({"mediaType": kind, "digest": digest, "size": size})
    }

    /// As oras pushes files.
    pub fn artefact(&self, tag: &str, files: &[(&str, Vec<u8>)]) -> Value {
        let layers: Vec<Value> = files
            .iter()
            .map(|(title, bytes)| {
                let mut layer = self.blob("application/octet-stream", bytes.clone());
                layer["annotations"] = json!({"org.opencontainers.image.title": title});
                layer
            })
            .collect();
        let config = self.blob(EMPTY, b"{}".to_vec());
        let kind = "application/vnd.example.disk";
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind, "config": config, "layers": layers});
        self.manifest(tag, &manifest)
    }

    /// A container image of layers (media type, bytes, and what they decode to).
    pub fn container(&self, tag: &str, layers: &[(&str, Vec<u8>, &[u8])]) -> Value {
        let diffs: Vec<String> = layers.iter().map(|(_, _, plain)| sha256(plain)).collect();
        let config =
            json!({"os": "linux", "architecture": architecture(), "rootfs": {"type": "layers", "diff_ids": diffs}});
        let config = self.blob(CONFIG, config.to_string().into_bytes());
        let layers: Vec<Value> = layers.iter().map(|(kind, bytes, _)| self.blob(kind, bytes.clone())).collect();
        self.manifest(tag, &json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}))
    }
}

/// This machine's, as images have it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn serve(mut stream: impl Read + Write, shared: &Shared) {
    while let Some(head) = head(&mut stream) {
        shared.requests.lock().unwrap().push(head.clone());
        if answer(&mut stream, &head, shared).is_none() {
            return;
        }
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (known, value) = line.split_once(": ")?;
        known.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

fn plain(stream: &mut impl Write, status: &str, more: &str, body: &[u8]) -> Option<()> {
    write!(stream, "HTTP/1.1 {status}\r\n{more}content-length: {}\r\n\r\n", body.len()).ok()?;
    stream.write_all(body).ok()
}

/// None closes the connection.
fn answer(stream: &mut impl Write, head: &str, shared: &Shared) -> Option<()> {
    let path = head.split(' ').nth(1)?;
    let authorization = field(head, "authorization");
    let door = shared.door.lock().unwrap().clone();
    if let (Some(query), Door::Bearer { basic, good_for, .. }) = (path.strip_prefix("/token?"), &door) {
        if basic.as_deref() != authorization || !query.ends_with("scope=repository%3Ateam%2Fimage%3Apull") {
            return plain(stream, "401 Unauthorized", "", b"");
        }
        let mut token = shared.token.lock().unwrap();
        *token = (*good_for, token.1 + 1);
        return plain(stream, "200 OK", "", format!(r#"{{"token": "token-{}"}}"#, token.1).as_bytes());
    }
    let refusal = match &door {
        Door::Open => None,
        Door::Basic(wanted) => (authorization != Some(wanted)).then(|| "Basic realm=\"here\"".to_owned()),
        Door::Challenge(challenge) => Some(challenge.clone()),
        Door::Bearer { realm, .. } => {
            let mut token = shared.token.lock().unwrap();
            let good = token.0 > 0 && authorization == Some(&format!("Bearer token-{}", token.1));
            token.0 = token.0.saturating_sub(usize::from(good));
            (!good).then(|| {
                format!(r#"Bearer realm="{realm}",service="registry",scope="repository:team/image:pull,push""#)
            })
        }
    };
    if let Some(challenge) = refusal {
        return plain(stream, "401 Unauthorized", &format!("www-authenticate: {challenge}\r\n"), b"");
    }
    if let Some(elsewhere) = shared.elsewhere.lock().unwrap().as_ref().filter(|_| path.contains("/blobs/")) {
        return plain(stream, "307 Temporary Redirect", &format!("location: {elsewhere}\r\n"), b"");
    }
    let found = shared.files.lock().unwrap().get(path).cloned();
    let Some((kind, bytes)) = found else { return plain(stream, "404 Not Found", "", b"") };
    if !path.contains("/blobs/") && !field(head, "accept")?.contains(&kind) {
        return plain(stream, "404 Not Found", "", b"");
    }
    let range = field(head, "range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let start = range.and_then(|(start, _)| start.parse().ok()).unwrap_or(0usize);
    let end = range.and_then(|(_, end)| end.parse().ok()).map_or(bytes.len(), |end: usize| bytes.len().min(end + 1));
    let part = bytes.get(start..end)?;
    let told = match range {
        Some(_) => {
            format!("206 Partial Content\r\ncontent-range: bytes {start}-{}/{}", end.saturating_sub(1), bytes.len())
        }
        None => "200 OK".to_owned(),
    };
    write!(
        stream,
        "HTTP/1.1 {told}\r\ncontent-type: {kind}\r\netag: \"one\"\r\ncontent-length: {}\r\n\r\n",
        part.len()
    )
    .ok()?;
    if path.contains("/blobs/")
        && let Some(cut) = shared.cuts.lock().unwrap().pop_front()
    {
        let _ = stream.write_all(&part[..cut.min(part.len())]);
        let _ = stream.flush();
        return None;
    }
    stream.write_all(part).ok()
}
