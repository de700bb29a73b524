//! The client side of the protocol: hello, order, grant, events, receipt; retry and spool. docs/protocol.md tells it.
//!
//! The order of use: an [`Emitter`] from the first moment (events before the network is up are kept), then
//! [`Session::connect`], which starts the sender thread; or, without a controller, [`fetch_order`] and [`Sink`].
//! [`http::agent`] builds every HTTP client of the agent, image downloads included; [`proxy`] is their way through proxies.

mod backoff;
mod client;
mod clock;
pub mod conformance;
mod control;
mod emitter;
mod error;
pub mod http;
mod link;
mod memory;
mod order;
mod outlet;
pub mod proxy;
mod sender;
mod session;
mod sink;
mod spool;
mod tls;
mod trust;
mod verifier;

pub use backoff::Retry;
pub use clock::Clock;
pub use control::ControlFlag;
pub use emitter::Emitter;
pub use error::ControllerError;
pub use http::Timeouts;
pub use memory::Memory;
pub use order::{fetch_order, parse_order};
pub use outlet::{CONTROLLER, SINK, SpoolError};
pub use session::{Next, Offer, Options, RefusedOrder, Session, Waiting};
pub use sink::Sink;
pub use spool::Limits;
pub use trust::{Ca, Trust, TrustError, TrustFiles, certificates};
