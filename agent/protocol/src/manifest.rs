//! `image-manifest/v1`: a publisher's description of an image, in one file beside it. It contains the digests of image
//! and index, so one signature of this file covers image, index, name and version.

use super::image::ImageFormat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

pub const VERSION: &str = "image-manifest/v1";

/// A published image. Sizes in bytes; digests `sha256:HEX`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageManifest {
    /// Always `image-manifest/v1`.
    #[schemars(extend("const" = VERSION))]
    pub manifest: String,
    /// The image's name, without a version.
    pub name: String,
    /// Compared by [`compare_versions`].
    pub version: String,
    pub format: ImageFormat,
    /// none, gzip, xz, zstd, lz4 or bzip2.
    pub compression: String,
    /// The image as it is downloaded.
    pub image: PublishedFile,
    /// The decoded image as it is written; for a tree, its archive.
    pub content: Content,
    /// The index made by `burin index`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<PublishedFile>,
    /// Sector size in bytes of the disks that it was made for; absent if any will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sector_size: Option<u32>,
    /// Firmware that can boot it: `bios`, `uefi`.
    #[serde(default)]
    pub firmware: Vec<String>,
    /// Size in bytes of the smallest disk that can hold it.
    pub least_disk: u64,
    /// Memory in bytes that writing it needs, besides the ramdisk.
    pub least_memory: u64,
}

/// A file beside the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublishedFile {
    /// Its name without a folder: it is in the manifest's folder.
    pub file: String,
    pub bytes: u64,
    pub digest: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Content {
    pub bytes: u64,
    pub digest: String,
}

/// Why a manifest is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("not a manifest: {0}")]
    Malformed(String),
    #[error("a manifest of version {0:?}, which is not supported")]
    Version(String),
}

impl ImageManifest {
    /// Parses a publisher's file. Nothing in it can refer outside of its own folder.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let malformed = |what: String| ManifestError::Malformed(what);
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        match value.get("manifest").and_then(serde_json::Value::as_str) {
            Some(VERSION) => {}
            Some(other) => return Err(ManifestError::Version(other.chars().take(80).collect())),
            None => return Err(malformed(format!("it does not say \"manifest\": \"{VERSION}\""))),
        }
        let manifest: Self = serde_json::from_value(value).map_err(|error| malformed(error.to_string()))?;
        for file in std::iter::once(&manifest.image).chain(&manifest.index) {
            if !is_plain(&file.file) {
                return Err(malformed(format!("{:?} is not the name of a file beside it", file.file)));
            }
        }
        let digests = std::iter::once(&manifest.image.digest)
            .chain([&manifest.content.digest])
            .chain(manifest.index.as_ref().map(|index| &index.digest));
        for digest in digests {
            let hex = digest.strip_prefix("sha256:").unwrap_or_default();
            if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(malformed(format!("{digest:?} is not sha256:HEX")));
            }
        }
        if manifest.name.is_empty() || manifest.version.is_empty() {
            return Err(malformed("its name or its version is empty".to_owned()));
        }
        Ok(manifest)
    }

    /// The published form: the same values give the same bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

/// Whether a name stays a single path segment within any URL.
pub fn is_plain(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._+~-".contains(&byte);
    !name.is_empty() && name.len() <= 200 && !name.starts_with(['.', '-']) && name.bytes().all(good)
}

/// Compares like Debian (deb-version(7)): alternating non-digit parts, with letters before other characters and `~`
/// before everything, even the end, and numbers.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        let (text_a, rest_a) = a.split_at(a.iter().position(u8::is_ascii_digit).unwrap_or(a.len()));
        let (text_b, rest_b) = b.split_at(b.iter().position(u8::is_ascii_digit).unwrap_or(b.len()));
        let (digits_a, after_a) = digits(rest_a);
        let (digits_b, after_b) = digits(rest_b);
        let ordering = texts(text_a, text_b)
            .then_with(|| digits_a.len().cmp(&digits_b.len()))
            .then_with(|| digits_a.cmp(digits_b));
        if ordering.is_ne() {
            return ordering;
        }
        (a, b) = (after_a, after_b);
    }
    Ordering::Equal
}

/// Digits without leading zeros, and the rest.
fn digits(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len());
    let (digits, rest) = bytes.split_at(end);
    let zeros = digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len());
    (digits.get(zeros..).unwrap_or_default(), rest)
}

fn texts(a: &[u8], b: &[u8]) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    };
    let weights = |at: usize| weight(a.get(at)).cmp(&weight(b.get(at)));
    (0..a.len().max(b.len())).map(weights).find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn manifest() -> ImageManifest {
        let digest = format!("sha256:{}", "a".repeat(64));
        let file = |name: &str| PublishedFile { file: name.to_owned(), bytes: 5, digest: digest.clone() };
        ImageManifest {
            manifest: VERSION.to_owned(),
            name: "debian".to_owned(),
            version: "13.1".to_owned(),
            format: ImageFormat::Raw,
            compression: "zstd".to_owned(),
            image: file("debian-13.1.raw.zst"),
            content: Content { bytes: 9, digest: digest.clone() },
            index: Some(file("debian-13.1.caibx")),
            sector_size: Some(512),
            firmware: vec!["uefi".to_owned()],
            least_disk: 9,
            least_memory: 1,
        }
    }

    #[test]
    fn versions_are_ordered_as_dpkg_orders_them() {
        for (less, more) in [
            ("9", "10"),
            ("1.9", "1.10"),
            ("2026.01.02", "2026.1.10"),
            ("1.0~rc1", "1.0"),
            ("1.0", "1.0-1"),
            ("1.0a", "1.0b"),
            ("1.0a", "1.0+"),
            ("1", "1.0"),
            ("20261130", "20261201"),
        ] {
            assert_eq!(compare_versions(less, more), Ordering::Less, "{less} {more}");
            assert_eq!(compare_versions(more, less), Ordering::Greater, "{more} {less}");
        }
        assert_eq!(compare_versions("1.05", "1.5"), Ordering::Equal);
    }

    #[test]
    fn what_is_written_is_read_and_nothing_leads_out() {
        let good = manifest();
        assert_eq!(ImageManifest::parse(&good.bytes()).unwrap(), good);
        for name in ["../x", "/etc/x", "a/b", "", "http://evil/x", "a?b", ".hidden", "a b", "-o"] {
            let mut bad = good.clone();
            bad.image.file = name.to_owned();
            assert!(matches!(ImageManifest::parse(&bad.bytes()), Err(ManifestError::Malformed(_))), "{name}");
        }
        let mut bad = good.clone();
        bad.content.digest = "sha256:00".to_owned();
        assert!(ImageManifest::parse(&bad.bytes()).is_err());
        bad = ImageManifest { manifest: "image-manifest/v9".to_owned(), ..good };
        assert_eq!(ImageManifest::parse(&bad.bytes()), Err(ManifestError::Version("image-manifest/v9".to_owned())));
        assert!(ImageManifest::parse(b"[]").is_err() && ImageManifest::parse(b"{}").is_err());
    }

    proptest! {
        #[test]
        fn junk_is_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..900, byte: u8) {
            let _ = ImageManifest::parse(&bytes);
            let mut text = manifest().bytes();
            if let Some(place) = text.get_mut(at) {
                *place = byte;
            }
            let _ = ImageManifest::parse(&text);
        }

        #[test]
        fn the_order_of_versions_is_one(a in "[0-9a-z.~+-]{0,8}", b in "[0-9a-z.~+-]{0,8}", c in "[0-9a-z.~+-]{0,8}") {
            prop_assert_eq!(compare_versions(&a, &b), compare_versions(&b, &a).reverse());
            if compare_versions(&a, &b).is_le() && compare_versions(&b, &c).is_le() {
                prop_assert!(compare_versions(&a, &c).is_le());
            }
        }
    }
}
