//! Serialises predicates in a form that parses to the same predicate.

use super::{Clause, Condition, Count, Operand, Operands, Predicate, Scalar, Test};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

#[derive(Serialize)]
struct Within<'a> {
    of: &'a Operand,
    percent: f64,
}

impl Serialize for Predicate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.clauses.len()))?;
        for clause in &self.clauses {
            match clause {
                Clause::All(list) => map.serialize_entry("all", list)?,
                Clause::Any(list) => map.serialize_entry("any", list)?,
                Clause::Not(inner) => map.serialize_entry("not", inner)?,
                Clause::Disks(count) => map.serialize_entry("disks", count)?,
                Clause::Nics(count) => map.serialize_entry("nics", count)?,
                Clause::Field { field, condition } => map.serialize_entry(field, condition)?,
            }
        }
        map.end()
    }
}

fn serialize_tests<M: SerializeMap>(map: &mut M, tests: &[Test]) -> Result<(), M::Error> {
    for test in tests {
        match test {
            Test::Eq(operand) => map.serialize_entry("eq", operand)?,
            Test::Ne(operand) => map.serialize_entry("ne", operand)?,
            Test::In(operands) => map.serialize_entry("in", operands)?,
            Test::Lt(operand) => map.serialize_entry("lt", operand)?,
            Test::Le(operand) => map.serialize_entry("le", operand)?,
            Test::Gt(operand) => map.serialize_entry("gt", operand)?,
            Test::Ge(operand) => map.serialize_entry("ge", operand)?,
            Test::Between(low, high) => map.serialize_entry("between", &[low, high])?,
            Test::Within { of, percent } => map.serialize_entry("within", &Within { of, percent: *percent })?,
            Test::Nominal(operand) => map.serialize_entry("nominal", operand)?,
            Test::Glob(operand) => map.serialize_entry("glob", operand)?,
            Test::Exists(wanted) => map.serialize_entry("exists", wanted)?,
        }
    }
    Ok(())
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.tests.len()))?;
        serialize_tests(&mut map, &self.tests)?;
        map.end()
    }
}

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("match", &self.matches)?;
        serialize_tests(&mut map, &self.tests)?;
        map.end()
    }
}

impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Scalar::Bool(value) => value.serialize(serializer),
            Scalar::Number(value) => value.serialize(serializer),
            Scalar::Text(value) => value.serialize(serializer),
        }
    }
}

fn serialize_attribute<S: Serializer>(name: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry("attribute", name)?;
    map.end()
}

impl Serialize for Operand {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Operand::Literal(scalar) => scalar.serialize(serializer),
            Operand::Attribute(name) => serialize_attribute(name, serializer),
        }
    }
}

impl Serialize for Operands {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Operands::List(list) => {
                let mut seq = serializer.serialize_seq(Some(list.len()))?;
                for operand in list {
                    seq.serialize_element(operand)?;
                }
                seq.end()
            }
            Operands::Attribute(name) => serialize_attribute(name, serializer),
        }
    }
}
