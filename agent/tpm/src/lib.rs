//! TPM 2.0 (TCG Library Specification, parts 2 and 3), as far as burin uses it: keys that are made again at every boot,
//! quotes of the platform registers, secrets that open only on one machine and with the right software, and the
//! controller's part in attesting a machine. The only I/O is in [`Device`], the kernel's TPM; others may implement
//! [`Transport`].
//!
//! ```no_run
//! use burin_tpm::{Device, ENDORSEMENT, PcrSelection, Tpm, attestation_key};
//! use std::path::Path;
//!
//! let mut tpm = Tpm::new(Device::below(Path::new("/")).unwrap());
//! let key = tpm.create_primary(ENDORSEMENT, &attestation_key()).unwrap();
//! let quote = tpm.quote(key.handle, b"a nonce", &PcrSelection::of(&[0, 4, 7])).unwrap();
//! ```

mod attest;
mod bytes;
mod credential;
mod device;
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
pub use device::{DEVICE, Device, LONGEST_ANSWER};
pub use endorsement::{EK_ECC, EK_RSA, EndorsementError, endorsement_key, verify_certificate};
pub use error::TpmError;
pub use event_log::{Event, EventLog, LogError};
pub use pcr::{PcrSelection, PcrValues, policy_pcr};
pub use public::{
    Public, Scheme, Shape, attestation_key, sealed_data, sealing_key, storage_key, systemd_data, systemd_key,
};
pub use sealed::{SealError, Unsealed, open_sealed, seal};
pub use session::Auth;
pub use tpm::{Created, Loaded, Tpm, Transport};
pub use verify::{AttestError, Evidence, Expected, SEALING, binding};

/// Hierarchies (part 2, section 7.4).
pub const OWNER: u32 = 0x4000_0001;
pub const NULL: u32 = 0x4000_0007;
pub const ENDORSEMENT: u32 = 0x4000_000b;
