//! The agent's HTTP client, built in one place: TLS trust, proxies, time limits, back-off, and a clock that may be set
//! from a server's `Date` header.
//!
//! [`agent`] builds every client of burin; image downloads and calls of the protocol differ by their [`Trust`] and
//! [`Timeouts`] only.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use burin_http::{Clock, Timeouts, Trust, TrustFiles, agent};
//! let trust = Trust::downloads(None, &TrustFiles::below("/".as_ref()), Clock::trusted())?;
//! let reply = agent(&trust, &Timeouts::DOWNLOADS).get("https://images.example/debian.raw.zst").call()?;
//! println!("{}", reply.status());
//! # Ok(())
//! # }
//! ```

pub mod backoff;
mod client;
mod clock;
mod names;
pub mod proxy;
pub mod redirect;
mod tls;
mod trust;
mod verifier;

pub use backoff::{Backoff, Retry};
pub use client::{Timeouts, USER_AGENT, agent};
pub use clock::{Clock, Validity};
pub use names::{NameError, Resolve, resolve_by};
pub use trust::{Ca, Trust, TrustError, TrustFiles, certificates};
