//! Parses predicates. Everything is visited in place, so that errors know their path.

use super::{Clause, Condition, Count, Operand, Operands, Predicate, Scalar, Test};
use crate::order::value::attribute;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

const TEST_WORDS: &[&str] =
    &["eq", "ne", "in", "lt", "le", "gt", "ge", "between", "within", "nominal", "glob", "exists", "attribute"];

impl<'de> Deserialize<'de> for Predicate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Predicate;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a predicate: an object of fields and conditions, `all`, `any` or `not`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Predicate, A::Error> {
                let mut clauses = Vec::new();
                let mut seen = std::collections::BTreeSet::new();
                while let Some(key) = access.next_key::<String>()? {
                    if !seen.insert(key.clone()) {
                        return Err(A::Error::custom(format_args!(
                            "duplicate key `{key}`; use `all` for two conditions"
                        )));
                    }
                    clauses.push(match key.as_str() {
                        "all" => Clause::All(access.next_value()?),
                        "any" => Clause::Any(access.next_value()?),
                        "not" => Clause::Not(access.next_value()?),
                        "disks" => Clause::Disks(access.next_value()?),
                        "nics" => Clause::Nics(access.next_value()?),
                        _ => Clause::Field { condition: access.next_value()?, field: key },
                    });
                }
                Ok(Predicate { clauses })
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Parses the test named `word`.
fn test<'de, A: MapAccess<'de>>(word: &str, access: &mut A) -> Result<Test, A::Error> {
    Ok(match word {
        "eq" => Test::Eq(access.next_value()?),
        "ne" => Test::Ne(access.next_value()?),
        "in" => Test::In(access.next_value()?),
        "lt" => Test::Lt(access.next_value()?),
        "le" => Test::Le(access.next_value()?),
        "gt" => Test::Gt(access.next_value()?),
        "ge" => Test::Ge(access.next_value()?),
        "between" => {
            let [low, high]: [Operand; 2] = access.next_value()?;
            Test::Between(low, high)
        }
        "within" => {
            let Within { of, percent } = access.next_value()?;
            Test::Within { of, percent }
        }
        "nominal" => Test::Nominal(access.next_value()?),
        "glob" => Test::Glob(access.next_value()?),
        "exists" => Test::Exists(access.next_value()?),
        other => return Err(A::Error::unknown_field(other, TEST_WORDS)),
    })
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Within {
    of: Operand,
    percent: f64,
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Condition;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a value, a list of values or an object of tests such as {\"ge\": \"400GB\"}")
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Condition, E> {
                Ok(Condition { tests: vec![Test::Eq(Operand::Literal(Scalar::Bool(value)))] })
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Condition, E> {
                Ok(Condition { tests: vec![Test::Eq(Operand::Literal(Scalar::Number(value.into())))] })
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Condition, E> {
                Ok(Condition { tests: vec![Test::Eq(Operand::Literal(Scalar::Number(value.into())))] })
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Condition, E> {
                let number = serde_json::Number::from_f64(value).ok_or_else(|| E::custom("not a finite number"))?;
                Ok(Condition { tests: vec![Test::Eq(Operand::Literal(Scalar::Number(number)))] })
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Condition, E> {
                Ok(Condition { tests: vec![Test::Eq(Operand::Literal(Scalar::Text(value.to_owned())))] })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Condition, A::Error> {
                let mut list = Vec::new();
                while let Some(operand) = access.next_element()? {
                    list.push(operand);
                }
                Ok(Condition { tests: vec![Test::In(Operands::List(list))] })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Condition, A::Error> {
                let mut tests = Vec::new();
                while let Some(key) = access.next_key::<String>()? {
                    tests.push(match key.as_str() {
                        "attribute" => Test::Eq(Operand::Attribute(access.next_value()?)),
                        word => test(word, &mut access)?,
                    });
                }
                if tests.is_empty() {
                    return Err(A::Error::invalid_length(0, &"at least one test such as {\"eq\": ...}"));
                }
                Ok(Condition { tests })
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object with `match` and a test of the count, such as {\"match\": {...}, \"ge\": 2}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Count, A::Error> {
                let (mut matches, mut tests) = (None, Vec::new());
                while let Some(key) = access.next_key::<String>()? {
                    match key.as_str() {
                        "match" if matches.is_some() => return Err(A::Error::duplicate_field("match")),
                        "match" => matches = Some(access.next_value()?),
                        word @ ("eq" | "ne" | "in" | "lt" | "le" | "gt" | "ge" | "between") => {
                            tests.push(test(word, &mut access)?);
                        }
                        other => {
                            return Err(A::Error::unknown_field(
                                other,
                                &["match", "eq", "ne", "in", "lt", "le", "gt", "ge", "between"],
                            ));
                        }
                    }
                }
                if tests.is_empty() {
                    return Err(A::Error::custom("expected a test of the count such as \"ge\": 2"));
                }
                Ok(Count { matches: matches.unwrap_or_default(), tests })
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'de> Deserialize<'de> for Operand {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Operand;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string, number or boolean, or {\"attribute\": NAME}")
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Operand, E> {
                Ok(Operand::Literal(Scalar::Bool(value)))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Operand, E> {
                Ok(Operand::Literal(Scalar::Number(value.into())))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Operand, E> {
                Ok(Operand::Literal(Scalar::Number(value.into())))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Operand, E> {
                let number = serde_json::Number::from_f64(value).ok_or_else(|| E::custom("not a finite number"))?;
                Ok(Operand::Literal(Scalar::Number(number)))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Operand, E> {
                Ok(Operand::Literal(Scalar::Text(value.to_owned())))
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Operand, A::Error> {
                Ok(Operand::Attribute(attribute(access, false)?.0))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for Operands {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Operands;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list of values or {\"attribute\": NAME}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Operands, A::Error> {
                let mut list = Vec::new();
                while let Some(operand) = access.next_element()? {
                    list.push(operand);
                }
                Ok(Operands::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Operands, A::Error> {
                Ok(Operands::Attribute(attribute(access, false)?.0))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
