//! Errors between the agent and Ironic.

use crate::error::Coded;
use serde_json::Value;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum IronicError {
    #[error("cannot reach {url}")]
    Unreachable { url: String, source: Box<ureq::Error> },
    #[error("{url} answered {status}: {message}")]
    Status { url: String, status: u16, message: String },
    #[error("{url} answered in an undocumented form: {why}")]
    Reply { url: String, why: String },
    #[error("{url} supports version {found} of Ironic's API; at least 1.68 is required")]
    TooOld { url: String, found: String },
    #[error("Ironic gave this boot's token to another process, and gives it only once")]
    TokenGone,
    #[error("this machine has no address from which {url} can be reached")]
    NoAddress { url: String, source: std::io::Error },
    #[error("the certificate of this boot cannot be made")]
    Certificate { source: rcgen::Error },
    #[error("TLS cannot be set up")]
    Tls { source: rustls::Error },
    #[error("{path} cannot be written")]
    State { path: PathBuf, source: std::io::Error },
    #[error("cannot start a thread")]
    Thread { source: std::io::Error },
}

impl Coded for IronicError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "ironic.unreachable",
            Self::Status { .. } => "ironic.status",
            Self::Reply { .. } => "ironic.reply",
            Self::TooOld { .. } => "ironic.too_old",
            Self::TokenGone => "ironic.token_gone",
            Self::NoAddress { .. } => "ironic.no_address",
            Self::Certificate { .. } | Self::Tls { .. } => "ironic.certificate",
            Self::State { .. } => "ironic.state",
            Self::Thread { .. } => "ironic.thread",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::TokenGone => "power the machine off and on through Ironic to get a new token",
            Self::TooOld { .. } => "use Ironic 17.0 (2021) or later",
            Self::Status { status: 404, .. } => {
                "check that a port has the machine's MAC and that the node waits for an agent; Ironic answers 404 otherwise"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl IronicError {
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// Extracts `faultstring` from Ironic's `{"error_message": "{\"faultstring\": ...}"}`, which is JSON in a string, or an
/// object.
pub fn fault(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let inner = match &value["error_message"] {
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone())),
        other => other.clone(),
    };
    let text = inner["faultstring"].as_str().or(inner.as_str()).unwrap_or_default();
    match text {
        "" => String::from_utf8_lossy(body).chars().take(200).collect(),
        text => text.chars().take(500).collect(),
    }
}

/// The error of a command as shown to Ironic's user, with its code in docs/errors.md.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError {
    pub code: String,
    pub message: String,
    pub details: String,
}

impl CommandError {
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code: code.to_owned(), details: message.clone(), message }
    }

    /// Message, causes and hint in one text, because `details` becomes the node's last error.
    pub fn of(problem: &crate::protocol::Problem) -> Self {
        let chain = [vec![problem.message.clone()], problem.causes.clone()].concat().join(": ");
        // Ironic's users do not write orders, so a plan's hint is replaced by one in Ironic's terms.
        let hint = match problem.code.as_str() {
            "plan.ambiguous" => Some("give the node a root_device hint that only one of them fits"),
            "plan.no_match" => Some("see the agent's log for each disk; root_device and skip_block_devices choose"),
            _ => problem.hint.as_deref(),
        };
        let advice = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        let details = format!("{chain}{advice} [{}]", problem.code);
        Self { code: problem.code.clone(), message: problem.message.clone(), details }
    }

    /// In ironic-python-agent's format. The type is never `TypeError`, at which a conductor would retry with older
    /// parameters.
    pub fn json(&self) -> Value {
        serde_json::json!({ "type": self.code, "code": 500, "message": self.message, "details": self.details })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_in_ironics_terms() {
        let hint = Some("narrow `match`".to_owned());
        let problem = |code: &str| crate::protocol::Problem {
            code: code.to_owned(),
            message: "two disks".to_owned(),
            causes: vec!["sda, sdb".to_owned()],
            hint: hint.clone(),
        };
        let details = CommandError::of(&problem("plan.ambiguous")).details;
        assert!(details.starts_with("two disks: sda, sdb (give the node a root_device hint"), "{details}");
        assert!(details.ends_with("[plan.ambiguous]"), "{details}");
        assert!(CommandError::of(&problem("disk.io")).details.contains("narrow `match`"));
    }

    #[test]
    fn faults_are_read_in_every_form() {
        let nested =
            br#"{"error_message": "{\"faultcode\": \"Client\", \"faultstring\": \"Resource could not be found.\"}"}"#;
        assert_eq!(fault(nested), "Resource could not be found.");
        assert_eq!(fault(br#"{"error_message": {"faultstring": "busy"}}"#), "busy");
        assert_eq!(fault(br#"{"error_message": "plain"}"#), "plain");
        assert_eq!(fault(b"<html>502"), "<html>502");
    }
}
