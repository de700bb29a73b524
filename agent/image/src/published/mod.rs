//! Files published beside an image: digests, signatures, manifests.

pub mod manifest;
pub mod minisign;
pub mod sidecar;
pub mod sum_lines;
pub mod sums;
