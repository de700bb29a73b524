//! The client side of the protocol: hello, order, grant, events, receipt; retry and spool. docs/protocol.md tells it.
//!
//! The order of use: an [`Emitter`] from the first moment (events before the network is up are kept), then
//! [`Session::connect`], which starts the sender thread; or, without a controller, [`fetch_order`] and [`Sink`].
//! HTTP clients are built by the crate burin-http.

mod client;
pub mod conformance;
mod control;
mod emitter;
mod error;
mod link;
mod memory;
mod order;
mod outlet;
mod sender;
mod session;
mod sink;
mod spool;

pub use burin_http as http;
pub use burin_http::{Ca, Clock, Retry, Timeouts, Trust, TrustError, TrustFiles, certificates};
pub use control::ControlFlag;
pub use emitter::Emitter;
pub use error::ControllerError;
pub use memory::Memory;
pub use order::{fetch_order, parse_order};
pub use outlet::{CONTROLLER, SINK, SpoolError};
pub use session::{Next, Offer, Options, RefusedOrder, Session, Waiting};
pub use sink::Sink;
pub use spool::Limits;
