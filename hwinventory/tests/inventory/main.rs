//! Inventories of captured machines, of machines made of files, of virtual ones, and of devices of this host.

mod bmc;
mod builder;
mod command;
mod contents;
mod corpus;
mod devices;
mod dumps;
mod hwloc;
mod isolation;
mod lldp;
mod machines;
mod memberships;
mod modules;
mod names;
mod oracles;
mod places;
mod processors;
mod redaction;
mod schema;
mod smbios;
mod snapshot;
mod support;
mod topologies;
mod tpm;
mod udev;
