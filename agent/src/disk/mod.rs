//! Block devices: exclusive direct-I/O targets, aligned buffers, zeroing, read-back, wiping.
