//! Parses the body of a command as a stream: it contains the config drive up to three times, and only the one in the
//! step's arguments is kept.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;
use std::io::Read;

/// Size limit of a body. A config drive of 64 MiB is 86 MB in base64, and is sent three times.
pub const LIMIT: u64 = 384 << 20;
/// Replaces omitted values.
const LEFT_OUT: &str = "******";
/// Also a key in `image_info` and in the node's `instance_info`.
const DRIVE: &str = "configdrive";

/// `{"name": "EXTENSION.COMMAND", "params": {...}}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    pub extension: String,
    pub name: String,
    pub params: Value,
}

impl Command {
    pub fn read(body: impl Read) -> Result<Self, String> {
        let mut deserializer = serde_json::Deserializer::from_reader(body);
        let value = Kept { is_args: false }.deserialize(&mut deserializer).map_err(|error| error.to_string())?;
        deserializer.end().map_err(|error| error.to_string())?;
        let name = value["name"].as_str().ok_or("there is no name")?;
        let params = value.get("params").cloned().unwrap_or(Value::Object(Map::new()));
        if !params.is_object() {
            return Err("params is not an object".to_owned());
        }
        let (extension, name) = name.split_once('.').ok_or("the name is not EXTENSION.COMMAND")?;
        Ok(Self { extension: extension.to_owned(), name: name.to_owned(), params })
    }
}

/// A value without the duplicate config drives.
struct Kept {
    is_args: bool,
}

impl<'de> DeserializeSeed<'de> for Kept {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Kept {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = access.next_element_seed(Kept { is_args: false })? {
            list.push(value);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let value = if key == DRIVE && !self.is_args {
                access.next_value::<IgnoredAny>()?;
                LEFT_OUT.into()
            } else {
                access.next_value_seed(Kept { is_args: key == "args" })?
            };
            map.insert(key, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn one_config_drive_of_three_is_kept() {
        let args = json!({"image_info": {"id": "i", "configdrive": "AAAA"}, "configdrive": "AAAA"});
        let step = json!({"interface": "deploy", "step": "write_image", "args": args});
        let node = json!({"instance_info": {"configdrive": "AAAA", "a": 1}});
        let body = json!({"name": "deploy.execute_deploy_step", "params": {"step": step, "node": node}}).to_string();
        let command = Command::read(body.as_bytes()).unwrap();
        assert_eq!((command.extension.as_str(), command.name.as_str()), ("deploy", "execute_deploy_step"));
        assert_eq!(command.params["step"]["args"]["configdrive"], "AAAA");
        assert_eq!(command.params.to_string().matches("AAAA").count(), 1);
        assert_eq!(command.params["node"]["instance_info"]["a"], 1);
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for body in ["", "[]", "{}", r#"{"name": 1}"#, r#"{"name": "sync"}"#, r#"{"name": "a.b", "params": []}"#] {
            assert!(Command::read(body.as_bytes()).is_err(), "{body}");
        }
        assert_eq!(Command::read(&br#"{"name": "standby.sync"}"#[..]).unwrap().params, json!({}));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Command::read(bytes.as_slice());
        }

        #[test]
        fn other_values_come_as_they_are(text in ".{0,20}", number in any::<i64>(), halves in -1000i32..1000) {
            let real = f64::from(halves) / 2.0;
            let params = json!({"text": text, "list": [number, real, null, true, {"args": {"deep": [text]}}]});
            let body = json!({"name": "a.b", "params": params}).to_string();
            prop_assert_eq!(Command::read(body.as_bytes()).unwrap().params, params);
        }
    }
}
