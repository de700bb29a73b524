//! Published digests: a SHA256SUMS file beside the image, and its minisign signature.

use super::answer::display;
use super::aside::aside;
use super::{Cancel, ImageError};
use std::time::Duration;

/// A file of digests is text; more than this is something else.
const LARGEST: u64 = 1 << 20;
/// For each of the two small files.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where an image's digest is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    /// Of a file as `sha256sum` or `sha512sum` writes it.
    pub url: String,
    /// Who must have signed that file.
    pub minisign: Option<Minisign>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minisign {
    /// Base64, as in the second line of a minisign.pub.
    pub key: String,
    /// Where the signature is; beside the file, with `.minisig` added, unless given.
    pub url: Option<String>,
}

/// Fetches the digest (`sha256:HEX`) that is published for the image at `image_url`, to be used as
/// `WriteRequest::digest.wire`. With a key, only a rightly signed file counts.
pub fn published(agent: &ureq::Agent, sums: &Sums, image_url: &str, cancel: &Cancel) -> Result<String, ImageError> {
    let fetch = |url: &str| {
        let (agent, url) = (agent.clone(), url.to_owned());
        aside("sums", &|| cancel.is_cancelled(), move || fetch(&agent, &url))
    };
    let text = fetch(&sums.url)?;
    if let Some(minisign) = &sums.minisign {
        let url = minisign.url.clone().unwrap_or_else(|| format!("{}.minisig", sums.url));
        let signature = fetch(&url)?;
        verify(&minisign.key, &signature, text.as_bytes())
            .map_err(|source| ImageError::Signature { url: display(&url), source })?;
    }
    let name = file_name(image_url);
    find(&text, name).ok_or_else(|| ImageError::NoPublishedDigest { url: display(&sums.url), name: name.to_owned() })
}

/// Checks a minisign signature, prehashed or legacy.
pub fn verify(key: &str, signature: &str, bytes: &[u8]) -> Result<(), minisign_verify::Error> {
    let key = minisign_verify::PublicKey::from_base64(key.trim())?;
    key.verify(bytes, &minisign_verify::Signature::decode(signature)?, true)
}

fn fetch(agent: &ureq::Agent, url: &str) -> Result<String, ImageError> {
    let request = agent.get(url).config().http_status_as_error(false).timeout_global(Some(TIMEOUT)).build();
    let failed = |error: ureq::Error| ImageError::Transfer { url: display(url), offset: 0, source: error.into_io() };
    let mut response = request.call().map_err(failed)?;
    match response.status().as_u16() {
        200 => response.body_mut().with_config().limit(LARGEST).read_to_string().map_err(failed),
        404 | 410 => Err(ImageError::NotFound { source_name: display(url) }),
        status @ (401 | 403) => Err(ImageError::Denied { url: display(url), status }),
        status => Err(ImageError::Status { url: display(url), status }),
    }
}

fn file_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or(path)
}

/// The digest of `name` in GNU (`HEX  NAME`, `HEX *NAME`) or BSD (`SHA256 (NAME) = HEX`) form, or of a file that holds
/// nothing but one digest.
fn find(text: &str, name: &str) -> Option<String> {
    let digest = |hex: &str| {
        let kind = match hex.len() {
            64 => "sha256",
            128 => "sha512",
            _ => return None,
        };
        hex.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| format!("{kind}:{}", hex.to_ascii_lowercase()))
    };
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let named = lines.clone().find_map(|line| {
        if let Some((hex, path)) = line.split_once([' ', '\t']) {
            let path = path.trim_start().trim_start_matches('*');
            if path.rsplit('/').next() == Some(name)
                && let Some(found) = digest(hex)
            {
                return Some(found);
            }
        }
        let (_, rest) = line.split_once(" (")?;
        let (path, hex) = rest.rsplit_once(") = ")?;
        (path.rsplit('/').next() == Some(name)).then(|| digest(hex.trim())).flatten()
    });
    named.or_else(|| match (lines.next(), lines.next()) {
        (Some(only), None) => digest(only),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_sums_is_read_and_only_the_right_name_counts() {
        let (a, b) = ("a".repeat(64), "B".repeat(64));
        let gnu = format!("# comment\n{a}  ./one.raw.zst\n{b} *two.raw.zst\n");
        assert_eq!(find(&gnu, "one.raw.zst"), Some(format!("sha256:{a}")));
        assert_eq!(find(&gnu, "two.raw.zst"), Some(format!("sha256:{}", b.to_lowercase())));
        assert_eq!(find(&gnu, "raw.zst"), None);
        let bsd = format!("SHA256 (one.raw) = {a}\nSHA512 (one (copy).raw) = {}\n", "c".repeat(128));
        assert_eq!(find(&bsd, "one.raw"), Some(format!("sha256:{a}")));
        assert_eq!(find(&bsd, "one (copy).raw"), Some(format!("sha512:{}", "c".repeat(128))));
        assert_eq!(find(&format!("{a}\n"), "anything"), Some(format!("sha256:{a}")));
        assert_eq!(find(&format!("{a}\n{b}\n"), "anything"), None);
        assert_eq!(find("junk", "junk"), None);
        assert_eq!(file_name("http://host/dir/one.raw?token=a/b#c"), "one.raw");
    }

    #[test]
    fn signatures_are_checked() {
        // From the documentation of minisign-verify: the file holds "test".
        let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
        let signature = "untrusted comment: signature from minisign secret key\n\
            RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
            trusted comment: timestamp:1633700835\tfile:test\tprehashed\n\
            wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==";
        assert!(verify(key, signature, b"test").is_ok());
        assert!(verify(key, signature, b"tesu").is_err());
        assert!(verify("RWQf6", signature, b"test").is_err());
        assert!(verify(key, "junk", b"test").is_err());
    }
}
