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

/// Indices inside of indices, at most.
const DEPTH: usize = 3;

/// An image in a registry, found.
#[derive(Debug)]
pub struct Resolved {
    http: Http,
    /// Where the same repository is.
    places: Vec<Reference>,
    manifest: ImageManifest,
    /// Of the manifest, `sha256:HEX`.
    digest: String,
}

/// Finds what the references of `http` name for machines of this architecture, and who signed it where `key` is given.
/// Several references are mirrors; the first that knows the tag says which image it is.
pub fn resolve(mut http: Http, key: Option<&CosignKey>, cancel: &Cancel) -> Result<Resolved, ImageError> {
    let references: Vec<Reference> = http.urls.iter().map(|url| Reference::parse(url)).collect::<Result<_, _>>()?;
    let first = references.first().ok_or(ImageError::NoSource)?;
    let one = |of: fn(&Reference) -> Option<&str>| references.iter().all(|reference| of(reference) == of(first));
    if !one(Reference::digest) || !one(Reference::title) {
        let why = "its mirrors name other digests or files than it does";
        return Err(ImageError::Reference { text: first.to_string(), why });
    }
    // A password goes to those who ask for it.
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
