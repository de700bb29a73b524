//! The deployment as a person sees it: a timeline on the terminal.

mod story;
mod timeline;

pub use story::{Story, show_event, show_receipt};
pub use timeline::Timeline;
