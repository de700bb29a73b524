//! IPv6: router advertisements (RFC 4861, 4862, 8106) and DHCPv6 (RFC 8415) as values and state machines without I/O,
//! and the thread that runs them on an interface.

mod advert;
mod client;
mod duid;
mod machine;
mod message;
mod routers;
mod socket;

#[cfg(test)]
mod tests;

pub use client::Client6;
pub use duid::Duid;
