//! Evaluates predicates, in three-valued logic, over the JSON form of a disk, a NIC or the machine.
//!
//! - A value that was not read makes a test *unknown*, except `exists`, which a complete reading answers.
//! - A list passes a test if one of its elements does; `ne` holds if no element is equal.
//! - Text is compared without regard to letter case and surrounding blanks. Numbers may be written with units.

use super::attributes::Attributes;
use super::{glob, quantity};
use burin_protocol::order::{Clause, Condition, Count, Operand, Operands, Predicate, Scalar, Test};
use burin_protocol::plan::{Check, Truth};
use serde_json::{Value, json};
use std::cmp::Ordering;

/// Percentage by which a disk may differ from the size on its label.
const NOMINAL_PERCENT: f64 = 1.0;

/// What a predicate is evaluated on.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub value: &'a Value,
    /// The reading was complete: missing values are known not to exist.
    pub complete: bool,
    pub attributes: &'a Attributes,
    /// What `disks` and `nics` count; only `when` has them.
    pub counted: Option<Counted<'a>>,
}

/// Devices to be counted, or `None` if they could not be read.
#[derive(Debug, Clone, Copy)]
pub struct Counted<'a> {
    pub disks: Option<&'a [(Value, bool)]>,
    pub nics: Option<&'a [(Value, bool)]>,
}

/// The overall truth, and one check for each condition in order (`all` counts as its parts).
pub fn predicate(predicate: &Predicate, view: View<'_>) -> (Truth, Vec<Check>) {
    let mut checks = Vec::new();
    let truth = clauses(predicate, view, "", &mut checks);
    (truth, checks)
}

fn clauses(predicate: &Predicate, view: View<'_>, at: &str, checks: &mut Vec<Check>) -> Truth {
    predicate.clauses.iter().fold(Truth::True, |sum, part| sum.and(clause(part, view, at, checks)))
}

fn clause(clause: &Clause, view: View<'_>, at: &str, checks: &mut Vec<Check>) -> Truth {
    match clause {
        Clause::Field { field, condition } => {
            let (truth, observed) = self::condition(field, condition, view);
            let wanted = words(field, condition);
            checks.push(Check { at: format!("{at}/{}", escape(field)), wanted, observed, truth });
            truth
        }
        Clause::All(list) => list
            .iter()
            .enumerate()
            .fold(Truth::True, |sum, (i, part)| sum.and(clauses(part, view, &format!("{at}/all/{i}"), checks))),
        Clause::Any(list) => {
            let mut inner = Vec::new();
            let truth = list.iter().fold(Truth::False, |sum, part| sum.or(clauses(part, view, "", &mut inner)));
            checks.push(composite(format!("{at}/any"), any_words(list), &inner, truth));
            truth
        }
        Clause::Not(part) => {
            let mut inner = Vec::new();
            let truth = clauses(part, view, "", &mut inner).negated();
            checks.push(composite(format!("{at}/not"), format!("not ({})", predicate_words(part)), &inner, truth));
            truth
        }
        Clause::Disks(count) => {
            counted("disks", count, view.counted.and_then(|counted| counted.disks), view, at, checks)
        }
        Clause::Nics(count) => counted("nics", count, view.counted.and_then(|counted| counted.nics), view, at, checks),
    }
}

/// Combines the observations of several conditions into one check.
fn composite(at: String, wanted: String, inner: &[Check], truth: Truth) -> Check {
    let observed: serde_json::Map<String, Value> = inner
        .iter()
        .map(|check| {
            let field = check.wanted.split(' ').next().unwrap_or_default();
            (field.to_owned(), check.observed.clone())
        })
        .collect();
    Check { at, wanted, observed: Value::Object(observed), truth }
}

fn counted(
    word: &str,
    count: &Count,
    things: Option<&[(Value, bool)]>,
    view: View<'_>,
    at: &str,
    checks: &mut Vec<Check>,
) -> Truth {
    let wanted = format!("number of {word} with {} {}", predicate_words(&count.matches), tests_words(&count.tests));
    let at = format!("{at}/{word}");
    let Some(things) = things else {
        checks.push(Check { at, wanted, observed: Value::Null, truth: Truth::Unknown });
        return Truth::Unknown;
    };
    let (mut sure, mut perhaps) = (0u64, 0u64);
    for (value, complete) in things {
        match predicate(&count.matches, View { value, complete: *complete, counted: None, ..view }).0 {
            Truth::True => sure += 1,
            Truth::Unknown => perhaps += 1,
            Truth::False => {}
        }
    }
    // The true number is between `sure` and `sure + perhaps`: the test is decided if it has the same result for all of
    // them.
    let mut truths = (sure..=sure + perhaps).map(|number| {
        let number = json!(number);
        count.tests.iter().fold(Truth::True, |sum, test| sum.and(self::test(test, &number, false, view.attributes)))
    });
    let first = truths.next().unwrap_or(Truth::Unknown);
    let truth = if truths.all(|truth| truth == first) { first } else { Truth::Unknown };
    let observed = if perhaps == 0 { json!(sure) } else { json!({ "at_least": sure, "at_most": sure + perhaps }) };
    checks.push(Check { at, wanted, observed, truth });
    truth
}

fn escape(field: &str) -> String {
    field.replace('~', "~0").replace('/', "~1")
}

// ---- one field ----

/// The values that a field path leads to.
#[derive(Default)]
struct Found<'a> {
    values: Vec<&'a Value>,
    /// A list on the path was read and is empty.
    emptied: bool,
    /// Something on the path was not read: there may be more values.
    unread: bool,
}

/// Fields that are read separately: if one is absent, it was not read, however complete the rest is.
const READ_APART: [&str; 3] = ["signatures", "mounts", "pci"];

/// The values of a field as the trace shows them: one value, a list, or null.
pub fn observed(field: &str, view: View<'_>) -> Value {
    let found = find(field, view);
    match found.values.as_slice() {
        [] if found.unread || !found.emptied => Value::Null,
        [one] => (*one).clone(),
        several => Value::Array(several.iter().map(|value| (*value).clone()).collect()),
    }
}

fn find<'a>(field: &str, view: View<'a>) -> Found<'a> {
    if let Some(name) = field.strip_prefix("attribute.") {
        return match view.attributes.get(name) {
            Some(Value::Array(list)) => {
                Found { values: list.iter().collect(), emptied: list.is_empty(), unread: false }
            }
            Some(value) => Found { values: vec![value], ..Found::default() },
            // An attribute that is not set is known to be absent.
            None => Found::default(),
        };
    }
    let mut found = Found { values: vec![view.value], ..Found::default() };
    for name in field.split('.') {
        let mut next = Vec::new();
        for value in found.values {
            match value.get(name) {
                None | Some(Value::Null) => found.unread |= !view.complete || READ_APART.contains(&name),
                Some(Value::Array(list)) => {
                    found.emptied |= list.is_empty();
                    next.extend(list);
                }
                Some(value) => next.push(value),
            }
        }
        found.values = next;
    }
    found
}

fn condition(field: &str, condition: &Condition, view: View<'_>) -> (Truth, Value) {
    let is_attribute = field.starts_with("attribute.");
    let found = find(field, view);
    // Values that were not read may or may not pass.
    let unseen = if found.unread { Truth::Unknown } else { Truth::False };
    let any = |test: &Test| {
        let one = |value: &&Value| self::test(test, value, is_attribute, view.attributes);
        found.values.iter().map(one).fold(unseen, Truth::or)
    };
    let nothing = found.values.is_empty() && !found.emptied;
    let truth = condition.tests.iter().fold(Truth::True, |sum, test| {
        sum.and(match test {
            Test::Exists(wanted) if !found.values.is_empty() => Truth::from(*wanted),
            Test::Exists(wanted) if unseen == Truth::False => Truth::from(!wanted),
            Test::Exists(_) => Truth::Unknown,
            _ if nothing => Truth::Unknown,
            Test::Ne(operand) => any(&Test::Eq(operand.clone())).negated(),
            test => any(test),
        })
    });
    (truth, observed(field, view))
}

// ---- one test of one value ----

fn test(test: &Test, value: &Value, is_attribute: bool, attributes: &Attributes) -> Truth {
    let order = |operand: &Operand| resolve(operand, attributes).and_then(|other| compare(value, &other, is_attribute));
    let holds =
        |operand: &Operand, fits: fn(Ordering) -> bool| order(operand).map_or(Truth::Unknown, |o| fits(o).into());
    match test {
        Test::Eq(operand) => equal(value, resolve(operand, attributes), is_attribute),
        Test::Ne(operand) => equal(value, resolve(operand, attributes), is_attribute).negated(),
        Test::In(Operands::List(list)) => list
            .iter()
            .fold(Truth::False, |sum, operand| sum.or(equal(value, resolve(operand, attributes), is_attribute))),
        Test::In(Operands::Attribute(name)) => match attributes.get(name) {
            Some(Value::Array(list)) => {
                list.iter().fold(Truth::False, |sum, other| sum.or(equal(value, Some(other.clone()), is_attribute)))
            }
            Some(other) => equal(value, Some(other.clone()), is_attribute),
            None => Truth::Unknown,
        },
        Test::Lt(operand) => holds(operand, Ordering::is_lt),
        Test::Le(operand) => holds(operand, Ordering::is_le),
        Test::Gt(operand) => holds(operand, Ordering::is_gt),
        Test::Ge(operand) => holds(operand, Ordering::is_ge),
        Test::Between(low, high) => holds(low, Ordering::is_ge).and(holds(high, Ordering::is_le)),
        Test::Within { of, percent } => within(value, of, *percent, attributes),
        Test::Nominal(operand) => within(value, operand, NOMINAL_PERCENT, attributes),
        Test::Glob(operand) => match (value, resolve(operand, attributes)) {
            (Value::String(text), Some(Value::String(pattern))) => glob::fits(pattern.trim(), text.trim()).into(),
            _ => Truth::Unknown,
        },
        Test::Exists(wanted) => Truth::from(*wanted),
    }
}

fn resolve(operand: &Operand, attributes: &Attributes) -> Option<Value> {
    match operand {
        Operand::Literal(Scalar::Bool(value)) => Some(Value::Bool(*value)),
        Operand::Literal(Scalar::Number(value)) => Some(Value::Number(value.clone())),
        Operand::Literal(Scalar::Text(value)) => Some(Value::String(value.clone())),
        Operand::Attribute(name) => attributes.get(name).cloned(),
    }
}

fn equal(value: &Value, other: Option<Value>, is_attribute: bool) -> Truth {
    let Some(other) = other else { return Truth::Unknown };
    match (value, &other) {
        (Value::String(a), Value::String(b)) => same_text(a, b).into(),
        (Value::Bool(a), Value::Bool(b)) => (a == b).into(),
        // Attributes from the command line and firmware are always text.
        (Value::Bool(truth), Value::String(text)) | (Value::String(text), Value::Bool(truth)) => {
            match text.trim().to_ascii_lowercase().as_str() {
                "true" => (*truth).into(),
                "false" => (!truth).into(),
                _ => Truth::Unknown,
            }
        }
        _ => compare(value, &other, is_attribute).map_or(Truth::Unknown, |order| order.is_eq().into()),
    }
}

fn same_text(a: &str, b: &str) -> bool {
    a.trim().eq_ignore_ascii_case(b.trim())
}

/// `None` if the two cannot be ordered. Plain text has no order: "9" would come after "10".
fn compare(value: &Value, other: &Value, is_attribute: bool) -> Option<Ordering> {
    let textual = is_attribute && value.is_string() && other.is_string();
    match (value, other) {
        (Value::Number(_), Value::Number(_) | Value::String(_)) => {}
        (Value::String(_), Value::Number(_)) if is_attribute => {}
        _ if textual => {}
        _ => return None,
    }
    // Integers are compared as integers: f64 rounds above 2^53.
    if let (Some(a), Some(b)) = (value.as_u64(), other.as_u64()) {
        return Some(a.cmp(&b));
    }
    number(value)?.partial_cmp(&number(other)?)
}

/// A number, text with a unit, or text that is a plain number (attributes from the command line).
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => {
            let text = text.trim();
            let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            if plain { text.parse().ok() } else { quantity::parse(text).ok() }
        }
        _ => None,
    }
}

fn within(value: &Value, of: &Operand, percent: f64, attributes: &Attributes) -> Truth {
    let Some((value, of)) = number(value).zip(resolve(of, attributes).as_ref().and_then(number)) else {
        return Truth::Unknown;
    };
    ((value - of).abs() <= of.abs() * percent / 100.0).into()
}

// ---- in words ----

/// A readable description of a predicate.
pub fn predicate_words(predicate: &Predicate) -> String {
    if predicate.is_empty() {
        return "anything".to_owned();
    }
    let part = |clause: &Clause| match clause {
        Clause::Field { field, condition } => words(field, condition),
        Clause::All(list) => list.iter().map(predicate_words).collect::<Vec<_>>().join(" and "),
        Clause::Any(list) => any_words(list),
        Clause::Not(inner) => format!("not ({})", predicate_words(inner)),
        Clause::Disks(count) => format!("disks ({}) {}", predicate_words(&count.matches), tests_words(&count.tests)),
        Clause::Nics(count) => format!("nics ({}) {}", predicate_words(&count.matches), tests_words(&count.tests)),
    };
    predicate.clauses.iter().map(part).collect::<Vec<_>>().join(" and ")
}

fn any_words(list: &[Predicate]) -> String {
    format!("({})", list.iter().map(predicate_words).collect::<Vec<_>>().join(" or "))
}

fn words(field: &str, condition: &Condition) -> String {
    format!("{field} {}", tests_words(&condition.tests))
}

fn tests_words(tests: &[Test]) -> String {
    let operand = |operand: &Operand| match operand {
        Operand::Literal(scalar) => scalar.to_string(),
        Operand::Attribute(name) => format!("attribute {name}"),
    };
    let one = |test: &Test| match test {
        Test::Eq(o) => format!("= {}", operand(o)),
        Test::Ne(o) => format!("≠ {}", operand(o)),
        Test::In(Operands::List(list)) => format!("in [{}]", list.iter().map(operand).collect::<Vec<_>>().join(", ")),
        Test::In(Operands::Attribute(name)) => format!("in attribute {name}"),
        Test::Lt(o) => format!("< {}", operand(o)),
        Test::Le(o) => format!("≤ {}", operand(o)),
        Test::Gt(o) => format!("> {}", operand(o)),
        Test::Ge(o) => format!("≥ {}", operand(o)),
        Test::Between(low, high) => format!("from {} to {}", operand(low), operand(high)),
        Test::Within { of, percent } => format!("within {percent}% of {}", operand(of)),
        Test::Nominal(o) => format!("nominally {}", operand(o)),
        Test::Glob(o) => format!("like {}", operand(o)),
        Test::Exists(true) => "exists".to_owned(),
        Test::Exists(false) => "does not exist".to_owned(),
    };
    tests.iter().map(one).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
#[path = "eval_tests.rs"]
mod tests;
