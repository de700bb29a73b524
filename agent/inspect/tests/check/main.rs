//! Images made with the usual tools, clean and with faults planted in them.

mod faults;
mod filesystems;
mod fuzz;
mod orders;
mod support;
mod volumes;
