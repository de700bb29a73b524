//! Calls to other HTTP services: URL, token, limits, content types, typed errors.
//!
//! The contents of calls belong to the [`crate::dialect`]s and to [`crate::report`]. HTTP clients are built by the
//! crate burin-http.

mod client;
mod error;

pub use client::{Call, Client, ORDER_LIMIT, Reply, check_url, segment, shown};
pub use error::ControllerError;
