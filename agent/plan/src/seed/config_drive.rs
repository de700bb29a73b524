//! OpenStack's config drive (Nova documentation, "Config drives"; format `latest`): a volume labelled config-2.

use super::{Reason, SeedFile, SeedKind, Values, lines};
use crate::network_data::network_data;
use serde_json::{Map, Value, json};

pub struct ConfigDrive;

impl SeedKind for ConfigDrive {
    fn files(&self, values: Values<'_>) -> Result<Vec<SeedFile>, Reason> {
        let mut meta = Map::new();
        meta.insert("uuid".to_owned(), json!(values.instance_id));
        if let Some(name) = &values.hostname {
            meta.insert("hostname".to_owned(), json!(name));
            meta.insert("name".to_owned(), json!(name));
        }
        let named: Map<String, Value> =
            values.keys.iter().enumerate().map(|(i, key)| (format!("key{i}"), json!(key))).collect();
        meta.insert("public_keys".to_owned(), Value::Object(named));
        let contents = lines(&Value::Object(meta));
        let mut files = vec![SeedFile { path: "openstack/latest/meta_data.json", contents }];
        if let Some(network) = values.network {
            let contents = lines(&network_data(network)?);
            files.push(SeedFile { path: "openstack/latest/network_data.json", contents });
        }
        files.extend(values.user_data.map(|contents| SeedFile { path: "openstack/latest/user_data", contents }));
        files.extend(
            values.vendor_data.map(|contents| SeedFile { path: "openstack/latest/vendor_data.json", contents }),
        );
        Ok(files)
    }
}
