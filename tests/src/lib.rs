//! What the tests of burin stand on: machines to boot, a controller to talk to.

pub mod controller;
pub mod vm;
