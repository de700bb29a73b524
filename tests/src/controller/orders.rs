//! Orders as files: `KEY.json` in one directory, read again at every request.
//!
//! KEY is a machine's UUID, its serial, one of its MACs (hyphens or colons), its id, or `default`. An empty file means
//! that the machine is retired: it shall stop asking.

use burin::protocol::Identity;
use burin::protocol::order::PAYLOAD_TYPE;
use burin_sign::Envelope;
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};

/// The bytes of an order as they will be sent, with their ETag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredOrder {
    pub etag: String,
    pub body: Vec<u8>,
}

impl StoredOrder {
    pub fn new(body: Vec<u8>) -> Self {
        let digest = Sha256::digest(&body);
        let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self { etag: format!("\"{hex}\""), body }
    }

    /// The order's id. For bytes without one, their ETag, so that their attempts can be counted too.
    pub fn id(&self) -> String {
        // For a signed order, the contents of its envelope.
        let inside = Envelope::parse(&self.body).ok().and_then(|envelope| envelope.contents(PAYLOAD_TYPE).ok());
        let value: Option<serde_json::Value> = serde_json::from_slice(inside.as_ref().unwrap_or(&self.body)).ok();
        let id = value.as_ref().and_then(|value| value.get("id")).and_then(|id| id.as_str());
        id.map_or_else(|| self.etag.clone(), str::to_owned)
    }

    pub fn retires(&self) -> bool {
        self.body.is_empty()
    }
}

/// A MAC, serial number or UUID as a file name: lower case, and nothing that could leave the directory.
pub(super) fn key(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '.' { c.to_ascii_lowercase() } else { '-' };
    let key: String = text.trim().chars().take(100).map(safe).collect();
    if key.starts_with('.') { format!("-{key}") } else { key }
}

/// The keys under which a machine's order may be stored, strongest first.
pub(super) fn keys(machine: Option<&str>, identity: &Identity) -> Vec<String> {
    let macs = identity.boot_mac.iter().chain(&identity.macs);
    let names = identity.system_uuid.iter().chain(&identity.serial).chain(macs).map(String::as_str);
    let mut keys: Vec<String> = machine.into_iter().chain(names).chain(["default"]).map(key).collect();
    keys.retain(|key| !key.is_empty());
    keys
}

/// The first file that exists.
pub(super) fn find(directory: &Path, keys: &[String]) -> Option<StoredOrder> {
    keys.iter().find_map(|key| std::fs::read(path(directory, key)).ok()).map(StoredOrder::new)
}

pub(super) fn put(directory: &Path, name: &str, body: &[u8]) -> io::Result<()> {
    let key = key(name);
    let temporary = directory.join(format!(".{key}.new"));
    std::fs::write(&temporary, body)?;
    std::fs::rename(temporary, path(directory, &key))
}

pub(super) fn remove(directory: &Path, name: &str) -> io::Result<()> {
    std::fs::remove_file(path(directory, &key(name)))
}

fn path(directory: &Path, key: &str) -> PathBuf {
    directory.join(format!("{key}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_name_wins_and_default_is_last() {
        let directory = tempfile::tempdir().unwrap();
        let identity = Identity {
            system_uuid: Some("4C4C-44".into()),
            serial: Some("../../etc/S 1".into()),
            macs: vec!["52:54:00:AB:00:01".into()],
            boot_mac: None,
        };
        let keys = keys(None, &identity);
        assert_eq!(keys, ["4c4c-44", "-..-..-etc-s-1", "52-54-00-ab-00-01", "default"]);
        assert_eq!(find(directory.path(), &keys), None);
        put(directory.path(), "default", b"{}").unwrap();
        assert_eq!(find(directory.path(), &keys).unwrap().body, b"{}");
        put(directory.path(), "52:54:00:ab:00:01", br#"{"id":"mine"}"#).unwrap();
        let order = find(directory.path(), &keys).unwrap();
        assert_eq!(order.id(), "mine");
        assert_ne!(order.etag, StoredOrder::new(b"{}".to_vec()).etag);
        remove(directory.path(), "52-54-00-ab-00-01").unwrap();
        assert_eq!(find(directory.path(), &keys).unwrap().body, b"{}");
    }

    #[test]
    fn broken_orders_have_an_id_too() {
        let order = StoredOrder::new(b"not json".to_vec());
        assert_eq!(order.id(), order.etag);
    }
}
