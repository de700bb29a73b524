//! `burin receipt verify`: verifies a receipt signed by a machine.

use super::fail;
use super::order::{SignError, public_key, read};
use crate::error::Coded;
use crate::protocol::{Hello, Receipt};
use crate::run::ramdisk_digest;
use burin_sign::{Envelope, EvidenceError, KeyError, PublicKey, Statement, verify};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Verify receipts.
#[derive(Debug, clap::Args)]
pub struct ReceiptArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the statement that a machine has signed; exit status 1 if the signature is invalid
    #[command(after_help = "\
Examples:
  burin receipt verify receipt.json --hello hello.json
  burin receipt verify evidence.json --key machine.pub

FILE is a receipt with its `evidence`, or that envelope alone. The machine's key is in its hello; whoever keeps hellos where
only the controller writes can tell that the receipt is that machine's.")]
    Verify {
        /// A receipt, or only its evidence
        file: PathBuf,
        /// The machine's public key: PEM or base64
        #[arg(long, value_name = "FILE", required_unless_present = "hello")]
        key: Vec<PathBuf>,
        /// The machine's hello, which contains its key
        #[arg(long, value_name = "FILE")]
        hello: Option<PathBuf>,
    },
    /// Print the digest of an unpacked ramdisk, as it appears in receipts
    Ramdisk {
        /// The directory with the unpacked ramdisk
        directory: PathBuf,
    },
}

#[derive(Debug, thiserror::Error)]
enum ReceiptError {
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    #[error("{path} is neither a receipt nor its evidence", path = path.display())]
    NotAReceipt { path: PathBuf, source: serde_json::Error },
    #[error("{path} contains no key", path = path.display())]
    Hello { path: PathBuf, source: Option<KeyError> },
}

impl Coded for ReceiptError {
    fn code(&self) -> &'static str {
        match self {
            Self::Sign(error) => error.code(),
            Self::Evidence(error) => error.code(),
            Self::NotAReceipt { .. } => "receipt.file",
            Self::Hello { .. } => "receipt.hello",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Sign(error) => error.hint(),
            Self::Evidence(error) => error.hint(),
            Self::NotAReceipt { .. } | Self::Hello { .. } => None,
        }
    }
}

pub fn run(args: ReceiptArgs) -> ExitCode {
    let told = match args.command {
        Command::Verify { file, key, hello } => verified(&file, &key, hello.as_deref())
            .map(|statement| serde_json::to_string_pretty(&statement).unwrap_or_default()),
        Command::Ramdisk { directory } => {
            ramdisk_digest(&directory).map_err(|source| SignError::File { path: directory, source }.into())
        }
    };
    match told {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

fn verified(file: &Path, keys: &[PathBuf], hello: Option<&Path>) -> Result<Statement, ReceiptError> {
    let mut known = keys.iter().map(|path| public_key(path)).collect::<Result<Vec<_>, _>>()?;
    if let Some(path) = hello {
        known.push(introduced(path)?);
    }
    let bytes = read(file)?;
    if burin_sign::looks_like_envelope(&bytes) {
        let envelope = Envelope::parse(&bytes).map_err(EvidenceError::from)?;
        return Ok(Statement::open(&envelope, &known)?);
    }
    let receipt: Receipt =
        serde_json::from_slice(&bytes).map_err(|source| ReceiptError::NotAReceipt { path: file.to_owned(), source })?;
    Ok(verify(&receipt, &known)?)
}

fn introduced(path: &Path) -> Result<PublicKey, ReceiptError> {
    let none = |source| ReceiptError::Hello { path: path.to_owned(), source };
    let hello: Hello = serde_json::from_slice(&read(path)?)
        .map_err(|source| ReceiptError::NotAReceipt { path: path.to_owned(), source })?;
    hello.key.ok_or_else(|| none(None))?.parse().map_err(|source| none(Some(source)))
}
