//! Images in registries (OCI image and distribution specifications 1.1): a reference is resolved, verified and split
//! into blobs, which the engine fetches like any other image.
//!
//! What a digest names is held against it: manifests before they are parsed, blobs by the engine. A tag is whatever the
//! registry says; what it leads to is what is fetched from then on, from every mirror.

pub(crate) mod cosign;
pub(crate) mod manifest;
mod reference;
mod select;
mod small;

pub use cosign::CosignKey;
pub use reference::{Reference, is_reference};
pub use select::{Blob, RegistryDisk};

use crate::error::ImageError;
use crate::flow::progress::Cancel;
use crate::oci::manifest::{Document, MANIFESTS};
use crate::oci::small::Small;
use crate::source::get::Http;
use oci_spec::image::ImageManifest;

/// Limit for nested indexes.
const DEPTH: usize = 3;

/// An image found in a registry.
#[derive(Debug)]
pub struct Resolved {
    http: Http,
    /// References to the same repository.
    places: Vec<Reference>,
    manifest: ImageManifest,
    /// Digest of the manifest, `sha256:HEX`.
    digest: String,
}

/// Finds the image that the references of `http` name, for this machine's architecture, and its signature if `key` is
/// given. Several references are mirrors; the first that knows the tag decides which image it is.
pub fn resolve(mut http: Http, key: Option<&CosignKey>, cancel: &Cancel) -> Result<Resolved, ImageError> {
    let references: Vec<Reference> = http.urls.iter().map(|url| Reference::parse(url)).collect::<Result<_, _>>()?;
    let first = references.first().ok_or(ImageError::NoSource)?;
    let one = |of: fn(&Reference) -> Option<&str>| references.iter().all(|reference| of(reference) == of(first));
    if !one(Reference::digest) || !one(Reference::title) {
        let why = "its mirrors name other digests or files than it does";
        return Err(ImageError::Reference { text: first.to_string(), why });
    }
    // Passwords are sent only to servers that ask for them.
    if let Some(password) = http.credentials.take_if(|credentials| credentials.password) {
        http.registries.add(&first.server(), password.header);
    }
    http.at_registry = true;
    let small = Small { http: &http, places: &references, cancel };
    let (mut bytes, mut digest) = small.manifest(first.digest(), MANIFESTS)?;
    let mut signed = vec![digest.clone()];
    let manifest = loop {
        match Document::parse(&bytes, &first.to_string())? {
            Document::Manifest(manifest) => break *manifest,
            Document::Index(index) if signed.len() <= DEPTH => {
                let next = index.for_this_machine(&first.to_string())?;
                (bytes, digest) = small.manifest(Some(&next), MANIFESTS)?;
                signed.push(digest.clone());
            }
            Document::Index(_) => return Err(first.damaged("indices inside of indices without end")),
        }
    };
    if let Some(key) = key {
        cosign::check(&small, key, &signed)?;
    }
    Ok(Resolved { http, places: references, manifest, digest })
}
