//! Networks as racks have them, in namespaces of this host.

mod addresses;
mod choice;
mod lab;
mod servers;
mod switch;
mod version6;
