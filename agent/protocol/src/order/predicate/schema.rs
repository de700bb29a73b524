//! JSON Schemas of predicates, written by hand, because the parser accepts more than any derived type.

use super::{Condition, Count, Operand, Operands, Predicate};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

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
