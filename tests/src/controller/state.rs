//! The controller's state: records applied in order. Only these records are on disk.

use super::identity;
use super::orders::StoredOrder;
use burin::protocol::{
    Control, Decision, Event, GrantReply, GrantRequest, Hello, Identity, Kind, Problem, Receipt, grant,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One line of the journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JournalRecord {
    /// `token` is the SHA-256 of the token, in hex.
    Hello {
        machine: String,
        hello: Box<Hello>,
        token: String,
    },
    Events {
        machine: String,
        events: Vec<Event>,
    },
    Grant {
        machine: String,
        request: Box<GrantRequest>,
        reply: Box<GrantReply>,
    },
    Receipt {
        machine: String,
        receipt: Box<Receipt>,
    },
    Control {
        machine: String,
        control: Control,
    },
}

/// The controller's knowledge of one machine.
#[derive(Debug, Clone, Default)]
pub struct MachineView {
    pub hello: Option<Hello>,
    pub boots: BTreeMap<String, BootEvents>,
    pub grants: Vec<(GrantRequest, GrantReply)>,
    pub receipts: Vec<Receipt>,
    pub control: Control,
    pub(super) token: String,
}

/// The events of one boot, by sequence.
#[derive(Debug, Clone, Default)]
pub struct BootEvents {
    pub events: BTreeMap<u64, Event>,
    /// The highest sequence without a gap below it.
    pub acked: u64,
    /// Ranges that the agent reported as dropped: last sequence to first.
    dropped: BTreeMap<u64, u64>,
}

impl BootEvents {
    /// True if the event is new.
    fn take(&mut self, event: Event) -> bool {
        let sequence = event.id.sequence;
        if self.events.contains_key(&sequence) || sequence <= self.acked {
            return false;
        }
        if let Some(Kind::Dropped(dropped)) = event.kind() {
            self.dropped.insert(sequence, dropped.from.min(sequence));
        }
        self.events.insert(sequence, event);
        self.advance();
        true
    }

    fn advance(&mut self) {
        loop {
            let next = self.acked + 1;
            if self.events.contains_key(&next) {
                self.acked = next;
                continue;
            }
            match self.dropped.range(next..).find(|(_, from)| **from <= next) {
                Some((last, _)) => self.acked = *last,
                None => return,
            }
        }
    }
}

impl MachineView {
    /// All events, sorted by boot id and sequence.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.boots.values().flat_map(|boot| boot.events.values())
    }

    /// The number of the next attempt at an order.
    pub fn next_attempt(&self, order: &str) -> u32 {
        let granted =
            self.grants.iter().filter(|(request, reply)| request.order == order && reply.decision == Decision::Granted);
        let tried = granted.map(|(request, _)| request.attempt);
        let told = self.receipts.iter().filter(|receipt| receipt.order == order).map(|receipt| receipt.attempt);
        tried.chain(told).max().unwrap_or(0).saturating_add(1)
    }

    /// Whether this order needs nothing more: it succeeded, or failed as often as it may.
    pub fn finished(&self, order: &str, max_attempts: u32) -> bool {
        let mut told = self.receipts.iter().filter(|receipt| receipt.order == order);
        told.clone().any(|receipt| receipt.problem.is_none()) || told.any(|receipt| receipt.attempt >= max_attempts)
    }

    /// Whether these names belong to this machine.
    pub fn is(&self, names: &Identity) -> bool {
        self.hello.as_ref().is_some_and(|hello| identity::same(&hello.identity, names))
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub machines: BTreeMap<String, MachineView>,
}

impl State {
    /// Applies a record. Returns the events that were new.
    pub fn apply(&mut self, record: JournalRecord) -> Vec<Event> {
        match record {
            JournalRecord::Hello { machine, hello, token } => {
                let view = self.machines.entry(machine).or_default();
                view.boots.entry(hello.boot_id.clone()).or_default();
                view.hello = Some(*hello);
                view.token = token;
            }
            JournalRecord::Events { machine, events } => {
                let view = self.machines.entry(machine).or_default();
                let mut new = Vec::new();
                for event in events {
                    let boot = view.boots.entry(event.id.boot_id.clone()).or_default();
                    if boot.take(event.clone()) {
                        new.push(event);
                    }
                }
                return new;
            }
            JournalRecord::Grant { machine, request, reply } => {
                self.machines.entry(machine).or_default().grants.push((*request, *reply));
            }
            JournalRecord::Receipt { machine, receipt } => {
                let view = self.machines.entry(machine).or_default();
                let same = |old: &Receipt| {
                    (&old.order, old.attempt, &old.boot_id) == (&receipt.order, receipt.attempt, &receipt.boot_id)
                };
                view.receipts.retain(|old| !same(old));
                view.receipts.push(*receipt);
            }
            JournalRecord::Control { machine, control } => {
                self.machines.entry(machine).or_default().control = control;
            }
        }
        Vec::new()
    }

    /// Whether a machine may destroy what its plan names. The second value is true if the decision is new.
    pub fn decide(
        &self,
        machine: &str,
        request: &GrantRequest,
        order: Option<&StoredOrder>,
        max_attempts: u32,
    ) -> (GrantReply, bool) {
        let reply = |decision, problem| GrantReply { version: grant::VERSION.to_owned(), decision, problem };
        let refuse = |code: &str, message: String| {
            let problem = Problem { code: code.to_owned(), message, causes: vec![], hint: None };
            reply(Decision::Refused, Some(problem))
        };
        let Some(view) = self.machines.get(machine) else {
            return (refuse("grant.unknown_machine", format!("{machine} has not said hello")), false);
        };
        if let Some((_, old)) = view.grants.iter().find(|(old, _)| old == request) {
            return (old.clone(), false);
        }
        let Some(order) = order.map(StoredOrder::id).filter(|id| *id == request.order) else {
            return (refuse("grant.order", format!("{} is not the order of {machine}", request.order)), true);
        };
        if view.control == Control::Cancel {
            return (refuse("grant.cancelled", format!("{order} is cancelled")), true);
        }
        let next = view.next_attempt(&order);
        if request.attempt != next {
            let message = format!("attempt {} of {order} is used up or unknown, the next is {next}", request.attempt);
            return (refuse("grant.attempt", message), true);
        }
        if request.attempt > max_attempts {
            let message = format!("{order} was granted {max_attempts} attempts on {machine} and no receipt closed it");
            return (refuse("grant.exhausted", message), true);
        }
        (reply(Decision::Granted, None), true)
    }

    pub fn by_token(&self, machine: &str, token: &str) -> bool {
        self.machines.get(machine).is_some_and(|view| !view.token.is_empty() && view.token == token)
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
