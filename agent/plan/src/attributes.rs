//! Merges attributes from the order, the kernel command line and SMBIOS OEM strings, in falling precedence.

use super::refusal::Reason;
use burin_protocol::order::{Order, Text, Texts};
use burin_protocol::plan::{AttributeSource, AttributeTrace};
use hwinventory_types::Inventory;
use serde_json::Value;
use std::collections::BTreeMap;

/// The prefix of attributes on the command line and in OEM strings: `burin.attr.NAME=VALUE`.
pub const PREFIX: &str = "burin.attr.";

/// The merged attributes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attributes {
    values: BTreeMap<String, (Value, AttributeSource)>,
    overridden: BTreeMap<String, Vec<AttributeSource>>,
}

impl Attributes {
    /// Merges all sources. `command_line` holds names without `burin.attr.`.
    pub fn gather(inventory: &Inventory, order: &Order, command_line: &BTreeMap<String, String>) -> Self {
        let mut attributes = Self::default();
        for (name, value) in &order.attributes {
            attributes.add(name, value.clone(), AttributeSource::Order);
        }
        for (name, value) in command_line {
            attributes.add(name, Value::String(value.clone()), AttributeSource::CommandLine);
        }
        for text in &inventory.system.data.oem_strings {
            if let Some((name, value)) = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('=')) {
                attributes.add(name, Value::String(value.to_owned()), AttributeSource::OemString);
            }
        }
        attributes
    }

    /// Call it in falling precedence: the first source of a name wins.
    fn add(&mut self, name: &str, value: Value, source: AttributeSource) {
        if let Some((_, winner)) = self.values.get(name) {
            if *winner != source {
                self.overridden.entry(name.to_owned()).or_default().push(source);
            }
        } else if !value.is_null() {
            self.values.insert(name.to_owned(), (value, source));
        }
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).map(|(value, _)| value)
    }

    pub fn trace(&self) -> Vec<AttributeTrace> {
        let row = |(name, (_, source)): (&String, &(Value, AttributeSource))| AttributeTrace {
            name: name.clone(),
            source: *source,
            overridden: self.overridden.get(name).cloned().unwrap_or_default(),
        };
        self.values.iter().map(row).collect()
    }

    /// Resolves a text. `at` is its location in the order.
    pub fn text(&self, text: &Text, at: &str) -> Result<String, Reason> {
        match text {
            Text::Literal(text) => Ok(text.clone()),
            Text::Attribute { name, default } => match (self.get(name), default) {
                (Some(value), _) => scalar(value).ok_or_else(|| wrong_type(name, at, "a string, number or boolean")),
                (None, Some(default)) => Ok(default.clone()),
                (None, None) => Err(Reason::NoAttribute { name: name.clone(), at: at.to_owned() }),
            },
        }
    }

    /// Resolves a list; an attribute that is a single string counts as a list of one.
    pub fn texts(&self, texts: &Texts, at: &str) -> Result<Vec<String>, Reason> {
        match texts {
            Texts::List(list) => {
                list.iter().enumerate().map(|(i, text)| self.text(text, &format!("{at}/{i}"))).collect()
            }
            Texts::Attribute { name } => match self.get(name) {
                Some(Value::Array(list)) => list
                    .iter()
                    .map(|value| scalar(value).ok_or_else(|| wrong_type(name, at, "a list of strings")))
                    .collect(),
                Some(value) => match scalar(value) {
                    Some(text) => Ok(vec![text]),
                    None => Err(wrong_type(name, at, "a string or a list of strings")),
                },
                None => Err(Reason::NoAttribute { name: name.clone(), at: at.to_owned() }),
            },
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn wrong_type(name: &str, at: &str, expected: &str) -> Reason {
    Reason::BadValue { at: at.to_owned(), message: format!("the attribute `{name}` is not {expected}") }
}
