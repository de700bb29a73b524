//! One GET as every part of a transfer sends it: through the proxy that is meant, with credentials where they belong.

use super::{Http, ImageError};
use crate::protocol::Secret;
use ureq::config::RedirectAuthHeaders;
use ureq::http::Uri;
use ureq::typestate::WithoutBody;
use ureq::{Proxy, RequestBuilder};

/// What a server wants to see before it hands out an image. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    header: Secret,
    /// They are sent there and nowhere else.
    origin: Origin,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials for {}://{}:{}", self.origin.scheme, self.origin.host, self.origin.port)
    }
}

impl Credentials {
    /// RFC 7617. For the server of `url`.
    pub fn basic(url: &str, user: &str, password: &Secret) -> Option<Self> {
        let pair = format!("{user}:{}", password.reveal());
        Some(Self { header: Secret::new(format!("Basic {}", base64(pair.as_bytes()))), origin: Origin::of(url)? })
    }

    /// RFC 6750. For the server of `url`.
    pub fn bearer(url: &str, token: &Secret) -> Option<Self> {
        Some(Self { header: Secret::new(format!("Bearer {}", token.reveal())), origin: Origin::of(url)? })
    }
}

/// RFC 6454.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        Some(Self { host: uri.host()?.to_ascii_lowercase(), scheme, port })
    }
}

/// Through whom requests go. Tunnels by CONNECT, for http and https alike.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    /// Hosts that are asked directly: a name with all below it, an address, or `*`.
    direct: Vec<String>,
}

impl std::fmt::Debug for Proxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = |proxy: &Option<Proxy>| proxy.as_ref().map(|proxy| format!("{}:{}", proxy.host(), proxy.port()));
        write!(f, "Proxies {{ http: {:?}, https: {:?} }}", host(&self.http), host(&self.https))
    }
}

impl Proxies {
    /// One for everything.
    pub fn all(url: &str) -> Result<Self, ImageError> {
        let proxy = parse(url, "what --proxy or the order names")?;
        Ok(Self { http: Some(proxy.clone()), https: Some(proxy), direct: Vec::new() })
    }

    /// From `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, in small or, all but the first, capital letters
    /// (HTTP_PROXY is what a CGI script's caller may set).
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ImageError> {
        let get = |name: &str| {
            let capital = (name != "http_proxy").then(|| name.to_ascii_uppercase());
            let value = variable(name).or_else(|| variable(&capital?));
            value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let proxy = |name: &str| {
            let value = get(name).or_else(|| get("all_proxy"));
            value.map(|value| parse(&value, name)).transpose()
        };
        let direct = get("no_proxy").unwrap_or_default();
        let direct = direct.split([',', ' ']).map(|host| host.trim().to_ascii_lowercase());
        let direct = direct.filter(|host| !host.is_empty()).collect();
        Ok(Self { http: proxy("http_proxy")?, https: proxy("https_proxy")?, direct })
    }

    fn for_url(&self, url: &str) -> Option<Proxy> {
        let origin = Origin::of(url)?;
        if self.direct.iter().any(|name| covers(name, &origin)) {
            return None;
        }
        if origin.scheme == "https" { self.https.clone() } else { self.http.clone() }
    }
}

/// `name` of no_proxy: `example.com` and `.example.com` cover the domain and all below it, with `:PORT` only that port.
fn covers(name: &str, origin: &Origin) -> bool {
    let (name, port) = match name.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse::<u16>() {
            Ok(port) => (host, Some(port)),
            Err(_) => (name, None),
        },
        _ => (name, None),
    };
    let name = name.trim_start_matches('*').trim_start_matches('.');
    let host = origin.host.trim_start_matches('[').trim_end_matches(']');
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let below = || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
    port.is_none_or(|port| port == origin.port) && (name.is_empty() || host == name || below())
}

fn parse(url: &str, what: &str) -> Result<Proxy, ImageError> {
    let bad = || ImageError::ProxyUrl { what: what.to_owned() };
    let proxy = Proxy::new(url).map_err(|_| bad())?;
    // SOCKS is not built in.
    let http = matches!(proxy.protocol(), ureq::ProxyProtocol::Http | ureq::ProxyProtocol::Https);
    if http { Ok(proxy) } else { Err(bad()) }
}

impl Http {
    /// Statuses are answers; redirects are followed, and credentials stay on their host and never leave TLS.
    pub(super) fn get(&self, url: &str) -> RequestBuilder<WithoutBody> {
        let mut request = self.agent.get(url).header("accept-encoding", "identity");
        if let Some(credentials) =
            self.credentials.as_ref().filter(|known| Origin::of(url).as_ref() == Some(&known.origin))
        {
            request = request.header("authorization", credentials.header.reveal());
        }
        let config = request.config().http_status_as_error(false).proxy(self.proxies.for_url(url));
        config.redirect_auth_headers(RedirectAuthHeaders::SameHost).build()
    }

    /// The same way to another URL.
    pub fn at(&self, url: &str) -> Self {
        Self { urls: vec![url.to_owned()], connections: 1, ..self.clone() }
    }
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let number = group.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = LETTERS[(number >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, ImageError> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        Proxies::from_environment(|name| variables.get(name).map(|&value| value.to_owned()))
    }

    #[test]
    fn base64_as_in_the_standard() {
        // RFC 4648, section 10.
        for (plain, wanted) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(plain.as_bytes()), wanted);
        }
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let both = proxies(&[("http_proxy", "http://one:3128"), ("HTTPS_PROXY", "http://u:p@two:8080")]).unwrap();
        assert_eq!(both.for_url("http://images/a").unwrap().host(), "one");
        assert_eq!(both.for_url("https://images/a").unwrap().host(), "two");
        assert!(!format!("{both:?}").contains("u:p"));
        let all = proxies(&[("ALL_PROXY", "three:1"), ("HTTP_PROXY", "http://evil")]).unwrap();
        assert_eq!(all.for_url("http://images/a").unwrap().host(), "three");
        assert!(proxies(&[]).unwrap().for_url("http://images/a").is_none());
        assert!(proxies(&[("http_proxy", "socks5://x:1")]).is_err());
        let error = proxies(&[("http_proxy", "http://user:secret@")]).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn no_proxy_means_hosts_and_all_below_them() {
        let direct = |list: &str, url: &str| {
            proxies(&[("all_proxy", "http://p"), ("no_proxy", list)]).unwrap().for_url(url).is_none()
        };
        assert!(direct("a.test, lan", "http://x.lan/") && direct("lan", "https://LAN:1/") && direct("*", "http://y/"));
        assert!(
            direct(".lan", "http://x.lan/") && direct("*.lan", "http://x.lan/") && direct("::1", "http://[::1]:8/")
        );
        assert!(direct("x.lan:81", "http://x.lan:81/") && !direct("x.lan:81", "http://x.lan/"));
        assert!(!direct("lan", "http://x.plan/") && !direct("10.0.0.1", "http://10.0.0.11/"));
    }

    #[test]
    fn credentials_are_for_one_origin_and_are_not_shown() {
        let secret = Secret::new("hunter2");
        let mut http = Http::new(ureq::Agent::new_with_defaults(), Vec::new());
        http.credentials = Credentials::basic("https://images/a", "me", &secret);
        assert!(!format!("{http:?}").contains("hunter2") && !format!("{http:?}").contains(&base64(b"me:hunter2")));
        let sent = |url: &str| {
            let request = http.get(url);
            request.headers_ref().is_some_and(|headers| headers.contains_key("authorization"))
        };
        assert!(sent("https://images/b.minisig") && sent("https://IMAGES:443/c"));
        assert!(!sent("http://images/a") && !sent("https://images:8443/a") && !sent("https://other/a"));
    }
}
