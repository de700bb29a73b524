//! Selects the parts of a registry's image: a disk, or the layers of a root filesystem.

use super::Resolved;
use super::manifest::architecture;
use super::small::Small;
use crate::error::ImageError;
use crate::flow::progress::Cancel;
use crate::source::Source;
use crate::source::get::Http;
use burin_protocol::image::ImageDigests;
use oci_spec::image::{Descriptor, ImageConfiguration, Os};

const CONFIGURATIONS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
const LAYERS: [&str; 5] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar",
];
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The name of a file in an artefact.
const TITLE: &str = "org.opencontainers.image.title";
/// The limit of other tools.
const MOST_LAYERS: usize = 500;

/// Something stored in a registry, by digest.
#[derive(Debug, Clone)]
pub struct Blob {
    http: Http,
    /// Digests of the stored bytes, and of their decoded content if known.
    pub digest: ImageDigests,
    /// Whether it is one of several layers, in which names have special meanings.
    pub layer: bool,
}

impl Blob {
    pub fn source(&self) -> Source {
        Source::Http(self.http.clone())
    }

    /// The image, and the part of it.
    pub fn name(&self) -> String {
        self.source().name()
    }
}

/// A disk image in a registry.
#[derive(Debug, Clone)]
pub enum RegistryDisk {
    /// An artefact that is a disk image.
    Plain(Box<Blob>),
    /// A container disk as used by KubeVirt: a file below `/disk` in one of these layers. The last layer with it
    /// counts.
    Contained(Vec<Blob>),
}

impl Resolved {
    /// The image with its digest: what was fetched, even if the tag changes later.
    pub fn name(&self) -> String {
        self.places.first().map(|first| first.pinned(&self.digest)).unwrap_or_default()
    }

    pub fn disk(&self) -> Result<RegistryDisk, ImageError> {
        if self.is_container() {
            return Ok(RegistryDisk::Contained(self.layers_of(None)?));
        }
        let file = self.file()?;
        Ok(RegistryDisk::Plain(Box::new(self.blob(file, false, None, self.name()))))
    }

    /// The layers of a root filesystem, the lowest first, or the single archive of an artefact.
    pub fn layers(&self, cancel: &Cancel) -> Result<Vec<Blob>, ImageError> {
        if !self.is_container() {
            let file = self.file()?;
            return Ok(vec![self.blob(file, false, None, self.name())]);
        }
        let small = Small { http: &self.http, places: &self.places, cancel };
        let bytes = small.blob(self.manifest.config().digest().as_ref())?;
        let damaged = |what: String| ImageError::Damaged { source_name: self.name(), format: "OCI", what };
        let configuration: ImageConfiguration =
            serde_json::from_slice(&bytes).map_err(|error| damaged(format!("its configuration is none: {error}")))?;
        let (os, wanted) = (configuration.os(), architecture());
        if *os != Os::Linux || *configuration.architecture() != wanted {
            let found = vec![format!("{os}/{}", configuration.architecture())];
            return Err(ImageError::NoPlatform { url: self.name(), wanted: format!("linux/{wanted}"), found });
        }
        self.layers_of(Some(configuration.rootfs().diff_ids()))
    }

    fn layers_of(&self, contents: Option<&Vec<String>>) -> Result<Vec<Blob>, ImageError> {
        let layers = self.manifest.layers();
        let damaged =
            |what: &str| ImageError::Damaged { source_name: self.name(), format: "OCI", what: what.to_owned() };
        if layers.is_empty() || layers.len() > MOST_LAYERS {
            return Err(damaged("it has no layers, or too many"));
        }
        if contents.is_some_and(|contents| contents.len() != layers.len()) {
            return Err(damaged("its configuration and its manifest do not have the same layers"));
        }
        let count = layers.len();
        Ok(Vec::from_iter(layers.iter().enumerate().map(|(index, layer)| {
            let content = contents.and_then(|contents| contents.get(index)).cloned();
            let called = format!("{}, layer {} of {count}", self.name(), index + 1);
            self.blob(layer, true, content, called)
        })))
    }

    fn blob(&self, of: &Descriptor, layer: bool, content: Option<String>, called: String) -> Blob {
        let digest = of.digest().to_string();
        let urls = self.places.iter().map(|place| place.blob(&digest)).collect();
        let http = Http { urls, called: Some(called), ..self.http.clone() };
        Blob { http, digest: ImageDigests { wire: Some(digest), content }, layer }
    }

    /// Whether it is a container image; everything else is an artefact.
    fn is_container(&self) -> bool {
        let layers = self.manifest.layers();
        CONFIGURATIONS.contains(&self.manifest.config().media_type().as_ref())
            && layers.iter().all(|layer| LAYERS.contains(&layer.media_type().as_ref()))
    }

    /// The file of an artefact: the only one, or the one named in the reference.
    fn file(&self) -> Result<&Descriptor, ImageError> {
        let files = self.manifest.layers().iter().filter(|layer| layer.media_type().as_ref() != EMPTY);
        let title = |file: &Descriptor| file.annotations().as_ref().and_then(|all| all.get(TITLE).cloned());
        let wanted = self.places.first().and_then(|first| first.title());
        let fitting: Vec<&Descriptor> =
            files.clone().filter(|file| wanted.is_none() || title(file).as_deref() == wanted).collect();
        match fitting.as_slice() {
            [only] => Ok(only),
            _ => {
                let name = |file| title(file).unwrap_or_else(|| "a file without a name".to_owned());
                Err(ImageError::Choice { url: self.name(), found: files.map(name).take(16).collect() })
            }
        }
    }
}
