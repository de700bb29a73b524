//! One module per subcommand: arguments, terminal output, exit code. No logic of its own.

pub mod agent;
pub mod conformance;
mod display;
pub mod image;
pub mod index;
pub mod inventory;
pub mod look;
mod one_line;
pub mod order;
pub mod plan;
pub mod receipt;
mod seal;
pub mod signals;
pub mod simulate;
pub mod transfer;
pub mod write;

use crate::error::Coded;
use crate::http;
use crate::http::{Ca, Clock, Timeouts, Trust, TrustError, TrustFiles};
use crate::protocol::Problem;
use hwinventory::model::harmless;
use std::path::Path;
use std::process::ExitCode;

/// The HTTP client for commands run by people: the system's CAs and `ca`, and a clock that is trusted.
pub fn download_agent(ca: Option<&Ca>) -> Result<ureq::Agent, TrustError> {
    let trust = Trust::downloads(ca, &TrustFiles::below(Path::new("/")), Clock::trusted())?;
    Ok(http::agent(&trust, &Timeouts::DOWNLOADS))
}

/// Prints a typed error to stderr: what, why, what to do. Exit status 1.
pub fn fail(error: &impl Coded) -> ExitCode {
    let problem = error.problem();
    say(&format!("burin: {} [{}]", problem.message, problem.code), &problem);
    ExitCode::FAILURE
}

/// On stderr: this line, why, what to do.
fn say(first: &str, problem: &Problem) {
    eprintln!("{}", harmless::line(first));
    for cause in &problem.causes {
        eprintln!("  because: {}", harmless::line(cause));
    }
    if let Some(hint) = &problem.hint {
        eprintln!("  what to do: {}", harmless::line(hint));
    }
}
