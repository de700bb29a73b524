//! Images from a source onto files and loop devices: by the library, by the program, and as orders have them.

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
