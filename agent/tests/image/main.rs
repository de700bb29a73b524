//! Images from a source onto files and loop devices: with the library, the program, and orders.

mod cancel;
mod cli;
mod corpus;
mod delta;
mod delta_signed;
mod device;
mod faults;
mod head;
mod index;
mod kept;
mod manifest;
mod memory;
mod oci;
mod order;
mod qcow2;
mod roundtrip;
mod servers;
mod several;
mod signature;
mod stopped;
mod support;
mod transfer;
