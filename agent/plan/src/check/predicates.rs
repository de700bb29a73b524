//! Checks that fields exist, and that values can be compared with them.

use super::super::fields::{self, FieldKind, Scope};
use super::super::quantity;
use super::{Mistakes, token};
use burin_protocol::order::{Clause, Condition, Key, Operand, Operands, Predicate, Scalar, Test};

pub fn when(predicate: &Predicate, at: &str, mistakes: &mut Mistakes) {
    check(predicate, Scope::Machine, at, mistakes);
}

pub fn check(predicate: &Predicate, scope: Scope, at: &str, mistakes: &mut Mistakes) {
    for clause in &predicate.clauses {
        match clause {
            Clause::All(list) => each(list, scope, &format!("{at}/all"), mistakes),
            Clause::Any(list) => {
                mistakes.ensure(!list.is_empty(), &format!("{at}/any"), "`any` of nothing is never true");
                each(list, scope, &format!("{at}/any"), mistakes);
            }
            Clause::Not(inner) => check(inner, scope, &format!("{at}/not"), mistakes),
            Clause::Disks(count) | Clause::Nics(count) => {
                let (word, inner) =
                    if matches!(clause, Clause::Disks(_)) { ("disks", Scope::Disk) } else { ("nics", Scope::Nic) };
                let at = format!("{at}/{word}");
                if scope != Scope::Machine {
                    mistakes.add(at, format!("`{word}` can only be counted in a layout's `when`"));
                    continue;
                }
                check(&count.matches, inner, &format!("{at}/match"), mistakes);
                tests(&count.tests, &FieldKind::Number, &at, mistakes);
            }
            Clause::Field { field, condition } => {
                self::field(field, condition, scope, &format!("{at}/{}", token(field)), mistakes);
            }
        }
    }
}

fn each(list: &[Predicate], scope: Scope, at: &str, mistakes: &mut Mistakes) {
    for (i, part) in list.iter().enumerate() {
        check(part, scope, &format!("{at}/{i}"), mistakes);
    }
}

fn field(name: &str, condition: &Condition, scope: Scope, at: &str, mistakes: &mut Mistakes) {
    if let Some(attribute) = name.strip_prefix("attribute.") {
        mistakes.ensure(!attribute.is_empty(), at, "an attribute has a name");
        return;
    }
    if let Some(kind) = known(name, scope, at, mistakes) {
        tests(&condition.tests, kind, at, mistakes);
    }
}

/// The kind of a field that rules may use.
fn known<'a>(name: &str, scope: Scope, at: &str, mistakes: &mut Mistakes) -> Option<&'a FieldKind> {
    let fields = scope.fields();
    if scope != Scope::Machine && fields::is_unstable(name) && fields.contains_key(name) {
        let instead = if scope == Scope::Nic { "mac, pci_address or by_path" } else { "serial, wwn or by_path" };
        mistakes.add(at, format!("`{name}` changes between boots, so no rule may rest on it; use {instead}"));
        return None;
    }
    let kind = fields.get(name);
    if kind.is_none() {
        let near = burin_protocol::order::nearest(name, fields.keys().map(String::as_str));
        let near = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
        let whole = if scope == Scope::Machine { "machine" } else { scope.word() };
        mistakes.add(at, format!("the inventory of a {whole} has no field `{name}`{near}"));
    }
    kind
}

/// A field to group or sort by: one with a single value.
pub fn plain_field(name: &str, scope: Scope, at: &str, mistakes: &mut Mistakes) {
    if let Some(FieldKind::Group) = known(name, scope, at, mistakes) {
        mistakes.add(at, format!("`{name}` has fields of its own; name one of them"));
    }
}

pub fn keys(keys: &[Key], scope: Scope, at: &str, mistakes: &mut Mistakes) {
    for (i, key) in keys.iter().enumerate() {
        let (word, name) = match key {
            Key::Asc(name) => ("asc", name),
            Key::Desc(name) => ("desc", name),
        };
        plain_field(name, scope, &format!("{at}/{i}/{word}"), mistakes);
    }
}

fn tests(tests: &[Test], kind: &FieldKind, at: &str, mistakes: &mut Mistakes) {
    for test in tests {
        match test {
            Test::Exists(_) => {}
            _ if *kind == FieldKind::Group => {
                mistakes.add(at, "this has fields of its own; only `exists` can be asked of it")
            }
            Test::Eq(operand) => equal(operand, kind, at, mistakes),
            Test::Ne(operand) => equal(operand, kind, &format!("{at}/ne"), mistakes),
            Test::In(Operands::List(list)) => list.iter().for_each(|operand| equal(operand, kind, at, mistakes)),
            Test::In(Operands::Attribute(_)) => {}
            Test::Lt(operand) => number(operand, kind, &format!("{at}/lt"), mistakes),
            Test::Le(operand) => number(operand, kind, &format!("{at}/le"), mistakes),
            Test::Gt(operand) => number(operand, kind, &format!("{at}/gt"), mistakes),
            Test::Ge(operand) => number(operand, kind, &format!("{at}/ge"), mistakes),
            Test::Between(low, high) => {
                number(low, kind, &format!("{at}/between/0"), mistakes);
                number(high, kind, &format!("{at}/between/1"), mistakes);
            }
            Test::Within { of, percent } => {
                number(of, kind, &format!("{at}/within/of"), mistakes);
                mistakes.ensure((0.0..=100.0).contains(percent), &format!("{at}/within/percent"), "expected 0 to 100");
            }
            Test::Nominal(operand) => number(operand, kind, &format!("{at}/nominal"), mistakes),
            Test::Glob(operand) => {
                let at = format!("{at}/glob");
                mistakes.ensure(
                    matches!(kind, FieldKind::Text | FieldKind::Word(_)),
                    &at,
                    "only text can be compared with a glob",
                );
                let text = matches!(operand, Operand::Attribute(_) | Operand::Literal(Scalar::Text(_)));
                mistakes.ensure(text, &at, "expected text");
            }
        }
    }
}

fn equal(operand: &Operand, kind: &FieldKind, at: &str, mistakes: &mut Mistakes) {
    let Operand::Literal(literal) = operand else { return };
    match (kind, literal) {
        (FieldKind::Number, _) => number(operand, kind, at, mistakes),
        (FieldKind::Bool, Scalar::Bool(_)) | (FieldKind::Text, Scalar::Text(_)) => {}
        (FieldKind::Word(words), Scalar::Text(text)) => {
            if !words.iter().any(|word| word.eq_ignore_ascii_case(text.trim())) {
                mistakes.add(at, format!("`{text}` is none of {}", words.join(", ")));
            }
        }
        (FieldKind::Bool, _) => mistakes.add(at, "expected true or false"),
        (FieldKind::Text | FieldKind::Word(_), _) => mistakes.add(at, "expected text"),
        (FieldKind::Group, _) => {}
    }
}

fn number(operand: &Operand, kind: &FieldKind, at: &str, mistakes: &mut Mistakes) {
    if *kind != FieldKind::Number {
        mistakes.add(at, "only numbers can be ordered, and this field is not one");
        return;
    }
    match operand {
        Operand::Literal(Scalar::Number(_)) | Operand::Attribute(_) => {}
        Operand::Literal(Scalar::Text(text)) => {
            if let Err(error) = quantity::parse(text) {
                mistakes.add(at, error.to_string());
            }
        }
        Operand::Literal(Scalar::Bool(_)) => mistakes.add(at, "expected a number, or a size such as \"480GB\""),
    }
}
