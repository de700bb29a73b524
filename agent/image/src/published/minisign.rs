//! Fetches the minisign signature that is published beside a file.

use crate::error::ImageError;
use crate::flow::progress::Cancel;
use crate::proof::signature::{Signed, public_key};
use crate::published::sidecar::Sidecar;
use crate::source::answer::display;
use crate::source::get::Http;
use minisign_verify::Signature;

/// The required signer, and the location of the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minisign {
    /// In base64, as on the second line of a minisign.pub, or both lines.
    pub key: String,
    /// URL or path. By default that of the signed file, with `.minisig` added.
    pub at: Option<String>,
    /// Earlier signatures are refused. Seconds since 1970.
    pub not_before: Option<u64>,
}

impl Minisign {
    /// Fetches the signature of `signed`, a URL or a path. A missing signature has its own error.
    pub fn fetch(&self, http: &Http, signed: &str, cancel: &Cancel) -> Result<Signed, ImageError> {
        let key = public_key(&self.key)?;
        let at = self.at.clone().unwrap_or_else(|| beside(signed));
        let text = match Sidecar::fetch(http, &at, cancel) {
            Err(ImageError::NotFound { .. }) => return Err(ImageError::SignatureMissing { url: display(&at) }),
            text => text?,
        };
        let signature = Signature::decode(&text.text());
        let signature = signature.map_err(|source| ImageError::Signature { url: display(&at), source })?;
        let signed = Signed { key, signature, url: display(&at), not_before: self.not_before };
        match signed.verifier() {
            Err(error @ ImageError::SignatureOtherKey { .. }) => return Err(error),
            _ => signed.is_recent()?,
        }
        Ok(signed)
    }
}

/// `.minisig` belongs to the path, before a query.
fn beside(signed: &str) -> String {
    let http = signed.starts_with("http://") || signed.starts_with("https://");
    let end = signed.find(['?', '#']).filter(|_| http).unwrap_or(signed.len());
    let (path, rest) = signed.split_at(end);
    format!("{path}.minisig{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use burin_protocol::error::Coded;

    // From the documentation of minisign-verify: the file holds "test".
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const SIGNATURE: &str = "untrusted comment: signature from minisign secret key\n\
        RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
        trusted comment: timestamp:1633700835\tfile:test\tprehashed\n\
        wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==";

    fn fetch(dir: &std::path::Path, key: &str, signature: &str) -> Result<Signed, ImageError> {
        let signed = dir.join("file");
        std::fs::write(dir.join("file.minisig"), signature).unwrap();
        let http = Http::new(ureq::Agent::new_with_defaults(), Vec::new());
        let minisign = Minisign { key: key.to_owned(), at: None, not_before: None };
        minisign.fetch(&http, signed.to_str().unwrap(), &Cancel::default())
    }

    #[test]
    fn signatures_are_checked_whole_and_as_a_stream() {
        let dir = tempfile::tempdir().unwrap();
        let signed = fetch(dir.path(), KEY, SIGNATURE).unwrap();
        signed.check(b"test").unwrap();
        assert_eq!(signed.check(b"tesu").unwrap_err().code(), "image.signature_invalid");
        for (parts, right) in [([&b"te"[..], b"st"], true), ([b"te", b"su"], false)] {
            let mut verifier = signed.verifier().unwrap();
            parts.iter().for_each(|part| verifier.update(part));
            assert_eq!(signed.finish(verifier).is_ok(), right);
        }
        let both_lines = format!("untrusted comment: minisign public key\n{KEY}\n");
        fetch(dir.path(), &both_lines, SIGNATURE).unwrap().check(b"test").unwrap();
    }

    #[test]
    fn what_is_wrong_has_its_own_code() {
        let dir = tempfile::tempdir().unwrap();
        let code = |key: &str, signature: &str| fetch(dir.path(), key, signature).unwrap_err().code();
        assert_eq!(code("RWQf6", SIGNATURE), "image.signature_key");
        assert_eq!(code(KEY, "junk"), "image.signature_invalid");
        let other = "RWRV5YaSboPdjiub4G6fJcNVHwqgBH0y/m1CkFQDftWOUCtuzCgOXrTr";
        assert_eq!(code(other, SIGNATURE), "image.signature_other_key");
        let at = Some("/no/such/file.minisig".to_owned());
        let minisign = Minisign { key: KEY.to_owned(), at, not_before: None };
        let http = Http::new(ureq::Agent::new_with_defaults(), Vec::new());
        let missing = minisign.fetch(&http, "file", &Cancel::default()).unwrap_err();
        assert_eq!(missing.code(), "image.signature_missing");
    }

    /// SIGNATURE is from 1633700835. Adding a date to an old signature does not make it newer.
    #[test]
    fn what_was_signed_too_early_or_does_not_say_when_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let http = Http::new(ureq::Agent::new_with_defaults(), Vec::new());
        let file = dir.path().join("file");
        let fetch = |signature: &str, not_before: Option<u64>| {
            std::fs::write(dir.path().join("file.minisig"), signature).unwrap();
            let minisign = Minisign { key: KEY.to_owned(), at: None, not_before };
            minisign.fetch(&http, file.to_str().unwrap(), &Cancel::default())
        };
        for (not_before, recent) in [(None, true), (Some(1_633_700_835), true), (Some(1_633_700_836), false)] {
            let code = fetch(SIGNATURE, not_before).err().map(|error| error.code());
            assert_eq!(code, (!recent).then_some("image.signature_old"), "{not_before:?}");
        }
        let undated = SIGNATURE.replace("timestamp:1633700835", "when:ever");
        assert_eq!(fetch(&undated, Some(0)).unwrap_err().code(), "image.signature_old");
        let forged = SIGNATURE.replace("1633700835", "1933700835");
        let signed = fetch(&forged, Some(1_900_000_000)).unwrap();
        assert_eq!(signed.check(b"test").unwrap_err().code(), "image.signature_invalid");
        let mut verifier = signed.verifier().unwrap();
        verifier.update(b"test");
        assert_eq!(signed.finish(verifier).unwrap_err().code(), "image.signature_invalid");
    }

    #[test]
    fn the_signature_is_beside_the_path() {
        assert_eq!(beside("http://host/a.raw?token=1"), "http://host/a.raw.minisig?token=1");
        assert_eq!(beside("/srv/what?.raw"), "/srv/what?.raw.minisig");
    }
}
