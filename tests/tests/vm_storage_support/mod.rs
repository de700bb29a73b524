//! A machine with a disk of every kind, and what its inventory must say.

pub mod inventory;
pub mod memory;
