use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An error on the wire: in events, receipts, API replies and `--json` output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Stable dotted code, see docs/errors.md.
    pub code: String,
    /// What happened, with the path, device or URL.
    pub message: String,
    /// The chain of causes, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
