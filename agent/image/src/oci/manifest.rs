//! Manifests and indexes (image specification 1.1; docker's image manifest version 2, schema 2, which differs only in
//! names).

use crate::error::ImageError;
use oci_spec::image::{Arch, Descriptor, ImageIndex, ImageManifest, Os};
use serde::Deserialize;

/// The accepted types for an image.
pub const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";
const LISTS: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// The document that a reference names.
#[derive(Debug)]
pub enum Document {
    Manifest(Box<ImageManifest>),
    Index(Index),
}

#[derive(Debug)]
pub struct Index(Box<ImageIndex>);

/// The fields that distinguish the two.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    schema_version: u64,
    media_type: Option<String>,
    config: Option<serde::de::IgnoredAny>,
    manifests: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// `name` is for messages.
    pub fn parse(bytes: &[u8], name: &str) -> Result<Self, ImageError> {
        let damaged = |what: String| ImageError::Damaged { source_name: name.to_owned(), format: "OCI", what };
        let json = |error: serde_json::Error| damaged(format!("its manifest is none: {error}"));
        let outline: Outline = serde_json::from_slice(bytes).map_err(json)?;
        if outline.schema_version != 2 {
            let what = "is an image of docker's first schema, which is not read: push it again".to_owned();
            return Err(ImageError::Unsupported { source_name: name.to_owned(), what });
        }
        let index = outline.media_type.as_deref().map(|kind| LISTS.contains(&kind));
        // A document must not be both: the reader would choose which one, not the signer.
        match (index, outline.config.is_some(), outline.manifests.is_some()) {
            (Some(false) | None, true, false) => {
                serde_json::from_slice(bytes).map(|manifest| Self::Manifest(Box::new(manifest))).map_err(json)
            }
            (Some(true) | None, false, true) => {
                serde_json::from_slice(bytes).map(|index| Self::Index(Index(Box::new(index)))).map_err(json)
            }
            _ => Err(damaged("its manifest is neither an image's nor an index, or both".to_owned())),
        }
    }
}

impl Index {
    /// The digest of the manifest for this machine's architecture.
    pub fn for_this_machine(&self, name: &str) -> Result<String, ImageError> {
        let wanted = architecture();
        let entries = self.0.manifests();
        let fitting = entries.iter().find(|entry| {
            let platform = entry.platform().as_ref();
            platform.is_some_and(|platform| *platform.os() == Os::Linux && *platform.architecture() == wanted)
        });
        // An artefact has no platform.
        let only = || entries.first().filter(|entry| entries.len() == 1 && entry.platform().is_none());
        match fitting.or_else(only) {
            Some(entry) => Ok(entry.digest().to_string()),
            None => {
                let mut found: Vec<String> = entries.iter().map(platform).collect();
                found.dedup();
                found.truncate(16);
                let wanted = format!("linux/{wanted}");
                Err(ImageError::NoPlatform { url: name.to_owned(), wanted, found })
            }
        }
    }
}

fn platform(entry: &Descriptor) -> String {
    match entry.platform() {
        Some(platform) => format!("{}/{}", platform.os(), platform.architecture()).chars().take(40).collect(),
        None => "none".to_owned(),
    }
}

/// This machine's architecture, in Go's spelling.
pub fn architecture() -> Arch {
    match std::env::consts::ARCH {
        "x86" => Arch::i386,
        "x86_64" => Arch::Amd64,
        "arm" => Arch::ARM,
        "aarch64" => Arch::ARM64,
        "powerpc64" => Arch::PowerPC64le,
        "riscv64" => Arch::RISCV64,
        "s390x" => Arch::s390x,
        "loongarch64" => Arch::LoongArch64,
        other => Arch::Other(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burin_protocol::error::Coded;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn index(entries: &[&str]) -> Result<String, ImageError> {
        let json = format!(r#"{{"schemaVersion": 2, "manifests": [{}]}}"#, entries.join(","));
        match Document::parse(json.as_bytes(), "x")? {
            Document::Index(index) => index.for_this_machine("x"),
            Document::Manifest(_) => panic!("a manifest"),
        }
    }

    fn entry(digest: &str, platform: &str) -> String {
        let platform = match platform.split_once('/') {
            Some((os, arch)) => format!(r#", "platform": {{"os": "{os}", "architecture": "{arch}"}}"#),
            None => String::new(),
        };
        format!(
            r#"{{"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1, "digest": "{digest}"{platform}}}"#
        )
    }

    #[test]
    fn an_index_is_for_machines_like_this_one() {
        let here = architecture().to_string();
        let other = format!("sha256:{}", "0".repeat(64));
        let mine = entry(DIGEST, &format!("linux/{here}"));
        let strange = entry(&other, "unknown/unknown");
        let windows = entry(&other, &format!("windows/{here}"));
        assert_eq!(index(&[&windows, &strange, &mine]).unwrap(), DIGEST);
        assert_eq!(index(&[&entry(DIGEST, "")]).unwrap(), DIGEST);
        for none in [vec![], vec![windows.as_str(), &strange], vec![&entry(&other, ""), &entry(&other, "")]] {
            assert_eq!(index(&none).unwrap_err().code(), "image.oci_platform");
        }
    }

    #[test]
    fn a_document_is_one_thing() {
        let config = r#""config": {"mediaType": "x", "size": 1, "digest": "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}, "layers": []"#;
        let parse =
            |body: &str| Document::parse(format!("{{{body}}}").as_bytes(), "x").map(drop).map_err(|error| error.code());
        assert_eq!(parse(&format!(r#""schemaVersion": 2, {config}"#)), Ok(()));
        assert_eq!(parse(&format!(r#""schemaVersion": 1, {config}"#)), Err("image.unsupported"));
        let both = format!(r#""schemaVersion": 2, "manifests": [], {config}"#);
        let lying = format!(r#""schemaVersion": 2, "mediaType": "{}", {config}"#, LISTS[0]);
        for bad in [both.as_str(), &lying, r#""schemaVersion": 2"#, "", r#""schemaVersion": "2""#] {
            assert_eq!(parse(bad), Err("image.corrupt"), "{bad}");
        }
    }
}
