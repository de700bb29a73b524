//! Everything that the agent reports: events with their spool and sinks, stages, and the state that an agent process
//! leaves for its successor.
//!
//! An [`Emitter`] exists from the start: events before the network is up are stored. A controller's front empties the
//! outlet [`CONTROLLER`], a [`Sink`] the outlet [`SINK`].

mod emitter;
mod memory;
mod outlet;
mod sender;
mod sink;
mod spool;
pub mod stage;

pub use emitter::Emitter;
pub use memory::Memory;
pub use outlet::{CONTROLLER, SINK, SpoolError};
pub use sender::{Deliver, Sender};
pub use sink::Sink;
pub use spool::SpoolLimits;
