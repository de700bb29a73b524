//! burin: a bare-metal imaging agent.
//!
//! Types flow one way: `config -> Inventory -> Order -> Plan -> Receipt -> Event`.
//! Each folder is a room with one duty; `ARCHITECTURE.md` is the map.

pub mod api;
pub mod apply;
pub mod boot;
pub mod cli;
pub mod config;
pub mod controller;
pub mod disk;
pub mod error;
pub mod exit;
pub mod finalize;
pub mod image;
pub mod kexec;
pub mod net;
pub mod plan;
pub mod protocol;
pub mod run;
pub mod stage;
pub mod sys;
pub mod tree;
