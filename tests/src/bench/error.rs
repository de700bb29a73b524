//! Errors around a measurement. A contestant's failure is not an error: its row says so.

use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("cannot {action} {path}")]
    File { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("cannot start {program}")]
    Start { program: String, source: std::io::Error },
    #[error("{program} failed: {output}")]
    Tool { program: String, output: String },
    #[error("the virtual machine: {why}")]
    Machine { why: String },
    #[error("{what} tells what this program does not understand: {text}")]
    Odd { what: String, text: String },
}

impl BenchError {
    /// For `map_err`: the failed action, and the path.
    pub fn file(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::File { action, path, source }
    }

    pub fn odd(what: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Odd { what: what.into(), text: text.into() }
    }
}

/// Runs a tool and returns its output.
pub fn tool(program: &str, arguments: &[&str]) -> Result<String, BenchError> {
    let output = std::process::Command::new(program).args(arguments).output();
    let output = output.map_err(|source| BenchError::Start { program: program.to_owned(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(BenchError::Tool { program: format!("{program} {}", arguments.join(" ")), output: said })
}
