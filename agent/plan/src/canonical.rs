//! Canonical JSON, and digests of it: object keys sorted, no whitespace, numbers as serde_json writes them.

use burin_protocol::Plan;
use burin_protocol::hex;
use burin_protocol::order::Order;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The bytes that are digested.
pub fn bytes(value: &Value) -> Vec<u8> {
    let mut out = String::new();
    write(value, &mut out);
    out.into_bytes()
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            out.push('{');
            for (i, (key, value)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                let _ = write!(out, "{}:", Value::String(key.clone()));
                write(value, out);
            }
            out.push('}');
        }
        Value::Array(list) => {
            out.push('[');
            for (i, value) in list.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(value, out);
            }
            out.push(']');
        }
        scalar => {
            let _ = write!(out, "{scalar}");
        }
    }
}

/// `sha256:HEX`.
pub fn digest(value: &Value) -> String {
    format!("sha256:{}", hex(Sha256::digest(bytes(value))))
}

/// The bytes that an order's digest covers.
pub fn order_bytes(order: &Order) -> Vec<u8> {
    bytes(&serde_json::to_value(order).unwrap_or(Value::Null))
}

pub fn order_digest(order: &Order) -> String {
    digest(&serde_json::to_value(order).unwrap_or(Value::Null))
}

/// The digest of what would be done. It does not cover kernel names, nor readings such as temperatures, which are only
/// in the trace.
pub fn plan_digest(plan: &Plan) -> String {
    let mut value = serde_json::to_value(plan).unwrap_or(Value::Null);
    if let Some(map) = value.as_object_mut() {
        map.remove("digest");
        map.remove("trace");
        map.remove("warnings");
    }
    for disk in value.get_mut("disks").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(disk) = disk.as_object_mut() {
            disk.remove("device");
            // One that has failed by now leaves the others.
            disk.remove("paths");
        }
    }
    digest(&value)
}
