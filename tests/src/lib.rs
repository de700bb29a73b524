//! The basis of burin's tests: machines to boot, a controller to talk to, and the main job from end to end.

pub mod bench;
pub mod controller;
pub mod demo;
pub mod deploy;
pub mod swtpm;
pub mod vm;
