//! The agent's own HTTP server, through which an orchestrator calls in.
//!
//! [`Server::start`] runs it on a thread of its own. [`Door`] is where it meets the synchronous engine: the engine tells
//! the door what it does and takes [`ApiWork`] from it; the server shows what the door knows and puts work there.

mod certificate;
mod door;
mod error;
mod history;
mod lock;
mod log_ring;
mod metrics;
mod routes;
mod seats;
mod server;
mod work;

pub use door::Door;
pub use error::ApiError;
pub use log_ring::LogRing;
pub use seats::Guest;
pub use server::{ApiOptions, Listener, Server};
pub use work::{Admission, ApiWork, Kexec, Planner};
