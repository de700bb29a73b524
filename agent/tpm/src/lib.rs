//! TPM 2.0 (TCG Library Specification, parts 2 and 3), as much of it as burin speaks: keys that are made again at every
//! boot, quotes of the platform registers, secrets that open only on the machine and the software that they are for; and
//! what a controller has to compute to believe a machine. No I/O: whoever has a TPM gives a [`Transport`].
//!
//! ```no_run
//! use burin_tpm::{ENDORSEMENT, PcrSelection, Tpm, attestation_key};
//! use std::fs::File;
//! use std::io::{self, Read, Write};
//!
//! let mut device = File::options().read(true).write(true).open("/dev/tpmrm0").unwrap();
//! let mut tpm = Tpm::new(|command: &[u8]| -> io::Result<Vec<u8>> {
//!     device.write_all(command)?;
//!     let mut answer = vec![0; burin_tpm::LONGEST_ANSWER];
//!     let length = device.read(&mut answer)?;
//!     answer.truncate(length);
//!     Ok(answer)
//! });
//! let key = tpm.create_primary(ENDORSEMENT, &attestation_key()).unwrap();
//! let quote = tpm.quote(key.handle, b"a nonce", &PcrSelection::of(&[0, 4, 7])).unwrap();
//! ```

mod attest;
mod bytes;
mod credential;
mod endorsement;
mod error;
mod event_log;
mod pcr;
mod public;
mod sealed;
mod session;
mod tpm;
mod verify;

pub use attest::{Quote, QuoteError, Signed};
pub use credential::{Challenge, make_credential};
pub use endorsement::{EK_ECC, EK_RSA, EndorsementError, endorsement_key, verify_certificate};
pub use error::TpmError;
pub use event_log::{Event, EventLog, LogError};
pub use pcr::{PcrSelection, PcrValues, policy_pcr};
pub use public::{Public, Scheme, Shape, attestation_key, sealed_data, sealing_key, storage_key};
pub use sealed::{SealError, Unsealed, open_sealed, seal};
pub use session::Auth;
pub use tpm::{Created, Loaded, Tpm, Transport};
pub use verify::{AttestError, Evidence, Expected, SEALING, binding};

/// Hierarchies (part 2, section 7.4).
pub const OWNER: u32 = 0x4000_0001;
pub const NULL: u32 = 0x4000_0007;
pub const ENDORSEMENT: u32 = 0x4000_000b;

/// Bytes; commands and answers of every TPM fit (TPM_PT_MAX_RESPONSE_SIZE).
pub const LONGEST_ANSWER: usize = 4096;
