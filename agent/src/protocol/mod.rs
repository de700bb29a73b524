//! Wire types shared by agent and controllers. JSON Schemas in docs/ are generated from them.

pub mod image;
pub mod order;
pub mod plan;
mod problem;
pub mod receipt;

pub use image::ImageReceipt;
pub use order::Order;
pub use plan::Plan;
pub use problem::Problem;
pub use receipt::Receipt;

#[cfg(test)]
mod schema_tests;
