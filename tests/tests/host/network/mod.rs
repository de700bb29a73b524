//! Networks like those of real racks, in namespaces on this host.

mod addresses;
mod choice;
mod lab;
mod servers;
mod switch;
mod version6;
