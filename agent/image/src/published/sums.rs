//! Published digests: a SHA256SUMS file beside the image, and its minisign signature.

use crate::ImageError;
use crate::flow::progress::Cancel;
use crate::published::minisign::Minisign;
use crate::published::small::Small;
use crate::source::answer::display;
use crate::source::get::Http;

/// Where an image's digest is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    /// URL or path of a file as `sha256sum` or `sha512sum` writes it.
    pub url: String,
    /// Who must have signed that file.
    pub minisign: Option<Minisign>,
}

/// Fetches the digest (`sha256:HEX`) that is published for the image at `image_url`, to be used as
/// `WriteRequest::digest.wire`. With a key, only a rightly signed file counts.
pub fn published(http: &Http, sums: &Sums, image_url: &str, cancel: &Cancel) -> Result<String, ImageError> {
    let file = Small::fetch(http, &sums.url, cancel)?;
    if let Some(minisign) = &sums.minisign {
        minisign.fetch(http, &sums.url, cancel)?.check(&file.0)?;
    }
    let name = file_name(image_url);
    let found = find(&file.text(), name);
    found.ok_or_else(|| ImageError::NoPublishedDigest { url: display(&sums.url), name: name.to_owned() })
}

fn file_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or(path)
}

/// The digest of `name` in GNU (`HEX  NAME`, `HEX *NAME`) or BSD (`SHA256 (NAME) = HEX`) form, or of a file that holds
/// nothing but one digest.
pub fn find(text: &str, name: &str) -> Option<String> {
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
}
