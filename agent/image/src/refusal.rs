//! The reason for which a caller refuses an image after inspecting its head.

use burin_protocol::error::Coded;
use std::fmt;

/// Why an image is refused, with a code of its own.
#[derive(Debug)]
pub struct Refusal(pub Box<dyn Coded + Send + Sync>);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}
