//! Selects the proxy for a URL.

use crate::error::ImageError;
use burin_http::redirect::Origin;
use ipnet::IpNet;
use std::net::IpAddr;
use ureq::{Proxy, ProxyProtocol};

/// Proxies for requests: HTTP (http://, https://) and SOCKS (socks5://, socks5h://).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    /// Servers that are contacted directly, as in no_proxy.
    direct: Vec<String>,
}

impl std::fmt::Debug for Proxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = |proxy: &Option<Proxy>| proxy.as_ref().map(|proxy| format!("{}:{}", proxy.host(), proxy.port()));
        write!(f, "Proxies {{ http: {:?}, https: {:?} }}", host(&self.http), host(&self.https))
    }
}

impl Proxies {
    /// One proxy for everything.
    pub fn all(url: &str) -> Result<Self, ImageError> {
        let proxy = parse(url, "what --proxy or the order names")?;
        Ok(Self { http: Some(proxy.clone()), https: Some(proxy), direct: Vec::new() })
    }

    /// From `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, in lower case or, except for the first, in upper
    /// case (a CGI script's caller may set HTTP_PROXY).
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

    /// `None` if the server is contacted directly.
    pub(crate) fn for_url(&self, url: &str) -> Option<Proxy> {
        let origin = Origin::of(url)?;
        if self.direct.iter().any(|name| covers(name, &origin)) {
            return None;
        }
        if origin.scheme == "https" { self.https.clone() } else { self.http.clone() }
    }
}

/// `name` of no_proxy: `example.com`, `.example.com` and `*.example.com` cover the domain and all below it, with `:PORT`
/// only that port; `10.0.0.0/8` covers URLs that name such an address; `*` covers everything. Names are not resolved.
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
    let within = || match (name.parse::<IpNet>(), host.parse::<IpAddr>()) {
        (Ok(net), Ok(address)) => net.contains(&address),
        _ => false,
    };
    port.is_none_or(|port| port == origin.port) && (name.is_empty() || host == name || below() || within())
}

fn parse(url: &str, what: &str) -> Result<Proxy, ImageError> {
    let bad = || ImageError::ProxyUrl { what: what.to_owned() };
    let proxy = Proxy::new(url).map_err(|_| bad())?;
    match proxy.protocol() {
        ProxyProtocol::Http | ProxyProtocol::Https | ProxyProtocol::Socks5 | ProxyProtocol::Socks5h => Ok(proxy),
        // SOCKS 4 supports neither passwords nor IPv6.
        _ => Err(bad()),
    }
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
    fn each_scheme_has_its_proxy() {
        let both = proxies(&[("http_proxy", "http://one:3128"), ("HTTPS_PROXY", "http://u:p@two:8080")]).unwrap();
        assert_eq!(both.for_url("http://images/a").unwrap().host(), "one");
        assert_eq!(both.for_url("https://images/a").unwrap().host(), "two");
        assert!(!format!("{both:?}").contains("u:p"));
        let all = proxies(&[("ALL_PROXY", "three:1"), ("HTTP_PROXY", "http://evil")]).unwrap();
        assert_eq!(all.for_url("http://images/a").unwrap().host(), "three");
        assert!(proxies(&[]).unwrap().for_url("http://images/a").is_none());
        for scheme in ["http", "https", "socks5", "socks5h"] {
            proxies(&[("https_proxy", &format!("{scheme}://x:1"))]).unwrap();
        }
        for bad in ["socks4://x:1", "socks4a://x:1", "ftp://x:1", "http://"] {
            assert!(proxies(&[("http_proxy", bad)]).is_err(), "{bad}");
        }
        let error = proxies(&[("http_proxy", "http://user:secret@")]).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn no_proxy_means_hosts_all_below_them_and_networks() {
        let direct = |list: &str, url: &str| {
            proxies(&[("all_proxy", "http://p"), ("no_proxy", list)]).unwrap().for_url(url).is_none()
        };
        assert!(direct("a.test, lan", "http://x.lan/") && direct("lan", "https://LAN:1/") && direct("*", "http://y/"));
        assert!(
            direct(".lan", "http://x.lan/") && direct("*.lan", "http://x.lan/") && direct("::1", "http://[::1]:8/")
        );
        assert!(direct("x.lan:81", "http://x.lan:81/") && !direct("x.lan:81", "http://x.lan/"));
        assert!(!direct("lan", "http://x.plan/") && !direct("10.0.0.1", "http://10.0.0.11/"));
        assert!(direct("10.0.0.0/8", "http://10.9.8.7:8080/") && !direct("10.0.0.0/8", "http://11.0.0.1/"));
        assert!(direct("fd00::/8", "http://[fd12::1]:81/") && !direct("fd00::/8", "http://[fe80::1]/"));
        assert!(!direct("10.0.0.0/8", "http://10.example/") && !direct("0.0.0.0/0", "http://[::1]/"));
    }
}
