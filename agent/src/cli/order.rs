//! `burin order`: signs orders and verifies them. Keys and signatures may be those of openssl and minisign.

use super::{fail, seal};
use crate::error::Coded;
use crate::plan;
use crate::protocol::order::{OrderError, PAYLOAD_TYPE, parse_bytes};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use burin_sign::{Envelope, EnvelopeError, KeyError, PublicKey, SecretKey, pae};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Sign orders, and verify signed ones.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  burin order keygen key.pem > key.pub
  burin order sign order.json --key key.pem --output order.signed.json
  burin order verify order.signed.json --key key.pub

Secrets that only one machine can open (seal before signing):
  burin order seal order.json --hello hello.json --at /attributes/password --output order.sealed.json

With a key kept by openssl (in a token, for example) or minisign:
  burin order message order.json > message
  openssl pkeyutl -sign -rawin -inkey key.pem -in message -out signature
  burin order attach order.json --signature signature --key key.pub --output order.signed.json")]
pub struct OrderArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a key in PKCS#8 PEM, and print its public part
    Keygen {
        /// File for the private key; it must not exist
        file: PathBuf,
    },
    /// Put an order into a signed envelope
    Sign {
        /// The order, JSON
        order: PathBuf,
        /// Private keys, PKCS#8 in PEM
        #[arg(long, value_name = "FILE", required = true)]
        key: Vec<PathBuf>,
        /// Output file, instead of standard output
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Seal strings of an order for one machine: only its TPM can open them, and only in its current boot state
    Seal {
        /// The order, JSON
        order: PathBuf,
        /// The machine's hello with its attestation, from a controller that has verified it
        #[arg(long, value_name = "FILE")]
        hello: PathBuf,
        /// JSON pointers of the strings to seal: /attributes/password
        #[arg(long = "at", value_name = "POINTER", required = true)]
        places: Vec<String>,
        /// Output file, instead of standard output
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Print the bytes to be signed, for another program
    Message {
        /// The order, JSON
        order: PathBuf,
    },
    /// Put an order into an envelope, with a signature that another program made over `message`
    Attach {
        /// The order, JSON
        order: PathBuf,
        /// The signature: 64 bytes, or a .minisig made by `minisign -S -l`
        #[arg(long, value_name = "FILE")]
        signature: PathBuf,
        /// The public key: PEM, or a minisign.pub
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Output file, instead of standard output
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Show who signed an order; exit status 1 if it was none of the keys
    Verify {
        /// The signed order
        order: PathBuf,
        /// Public keys: PEM, or minisign.pub
        #[arg(long, value_name = "FILE", required = true)]
        key: Vec<PathBuf>,
        /// Print the order itself
        #[arg(long)]
        payload: bool,
    },
}

#[derive(Debug, thiserror::Error)]
pub(super) enum SignError {
    #[error("{path}: cannot be read or written", path = path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{path}: {source}", path = path.display())]
    Key { path: PathBuf, source: KeyError },
    #[error(transparent)]
    Order(#[from] OrderError),
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    #[error(transparent)]
    Seal(#[from] seal::SealFailed),
    #[error("{path} is not a signature: neither 64 bytes nor a .minisig of `minisign -S -l`", path = path.display())]
    Signature { path: PathBuf },
}

impl Coded for SignError {
    fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "sign.file",
            Self::Key { source, .. } => source.code(),
            Self::Order(error) => error.code(),
            Self::Envelope(error) => error.code(),
            Self::Seal(error) => error.code(),
            Self::Signature { .. } => "sign.not_a_signature",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::File { .. } | Self::Signature { .. } => None,
            Self::Key { source, .. } => source.hint(),
            Self::Seal(error) => error.hint(),
            Self::Order(error) => error.hint(),
            Self::Envelope(error) => error.hint(),
        }
    }
}

pub fn run(args: OrderArgs) -> ExitCode {
    match args.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

impl Command {
    fn run(self) -> Result<(), SignError> {
        match self {
            Self::Keygen { file } => keygen(&file),
            Self::Sign { order, key, output } => {
                let bytes = sound(&order)?;
                let keys = key.iter().map(|path| secret_key(path)).collect::<Result<Vec<_>, _>>()?;
                let envelope = Envelope::sign(PAYLOAD_TYPE, &bytes, &keys.iter().collect::<Vec<_>>());
                put(output.as_deref(), &envelope.to_bytes())
            }
            Self::Seal { order, hello, places, output } => {
                let sealed = seal::seal(&read(&order)?, &read(&hello)?, &places)?;
                put(output.as_deref(), &sealed)
            }
            Self::Message { order } => put(None, &pae(PAYLOAD_TYPE, &sound(&order)?)),
            Self::Attach { order, signature, key, output } => {
                let (bytes, key) = (sound(&order)?, public_key(&key)?);
                let mut envelope = Envelope::unsigned(PAYLOAD_TYPE, &bytes);
                envelope.attach(&key, &foreign_signature(&signature)?);
                envelope.open(PAYLOAD_TYPE, &[key])?;
                put(output.as_deref(), &envelope.to_bytes())
            }
            Self::Verify { order, key, payload } => {
                let keys = key.iter().map(|path| public_key(path)).collect::<Result<Vec<_>, _>>()?;
                let opened = Envelope::parse(&read(&order)?)?.open(PAYLOAD_TYPE, &keys)?;
                let parsed = parse_bytes(&opened.payload)?;
                if payload {
                    return put(None, &opened.payload);
                }
                println!("order {}", parsed.id);
                opened.signers.iter().for_each(|key| println!("signed by {key} ({})", key.id()));
                let valid = parsed.valid.unwrap_or_default();
                let words = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
                println!("not before {}, not after {}", words(valid.not_before), words(valid.not_after));
                println!("for {}", if valid.machines.is_empty() { "-".to_owned() } else { valid.machines.join(", ") });
                Ok(())
            }
        }
    }
}

fn keygen(file: &Path) -> Result<(), SignError> {
    let failed = |source| SignError::Key { path: file.to_owned(), source };
    let (key, pkcs8) = SecretKey::generate().map_err(failed)?;
    let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let failed = |source| SignError::File { path: file.to_owned(), source };
    open.and_then(|mut file| file.write_all(SecretKey::pem_of(&pkcs8).as_bytes())).map_err(failed)?;
    put(None, key.public().pem().as_bytes())
}

/// The exact bytes of an order that an agent would accept. Warns if it is not bound to a machine and a time.
fn sound(path: &Path) -> Result<Vec<u8>, SignError> {
    let bytes = read(path)?;
    let order = parse_bytes(&bytes)?;
    plan::check(&order)?;
    let bound = order.valid.as_ref().is_some_and(|valid| valid.names_a_machine() && valid.not_after.is_some());
    if !bound {
        eprintln!(
            "burin: this order says not in `valid` for which machine it is and when it ends: no policy accepts it"
        );
    }
    Ok(bytes)
}

fn secret_key(path: &Path) -> Result<SecretKey, SignError> {
    let text = zeroize::Zeroizing::new(String::from_utf8_lossy(&read(path)?).into_owned());
    SecretKey::from_pem(&text).map_err(|source| SignError::Key { path: path.to_owned(), source })
}

pub(super) fn public_key(path: &Path) -> Result<PublicKey, SignError> {
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    text.parse().map_err(|source| SignError::Key { path: path.to_owned(), source })
}

/// minisign's legacy signatures cover the raw bytes: "Ed", 8 bytes of key id, and the signature.
fn foreign_signature(path: &Path) -> Result<Vec<u8>, SignError> {
    let bytes = read(path)?;
    if bytes.len() == 64 {
        return Ok(bytes);
    }
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().nth(1).and_then(|line| STANDARD.decode(line.trim()).ok());
    let signature = line.as_ref().and_then(|line| line.strip_prefix(b"Ed")?.get(8..)).filter(|found| found.len() == 64);
    signature.map(<[u8]>::to_vec).ok_or_else(|| SignError::Signature { path: path.to_owned() })
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, SignError> {
    std::fs::read(path).map_err(|source| SignError::File { path: path.to_owned(), source })
}

fn put(place: Option<&Path>, bytes: &[u8]) -> Result<(), SignError> {
    let done = match place {
        Some(path) => std::fs::write(path, bytes),
        None => io::stdout().write_all(bytes),
    };
    done.map_err(|source| SignError::File { path: place.unwrap_or(Path::new("-")).to_owned(), source })
}
