//! Images made by the tools that everybody makes them with, clean and with faults planted in them.

mod faults;
mod filesystems;
mod fuzz;
mod orders;
mod support;
mod volumes;
