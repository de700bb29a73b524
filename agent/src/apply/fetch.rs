//! Prepares the download of an image: its settings and its expected digest. Digest files and signatures are fetched
//! first.

use super::work::Work;
use crate::image::{
    self, Cancel, Credentials, DeltaRequest, Http, ImageError, Minisign, Proxies, Published, Signed, Source, Sums,
    WantedManifest, oci,
};
use crate::protocol::Policy;
use crate::protocol::image::{self as spec, ImageDigests, ImageIndex, ImageSignature, ImageSpec, PublishedAs};
use crate::tree;
use std::io;
use std::path::Path;

/// Optional minimum versions of images, whatever an order says: lines of `NAME VERSION`.
const LEAST_VERSIONS: &str = "etc/burin/image-versions";
/// The same in the ramdisk's policy.
const POLICY: &str = "etc/burin/policy.json";

/// What is known of an image before its first byte.
pub struct Fetched {
    /// From the order, or from the manifest that it names.
    pub spec: ImageSpec,
    pub http: Http,
    pub digest: ImageDigests,
    pub signature: Option<Signed>,
    /// The image, if it is in a registry.
    pub registry: Option<oci::Resolved>,
    /// The publisher, for the receipt; valid once the image has been written.
    pub published: Option<PublishedAs>,
}

impl Fetched {
    /// The source of a disk image, and its expected digests.
    pub fn disk(&self, cancel: &Cancel) -> Result<(Source, ImageDigests), ImageError> {
        let mut digest = self.digest.clone();
        let Some(registry) = &self.registry else { return Ok((Source::Http(self.http.clone()), digest)) };
        let (source, wire) = tree::disk(registry.disk()?, cancel)?;
        digest.wire = digest.wire.or(wire);
        Ok((source, digest))
    }
}

/// The ramdisk's registry passwords, in docker's config.json format.
const REGISTRIES: &str = "etc/burin/registries.json";

/// Reads manifest, sums and signature, if the order names them.
pub fn prepare(work: &Work, spec: &ImageSpec) -> Result<Fetched, ImageError> {
    let signature = spec.signature.as_ref().or(spec.sums.as_ref().and_then(|sums| sums.signature.as_ref()));
    let signer = signature.map(|signature| ImageSignature::bare_key(&signature.key));
    let (spec, named) = match &spec.manifest {
        Some(at) => by_manifest(work, spec, at).map(|(spec, name, version)| (spec, (Some(name), Some(version))))?,
        None => (spec.clone(), (None, None)),
    };
    let published =
        (signer.is_some() || named.0.is_some()).then_some(PublishedAs { name: named.0, version: named.1, signer });
    let http = http(work, &spec)?;
    let first = spec.urls.first().map(String::as_str).unwrap_or_default();
    let mut digest = spec.digest.clone();
    if oci::is_reference(first) {
        let registry = Some(resolve(work, &spec, http.clone())?);
        return Ok(Fetched { spec, http, digest, signature: None, registry, published });
    }
    if let Some(sums) = &spec.sums {
        let sums = Sums { url: sums.url.clone(), minisign: sums.signature.as_ref().map(minisign) };
        digest.wire = Some(image::published(&http, &sums, first, &work.cancel)?);
    }
    let signature = spec.signature.as_ref().map(|signature| minisign(signature).fetch(&http, first, &work.cancel));
    let signature = signature.transpose()?;
    Ok(Fetched { spec, http, digest, signature, registry: None, published })
}

fn http(work: &Work, spec: &ImageSpec) -> Result<Http, ImageError> {
    let mut http = Http::new(work.download.clone(), spec.urls.clone());
    let first = spec.urls.first().map(String::as_str).unwrap_or_default();
    let transfer = &spec.transfer;
    http.credentials = transfer.credentials.as_ref().and_then(|credentials| match credentials {
        spec::Credentials::Basic { user, password } => Credentials::basic(first, user, password),
        spec::Credentials::Bearer(token) => Credentials::bearer(first, token),
    });
    if let Some(proxy) = &transfer.proxy {
        http.proxies = Proxies::all(proxy.reveal())?;
    }
    http.rate = transfer.rate;
    http.connections = transfer.connections.map_or(1, usize::from);
    Ok(http)
}

/// Lines of `NAME VERSION`, from the file and from the policy.
fn least_versions(root: &Path) -> Result<String, ImageError> {
    let read = |place: &str| match std::fs::read_to_string(root.join(place)) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(ImageError::ReadFile { path: root.join(place), source })
        }
        text => Ok(text.ok()),
    };
    let mut lines = read(LEAST_VERSIONS)?.unwrap_or_default();
    if let Some(policy) = read(POLICY)? {
        let policy = Policy::parse(policy.as_bytes()).map_err(|error| {
            let source = io::Error::new(io::ErrorKind::InvalidData, error);
            ImageError::ReadFile { path: root.join(POLICY), source }
        })?;
        for (name, version) in policy.images.iter().flat_map(|images| &images.least_versions) {
            lines += &format!("\n{name} {version}");
        }
    }
    Ok(lines)
}

/// The image as specified by its manifest: digests of everything, so that the manifest's signature suffices. Also
/// returns the manifest's name and version.
fn by_manifest(work: &Work, spec: &ImageSpec, at: &str) -> Result<(ImageSpec, String, String), ImageError> {
    let http = http(work, &ImageSpec { urls: vec![at.to_owned()], ..spec.clone() })?.at(at);
    let wanted = WantedManifest {
        minisign: spec.signature.as_ref().map(minisign),
        name: spec.name.clone(),
        least_version: spec.least_version.clone(),
        least_versions: least_versions(&work.paths.root)?,
    };
    let Published { manifest, image, index } = Published::fetch(&http, at, &wanted, &work.cancel)?;
    log::info!("the manifest names {} {}: {}", manifest.name, manifest.version, manifest.image.digest);
    let index = index.zip(manifest.index);
    let delta = index.map(|(url, index)| ImageIndex { url, digest: Some(index.digest), signature: None });
    let spec = ImageSpec {
        urls: vec![image],
        manifest: None,
        signature: None,
        format: Some(manifest.format),
        sector_size: manifest.sector_size,
        digest: ImageDigests { wire: Some(manifest.image.digest), content: Some(manifest.content.digest) },
        delta,
        ..spec.clone()
    };
    Ok((spec, manifest.name, manifest.version))
}

fn resolve(work: &Work, spec: &ImageSpec, mut http: Http) -> Result<oci::Resolved, ImageError> {
    let path = work.paths.root.join(REGISTRIES);
    match std::fs::read(&path) {
        Ok(json) => http.registries.add_configuration(&json).map_err(|why| {
            let source = io::Error::new(io::ErrorKind::InvalidData, why);
            ImageError::ReadFile { path: path.clone(), source }
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(ImageError::ReadFile { path, source }),
    }
    let key = spec.signature.as_ref().map(|signature| oci::CosignKey::parse(&signature.key)).transpose()?;
    oci::resolve(http, key.as_ref(), &work.cancel)
}

/// A file that is stored in a system unchanged, of at most this size. Mirrors, proxies and trust are the defaults for
/// images.
pub fn file(work: &Work, url: &str, digest: &str, most: u64) -> Result<Vec<u8>, ImageError> {
    let http = Http::new(work.download.clone(), vec![url.to_owned()]);
    image::fetch_file(Source::Http(http), digest, most, &work.cancel)
}

/// The image's index. If it is unavailable, `note` is told and the whole image is written; if it is not the ordered
/// one, that is an error.
pub fn index(
    http: &Http,
    index: &ImageIndex,
    cancel: &Cancel,
    note: &dyn Fn(&str),
) -> Result<Option<DeltaRequest>, ImageError> {
    let read = || {
        let signature = index.signature.as_ref().map(|signature| minisign(signature).fetch(http, &index.url, cancel));
        let signature = signature.transpose()?;
        let mut http = http.at(&index.url);
        // It is worth waiting for, but not as long as for the image.
        http.patience = http.patience.min(http.stall);
        let digest = index.digest.as_deref();
        let found = image::fetch_index(Source::Http(http), digest, signature.as_ref(), cancel)?;
        Ok(DeltaRequest { proven: digest.is_some(), signed: signature, ..DeltaRequest::new(found) })
    };
    match read() {
        Ok(request) => Ok(Some(request)),
        Err(
            error @ (ImageError::NotFound { .. }
            | ImageError::SignatureMissing { .. }
            | ImageError::Denied { .. }
            | ImageError::Status { .. }
            | ImageError::Transfer { .. }
            | ImageError::Stalled { .. }
            | ImageError::Truncated { .. }
            | ImageError::Unsupported { .. }
            | ImageError::Damaged { .. }),
        ) => {
            note(&format!("{error}; writing the image whole"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn minisign(signature: &ImageSignature) -> Minisign {
    Minisign { key: signature.key.clone(), at: signature.url.clone(), not_before: signature.not_before }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ramdisks_file_and_its_policy_both_say_what_is_too_old() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(least_versions(root.path()).unwrap(), "");
        std::fs::create_dir_all(root.path().join("etc/burin")).unwrap();
        std::fs::write(root.path().join(LEAST_VERSIONS), "rocky 9.4").unwrap();
        let policy =
            r#"{"version": "policy/v1", "images": {"require": "signature", "least_versions": {"debian": "13.1"}}}"#;
        std::fs::write(root.path().join(POLICY), policy).unwrap();
        assert_eq!(least_versions(root.path()).unwrap(), "rocky 9.4\ndebian 13.1");
        std::fs::write(root.path().join(POLICY), "{").unwrap();
        assert!(least_versions(root.path()).is_err(), "a policy that cannot be read is not none");
    }
}
