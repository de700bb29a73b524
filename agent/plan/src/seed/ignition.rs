//! Ignition (coreos.github.io/ignition, configuration specification 3): read by Fedora CoreOS, RHEL CoreOS and Flatcar
//! at first boot, instead of cloud-init.

use super::{Reason, SeedFile, SeedKind, Values};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

pub struct Ignition;

/// The administrative user of these systems.
const USER: &str = "core";
/// The first version that supports everything generated here.
const VERSION: &str = "3.0.0";

impl SeedKind for Ignition {
    /// The order's own configuration as it is; if there is a host name or keys as well, one that merges it.
    fn files(&self, values: Values<'_>) -> Result<Vec<SeedFile>, Reason> {
        let own = values.user_data.as_deref().map(version).transpose()?;
        let contents = match (values.user_data, own) {
            (Some(text), _) if values.hostname.is_none() && values.keys.is_empty() => text,
            (Some(_), Some(version)) if version.starts_with("2.") => {
                let message = "of version 2, which cannot be merged: put host name and keys into it";
                return Err(wrong(message));
            }
            (text, _) => generated(values.hostname.as_deref(), &values.keys, text.as_deref()),
        };
        Ok(vec![SeedFile { path: "config.ign", contents }])
    }
}

fn generated(hostname: Option<&str>, keys: &[String], merged: Option<&str>) -> String {
    let mut config = json!({ "ignition": { "version": VERSION } });
    if let Some(merged) = merged {
        let source = format!("data:;base64,{}", STANDARD.encode(merged));
        config["ignition"]["config"] = json!({ "merge": [{ "source": source }] });
    }
    if !keys.is_empty() {
        config["passwd"] = json!({ "users": [{ "name": USER, "sshAuthorizedKeys": keys }] });
    }
    if let Some(name) = hostname {
        // A host name has no characters that need escaping in a data URL.
        let contents = json!({ "source": format!("data:,{name}") });
        let file = json!({ "path": "/etc/hostname", "mode": 0o644, "overwrite": true, "contents": contents });
        config["storage"] = json!({ "files": [file] });
    }
    format!("{config:#}\n")
}

/// The version that a configuration declares.
fn version(text: &str) -> Result<String, Reason> {
    let value: Value = serde_json::from_str(text).map_err(|_| wrong("not JSON; Butane turns its YAML into that"))?;
    let version = value.pointer("/ignition/version").and_then(Value::as_str);
    let known = version.filter(|version| ["2.", "3."].iter().any(|start| version.starts_with(start)));
    known.map(str::to_owned).ok_or_else(|| wrong("not of a version of Ignition that is known (`ignition.version`)"))
}

fn wrong(message: &str) -> Reason {
    Reason::BadValue { at: "/seed/user_data".to_owned(), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(user_data: Option<&str>, hostname: Option<&str>) -> Result<String, Reason> {
        let values = Values {
            instance_id: "i".to_owned(),
            hostname: hostname.map(str::to_owned),
            keys: hostname.iter().map(|_| "ssh-ed25519 AAAA x".to_owned()).collect(),
            user_data: user_data.map(str::to_owned),
            vendor_data: None,
            network: None,
        };
        Ignition.files(values).map(|mut files| files.remove(0).contents)
    }

    #[test]
    fn a_configuration_stays_as_it_is_or_is_merged() {
        let own = r#"{"ignition":{"version":"3.4.0"}}"#;
        assert_eq!(files(Some(own), None).expect("as it is"), own);
        let merged: Value = serde_json::from_str(&files(Some(own), Some("node7")).expect("merged")).expect("JSON");
        let source = merged.pointer("/ignition/config/merge/0/source").and_then(Value::as_str).expect("a source");
        let inner = STANDARD.decode(source.strip_prefix("data:;base64,").expect("base64")).expect("decodes");
        assert_eq!(inner, own.as_bytes());
        assert_eq!(merged["storage"]["files"][0]["contents"]["source"], "data:,node7");
        assert_eq!(merged["passwd"]["users"][0]["name"], "core");
        let alone: Value = serde_json::from_str(&files(None, Some("node7")).expect("alone")).expect("JSON");
        assert!(alone["ignition"].get("config").is_none());
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        for text in ["#cloud-config\n", "{}", r#"{"ignition":{"version":"9.0.0"}}"#] {
            assert!(matches!(files(Some(text), None), Err(Reason::BadValue { .. })), "{text}");
        }
        assert!(files(Some(r#"{"ignition":{"version":"2.3.0"}}"#), Some("node7")).is_err());
        assert!(files(Some(r#"{"ignition":{"version":"2.3.0"}}"#), None).is_ok());
    }
}
