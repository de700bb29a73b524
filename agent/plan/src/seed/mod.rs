//! The seed's files, ready to be written. Their contents may be secret: `Debug` shows names only.

mod config_drive;
mod ignition;
mod nocloud;

use super::attributes::Attributes;
use super::files::PlacedFile;
use super::luks::Passphrases;
use super::refusal::Reason;
use burin_protocol::hex;
use burin_protocol::order::{Order, SeedFormat, SeedVolume};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt;

/// The contents of an order's seed, attributes resolved and checked.
struct Values<'a> {
    instance_id: String,
    hostname: Option<String>,
    keys: Vec<String>,
    user_data: Option<String>,
    vendor_data: Option<String>,
    /// netplan v2.
    network: Option<&'a Value>,
}

/// A seed format: one file here, one row in [`row`], and its word with label and place in
/// `burin_protocol::order::SeedFormat`.
trait SeedKind {
    /// Their paths are relative to the seed's root, and their number is fixed.
    fn files(&self, values: Values<'_>) -> Result<Vec<SeedFile>, Reason>;
}

fn row(format: SeedFormat) -> &'static dyn SeedKind {
    match format {
        // The same files in two places.
        SeedFormat::Nocloud | SeedFormat::Cidata => &nocloud::Nocloud,
        SeedFormat::ConfigDrive => &config_drive::ConfigDrive,
        SeedFormat::Ignition => &ignition::Ignition,
    }
}

/// Labels of volumes that cloud-init takes for a seed; letter case does not matter.
pub fn labels() -> impl Iterator<Item = &'static str> {
    SeedFormat::ALL.into_iter().filter_map(SeedFormat::volume_label)
}

/// The files for the installed system's cloud-init, and the order's own files.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SeedFiles {
    pub format: SeedFormat,
    pub files: Vec<SeedFile>,
    /// Instead of files: the filesystem of the seed's own partition, byte for byte.
    pub volume: Option<SeedVolume>,
    /// In the order's sequence.
    pub placed: Vec<PlacedFile>,
    /// Passphrases of LUKS volumes, by layout, volume and position among its keys.
    pub passphrases: Passphrases,
}

/// A file; its path is relative to the seed's root, `/var/lib/cloud/seed/nocloud` or a separate partition.
#[derive(Clone, PartialEq, Eq)]
pub struct SeedFile {
    pub path: &'static str,
    pub contents: String,
}

impl fmt::Debug for SeedFile {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.path, self.contents.len())
    }
}

impl fmt::Debug for SeedFiles {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("SeedFiles").field("format", &self.format).field("files", &self.files).finish()
    }
}

impl SeedFiles {
    /// `sha256:HEX` over the whole order, names, lengths and contents. It is sent in events, and a seed may hold a
    /// password that can be guessed: without the whole order, guesses cannot be tested against it.
    pub(crate) fn digest(&self, order: &[u8]) -> String {
        let mut hash = Sha256::new();
        hash.update((order.len() as u64).to_le_bytes());
        hash.update(order);
        for file in &self.files {
            for part in [file.path, &file.contents] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part.as_bytes());
            }
        }
        if let Some(volume) = &self.volume {
            hash.update(volume.bytes());
        }
        format!("sha256:{}", hex(hash.finalize()))
    }
}

/// `None`: the order has no seed. `network` is the generated configuration, if the order has network roles.
pub fn files(order: &Order, attributes: &Attributes, network: Option<&Value>) -> Result<Option<SeedFiles>, Reason> {
    let Some(seed) = &order.seed else { return Ok(None) };
    if let Some(volume) = &seed.volume {
        return Ok(Some(SeedFiles {
            format: seed.format,
            files: Vec::new(),
            volume: Some(volume.clone()),
            ..SeedFiles::default()
        }));
    }
    let text = |text: &Option<_>, at: &str| text.as_ref().map(|text| attributes.text(text, at)).transpose();
    let instance_id = text(&seed.instance_id, "/seed/instance_id")?.unwrap_or_else(|| order.id.clone());
    let hostname = text(&seed.hostname, "/seed/hostname")?;
    if let Some(name) = hostname.as_deref().filter(|name| !is_hostname(name)) {
        let message = format!("`{name}` is not a host name (RFC 1123: letters, digits and hyphens between dots)");
        return Err(Reason::BadValue { at: "/seed/hostname".to_owned(), message });
    }
    let keys = attributes.texts(&seed.ssh_authorized_keys, "/seed/ssh_authorized_keys")?;
    if let Some(i) = keys.iter().position(|key| !is_ssh_key(key)) {
        let message = "not one line of an OpenSSH public key (`ssh-ed25519 AAAA... comment`)".to_owned();
        return Err(Reason::BadValue { at: format!("/seed/ssh_authorized_keys/{i}"), message });
    }
    let user_data = text(&seed.user_data, "/seed/user_data")?;
    let vendor_data = text(&seed.vendor_data, "/seed/vendor_data")?;
    let network = seed.network_config.as_ref().or(network);
    let values = Values { instance_id, hostname, keys, user_data, vendor_data, network };
    let files = row(seed.format).files(values)?;
    Ok(Some(SeedFiles { format: seed.format, files, ..SeedFiles::default() }))
}

/// JSON that every YAML reader accepts: characters that YAML does not allow literally are escaped (YAML 1.1, section
/// 5.1: printable characters).
fn lines(value: &Value) -> String {
    let json = format!("{value:#}\n");
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            // JSON has already escaped everything below a blank.
            '\u{7f}'..='\u{9f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' | '\u{2028}' | '\u{2029}' => {
                text.push_str(&format!("\\u{:04x}", character as u32));
            }
            _ => text.push(character),
        }
    }
    text
}

fn is_hostname(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// `[options] type base64 [comment]` on one line.
fn is_ssh_key(key: &str) -> bool {
    let typed = |word: &str| ["ssh-", "ecdsa-", "sk-"].iter().any(|start| word.starts_with(start));
    let mut words = key.split_whitespace().skip_while(|word| !typed(word)).skip(1);
    !key.trim().contains(['\n', '\r']) && words.next().is_some_and(|data| data.starts_with("AAAA"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn debug_output_shows_no_contents() {
        let file = SeedFile { path: "user-data", contents: "password: hunter2".to_owned() };
        let shown = format!("{:?}", SeedFiles { files: vec![file], ..SeedFiles::default() });
        assert!(shown.contains("user-data") && !shown.contains("hunter2"), "{shown}");
    }

    proptest! {
        /// Characters that YAML does not allow never appear literally, and JSON readers see the same value.
        #[test]
        fn any_text_survives_and_is_printable(text in any::<String>()) {
            let written = lines(&json!({ "key": text }));
            let printable =
                |c: char| matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
            prop_assert!(written.chars().all(printable), "{written:?}");
            prop_assert_eq!(serde_json::from_str::<Value>(&written).expect("JSON"), json!({ "key": text }));
        }
    }
}
