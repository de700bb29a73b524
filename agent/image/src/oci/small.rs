//! Fetches manifests, configurations and signatures, which are small enough to be held in memory.

use crate::error::ImageError;
use crate::flow::progress::{Cancel, Stages};
use crate::flow::stop::Stop;
use crate::oci::reference::Reference;
use crate::proof::digest::{Expected, Hasher};
use crate::source::Source;
use crate::source::get::Http;
use std::sync::Arc;

/// The size that registries must accept at least (distribution specification 1.1, "Pushing Manifests"), and the limit
/// here.
const LARGEST: usize = 4 << 20;

pub struct Small<'a> {
    pub http: &'a Http,
    /// References to the same repository.
    pub places: &'a [Reference],
    pub cancel: &'a Cancel,
}

impl Small<'_> {
    /// A manifest by its digest, or by the reference's tag, and its digest.
    pub fn manifest(&self, digest: Option<&str>, accept: &'static str) -> Result<(Vec<u8>, String), ImageError> {
        self.checked(|place| place.manifest(digest), digest, accept, "manifest")
    }

    /// The document at another tag of the repository.
    pub fn tagged(&self, tag: &str, accept: &'static str) -> Result<Vec<u8>, ImageError> {
        Ok(self.checked(|place| place.manifest(Some(tag)), None, accept, "manifest")?.0)
    }

    pub fn referrers(&self, digest: &str, accept: &'static str) -> Result<Vec<u8>, ImageError> {
        Ok(self.checked(|place| place.referrers(digest), None, accept, "manifest")?.0)
    }

    pub fn blob(&self, digest: &str) -> Result<Vec<u8>, ImageError> {
        Ok(self.checked(|place| place.blob(digest), Some(digest), "*/*", "blob")?.0)
    }

    fn checked(
        &self,
        url: impl Fn(&Reference) -> String,
        digest: Option<&str>,
        accept: &'static str,
        what: &'static str,
    ) -> Result<(Vec<u8>, String), ImageError> {
        let expected = digest.map(Expected::parse).transpose()?;
        let urls = self.places.iter().map(url).collect();
        let http = Http { urls, connections: 1, accept: Some(accept), called: None, ..self.http.clone() };
        let mut stream = Source::Http(http).open(&Arc::new(Stop::new(self.cancel)), &Arc::new(Stages::default()))?;
        let mut bytes = Vec::new();
        while let Some(piece) = stream.next()? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > LARGEST {
                let what = format!("its {what} is larger than any that is read (4 MiB)");
                return Err(ImageError::Damaged { source_name: stream.name().to_owned(), format: "OCI", what });
            }
        }
        let mut hasher = expected.as_ref().map_or_else(Hasher::sha256, Expected::hasher);
        hasher.update(&bytes);
        let actual = hasher.finish();
        if let Some(expected) = expected {
            expected.check(&actual, stream.name(), what)?;
        }
        Ok((bytes, actual))
    }
}
