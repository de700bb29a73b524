//! A DHCPv4 client (RFC 2131, 2132, 3396, 3397, 3442): messages, a pure state machine, and a thin socket loop.

mod client;
mod machine;
mod message;
mod packet;

#[cfg(test)]
mod tests;

pub use client::{Change, Client, News};
pub use message::{DhcpRoute, Lease};
