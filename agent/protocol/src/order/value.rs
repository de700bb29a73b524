//! Text that is written in the order or comes from an attribute; there is no template language.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// `"web-17"` or `{"attribute": "hostname"}`, the latter with an optional `"default"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    Literal(String),
    Attribute { name: String, default: Option<String> },
}

/// A list of texts, or an attribute that is a list of strings (or one string).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Texts {
    List(Vec<Text>),
    Attribute { name: String },
}

impl Default for Texts {
    fn default() -> Self {
        Texts::List(Vec::new())
    }
}

impl Texts {
    pub fn is_empty(&self) -> bool {
        matches!(self, Texts::List(list) if list.is_empty())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text::Literal(text.to_owned())
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Text::Literal(text) => serializer.serialize_str(text),
            Text::Attribute { name, default } => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("attribute", name)?;
                if let Some(default) = default {
                    map.serialize_entry("default", default)?;
                }
                map.end()
            }
        }
    }
}

impl Serialize for Texts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Texts::List(list) => list.serialize(serializer),
            Texts::Attribute { name } => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("attribute", name)?;
                map.end()
            }
        }
    }
}

/// Parses the rest of `{"attribute": NAME}` or, if `default` is allowed, `{"attribute": NAME, "default": TEXT}`.
pub(super) fn attribute<'de, A: MapAccess<'de>>(
    mut access: A,
    with_default: bool,
) -> Result<(String, Option<String>), A::Error> {
    const FIELDS: &[&str] = &["attribute", "default"];
    let known = if with_default { FIELDS } else { &FIELDS[..1] };
    let (mut name, mut default) = (None, None);
    while let Some(key) = access.next_key::<String>()? {
        let slot = match key.as_str() {
            "attribute" => &mut name,
            "default" if with_default => &mut default,
            other => return Err(A::Error::unknown_field(other, known)),
        };
        if slot.replace(access.next_value::<String>()?).is_some() {
            return Err(A::Error::custom(format_args!("duplicate key `{key}`")));
        }
    }
    Ok((name.ok_or_else(|| A::Error::missing_field("attribute"))?, default))
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string or {\"attribute\": NAME}")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text::Literal(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Text, A::Error> {
                let (name, default) = attribute(access, true)?;
                Ok(Text::Attribute { name, default })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list of strings or {\"attribute\": NAME}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Texts, A::Error> {
                let mut list = Vec::new();
                while let Some(text) = access.next_element()? {
                    list.push(text);
                }
                Ok(Texts::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Texts, A::Error> {
                Ok(Texts::Attribute { name: attribute(access, false)?.0 })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Text {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A string, or the value of an attribute.",
            "anyOf": [
                { "type": "string" },
                {
                    "type": "object",
                    "properties": { "attribute": { "type": "string" }, "default": { "type": "string" } },
                    "required": ["attribute"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

impl JsonSchema for Texts {
    fn schema_name() -> Cow<'static, str> {
        "Texts".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let text = generator.subschema_for::<Text>();
        json_schema!({
            "description": "A list of texts, or an attribute that is a string or a list of strings.",
            "anyOf": [
                { "type": "array", "items": text },
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
