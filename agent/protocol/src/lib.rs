//! Wire types shared by agent and controllers. JSON Schemas in docs/ are generated from them.
//!
//! Every document of the protocol names its own version (`hello/v1`, `order/v1`, ...). Fields that a reader does not
//! know are ignored, except in orders; a version that a reader does not know is refused, see [`version::check`].

pub mod api;
pub mod error;
pub mod event;
pub mod grant;
pub mod hello;
pub mod image;
pub mod order;
pub mod plan;
mod problem;
pub mod receipt;
mod secret;
pub mod version;

pub use api::{ApplyReply, ApplyRequest, Phase, Power, PowerRequest, Status};
pub use event::{Ack, Control, Event, EventId, Kind};
pub use grant::{Decision, GrantReply, GrantRequest};
pub use hello::{Hello, HelloReply, Identity, LastState};
pub use image::ImageReceipt;
pub use order::Order;
pub use plan::Plan;
pub use problem::Problem;
pub use receipt::{Receipt, ReceiptReply, ReceiptState};
pub use secret::Secret;
pub use version::VersionError;
