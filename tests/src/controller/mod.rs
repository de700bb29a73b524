//! The reference controller: small, with the complete protocol, and nothing beyond it.
//!
//! It serves the netboot artefacts, an iPXE script for each machine, orders from a directory, images with ranges, and
//! keeps what machines report in an append-only journal. [`Faults`] make it misbehave on purpose.

mod attest;
mod boot;
mod calls;
mod faults;
mod files;
mod identity;
mod join;
mod journal;
mod listener;
mod orders;
mod server;
mod state;
mod watch;

pub use attest::{Demand, digest};
pub use boot::site_archive;
pub use faults::{Call, Fault, Faults, ImageFault};
pub use listener::Tls;
pub use server::{Controller, Options, StartError};
pub use state::{JournalRecord, MachineView};
pub use watch::Observation;
