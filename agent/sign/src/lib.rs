//! Signatures and encryption: Ed25519 keys as `openssl` and `minisign` make them, envelopes (DSSE) with signatures over
//! the exact bytes of a document, and secrets for a single recipient (age). No I/O.
//!
//! ```
//! use burin_sign::{Envelope, SecretKey};
//!
//! let (key, _pkcs8) = SecretKey::generate().unwrap();
//! let envelope = Envelope::sign("text/plain", b"hello", &[&key]);
//! let opened = envelope.open("text/plain", &[key.public()]).unwrap();
//! assert_eq!(opened.payload, b"hello");
//! ```

mod dsse;
mod key;
mod sealed;
mod statement;

pub use dsse::{Envelope, EnvelopeError, OpenedEnvelope, Signature, looks_like_envelope, pae};
pub use key::{KeyError, PublicKey, SecretKey};
pub use sealed::{AgeError, seal};
pub use statement::{EvidenceError, PREDICATE_TYPE, Predicate, STATEMENT_TYPE, Software, Statement, Subject, verify};
