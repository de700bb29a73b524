//! One write from the source to the receipt.

pub mod attempt;
pub mod disk;
pub mod fan_out;
pub mod index;
pub mod info;
pub mod open;
pub mod pack;
pub mod read;
pub mod report;
pub mod run;
pub mod stages;
pub mod threads;
pub mod verbatim;
