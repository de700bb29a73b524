//! Small files beside an image: sums and signatures.

pub mod minisign;
pub mod small;
pub mod sum_lines;
pub mod sums;
