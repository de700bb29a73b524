//! An index of the image and a target that holds an older one: only what differs is fetched.

pub mod caibx;
pub mod compare;
pub mod estimate;
pub mod fetch;
pub mod patch;
