//! First-boot data as files: cloud-init's NoCloud and OpenStack's ConfigDrive. Values to bytes, no I/O.

use super::guid;
use serde_json::{Value, json};
use std::fmt;
use uuid::Uuid;

/// Everything that a seed says. Its `Debug` shows no contents: user-data carries secrets.
#[derive(Clone, PartialEq)]
pub struct SeedData {
    pub instance_id: Uuid,
    pub hostname: Option<String>,
    pub ssh_authorized_keys: Vec<String>,
    /// Verbatim; a cloud-config with hostname and keys is made where there is none.
    pub user_data: Option<String>,
    pub vendor_data: Option<String>,
    /// Netplan v2, with or without the outer `network` key.
    pub network_config: Option<Value>,
}

impl fmt::Debug for SeedData {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SeedData").field("instance_id", &self.instance_id).finish_non_exhaustive()
    }
}

/// A file of the seed, relative to where the datasource looks.
#[derive(Clone, PartialEq, Eq)]
pub struct SeedFile {
    pub path: &'static str,
    pub bytes: Vec<u8>,
}

impl fmt::Debug for SeedFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SeedFile({}, {} bytes)", self.path, self.bytes.len())
    }
}

/// Names that NoCloud reads.
pub const NOCLOUD_FILES: [&str; 4] = ["meta-data", "user-data", "vendor-data", "network-config"];

impl SeedData {
    /// NoCloud's files. meta-data and user-data are there always: without both the directory is no seed. The structured
    /// ones are JSON, which YAML contains.
    pub fn nocloud(&self) -> Vec<SeedFile> {
        let mut meta = json!({ "instance-id": self.instance_id.to_string() });
        if let Value::Object(map) = &mut meta {
            if let Some(hostname) = &self.hostname {
                map.insert("local-hostname".to_owned(), json!(hostname));
            }
            if !self.ssh_authorized_keys.is_empty() {
                map.insert("public-keys".to_owned(), json!(self.ssh_authorized_keys));
            }
        }
        let mut files = vec![
            SeedFile { path: "meta-data", bytes: yaml(&meta).into_bytes() },
            SeedFile { path: "user-data", bytes: self.user_data_bytes() },
            SeedFile { path: "vendor-data", bytes: self.vendor_data.clone().unwrap_or_default().into_bytes() },
        ];
        if let Some(network) = &self.network_config {
            // Released versions of cloud-init disagree about the outer key here; all take the inner form.
            let inner = network.get("network").unwrap_or(network);
            files.push(SeedFile { path: "network-config", bytes: yaml(inner).into_bytes() });
        }
        files
    }

    /// ConfigDrive's files (version 2, `latest`). `network_data` is OpenStack's own format, not netplan.
    pub fn config_drive(&self, network_data: Option<&Value>) -> Vec<SeedFile> {
        let keys: serde_json::Map<String, Value> = self
            .ssh_authorized_keys
            .iter()
            .enumerate()
            .map(|(index, key)| (format!("key-{index}"), json!(key)))
            .collect();
        let mut meta = json!({ "uuid": self.instance_id.to_string(), "public_keys": keys });
        if let (Value::Object(map), Some(hostname)) = (&mut meta, &self.hostname) {
            map.insert("hostname".to_owned(), json!(hostname));
            map.insert("name".to_owned(), json!(hostname));
        }
        let mut files = vec![
            SeedFile { path: "openstack/latest/meta_data.json", bytes: meta.to_string().into_bytes() },
            SeedFile { path: "openstack/latest/user_data", bytes: self.user_data_bytes() },
        ];
        if let Some(network) = network_data {
            let bytes = network.to_string().into_bytes();
            files.push(SeedFile { path: "openstack/latest/network_data.json", bytes });
        }
        files
    }

    fn user_data_bytes(&self) -> Vec<u8> {
        if let Some(user_data) = &self.user_data {
            return user_data.clone().into_bytes();
        }
        let mut config = serde_json::Map::new();
        if let Some(hostname) = &self.hostname {
            let short = hostname.split('.').next().unwrap_or(hostname);
            config.insert("hostname".to_owned(), json!(short));
            if short != hostname {
                config.insert("fqdn".to_owned(), json!(hostname));
            }
        }
        if !self.ssh_authorized_keys.is_empty() {
            config.insert("ssh_authorized_keys".to_owned(), json!(self.ssh_authorized_keys));
        }
        format!("#cloud-config\n{}", yaml(&Value::Object(config))).into_bytes()
    }
}

/// The instance-id of one attempt at one order on one machine: a re-run gives the same, so cloud-init does its per-instance
/// work once; another attempt gives another.
pub fn instance_id(order: &str, attempt: u32, machine: &str) -> Uuid {
    guid::derived(&["instance", order, &attempt.to_string(), machine])
}

/// JSON that every YAML reader takes: characters that YAML does not allow to stand for themselves are escaped.
fn yaml(value: &Value) -> String {
    let json = format!("{value:#}\n");
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        // YAML 1.1 section 5.1: printable characters. What JSON escapes already is ASCII by now.
        match character {
            '\u{7f}'..='\u{84}'
            | '\u{86}'..='\u{9f}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}'
            | '\u{85}'
            | '\u{2028}'
            | '\u{2029}' => text.push_str(&format!("\\u{:04x}", character as u32)),
            _ => text.push(character),
        }
    }
    text
}

#[cfg(test)]
#[path = "seed_tests.rs"]
mod tests;
