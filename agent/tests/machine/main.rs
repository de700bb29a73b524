//! The agent's work on a machine apart from writing images: plans on loop devices, partition tables, filesystems,
//! firmware variables, and the network.

mod apply;
mod dhcp;
mod finalize;
mod forgotten;
mod order_tool;
mod support;
mod virtual_media;
