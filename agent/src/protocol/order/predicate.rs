//! Predicates as written: an object whose clauses must all hold.
//!
//! ```json
//! { "class": "nvme", "size": { "ge": "400GB" }, "any": [ { "model": { "glob": "MZ*" } }, { "serial": { "attribute": "root_serial" } } ] }
//! ```
//!
//! What they mean is in `crate::plan::eval`.

use super::value::attribute;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// All clauses must hold; an empty object always holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Predicate {
    pub clauses: Vec<Clause>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Clause {
    All(Vec<Predicate>),
    Any(Vec<Predicate>),
    Not(Box<Predicate>),
    /// How many disks pass the gates and match; only in `when`.
    Disks(Count),
    /// How many NICs match; only in `when`.
    Nics(Count),
    Field {
        field: String,
        condition: Condition,
    },
}

/// All tests must hold for the field. A plain value is `eq`, a list is `in`.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    pub tests: Vec<Test>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    Eq(Operand),
    Ne(Operand),
    In(Operands),
    Lt(Operand),
    Le(Operand),
    Gt(Operand),
    Ge(Operand),
    /// Both ends included.
    Between(Operand, Operand),
    /// Within so many percent of a value.
    Within {
        of: Operand,
        percent: f64,
    },
    /// The size on the label: within 1 percent of it.
    Nominal(Operand),
    /// `*` any run of characters, `?` any one character; the rest is literal, letter case does not matter.
    Glob(Operand),
    Exists(bool),
}

/// A number that something is counted against.
#[derive(Debug, Clone, PartialEq)]
pub struct Count {
    pub matches: Predicate,
    pub tests: Vec<Test>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    Literal(Scalar),
    Attribute(String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Operands {
    List(Vec<Operand>),
    /// An attribute that is a list.
    Attribute(String),
}

impl Predicate {
    pub fn is_empty(&self) -> bool {
        self.clauses.is_empty()
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Scalar::Bool(value) => write!(f, "{value}"),
            Scalar::Number(value) => write!(f, "{value}"),
            Scalar::Text(value) => write!(f, "{value}"),
        }
    }
}

// ---- reading ----

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

/// Reads the test named `word`.
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

#[derive(serde::Serialize, serde::Deserialize)]
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

// ---- writing ----

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
            Test::Within { of, percent } => {
                map.serialize_entry("within", &Within { of: of.clone(), percent: *percent })?
            }
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

// ---- schema ----

impl JsonSchema for Predicate {
    fn schema_name() -> Cow<'static, str> {
        "Predicate".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let this = generator.subschema_for::<Predicate>();
        let condition = generator.subschema_for::<Condition>();
        let count = generator.subschema_for::<Count>();
        json_schema!({
            "description": "Fields and what they must be; all must hold. Three-valued: a field that was not read makes it unknown, which does not match, and neither does its `not`.",
            "type": "object",
            "properties": {
                "all": { "type": "array", "items": this },
                "any": { "type": "array", "items": this },
                "not": this,
                "disks": count,
                "nics": count
            },
            "additionalProperties": condition
        })
    }
}

fn test_schemas(generator: &mut SchemaGenerator) -> serde_json::Map<String, serde_json::Value> {
    let operand = generator.subschema_for::<Operand>().to_value();
    let mut tests = serde_json::Map::new();
    for word in ["eq", "ne", "lt", "le", "gt", "ge", "nominal", "glob"] {
        tests.insert(word.to_owned(), operand.clone());
    }
    tests.insert("in".to_owned(), generator.subschema_for::<Operands>().to_value());
    tests.insert(
        "between".to_owned(),
        serde_json::json!({ "type": "array", "items": operand, "minItems": 2, "maxItems": 2 }),
    );
    tests
}

impl JsonSchema for Condition {
    fn schema_name() -> Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut tests = test_schemas(generator);
        tests.insert(
            "within".to_owned(),
            serde_json::json!({
                "type": "object",
                "properties": { "of": generator.subschema_for::<Operand>(), "percent": { "type": "number", "minimum": 0 } },
                "required": ["of", "percent"],
                "additionalProperties": false
            }),
        );
        tests.insert("exists".to_owned(), serde_json::json!({ "type": "boolean" }));
        tests.insert("attribute".to_owned(), serde_json::json!({ "type": "string" }));
        json_schema!({
            "description": "A value (eq), a list of values (in), or tests that must all hold.",
            "anyOf": [
                { "type": ["string", "number", "boolean"] },
                { "type": "array", "items": generator.subschema_for::<Operand>() },
                { "type": "object", "properties": tests, "minProperties": 1, "additionalProperties": false }
            ]
        })
    }
}

impl JsonSchema for Count {
    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut properties = test_schemas(generator);
        properties.remove("nominal");
        properties.remove("glob");
        properties.insert("match".to_owned(), generator.subschema_for::<Predicate>().to_value());
        json_schema!({
            "description": "How many match, and what that number must be.",
            "type": "object",
            "properties": properties,
            "additionalProperties": false
        })
    }
}

impl JsonSchema for Operand {
    fn schema_name() -> Cow<'static, str> {
        "Operand".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A value, or that of an attribute.",
            "anyOf": [
                { "type": ["string", "number", "boolean"] },
                {
                    "type": "object",
                    "properties": { "attribute": { "type": "string" } },
                    "required": ["attribute"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

impl JsonSchema for Operands {
    fn schema_name() -> Cow<'static, str> {
        "Operands".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "array", "items": generator.subschema_for::<Operand>() },
                {
                    "type": "object",
                    "properties": { "attribute": { "type": "string" } },
                    "required": ["attribute"],
                    "additionalProperties": false
                }
            ]
        })
    }
}
