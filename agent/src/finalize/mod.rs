//! What happens to a disk after its image is verified: partition table, grow, seed, boot entry.
