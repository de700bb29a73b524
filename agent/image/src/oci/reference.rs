//! References to images in registries: `oci://HOST[:PORT]/REPOSITORY[:TAG][@DIGEST][#FILE]`.

use crate::error::ImageError;
use crate::proof::digest::Expected;
use crate::source::registry::base;

/// Whether this is a reference to an image in a registry.
pub fn is_reference(text: &str) -> bool {
    ["oci://", "oci+http://"].iter().any(|scheme| text.starts_with(scheme) && text.len() > scheme.len())
}

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `https://HOST` or `http://HOST` of the server.
    base: String,
    /// The reference as written, up to the repository.
    written: String,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
    /// Which file of an artefact, if it has several.
    title: Option<String>,
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.written)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

impl Reference {
    /// Uses TLS unless the scheme says otherwise, for every host.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let wrong = |why| ImageError::Reference { text: text.chars().take(200).collect(), why };
        let base = base(text).ok_or_else(|| wrong("it does not begin with oci://HOST/"))?;
        let (rest, title) = match text.split_once('#') {
            Some((rest, title)) => (rest, Some(title.to_owned()).filter(|title| !title.is_empty())),
            None => (text, None),
        };
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(Expected::parse(digest).map_err(|_| wrong("what follows @ is no digest"))?.to_string()))
            }
            None => (rest, None),
        };
        let (scheme, rest) = rest.split_once("://").unwrap_or_default();
        let (host, path) = rest.split_once('/').ok_or_else(|| wrong("it names no repository"))?;
        let port = host.rsplit_once(':').map(|(_, port)| port).filter(|_| !host.ends_with(']'));
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        if !host.bytes().all(good) || port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err(wrong("its host is none"));
        }
        let (path, tag) = match path.rsplit_once(':') {
            Some((path, tag)) => (path, Some(tag.to_owned())),
            None => (path, None),
        };
        if tag.as_deref().is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong("its tag is none"));
        }
        if tag.is_none() && digest.is_none() {
            return Err(wrong("it has neither a tag nor a digest"));
        }
        let official = host == "docker.io" && !path.contains('/');
        let repository = if official { format!("library/{path}") } else { path.to_owned() };
        if repository.len() > 255 || !repository.split('/').all(is_component) {
            return Err(wrong("its repository is none: small letters, digits, and single . _ - in between"));
        }
        Ok(Self { base, written: format!("{scheme}://{host}/{path}"), repository, tag, digest, title })
    }

    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    pub fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// `HOST[:PORT]`
    pub(crate) fn server(&self) -> String {
        self.base.split_once("://").map(|(_, host)| host.to_owned()).unwrap_or_default()
    }

    /// The reference with a digest, for messages and receipts.
    pub(crate) fn pinned(&self, digest: &str) -> String {
        Self { digest: Some(digest.to_owned()), ..self.clone() }.to_string()
    }

    /// Distribution specification, 3.2. `name` is a digest or a tag; without one, this reference's own tag.
    pub(crate) fn manifest(&self, name: Option<&str>) -> String {
        let name = name.or(self.tag()).unwrap_or_default();
        format!("{}/v2/{}/manifests/{name}", self.base, self.repository)
    }

    pub(crate) fn blob(&self, digest: &str) -> String {
        format!("{}/v2/{}/blobs/{digest}", self.base, self.repository)
    }

    pub(crate) fn referrers(&self, digest: &str) -> String {
        format!("{}/v2/{}/referrers/{digest}", self.base, self.repository)
    }

    pub(crate) fn damaged(&self, what: &str) -> ImageError {
        ImageError::Damaged { source_name: self.to_string(), format: "OCI", what: what.to_owned() }
    }

    fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
fn is_tag(tag: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=128).contains(&tag.len()) && tag.bytes().all(good) && !tag.starts_with(['.', '-'])
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = part.bytes().next().is_some_and(plain) && part.bytes().next_back().is_some_and(plain);
    ends && part.bytes().all(|byte| plain(byte) || b"._-".contains(&byte)) && !part.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn references_name_urls() {
        let one = Reference::parse(&format!("oci://registry.example:5000/team/debian:13@{DIGEST}#disk.raw")).unwrap();
        let base = "https://registry.example:5000/v2/team/debian";
        assert_eq!(one.manifest(one.digest()), format!("{base}/manifests/{DIGEST}"));
        assert_eq!((one.blob(DIGEST), one.title()), (format!("{base}/blobs/{DIGEST}"), Some("disk.raw")));
        assert_eq!(one.to_string(), format!("oci://registry.example:5000/team/debian:13@{DIGEST}"));
        let plain = Reference::parse("oci+http://[::1]:5000/x:latest").unwrap();
        assert_eq!(plain.manifest(None), "http://[::1]:5000/v2/x/manifests/latest");
        let docker = Reference::parse("oci://docker.io/debian:13").unwrap();
        assert_eq!(docker.manifest(None), "https://registry-1.docker.io/v2/library/debian/manifests/13");
        assert_eq!(docker.to_string(), "oci://docker.io/debian:13");
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let digest = format!("oci://h/x@{}", &DIGEST[..20]);
        for bad in [
            "oci://",
            "oci://h",
            "oci://h/x",
            "oci:///x:1",
            "oci://h/:1",
            "oci://h/X:1",
            "oci://h/../x:1",
            "oci://h/a//b:1",
            "oci://h/a/./b:1",
            "oci://h/x:",
            "oci://h/x:a/b",
            "oci://h/x:.a",
            "oci://h:p/x:1",
            "oci://u:p@h/x:1",
            "oci://h/x?y:1",
            "oci://h /x:1",
            "https://h/x:1",
            "docker://h/x:1",
            &digest,
            "oci://h/x@md5:0",
            "oci://h/%2e:1",
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_leaves_its_repository(rest in "[ -~]{0,40}") {
            if let Ok(reference) = Reference::parse(&format!("oci://host/{rest}")) {
                let url = url::Url::parse(&reference.manifest(None)).unwrap();
                assert!(url.path().starts_with("/v2/") && !url.path().contains(".."));
                assert_eq!(url.host_str(), Some("host"));
            }
        }
    }
}
