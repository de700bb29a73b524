//! One call of somebody else's HTTP service: URL, token, limits, content types, and errors with names.
//!
//! What is said in such calls is the business of the [`crate::dialect`]s and of [`crate::report`]. HTTP clients are
//! built by the crate burin-http.

mod client;
mod error;

pub use client::{Call, Client, ORDER_LIMIT, Reply, check_url, segment, shown};
pub use error::ControllerError;
