//! The agent's own HTTP server, which orchestrators call.
//!
//! [`Server::start`] runs it on a separate thread. [`Door`] connects it to the synchronous engine: the engine reports
//! its state to the door and takes [`ApiWork`] from it; the server shows that state and adds work.

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
