//! Attestation: machines must prove by their TPM what they have booted before they get a token.

use super::calls::{ProblemReply, bearer, parse, refusal, speaks};
use super::orders::key;
use super::server::Shared;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use burin::error::Coded;
use burin::protocol::attestation::{REQUIRED, VERSION};
use burin::protocol::{AttestReply, AttestRequest, Attestation, Hello, Identity};
use burin_tpm::{Evidence, Expected, PcrValues, Public, Signed, make_credential, verify_certificate};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Challenges that are not answered yet: whoever asks for more than so many makes others ask again.
const OPEN_CHALLENGES: usize = 1024;

/// What is demanded of every machine.
#[derive(Debug, Clone, Default)]
pub struct Demand {
    pub expected: Expected,
    /// Who vouches for endorsement keys: X.509 in DER, and certificates between.
    pub authorities: Vec<Vec<u8>>,
    pub intermediates: Vec<Vec<u8>>,
    /// Endorsement keys (SHA-256 of the public area) by the name that a machine's hello has for it (UUID, serial number or
    /// MAC address): where it is not empty, every machine has to be in it.
    pub machines: BTreeMap<String, [u8; 32]>,
}

/// The file of `--attest`. Paths are below its own directory.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    manifest: Option<PathBuf>,
    authorities: Vec<PathBuf>,
    intermediates: Vec<PathBuf>,
    machines: BTreeMap<String, String>,
    programs: Vec<String>,
    registers: BTreeMap<u8, String>,
}

impl Demand {
    /// docs/security.md describes the file.
    pub fn read(path: &Path) -> io::Result<Self> {
        let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
        let directory = path.parent().unwrap_or(Path::new("."));
        let file: File = serde_json::from_slice(&std::fs::read(path)?).map_err(|error| wrong(error.to_string()))?;
        let certificate = |name: &PathBuf| {
            let pem = std::fs::read(directory.join(name))?;
            let der =
                CertificateDer::from_pem_slice(&pem).map_err(|_| wrong(format!("{} holds none", name.display())))?;
            Ok::<_, io::Error>(der.to_vec())
        };
        let digest =
            |text: &String| digest(text).ok_or_else(|| wrong(format!("{text:?} is no SHA-256 in hexadecimal")));
        let programs = file.programs.iter().map(digest).collect::<io::Result<Vec<_>>>()?;
        let mut images = Vec::new();
        if let Some(manifest) = &file.manifest {
            let text = std::fs::read(directory.join(manifest))?;
            let manifest: Value = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
            let list = manifest["programs"].as_array().filter(|list| !list.is_empty());
            let list = list.ok_or_else(|| wrong("the manifest names no programs: build with burin.efi".to_owned()))?;
            let text = |program: &Value| program["authenticode"].as_str().unwrap_or_default().to_owned();
            images.push(list.iter().map(|program| digest(&text(program))).collect::<io::Result<Vec<_>>>()?);
        }
        if let Some(number) = file.registers.keys().find(|number| **number > 23) {
            return Err(wrong(format!("there is no register {number}")));
        }
        if programs.is_empty() && images.is_empty() && file.registers.is_empty() {
            return Err(wrong("neither a manifest, nor programs, nor registers are demanded".to_owned()));
        }
        let registers = file.registers.iter().map(|(number, text)| Ok((*number, digest(text)?)));
        let machines = file.machines.iter().map(|(name, text)| Ok((name.clone(), digest(text)?)));
        Ok(Self {
            expected: Expected { programs, images, registers: registers.collect::<io::Result<_>>()? },
            authorities: file.authorities.iter().map(certificate).collect::<io::Result<_>>()?,
            intermediates: file.intermediates.iter().map(certificate).collect::<io::Result<_>>()?,
            machines: machines.collect::<io::Result<_>>()?,
        })
    }
}

/// A question that only one TPM can read.
#[derive(Debug)]
struct Open {
    id: String,
    secret: Vec<u8>,
    endorsement: Public,
    key: Public,
}

#[derive(Debug, Default)]
pub(super) struct Challenges(Mutex<VecDeque<Open>>);

impl Challenges {
    fn add(&self, open: Open) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= OPEN_CHALLENGES {
            all.pop_front();
        }
        all.push_back(open);
    }

    /// Each is answered once.
    fn take(&self, id: &str) -> Option<Open> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().position(|open| open.id == id)?;
        all.remove(at)
    }
}

fn refused(error: &impl Coded) -> ProblemReply {
    refusal(StatusCode::FORBIDDEN, error.code(), error.to_string())
}

fn malformed(what: &str) -> ProblemReply {
    refusal(StatusCode::BAD_REQUEST, "attest.request", format!("{what} is not as documented"))
}

fn public(text: &str, what: &str) -> Result<Public, ProblemReply> {
    STANDARD.decode(text).ok().and_then(|bytes| Public::parse(&bytes)).ok_or_else(|| malformed(what))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

pub(super) async fn challenge(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ProblemReply> {
    let request: AttestRequest = parse(&body)?;
    speaks(&request.version, VERSION)?;
    let options = &shared.options;
    let Some(demand) = &options.attest else {
        return Err(refusal(StatusCode::NOT_FOUND, "attest.unasked", "nobody here wants that"));
    };
    if options.join_token.is_some() && options.join_tokens.is_none() {
        super::join::check(options, &Identity::default(), bearer(&headers))?;
    }
    let (endorsement, key) = (public(&request.endorsement, "endorsement")?, public(&request.key, "key")?);
    let certificate = request.certificate.as_ref().map(|text| STANDARD.decode(text)).transpose();
    let certificate = certificate.map_err(|_| malformed("certificate"))?;
    // A key that is known needs nobody who vouches for it.
    if !demand.machines.values().any(|known| *known == endorsement.digest()) {
        let vouched =
            verify_certificate(&endorsement, certificate.as_deref(), &demand.intermediates, &demand.authorities, now());
        vouched.map_err(|error| refused(&error))?;
    }
    let secret = [uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()].concat();
    let made = make_credential(&endorsement, &key.name(), &secret).ok_or_else(|| malformed("endorsement"))?;
    let id = uuid::Uuid::new_v4().simple().to_string();
    shared.challenges.add(Open { id: id.clone(), secret, endorsement, key });
    let reply = AttestReply {
        version: VERSION.to_owned(),
        challenge: id,
        credential: STANDARD.encode(made.credential),
        secret: STANDARD.encode(made.secret),
        registers: demand.expected.selection().numbers().collect(),
    };
    Ok(Json(reply).into_response())
}

/// Whether this hello may be answered: it brings what is demanded, or nothing is.
pub(super) fn check(shared: &Shared, hello: &Hello) -> Result<(), ProblemReply> {
    let Some(demand) = &shared.options.attest else { return Ok(()) };
    let Some(attestation) = &hello.attestation else {
        let message = "this controller wants to know by the machine's TPM what it has booted";
        return Err(refusal(StatusCode::FORBIDDEN, REQUIRED, message));
    };
    let open = shared.challenges.take(&attestation.challenge);
    // Asked again it may well be right: the controller was started anew, say.
    let message = "there is no such challenge, or it was answered already";
    let open = open.ok_or_else(|| refusal(StatusCode::FORBIDDEN, REQUIRED, message))?;
    if !demand.machines.is_empty() {
        let names = &hello.identity;
        let names = names.system_uuid.iter().chain(&names.serial).chain(&names.macs).chain(&names.boot_mac);
        let digest = open.endorsement.digest();
        // Orders are found by any of them, in whatever spelling: none may be another's.
        let names: Vec<String> = names.map(|name| key(name)).collect();
        let listed = demand.machines.iter().filter(|(name, _)| names.contains(&key(name)));
        let listed: Vec<bool> = listed.map(|(_, known)| *known == digest).collect();
        if listed.is_empty() || listed.contains(&false) {
            let message = "this TPM is not that machine's";
            return Err(refusal(StatusCode::FORBIDDEN, "attest.other_machine", message));
        }
    }
    // The machine's key is what everything later is believed by.
    let machine_key = hello.key.as_deref().ok_or_else(|| malformed("a hello without a key"))?;
    let answer = Answer::read(attestation)?;
    let evidence = Evidence {
        secret: &open.secret,
        attestation_key: &open.key,
        key: machine_key,
        quote: &answer.quote,
        registers: &answer.registers,
        log: answer.log.as_deref(),
        sealing_key: answer.sealing_key.as_ref(),
    };
    demand.expected.check(evidence).map_err(|error| refused(&error))
}

struct Answer {
    quote: Signed,
    registers: PcrValues,
    log: Option<Vec<u8>>,
    sealing_key: Option<Public>,
}

impl Answer {
    fn read(attestation: &Attestation) -> Result<Self, ProblemReply> {
        let bytes = |text: &str, what: &str| STANDARD.decode(text).map_err(|_| malformed(what));
        let quote = Signed {
            attest: bytes(&attestation.quote, "quote")?,
            signature: bytes(&attestation.signature, "signature")?,
        };
        let register = |(number, text): (&u8, &String)| Some((*number, digest(text)?));
        let registers = attestation.registers.iter().map(register).collect::<Option<BTreeMap<_, _>>>();
        let registers = PcrValues(registers.ok_or_else(|| malformed("registers"))?);
        let log = attestation.log.as_ref().map(|text| bytes(text, "log")).transpose()?;
        let sealing_key = attestation.sealing_key.as_ref().map(|text| public(text, "sealing_key")).transpose()?;
        Ok(Self { quote, registers, log, sealing_key })
    }
}

/// 64 hexadecimal digits.
pub fn digest(text: &str) -> Option<[u8; 32]> {
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    let bytes = (0..32).map(|n| byte(n * 2)).collect::<Option<Vec<u8>>>()?;
    bytes.try_into().ok().filter(|_| text.len() == 64)
}
