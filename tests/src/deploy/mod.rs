//! The main job from end to end: a machine with two dirty disks netboots, is imaged as its order says, and comes up
//! from that disk. The demo shows it to people, the VM tests assert on it.

mod artefacts;
mod locked;
mod order;
mod patchwork;
mod pki;
mod proof;
mod run;
mod scene;
mod small;
mod tree;
mod watch;

pub use artefacts::{Image, Netboot, built, built_for_mirrors, built_for_storage};
pub use locked::{Link, Locked, Parts, Seen, Word};
pub use order::OrderBuilder;
pub use patchwork::{Patchwork, extents};
pub use pki::Pki;
pub use proof::{Proof, fingerprint};
pub use run::{Deployment, News};
pub use scene::{Bystander, Scene, start_controller, start_controller_as, start_controller_with};
pub use small::SMALL_MARK;
pub use tree::SmallDebian;
pub use watch::Watch;

use crate::controller::StartError;
use crate::vm::VmError;
use burin::protocol::Problem;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    #[error("cannot use {path}: {why}")]
    Artefact { path: PathBuf, why: String },
    #[error(transparent)]
    Machine(#[from] VmError),
    #[error(transparent)]
    Controller(#[from] StartError),
    #[error("cannot put the order")]
    Order(#[source] std::io::Error),
    #[error("the agent failed with {code}: {message}", code = .0.code, message = .0.message)]
    Agent(Box<Problem>),
    #[error("the machine ended while {during}")]
    Ended { during: String },
    #[error("nothing happened for {seconds} s while {during}")]
    Silence { seconds: u64, during: String },
    #[error("{0}")]
    NotProven(String),
}
