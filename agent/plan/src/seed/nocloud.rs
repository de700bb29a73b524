//! NoCloud (cloud-init documentation, "NoCloud"): the files in the root filesystem, or on a volume labelled CIDATA.

use super::{Reason, SeedFile, SeedKind, Values, lines};
use serde_json::{Map, Value, json};

pub struct Nocloud;

impl SeedKind for Nocloud {
    fn files(&self, values: Values<'_>) -> Result<Vec<SeedFile>, Reason> {
        let mut meta = Map::new();
        meta.insert("instance-id".to_owned(), json!(values.instance_id));
        if let Some(name) = &values.hostname {
            meta.insert("local-hostname".to_owned(), json!(name));
        }
        if !values.keys.is_empty() {
            meta.insert("public-keys".to_owned(), json!(values.keys));
        }
        // JSON is YAML; cloud-init ignores a seed without a user-data file.
        let user_data = values.user_data.unwrap_or_else(|| "#cloud-config\n{}\n".to_owned());
        let mut files = vec![
            SeedFile { path: "meta-data", contents: lines(&Value::Object(meta)) },
            SeedFile { path: "user-data", contents: user_data },
        ];
        files.extend(values.vendor_data.map(|contents| SeedFile { path: "vendor-data", contents }));
        files.extend(values.network.map(|config| SeedFile { path: "network-config", contents: lines(config) }));
        Ok(files)
    }
}
