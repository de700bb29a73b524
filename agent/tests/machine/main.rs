//! What the agent does to a machine beside writing images: plans carried out on loop devices, partition tables,
//! filesystems and firmware variables, and the network.

mod apply;
mod dhcp;
mod finalize;
mod forgotten;
mod order_tool;
mod support;
mod virtual_media;
