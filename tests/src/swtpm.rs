//! Software TPMs (swtpm) as a manufacturer would deliver them: with an endorsement key and its certificate, issued by
//! our own authority.

use burin_tpm::{Tpm, Transport};
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The authority that certifies endorsement keys.
#[derive(Debug)]
pub struct Maker {
    directory: PathBuf,
}

impl Maker {
    /// Makes its keys, in `directory`, with the first TPM.
    pub fn new(directory: &Path) -> io::Result<Self> {
        let directory = directory.to_owned();
        std::fs::create_dir_all(directory.join("ca"))?;
        let at = |name: &str| directory.join(name).display().to_string();
        let setup = format!(
            "create_certs_tool=/usr/bin/swtpm_localca\ncreate_certs_tool_config={}\ncreate_certs_tool_options={}\n",
            at("localca.conf"),
            at("localca.options")
        );
        std::fs::write(directory.join("setup.conf"), setup)?;
        let authority = format!(
            "statedir = {}\nsigningkey = {}\nissuercert = {}\ncertserial = {}\n",
            at("ca"),
            at("ca/signkey.pem"),
            at("ca/issuercert.pem"),
            at("ca/certserial")
        );
        std::fs::write(directory.join("localca.conf"), authority)?;
        let platform = "--platform-manufacturer Example\n--platform-version 1\n--platform-model Server\n";
        std::fs::write(directory.join("localca.options"), platform)?;
        Ok(Self { directory })
    }

    /// A new TPM, whose state is in `state`.
    pub fn make(&self, state: &Path) -> io::Result<()> {
        std::fs::create_dir_all(state)?;
        let output = Command::new("swtpm_setup")
            .args(["--tpm2", "--create-ek-cert", "--pcr-banks", "sha256", "--overwrite", "--tpmstate"])
            .arg(state)
            .arg("--config")
            .arg(self.directory.join("setup.conf"))
            .stdin(Stdio::null())
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(io::Error::other(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()))
    }

    /// Root and intermediate certificate, DER.
    pub fn certificates(&self) -> io::Result<(Vec<u8>, Vec<u8>)> {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject;
        let read = |name: &str| {
            let pem = std::fs::read(self.directory.join("ca").join(name))?;
            CertificateDer::from_pem_slice(&pem).map(|der| der.to_vec()).map_err(io::Error::other)
        };
        Ok((read("swtpm-localca-rootca-cert.pem")?, read("issuercert.pem")?))
    }
}

/// A running TPM, which tests reach by a socket.
#[derive(Debug)]
pub struct Swtpm {
    child: Child,
    socket: PathBuf,
}

impl Swtpm {
    /// Starts the TPM with the registers of a machine that was just switched on.
    pub fn start(state: &Path) -> io::Result<Self> {
        let socket = state.join("commands.sock");
        for name in ["commands.sock", "commands.sock.ctrl"] {
            let _ = std::fs::remove_file(state.join(name));
        }
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "swtpm", "socket", "--tpm2"])
            .args(["--flags", "not-need-init,startup-clear", "--server"])
            .arg(format!("type=unixio,path={}", socket.display()))
            .arg("--ctrl")
            .arg(format!("type=unixio,path={}.ctrl", socket.display()))
            .arg("--tpmstate")
            .arg(format!("dir={}", state.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let tpm = Self { child, socket };
        let until = Instant::now() + Duration::from_secs(30);
        while !tpm.socket.exists() {
            if Instant::now() > until {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(tpm)
    }

    /// The socket, for [`burin::attest::Chip::new`] and for tpm2-tools.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    pub fn tpm(&self) -> io::Result<Tpm<SocketTransport>> {
        SocketTransport::to(&self.socket).map(Tpm::new)
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        // Fails only if the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection to a TPM. A TPM accepts only one at a time.
#[derive(Debug)]
pub struct SocketTransport(UnixStream);

impl SocketTransport {
    /// The socket is there a moment before the TPM listens on it.
    pub fn to(socket: &Path) -> io::Result<Self> {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            match UnixStream::connect(socket) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                connected => return connected.map(Self),
            }
        }
    }
}

impl Transport for SocketTransport {
    fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(command)?;
        let mut head = [0; 10];
        self.0.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[2], head[3], head[4], head[5]]) as usize;
        let mut answer = head.to_vec();
        answer.resize(length.clamp(head.len(), burin_tpm::LONGEST_ANSWER), 0);
        self.0.read_exact(answer.get_mut(head.len()..).unwrap_or_default())?;
        Ok(answer)
    }
}

/// Extends the TPM's registers and writes the firmware's log as if these programs had been started, by Authenticode
/// digest.
pub fn measured_boot(tpm: &mut Tpm<SocketTransport>, programs: &[[u8; 32]]) -> Result<Vec<u8>, burin_tpm::TpmError> {
    const PROGRAM: u32 = 0x8000_0003;
    const SEPARATOR: u32 = 4;
    let separator: [u8; 32] = Sha256::digest([0; 4]).into();
    let separators = (0..8).map(|register| (register, SEPARATOR, separator));
    let programs = programs.iter().map(|program| (4, PROGRAM, *program));
    let mut log = log_head();
    for (register, kind, digest) in separators.chain(programs) {
        tpm.pcr_extend(register, &digest)?;
        log.extend([u32::from(register).to_le_bytes(), kind.to_le_bytes(), 1u32.to_le_bytes()].concat());
        log.extend(SHA256.to_le_bytes());
        log.extend(digest);
        log.extend(0u32.to_le_bytes());
    }
    Ok(log)
}

const SHA256: u16 = 0x000b;

/// The first event, which states that all digests are SHA-256.
fn log_head() -> Vec<u8> {
    let mut data = b"Spec ID Event03\0".to_vec();
    data.extend([0, 0, 0, 0, 0, 2, 0, 2]);
    data.extend(1u32.to_le_bytes());
    data.extend(SHA256.to_le_bytes());
    data.extend([32, 0, 0]);
    let head = [0u32.to_le_bytes(), 3u32.to_le_bytes()].concat();
    [head, vec![0; 20], (data.len() as u32).to_le_bytes().to_vec(), data].concat()
}
