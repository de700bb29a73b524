//! Requests that callers pass to the engine, and refusals with their HTTP status.

use crate::protocol::{Order, Plan, Power, Problem};
use std::sync::Arc;

/// Plans an order for this machine: a pure function over the inventory, which changes nothing.
pub type Planner = Arc<dyn Fn(&Order) -> Result<Plan, Problem> + Send + Sync>;

/// Parses an order, signed or not as this ramdisk requires.
pub type Admission = Arc<dyn Fn(&[u8]) -> Result<Order, Problem> + Send + Sync>;

/// Loads the kernel of the system that a plan has installed.
pub type Kexec = Arc<dyn Fn(&Plan) -> Result<(), Problem> + Send + Sync>;

/// A request of a caller.
#[derive(Debug, Clone, PartialEq)]
pub enum ApiWork {
    /// Carry out this order, if the plan still has this digest.
    Apply {
        order: Box<Order>,
        plan_digest: String,
    },
    Power(Power),
}

/// A refusal with its HTTP status.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ApiRefusal {
    pub status: u16,
    pub problem: Problem,
}

pub(super) fn refusal(status: u16, code: &str, message: impl Into<String>) -> ApiRefusal {
    let problem = Problem { code: code.to_owned(), message: message.into(), causes: vec![], hint: None };
    ApiRefusal { status, problem }
}
