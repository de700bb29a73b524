//! The commands of this boot, in order of arrival: one runs at a time, and all stay in the list.

use super::error::CommandError;
use crate::exit::Exit;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Work for the agent's loop.
#[derive(Clone, PartialEq)]
pub enum CommandWork {
    /// A step of cleaning or deployment, with its node.
    Step { phase: StepPhase, step: Value, node: Value },
    /// Shut down; nothing is received or sent after it.
    Exit(Exit),
}

impl fmt::Debug for CommandWork {
    /// Steps carry config drives.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step { phase, step, .. } => write!(f, "Step({}, {})", phase.word(), step["step"]),
            Self::Exit(exit) => write!(f, "Exit({exit:?})"),
        }
    }
}

/// The phase of a node's life to which steps belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepPhase {
    Clean,
    Deploy,
    Service,
}

impl StepPhase {
    pub const ALL: [Self; 3] = [Self::Clean, Self::Deploy, Self::Service];

    pub fn word(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Deploy => "deploy",
            Self::Service => "service",
        }
    }

    /// The result of a finished step. The step is included, so that a conductor can match it.
    pub fn result(self, step: &Value, result: Value) -> Value {
        let mut echo = step.clone();
        // Both are large and secret; a conductor compares only interface and step.
        if let Some(args) = echo.get_mut("args").and_then(Value::as_object_mut) {
            for key in ["configdrive", "image_info"] {
                if args.contains_key(key) {
                    args.insert(key.to_owned(), json!("******"));
                }
            }
        }
        json!({ format!("{}_result", self.word()): result, format!("{}_step", self.word()): echo })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandStatus {
    Running,
    Succeeded,
    Failed,
    VersionMismatch,
}

#[derive(Debug, Clone)]
struct Entry {
    id: String,
    name: String,
    status: CommandStatus,
    fault: Option<CommandError>,
    result: Option<Value>,
}

impl Entry {
    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "command_name": self.name,
            "command_status": match self.status {
                CommandStatus::Running => "RUNNING",
                CommandStatus::Succeeded => "SUCCEEDED",
                CommandStatus::Failed => "FAILED",
                CommandStatus::VersionMismatch => "CLEAN_VERSION_MISMATCH",
            },
            "command_error": self.fault.as_ref().map(CommandError::json),
            "command_result": self.result,
        })
    }
}

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Commands(Arc<(Mutex<Inner>, Condvar)>);

#[derive(Debug, Default)]
struct Inner {
    entries: Vec<Entry>,
    todo: VecDeque<(String, CommandWork)>,
}

impl Commands {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id of a new command, or the name of the one that is running.
    pub fn begin(&self, name: &str) -> Result<String, String> {
        let mut inner = self.lock();
        if let Some(running) = inner.entries.iter().find(|entry| entry.status == CommandStatus::Running) {
            return Err(running.name.clone());
        }
        let id = uuid::Uuid::new_v4().to_string();
        let (status, name) = (CommandStatus::Running, name.to_owned());
        inner.entries.push(Entry { id: id.clone(), name, status, fault: None, result: None });
        Ok(id)
    }

    pub fn give(&self, id: &str, task: CommandWork) {
        self.lock().todo.push_back((id.to_owned(), task));
    }

    pub fn take(&self) -> Option<(String, CommandWork)> {
        self.lock().todo.pop_front()
    }

    pub fn end(&self, id: &str, outcome: Result<Value, CommandError>) {
        match outcome {
            Ok(result) => self.set(id, CommandStatus::Succeeded, None, Some(result).filter(|result| !result.is_null())),
            Err(fault) => self.set(id, CommandStatus::Failed, Some(fault), None),
        }
    }

    /// The steps were listed by another version of this agent.
    pub fn mismatch(&self, id: &str, fault: CommandError) {
        self.set(id, CommandStatus::VersionMismatch, Some(fault), None);
    }

    fn set(&self, id: &str, status: CommandStatus, fault: Option<CommandError>, result: Option<Value>) {
        let mut inner = self.lock();
        if let Some(entry) = inner.entries.iter_mut().find(|entry| entry.id == id) {
            (entry.status, entry.fault, entry.result) = (status, fault, result);
        }
        self.0.1.notify_all();
    }

    pub fn get(&self, id: &str) -> Option<Value> {
        self.lock().entries.iter().find(|entry| entry.id == id).map(Entry::json)
    }

    /// Like [`Commands::get`], once the command is finished, at most after `patience`.
    pub fn wait(&self, id: &str, patience: Duration) -> Option<Value> {
        let runs = |inner: &mut Inner| inner.entries.iter().any(|e| e.id == id && e.status == CommandStatus::Running);
        let waited = self.0.1.wait_timeout_while(self.lock(), patience, runs);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.get(id)
    }

    pub fn list(&self) -> Value {
        json!({ "commands": self.lock().entries.iter().map(Entry::json).collect::<Vec<_>>() })
    }
}
