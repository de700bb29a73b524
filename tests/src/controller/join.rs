//! Decides who gets a token at hello: machines with the right join token, and only one session for each machine.

use super::calls::{ProblemReply, refusal};
use super::orders::keys;
use super::server::{Options, Shared};
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use burin::protocol::hello::{PAYLOAD_TYPE, SIGNATURE_HEADER};
use burin::protocol::{Hello, Identity, Receipt, Secret};
use burin_sign::{PublicKey, pae, verify};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::PoisonError;
use std::time::Instant;

/// The join token of this machine: its own, else the common one. None for names of several machines: an order is found by
/// any of them, so that who has the token of one could ask for what is another's.
pub(super) fn token_of(options: &Options, identity: &Identity) -> Option<Secret> {
    let own: Vec<String> = options.join_tokens.iter().flat_map(|directory| tokens(directory, identity)).collect();
    let token = match own.split_first() {
        None => options.join_token.clone(),
        Some((first, others)) => others.iter().all(|other| other == first).then(|| Secret::new(first.clone())),
    };
    token.filter(|token| !token.reveal().is_empty())
}

/// Those that lie under any of its names.
fn tokens(directory: &Path, identity: &Identity) -> Vec<String> {
    let names = keys(None, identity).into_iter().filter(|name| name != "default");
    let files = names.filter_map(|name| std::fs::read_to_string(directory.join(format!("{name}.token"))).ok());
    files.map(|token| token.trim().to_owned()).collect()
}

/// As digests, so that the comparison's time tells nothing.
pub(super) fn check(options: &Options, identity: &Identity, shown: Option<&str>) -> Result<(), ProblemReply> {
    if options.join_token.is_none() && options.join_tokens.is_none() {
        return Ok(());
    }
    let digest = |text: &str| Sha256::digest(text.as_bytes());
    let right = token_of(options, identity);
    let right = right.is_some_and(|right| shown.is_some_and(|shown| digest(shown) == digest(right.reveal())));
    let message = "this controller asks for a join token, of this machine or of all";
    if right { Ok(()) } else { Err(refusal(StatusCode::UNAUTHORIZED, "token.join", message)) }
}

/// A hello that introduces a key has to be signed with it.
pub(super) fn signed(hello: &Hello, headers: &HeaderMap, body: &[u8]) -> Result<(), ProblemReply> {
    let Some(key) = &hello.key else { return Ok(()) };
    let signature = headers.get(SIGNATURE_HEADER).and_then(|value| value.to_str().ok());
    let signature = signature.and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
    let right = key.parse::<PublicKey>().is_ok_and(|key| key.verifies(&pae(PAYLOAD_TYPE, body), &signature));
    let message = "this hello is not signed with the key that it introduces";
    if right { Ok(()) } else { Err(refusal(StatusCode::BAD_REQUEST, "hello.signature", message)) }
}

/// Whether this hello may have a token, where `known` is the last one of the same machine. Within a boot the machine's
/// key stays the same; another boot has to wait until the last one is silent.
pub(super) fn may_have(
    known: Option<&Hello>,
    hello: &Hello,
    in_use: impl FnOnce() -> bool,
) -> Result<(), ProblemReply> {
    let Some(known) = known else { return Ok(()) };
    let same = known.boot_id == hello.boot_id;
    let free = if same { known.key.is_none() || known.key == hello.key } else { !in_use() };
    let message = "this machine has a token already and uses it; somebody else has its names, or it was reset just now";
    if free { Ok(()) } else { Err(refusal(StatusCode::CONFLICT, "hello.in_use", message)) }
}

/// A receipt is signed with the key that the machine's hello has introduced, where it has. That of an earlier boot is not:
/// whoever keeps it can still look at it.
pub(super) fn proven(shared: &Shared, machine: &str, receipt: &Receipt) -> Result<(), ProblemReply> {
    let hello = shared.state().machines.get(machine).and_then(|view| view.hello.clone());
    let Some(hello) = hello.filter(|hello| hello.boot_id == receipt.boot_id) else { return Ok(()) };
    let Some(key) = hello.key.as_ref().and_then(|key| key.parse::<PublicKey>().ok()) else { return Ok(()) };
    let refused = |error: burin_sign::EvidenceError| {
        refusal(StatusCode::BAD_REQUEST, "receipt.evidence", format!("the receipt's evidence does not hold: {error}"))
    };
    verify(receipt, &[key]).map(drop).map_err(refused)
}

/// Who is at work.
impl Shared {
    /// This machine has just called with its token.
    pub fn hear(&self, machine: &str) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).insert(machine.to_owned(), Instant::now());
    }

    /// What this boot of the machine was for is done, and told: another one may come at once.
    pub fn release(&self, machine: &str) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).remove(machine);
    }

    /// Whether somebody with the machine's token was here a moment ago.
    pub fn in_use(&self, machine: &str) -> bool {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(machine).is_some_and(|heard| heard.elapsed() < self.options.in_use)
    }
}
