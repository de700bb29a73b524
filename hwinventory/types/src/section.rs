//! A section of the inventory, with the status of how it was read.

use serde::{Deserialize, Serialize};

words! {
    /// How the reading of a section or device ended.
    Status {
        /// Everything there was to read has been read.
        Ok,
        /// Read, but `problems` says what is missing.
        Partial,
        /// The machine has no such thing.
        #[default]
        Absent,
        /// It is there, but this process may not read it.
        Denied,
        /// It did not answer before the deadline.
        Timeout,
        /// It answered with an error, or with nonsense.
        Error,
    }
}

record! {
    /// One thing that could not be read.
    Problem {
        /// What was being read: a path or the name of a query.
        what: String,
        status: Status,
        message: String,
    }
}

/// One part of the inventory, with how it was come by.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Section<T: Default> {
    pub status: Status,
    /// Wall time the section took.
    pub milliseconds: u64,
    /// Where it was read from.
    pub source: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    pub data: T,
}

impl Status {
    pub fn word(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Partial => "partial",
            Status::Absent => "absent",
            Status::Denied => "denied",
            Status::Timeout => "timeout",
            Status::Error => "error",
        }
    }

    /// What an I/O error says about the thing that was read.
    pub fn of(error: &std::io::Error) -> Status {
        match error.kind() {
            std::io::ErrorKind::NotFound => Status::Absent,
            std::io::ErrorKind::PermissionDenied => Status::Denied,
            std::io::ErrorKind::TimedOut => Status::Timeout,
            _ => Status::Error,
        }
    }
}
