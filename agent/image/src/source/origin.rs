//! Whose URL it is: what decides who sees credentials, and where a redirect leads (RFC 6454, RFC 3986).

use ureq::http::Uri;
use url::Url;

/// RFC 6454.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub scheme: String,
    pub host: String,
    pub port: u16,
}

impl Origin {
    pub fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        Some(Self { host: uri.host()?.to_ascii_lowercase(), scheme, port })
    }

    /// Whether what this one may see may follow a redirect to `next`: on the same host, and never out of TLS.
    pub fn trusts(&self, next: &Self) -> bool {
        self.host == next.host && (self.scheme == next.scheme || next.scheme == "https")
    }
}

/// The URL that `reference` means where `base` is (RFC 3986, 5.2), without its fragment. None where it cannot be one of
/// http or https.
pub fn join(base: &str, reference: &str) -> Option<String> {
    let mut url = Url::parse(base).ok()?.join(reference).ok()?;
    url.set_fragment(None);
    matches!(url.scheme(), "http" | "https").then(|| url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_as_in_the_standard() {
        // RFC 3986, 5.4, with http.
        let cases = [
            ("https://g", "https://g/"),
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            ("g?y#s", "http://a/b/c/g?y"),
            (";x", "http://a/b/c/;x"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/../h", "http://a/b/c/h"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            ("g?to=http://h/", "http://a/b/c/g?to=http://h/"),
        ];
        for (reference, wanted) in cases {
            assert_eq!(join("http://a/b/c/d;p?q", reference).as_deref(), Some(wanted), "{reference}");
        }
        assert_eq!(join("http://u:p@a:81", "g").as_deref(), Some("http://u:p@a:81/g"));
        assert_eq!(join("http://a/", "HTTPS://G/x").as_deref(), Some("https://g/x"));
        assert_eq!(join("http://a/", "ftp://g/x"), None);
    }

    #[test]
    fn credentials_stay_on_their_host_and_inside_tls() {
        let trusts = |from: &str, to: &str| Origin::of(from).unwrap().trusts(&Origin::of(to).unwrap());
        assert!(trusts("http://a/x", "http://A:80/y") && trusts("http://a/x", "https://a/x"));
        assert!(!trusts("https://a/x", "http://a/x") && !trusts("http://a/x", "http://b/x"));
    }
}
