//! Endorsement keys of a software TPM (swtpm), asked over its socket instead of /dev/tpmrm0, with tpm2-tools and openssl
//! as oracles.

use crate::support::{self, Machine};
use hwinventory::model::{EndorsementKey, Status};
use hwinventory::source::{Query, Source};
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Swtpm {
    process: Child,
    directory: tempfile::TempDir,
}

impl Swtpm {
    /// `None`, with a word about it, where swtpm is not installed.
    fn start() -> Option<Swtpm> {
        if !support::has("swtpm") {
            return None;
        }
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().display();
        let process = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .args(["--tpmstate", &format!("dir={path}"), "--server", &format!("type=unixio,path={path}/tpm")])
            .args(["--ctrl", &format!("type=unixio,path={path}/tpm.ctrl")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("swtpm starts");
        let tpm = Swtpm { process, directory };
        let deadline = Instant::now() + Duration::from_secs(60);
        while tpm.connect().is_err() {
            assert!(Instant::now() < deadline, "swtpm does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(tpm)
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("tpm")
    }

    fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(self.socket())
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn transact(socket: &Path, command: &[u8]) -> io::Result<Vec<u8>> {
    // One client at a time: while another one is served the connection waits.
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(command)?;
    let mut response = vec![0u8; 4096];
    let length = stream.read(&mut response)?;
    response.truncate(length);
    Ok(response)
}

/// A command by hand: with an authorization area of the empty password where there are handles to authorize.
fn command(tag: u16, code: u32, body: &[u8]) -> Vec<u8> {
    let length = 10 + body.len() as u32;
    [&tag.to_be_bytes()[..], &length.to_be_bytes(), &code.to_be_bytes(), body].concat()
}

const PASSWORD: [u8; 13] = [0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0];
const PLATFORM: [u8; 4] = [0x40, 0, 0, 0x0c];

fn success(response: &[u8]) {
    assert_eq!(response.get(6..10), Some(&[0u8; 4][..]), "the TPM refuses: {response:02x?}");
}

/// Stores data as a maker does: written by the platform, readable by everybody.
fn store(socket: &Path, index: u32, data: &[u8]) {
    // TPMA_NV: PPWRITE, WRITEDEFINE no, PPREAD, OWNERREAD, AUTHREAD, NO_DA, PLATFORMCREATE.
    let attributes = 1u32 | 1 << 16 | 1 << 17 | 1 << 18 | 1 << 25 | 1 << 30;
    let mut public = index.to_be_bytes().to_vec();
    public.extend([0, 0x0b]);
    public.extend(attributes.to_be_bytes());
    public.extend([0, 0]);
    public.extend((data.len() as u16).to_be_bytes());
    let define = [&PLATFORM[..], &PASSWORD, &[0, 0], &(public.len() as u16).to_be_bytes(), &public].concat();
    success(&transact(socket, &command(0x8002, 0x12a, &define)).expect("swtpm answers"));
    for (at, chunk) in data.chunks(512).enumerate() {
        let (size, offset) = ((chunk.len() as u16).to_be_bytes(), (at as u16 * 512).to_be_bytes());
        let write = [&PLATFORM[..], &index.to_be_bytes(), &PASSWORD, &size, chunk, &offset].concat();
        success(&transact(socket, &command(0x8002, 0x137, &write)).expect("swtpm answers"));
    }
}

/// A machine whose one device is that TPM. Keys that are made are flushed at once, as the kernel's resource manager does.
struct Machined {
    machine: Machine,
    socket: PathBuf,
}

impl Source for Machined {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.machine.read(path)
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.machine.list(path)
    }

    fn link(&self, path: &str) -> io::Result<String> {
        self.machine.link(path)
    }

    fn query(&self, query: &Query) -> io::Result<Vec<u8>> {
        let Query::Tpm { command: bytes, .. } = query else { return self.machine.query(query) };
        let response = transact(&self.socket, bytes)?;
        let made = bytes.get(6..10) == Some(&0x131u32.to_be_bytes()[..]);
        if let Some(handle) = response.get(10..14).filter(|_| made) {
            success(&transact(&self.socket, &command(0x8001, 0x165, handle))?);
        }
        Ok(response)
    }
}

fn keys(tpm: &Swtpm) -> (Vec<EndorsementKey>, hwinventory::Inventory) {
    let mut machine = Machine::default();
    machine.file("/sys/class/tpm/tpm0/tpm_version_major", "2\n");
    let source = Arc::new(Machined { machine, socket: tpm.socket() });
    let inventory = support::collect(source);
    (inventory.tpm.data[0].endorsement_keys.clone(), inventory)
}

fn by<'a>(keys: &'a [EndorsementKey], algorithm: &str) -> &'a EndorsementKey {
    keys.iter().find(|k| k.algorithm == algorithm).unwrap_or_else(|| panic!("{algorithm} is not among {keys:?}"))
}

fn hash(bytes: &[u8]) -> Option<String> {
    Some(Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect())
}

/// The same key, made by tpm2-tools: hash of its SubjectPublicKeyInfo.
fn oracle(tpm: &Swtpm, algorithm: &str) -> Option<String> {
    let file = tpm.directory.path().join(format!("{algorithm}.der"));
    let made = Command::new("tpm2_createek")
        .args(["-T", &format!("swtpm:path={}", tpm.socket().display()), "-G", algorithm, "-f", "der", "-u"])
        .arg(&file)
        .arg("-c")
        .arg(tpm.directory.path().join("context"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        burin_skip::skip!("tpm2_createek is not installed, or does not reach swtpm");
        return None;
    }
    hash(&std::fs::read(file).ok()?)
}

#[test]
fn keys_without_certificates_are_derived() {
    let Some(tpm) = Swtpm::start() else { return };
    let (found, inventory) = keys(&tpm);
    assert_eq!(inventory.tpm.status, Status::Ok, "{:?}", inventory.tpm.problems);
    assert!(inventory.tpm.data[0].manufacturer.is_some() && inventory.tpm.data[0].ek_certificate_sha256.is_none());
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|k| k.source == "derived" && k.certificate_sha256.is_none()));
    assert_eq!(keys(&tpm).0, found, "the same every time");
    for (name, algorithm) in [("rsa-2048", "rsa"), ("ecc-p256", "ecc")] {
        if let Some(theirs) = oracle(&tpm, algorithm) {
            assert_eq!(by(&found, name).public_sha256, Some(theirs), "{name}");
        }
    }
}

fn openssl(arguments: &[&str], directory: &Path) -> Option<Vec<u8>> {
    let output = Command::new("openssl").args(arguments).current_dir(directory).stderr(Stdio::null()).output().ok()?;
    output.status.success().then_some(output.stdout)
}

#[test]
fn a_certificate_counts_before_the_key() {
    let Some(tpm) = Swtpm::start() else { return };
    let directory = tpm.directory.path();
    let request =
        ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-subj", "/CN=ek", "-outform", "der"];
    let Some(certificate) = openssl(&request, directory) else {
        burin_skip::skip!("openssl is not installed");
        return;
    };
    let public =
        openssl(&["pkey", "-in", "key", "-pubout", "-outform", "der"], directory).expect("openssl reads its key");
    // Storage is larger than the certificate in it.
    store(&tpm.socket(), 0x01c0_0002, &[&certificate[..], &[0xff; 300]].concat());
    let (found, inventory) = keys(&tpm);
    let rsa = by(&found, "rsa-2048");
    assert_eq!(rsa.source, "certificate");
    assert_eq!((&rsa.certificate_sha256, &rsa.public_sha256), (&hash(&certificate), &hash(&public)));
    assert_eq!(inventory.tpm.data[0].ek_certificate_sha256, hash(&certificate));
    assert_eq!(by(&found, "ecc-p256").source, "derived", "what has no certificate is derived");
}

/// A key that provisioning has made persistent is read, not made again.
#[test]
fn a_persistent_key_is_read() {
    let Some(tpm) = Swtpm::start() else { return };
    let derived = keys(&tpm).0;
    let socket = tpm.socket();
    let made = Command::new("tpm2_createek")
        .args(["-T", &format!("swtpm:path={}", socket.display()), "-G", "rsa", "-c", "0x81010001"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        burin_skip::skip!("tpm2_createek is not installed, or does not reach swtpm");
        return;
    }
    let found = keys(&tpm).0;
    assert_eq!(by(&found, "rsa-2048").source, "persistent");
    assert_eq!(by(&found, "rsa-2048").public_sha256, by(&derived, "rsa-2048").public_sha256);
}

/// A machine that somebody has taken ownership of says why there is no key.
#[test]
fn a_password_is_told_apart_from_absence() {
    let Some(tpm) = Swtpm::start() else { return };
    // TPM2_HierarchyChangeAuth of the endorsement hierarchy.
    let body = [&[0x40, 0, 0, 0x0b][..], &PASSWORD, &[0, 4], b"mine"].concat();
    success(&transact(&tpm.socket(), &command(0x8002, 0x129, &body)).expect("swtpm answers"));
    let (found, inventory) = keys(&tpm);
    assert_eq!(found, []);
    assert_eq!(inventory.tpm.status, Status::Partial);
    assert!(inventory.tpm.problems.iter().any(|p| p.status == Status::Denied), "{:?}", inventory.tpm.problems);
}
