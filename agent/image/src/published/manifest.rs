//! An image's manifest: everything about the image in one file beside it, covered by one signature.

use crate::error::ImageError;
use crate::flow::progress::Cancel;
use crate::published::minisign::Minisign;
use crate::published::sidecar::Sidecar;
use crate::source::answer::display;
use crate::source::get::Http;
use burin_protocol::manifest::{ImageManifest, PublishedFile, compare_versions};

/// The requirements for a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The required signer.
    pub minisign: Option<Minisign>,
    pub name: Option<String>,
    /// The oldest version that is accepted.
    pub least_version: Option<String>,
    /// The same for each name, from the ramdisk: lines of `NAME VERSION`.
    pub least_versions: String,
}

/// A manifest that meets the requirements, and its location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub manifest: ImageManifest,
    /// URL or path of the image.
    pub image: String,
    /// URL or path of the index.
    pub index: Option<String>,
}

impl Published {
    /// Fetches the manifest at `at`, a URL or a path. Its signature is verified before its contents are used.
    pub fn fetch(http: &Http, at: &str, wanted: &Wanted, cancel: &Cancel) -> Result<Self, ImageError> {
        let file = Sidecar::fetch(http, at, cancel)?;
        if let Some(minisign) = &wanted.minisign {
            minisign.fetch(http, at, cancel)?.check(&file.0)?;
        }
        let url = || display(at);
        let manifest = ImageManifest::parse(&file.0).map_err(|source| ImageError::Manifest { url: url(), source })?;
        if let Some(name) = wanted.name.as_ref().filter(|name| **name != manifest.name) {
            return Err(ImageError::ManifestName { url: url(), name: manifest.name, wanted: name.clone() });
        }
        let listed = wanted.least_versions.lines().filter_map(|line| {
            let (name, version) = line.trim().split_once(char::is_whitespace)?;
            (name == manifest.name).then(|| version.trim())
        });
        let mut least = listed.chain(wanted.least_version.as_deref());
        if let Some(least) = least.find(|least| compare_versions(&manifest.version, least).is_lt()).map(str::to_owned) {
            let (name, version) = (manifest.name, manifest.version);
            return Err(ImageError::ManifestOld { url: url(), name, version, least });
        }
        let (image, index) = (&manifest.image, &manifest.index);
        let (image, index) = (beside(at, image), index.as_ref().map(|index| beside(at, index)));
        Ok(Self { manifest, image, index })
    }
}

/// The location of a file in the manifest's folder. Whatever follows the path in the manifest's URL is kept, because it
/// may be needed for access.
fn beside(at: &str, file: &PublishedFile) -> String {
    let http = at.starts_with("http://") || at.starts_with("https://");
    let end = at.find(['?', '#']).filter(|_| http).unwrap_or(at.len());
    let (path, rest) = at.split_at_checked(end).unwrap_or((at, ""));
    let folder = path.rfind('/').and_then(|slash| path.get(..=slash)).unwrap_or_default();
    format!("{folder}{}{rest}", file.file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_beside_the_manifest() {
        let file = PublishedFile { file: "a.raw".into(), bytes: 1, digest: String::new() };
        for (at, wanted) in [
            ("http://host/x/m.json", "http://host/x/a.raw"),
            ("https://host/m.json?token=1/2", "https://host/a.raw?token=1/2"),
            ("/srv/m.json", "/srv/a.raw"),
            ("m.json", "a.raw"),
        ] {
            assert_eq!(beside(at, &file), wanted);
        }
    }
}
