//! Delta writes: with an index of the image and a target that holds an older version, only the differences are fetched.

pub mod caibx;
pub mod compare;
pub mod estimate;
pub mod fetch;
pub mod patch;
