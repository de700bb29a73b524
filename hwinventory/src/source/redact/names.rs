//! Picks out of the inventory the values that identify one machine.

use serde_json::Value;
use std::collections::BTreeSet;

/// Fields of storage fabrics, enclosures, boards and modules.
const FIELDS: &[&str] = &[
    "node_name",
    "port_name",
    "fabric_name",
    "node_guid",
    "sys_image_guid",
    "gid",
    "logical_id",
    "sas_address",
    "sas_addresses",
    "unique_id",
    "chassis_serial_number",
    "board_serial_number",
    "product_serial_number",
    "product_asset_tag",
];
/// Records whose `name` is one.
const NAMED: &[&str] = &["iscsi_initiator", "nvme_host_nqn", "nvme_host_id"];

/// Adds what `value`, which stands under `field`, tells of the machine.
pub fn gather(field: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if FIELDS.contains(&field) => drop(found.insert(text.clone())),
        // Qualified names of iSCSI and NVMe are names wherever they stand.
        Value::String(text) if text.starts_with("iqn.") || text.starts_with("nqn.") => drop(found.insert(text.clone())),
        Value::Array(items) if FIELDS.contains(&field) => items.iter().for_each(|item| gather(field, item, found)),
        Value::Object(fields) if NAMED.contains(&field) => {
            let name = fields.get("name").and_then(Value::as_str);
            found.extend(name.map(str::to_owned));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_found_wherever_they_stand() {
        let mut found = BTreeSet::new();
        gather("sas_addresses", &json!(["5000c500a1b2c3d5"]), &mut found);
        gather("nvme_host_id", &json!({"name": "00112233-4455-6677-8899-aabbccddeeff", "source": "x"}), &mut found);
        gather("target_name", &json!("iqn.2003-01.org.linux-iscsi:disk7"), &mut found);
        gather("nqn", &json!("nqn.2014-08.org.nvmexpress:uuid:11112233-4455-6677-8899-aabbccddeeff"), &mut found);
        gather("model", &json!("PM893"), &mut found);
        let found: Vec<_> = found.into_iter().collect();
        let expected = [
            "00112233-4455-6677-8899-aabbccddeeff",
            "5000c500a1b2c3d5",
            "iqn.2003-01.org.linux-iscsi:disk7",
            "nqn.2014-08.org.nvmexpress:uuid:11112233-4455-6677-8899-aabbccddeeff",
        ];
        assert_eq!(found, expected);
    }
}
