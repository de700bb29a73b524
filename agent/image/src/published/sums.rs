//! Published digests: a SHA256SUMS file beside the image, and its minisign signature.

use crate::error::ImageError;
use crate::flow::progress::Cancel;
use crate::published::minisign::Minisign;
use crate::published::sidecar::Sidecar;
use crate::published::sum_lines::{self, SumLine};
use crate::source::answer::display;
use crate::source::get::Http;

/// Where an image's digest is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    /// URL or path of a file as `sha256sum` or `sha512sum` writes it.
    pub url: String,
    /// The required signer of that file.
    pub minisign: Option<Minisign>,
}

/// Fetches the digest (`sha256:HEX`) published for the image at `image_url`, to be used as `WriteRequest::digest.wire`.
/// With a key, the file must be correctly signed.
pub fn published(http: &Http, sums: &Sums, image_url: &str, cancel: &Cancel) -> Result<String, ImageError> {
    let file = Sidecar::fetch(http, &sums.url, cancel)?;
    if let Some(minisign) = &sums.minisign {
        minisign.fetch(http, &sums.url, cancel)?.check(&file.0)?;
    }
    let (url, name) = (display(&sums.url), display(image_url));
    match find(&sum_lines::text(&file.0), image_url) {
        PublishedDigest::Digest(digest) => Ok(digest),
        PublishedDigest::Nothing => Err(ImageError::NoPublishedDigest { url, name }),
        PublishedDigest::Several => Err(ImageError::DigestAmbiguous { url, name }),
    }
}

/// The result of looking up an image in a file of digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishedDigest {
    Digest(String),
    Nothing,
    /// Several digests for files of this name, and the path does not decide.
    Several,
}

/// The digest of the file at `at`, a URL or path: that of the file with the same name whose path matches best, or the
/// only digest if the file contains no names.
pub fn find(text: &str, at: &str) -> PublishedDigest {
    let wanted = parts(&path_of(at));
    let lines = sum_lines::read(text);
    let rank = |line: &SumLine| {
        let named = parts(line.name.as_deref()?);
        let same = named.iter().rev().zip(wanted.iter().rev()).take_while(|(a, b)| a == b).count();
        // A match of the whole name takes precedence over one of its end.
        (same > 0).then_some((same == named.len(), same))
    };
    let best = lines.iter().filter_map(rank).max();
    let mut digests: Vec<&str> = match best {
        Some(best) => lines.iter().filter(|line| rank(line) == Some(best)).map(|line| line.digest.as_str()).collect(),
        None if lines.iter().all(|line| line.name.is_none()) => lines.iter().map(|line| line.digest.as_str()).collect(),
        None => return PublishedDigest::Nothing,
    };
    // A file may be listed with more than one algorithm.
    digests.sort_unstable();
    digests.dedup();
    let first = digests.iter().find(|digest| digest.starts_with("sha256:")).or(digests.first());
    let kind = |digest: &str| digest.split(':').next().map(str::to_owned);
    match first {
        None => PublishedDigest::Nothing,
        Some(first) if digests.iter().filter(|digest| kind(digest) == kind(first)).count() > 1 => {
            PublishedDigest::Several
        }
        Some(first) => PublishedDigest::Digest((*first).to_owned()),
    }
}

/// The path of a URL, with escapes decoded; other text is returned unchanged.
fn path_of(at: &str) -> String {
    if !(at.starts_with("http://") || at.starts_with("https://")) {
        return at.to_owned();
    }
    let path = at.split(['?', '#']).next().unwrap_or(at);
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = after.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match escaped.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The parts of a path, of either kind of separator.
fn parts(path: &str) -> Vec<String> {
    path.split(['/', '\\']).filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    fn digest(hex: &str) -> PublishedDigest {
        let kind = if hex.len() == 64 { "sha256" } else { "sha512" };
        PublishedDigest::Digest(format!("{kind}:{}", hex.to_lowercase()))
    }

    #[test]
    fn each_form_that_is_published_is_read() {
        let (a, b, c) = ("a".repeat(64), "B".repeat(64), "c".repeat(128));
        let base64 = BASE64_STANDARD.encode([0xaa; 32]);
        let spaced = vec!["aa"; 32].join(" ");
        let forms = [
            format!("{b}  other.raw\n{a}  disk.raw\n"),
            format!("{a} *disk.raw\r\n{b} *other.raw\r\n"),
            format!("{}  ./disk.raw\n", a.to_uppercase()),
            format!("{a}\tdisk.raw"),
            format!("sha256:{a}  disk.raw"),
            format!("{a} 123456 main/disk.raw\n{b} 99 other"),
            format!("SHA256 (disk.raw) = {a}\nSHA512 (disk.raw) = {c}\nMD5 (disk.raw) = {}\n", "1".repeat(32)),
            format!("SHA256(disk.raw)= {a}\n"),
            format!("SHA2-256(disk.raw)= {a}\n"),
            format!("SHA2-256(stdin)= {a}\n"),
            format!("SHA256 (disk.raw) = {base64}\n"),
            format!("{a}\n"),
            format!("{a}  -\n"),
            format!("disk.raw: {a}\nother.raw: {b}\n"),
            format!("disk.raw {a}\n"),
            format!(
                "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n# disk.raw: 5 bytes\nSHA256 (disk.raw) = {a}\n\
                     -----BEGIN PGP SIGNATURE-----\nxx\n-----END PGP SIGNATURE-----\n"
            ),
            format!(
                "\r\nAlgorithm       Hash      Path\r\n---------       ----      ----\r\nSHA256          {}       C:\\pub\\disk.raw\r\n",
                a.to_uppercase()
            ),
            format!(
                "\nAlgorithm : SHA256\nHash      : {}\nPath      : C:\\pub\\disk.raw\n\nAlgorithm : SHA256\nHash      : {b}\nPath      : C:\\pub\\other.raw\n",
                a.to_uppercase()
            ),
            format!("{b}  other.raw\0{a}  disk.raw\0"),
            format!("\"Algorithm\",\"Hash\",\"Path\"\r\n\"SHA256\",\"{}\",\"C:\\pub\\disk.raw\"\r\n", a.to_uppercase()),
            format!("%%%% HASHDEEP-1.0\n%%%% size,md5,sha256,filename\n## x\n5,{},{a},/pub/disk.raw\n", "1".repeat(32)),
            format!("SHA256: {a}\n"),
            format!("sha256={a}\nsha512={c}\n"),
            format!("SHA256 hash of disk.raw:\n{a}\nCertUtil: -hashfile command completed successfully.\n"),
            format!("SHA256 hash of file C:\\pub\\disk.raw:\n{spaced}\nCertUtil: ok\n"),
        ];
        for form in &forms {
            assert_eq!(find(form, "http://host/pub/disk.raw?token=a/b#c"), digest(&a), "{form}");
        }
        let utf16: Vec<u8> = format!("\u{feff}{a}  disk.raw\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(find(&sum_lines::text(&utf16), "disk.raw"), digest(&a));
        assert_eq!(find(&format!("SHA512 (one (copy).raw) = {c}\n"), "/srv/one (copy).raw"), digest(&c));
        assert_eq!(find(&format!("{a}  my image.raw\n"), "http://h/my%20image.raw"), digest(&a));
        assert_eq!(find(&format!("\\{a}  a\\\\b\\nc.raw\n"), "/srv/a\\b\nc.raw"), digest(&a));
    }

    #[test]
    fn only_the_right_name_counts() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let two = format!("{a}  ./bios/disk.img\n{b}  ./uefi/disk.img\n");
        assert_eq!(find(&two, "http://h/x/bios/disk.img"), digest(&a));
        assert_eq!(find(&two, "http://h/x/uefi/disk.img"), digest(&b));
        assert_eq!(find(&two, "http://h/disk.img"), PublishedDigest::Several);
        assert_eq!(find(&two, "http://h/sk.img"), PublishedDigest::Nothing);
        let beside = format!("{a}  disk.img\n{b}  old/disk.img\n");
        assert_eq!(find(&beside, "http://h/disk.img"), digest(&a));
        assert_eq!(find(&beside, "http://h/old/disk.img"), digest(&b));
        assert_eq!(find(&format!("{a}\n{b}\n"), "anything"), PublishedDigest::Several);
        assert_eq!(find(&format!("{a}  other.raw\n"), "disk.raw"), PublishedDigest::Nothing);
        assert_eq!(find("junk", "junk"), PublishedDigest::Nothing);
    }
}
