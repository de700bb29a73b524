//! burin: a bare-metal imaging agent.
//!
//! Types flow one way: `config -> Inventory -> Order -> Plan -> Receipt -> Event`.
//! Each folder is a room with one duty; `ARCHITECTURE.md` is the map.

pub mod alive;
pub mod api;
pub mod apply;
pub mod attest;
pub mod bell;
pub mod boot;
pub mod calls;
pub mod cli;
pub mod config;
pub mod conformance;
pub mod control;
pub mod dialect;
pub mod exit;
pub mod finalize;
pub mod isolate;
pub mod kexec;
pub mod net;
pub mod policy;
pub mod report;
pub mod run;
pub mod settle;
pub mod syslog;
pub mod tree;

pub use burin_disk as disk;
pub use burin_http as http;
pub use burin_image as image;
pub use burin_plan as plan;
pub use burin_protocol as protocol;
pub use burin_protocol::error;
pub use burin_sys as sys;
pub use report::stage;
