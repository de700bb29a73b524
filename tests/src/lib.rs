//! Support code of burin's tests: the reference controller, virtual machines, the demo.

pub mod controller;
