//! The deployment as a person sees it: a timeline on the terminal.

mod story;
mod timeline;

pub use story::Story;
pub use timeline::Timeline;
