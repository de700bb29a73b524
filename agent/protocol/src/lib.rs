//! Wire types shared by agent and controllers, and the form of their errors. No I/O. The JSON Schemas in docs/schemas
//! are generated from these types; docs/protocol.md describes the exchanges in which they are used.
//!
//! A machine sends [`Hello`] with its inventory, receives an [`Order`], makes a [`Plan`] from it, asks for permission
//! with a [`GrantRequest`], reports its work in [`Event`]s, and ends with a [`Receipt`].
//!
//! - Every document names its own version (`hello/v1`, `order/v1`, ...). Unknown fields are ignored, except in orders:
//!   a misspelt key in an order must not leave a disk unprotected. An unknown version is refused ([`version::check`]).
//! - Sizes in orders are text with a unit ([`order::Size`]): `480GB` is not `480GiB`, and `480G` is an error.
//! - Errors implement [`error::Coded`]: a stable code, a message, its causes and a hint. On the wire they are a
//!   [`Problem`].
//! - Secrets are [`Secret`]s, which print as `***`.
//!
//! ```
//! use burin_protocol::error::Coded;
//! use burin_protocol::order;
//!
//! let error = order::parse(r#"{ "version": "order/v1", "id": "x", "layots": [] }"#).unwrap_err();
//! assert_eq!(error.code(), "order.unknown_key");
//! assert!(error.to_string().contains("layots"));
//! ```

pub mod age;
pub mod api;
pub mod attestation;
pub mod error;
pub mod event;
pub mod grant;
pub mod hello;
mod hex;
pub mod image;
pub mod manifest;
pub mod order;
pub mod plan;
pub mod policy;
mod problem;
pub mod receipt;
mod secret;
pub mod version;

pub use api::{ApplyReply, ApplyRequest, Phase, Power, PowerRequest, Status};
pub use attestation::{AttestReply, AttestRequest, Attestation};
pub use event::{Ack, Control, Event, EventId, Kind};
pub use grant::{Decision, GrantReply, GrantRequest};
pub use hello::{Hello, HelloReply, Identity, LastState};
pub use hex::hex;
pub use image::ImageReceipt;
pub use manifest::ImageManifest;
pub use order::Order;
pub use plan::Plan;
pub use policy::Policy;
pub use problem::Problem;
pub use receipt::{Receipt, ReceiptReply, ReceiptState};
pub use secret::Secret;
pub use version::VersionError;
