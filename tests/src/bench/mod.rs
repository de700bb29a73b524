//! `scripts/bench`: compares burin with other writers on one machine.
//!
//! An image lies in many forms behind nginx on loopback; every row of the table writes it onto a loop device that was
//! filled with noise, is watched from outside, and has its result compared byte by byte with the image.

mod ceiling;
mod device;
mod error;
mod hello;
mod measure;
mod pack;
mod results;
mod rows;
mod series;
mod server;
mod table;

pub use ceiling::{Ceiling, Sizes, ceiling};
pub use device::BenchDevice;
pub use error::BenchError;
pub use hello::hello;
pub use measure::{Sample, Shell};
pub use pack::pack;
pub use results::{Measurement, Results};
pub use rows::{Prior, Row, rows};
pub use series::Series;
pub use server::Nginx;
pub use table::{BenchMachine, replace_measured, report};

/// Names of the images: what is on the machines, the same tree upgraded in place, and that tree built anew.
pub const IMAGES: [&str; 3] = ["debian", "upgraded", "rebuilt"];

type Result<T> = std::result::Result<T, BenchError>;
