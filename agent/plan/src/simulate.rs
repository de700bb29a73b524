//! Simulates what an order, or a change to one, does to the stored inventories of a fleet, and finds layouts that can
//! overlap.

use super::refusal::Refusal;
use super::{fields, glob, quantity};
use burin_protocol::Plan;
use burin_protocol::error::Coded;
use burin_protocol::order::{Clause, Layout, Operand, Operands, Order, Predicate, Scalar, Test};
use burin_protocol::plan::{Fate, Step};
use hwinventory_types::Inventory;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The result of an order on one machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    Plan {
        layout: String,
        /// `SET: IDENTITY`, overwritten disks only.
        disks: Vec<String>,
        steps: Vec<Step>,
    },
    Refused {
        code: String,
        message: String,
    },
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub machine: String,
    pub now: Outcome,
    /// The result of the other order, if there is one and it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<Outcome>,
}

/// Every machine under order `a`, and what order `b` would change.
pub fn simulate(machines: &[(String, Inventory)], a: &Order, b: Option<&Order>) -> Vec<Row> {
    // Identifiers are derived from the order's id: with the same id, only real differences show.
    let b = b.map(|b| Order { id: a.id.clone(), ..b.clone() });
    let none = BTreeMap::new();
    let run = |inventory: &Inventory, order: &Order| outcome(super::plan(inventory, order, &none));
    machines
        .iter()
        .map(|(machine, inventory)| {
            let now = run(inventory, a);
            let then = b.as_ref().map(|b| run(inventory, b)).filter(|then| *then != now);
            Row { machine: machine.clone(), now, then }
        })
        .collect()
}

fn outcome(result: Result<Plan, Refusal>) -> Outcome {
    match result {
        Ok(plan) => Outcome::Plan {
            layout: plan.layout,
            disks: plan
                .disks
                .iter()
                .filter(|disk| disk.fate == Fate::Overwritten)
                .map(|disk| format!("{}: {}", disk.set, disk.identity.value))
                .collect(),
            steps: plan.steps,
        },
        Err(refusal) => Outcome::Refused { code: refusal.code().to_owned(), message: refusal.to_string() },
    }
}

/// Two layouts of the same priority that no condition keeps apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overlap {
    pub layouts: [String; 2],
    pub priority: i32,
}

/// Pairs of layouts that can both apply to one machine. Conservative: unless they clearly exclude each other, they
/// overlap.
pub fn overlaps(order: &Order) -> Vec<Overlap> {
    let mut found = Vec::new();
    for (i, a) in order.layouts.iter().enumerate() {
        for b in order.layouts.iter().skip(i + 1).filter(|b| b.priority == a.priority) {
            if !exclusive(a, b) {
                found.push(Overlap { layouts: [a.name.clone(), b.name.clone()], priority: a.priority });
            }
        }
    }
    found
}

fn exclusive(a: &Layout, b: &Layout) -> bool {
    let (Some(a), Some(b)) = (&a.when, &b.when) else { return false };
    let (a, b) = (demands(a), demands(b));
    a.iter().any(|(what, tests)| {
        let others = b.get(what).map(Vec::as_slice).unwrap_or_default();
        // A list can have one element for each demand.
        !fields::is_list(what) && tests.iter().any(|test| others.iter().any(|other| apart(test, other)))
    })
}

/// The conditions that must hold, by field. Counts are listed by what they count.
fn demands(predicate: &Predicate) -> BTreeMap<String, Vec<Test>> {
    let mut all: BTreeMap<String, Vec<Test>> = BTreeMap::new();
    for clause in &predicate.clauses {
        match clause {
            Clause::Field { field, condition } => {
                all.entry(field.clone()).or_default().extend(condition.tests.clone());
            }
            Clause::Disks(count) | Clause::Nics(count) => {
                let word = if matches!(clause, Clause::Disks(_)) { "disks" } else { "nics" };
                let what = serde_json::to_string(&count.matches).unwrap_or_default();
                all.entry(format!("{word} {what}")).or_default().extend(count.tests.clone());
            }
            Clause::All(list) => {
                for (field, tests) in list.iter().flat_map(demands) {
                    all.entry(field).or_default().extend(tests);
                }
            }
            // `not` of one equality is a simple demand; `any` demands nothing with certainty.
            Clause::Not(inner) => {
                if let [Clause::Field { field, condition }] = inner.clauses.as_slice()
                    && let [Test::Eq(operand)] = condition.tests.as_slice()
                {
                    all.entry(field.clone()).or_default().push(Test::Ne(operand.clone()));
                }
            }
            Clause::Any(_) => {}
        }
    }
    all
}

/// Whether no value passes both.
fn apart(a: &Test, b: &Test) -> bool {
    match (a, b) {
        (Test::Exists(false), Test::Exists(false)) => return false,
        (Test::Exists(false), _) | (_, Test::Exists(false)) => return true,
        _ => {}
    }
    if let (Some(a), Some(b)) = (range(a), range(b)) {
        return a.0 > b.1 || b.0 > a.1 || (a.0 == b.1 || b.0 == a.1) && !(a.2 && b.2);
    }
    match (values(a), values(b)) {
        (Some(a), Some(b)) => a.is_disjoint(&b),
        (Some(values), None) => excluded(&values, b),
        (None, Some(values)) => excluded(&values, a),
        (None, None) => false,
    }
}

fn excluded(values: &BTreeSet<String>, by: &Test) -> bool {
    match by {
        Test::Ne(Operand::Literal(literal)) => values.iter().all(|value| *value == text(literal)),
        Test::Glob(Operand::Literal(Scalar::Text(pattern))) => !values.iter().any(|value| glob::fits(pattern, value)),
        _ => false,
    }
}

/// The only values that pass.
fn values(test: &Test) -> Option<BTreeSet<String>> {
    let literal = |operand: &Operand| match operand {
        Operand::Literal(literal) => Some(text(literal)),
        Operand::Attribute(_) => None,
    };
    match test {
        Test::Eq(operand) => Some([literal(operand)?].into()),
        Test::In(Operands::List(list)) => list.iter().map(literal).collect(),
        _ => None,
    }
}

fn text(literal: &Scalar) -> String {
    literal.to_string().trim().to_ascii_lowercase()
}

/// Lowest and highest number that pass, and whether the ends themselves do.
fn range(test: &Test) -> Option<(f64, f64, bool)> {
    let number = |operand: &Operand| match operand {
        Operand::Literal(Scalar::Number(number)) => number.as_f64(),
        Operand::Literal(Scalar::Text(text)) => quantity::parse(text).ok(),
        _ => None,
    };
    Some(match test {
        Test::Eq(operand) => (number(operand)?, number(operand)?, true),
        Test::Lt(operand) => (f64::NEG_INFINITY, number(operand)?, false),
        Test::Le(operand) => (f64::NEG_INFINITY, number(operand)?, true),
        Test::Gt(operand) => (number(operand)?, f64::INFINITY, false),
        Test::Ge(operand) => (number(operand)?, f64::INFINITY, true),
        Test::Between(low, high) => (number(low)?, number(high)?, true),
        Test::Within { of, percent } => {
            let (of, part) = (number(of)?, percent / 100.0);
            (of * (1.0 - part), of * (1.0 + part), true)
        }
        Test::Nominal(of) => (number(of)? * 0.99, number(of)? * 1.01, true),
        _ => return None,
    })
}
