//! Typed values of single words.

use super::ConfigError;
use super::syslog::SyslogTarget;
use crate::protocol::order::Finish;
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use ureq::http::Uri;

/// An absolute `http` or `https` URL with a host. Shown without its user information.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl(String);

impl HttpUrl {
    /// Returns a readable reason if it is invalid.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.parse().map_err(|_| "it is not a URL")?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            Some(_) => return Err("its scheme is neither http nor https"),
            None => return Err("it has no http:// or https:// in front"),
        }
        match uri.host() {
            None | Some("") => Err("it names no host"),
            Some(host) if is_of_one_link(host) => {
                Err("its address is one of a single link (fe80::): give a global one, or a unique local one (fd00::/8)")
            }
            Some(_) => Ok(Self(text.to_owned())),
        }
    }

    /// The URL as given, user information included: for the HTTP client, not for a log.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_https(&self) -> bool {
        self.0.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
    }
}

/// With or without a zone (RFC 6874). A zone is meaningless in a URL that is also given to other machines.
fn is_of_one_link(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let (address, zone) = bare.split_once('%').map_or((bare, None), |(address, zone)| (address, Some(zone)));
    address.parse().is_ok_and(|address: Ipv6Addr| zone.is_some() || address.is_unicast_link_local())
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_userinfo(&self.0))
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUrl({self})")
    }
}

/// `scheme://user:password@host/` -> `scheme://***@host/`; also for text that is not a URL.
pub(super) fn without_userinfo(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://***@{host}{tail}"),
        None => text.to_owned(),
    }
}

/// How the controller's TLS certificate is verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// `/etc/burin/ca.pem` if it exists, and the public CAs of the ramdisk.
    #[default]
    Default,
    /// This file of PEM certificates.
    CaFile(PathBuf),
    /// Exactly the server certificate with this SHA-256 of its DER form.
    Fingerprint([u8; 32]),
}

pub(super) fn parse_trust(text: &str) -> Result<Trust, ConfigError> {
    let bad = |why| ConfigError::Ca { value: text.to_owned(), why };
    match text.split_once(':') {
        Some(("sha256", hex)) => parse_hex32(hex)
            .map(Trust::Fingerprint)
            .ok_or_else(|| bad("a SHA-256 fingerprint has 64 hexadecimal digits")),
        _ if text.starts_with('/') => Ok(Trust::CaFile(PathBuf::from(text))),
        _ => Err(bad("it is neither an absolute path nor sha256:HEX")),
    }
}

/// 32 bytes in hexadecimal; colons between bytes, as printed by openssl, are allowed.
fn parse_hex32(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> =
        text.chars().filter(|&c| c != ':').map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    let bytes: Vec<u8> =
        digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |all, digit| all << 4 | digit)).collect();
    if digits.len() == 64 { bytes.try_into().ok() } else { None }
}

/// The agent's own API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiDoor {
    Off,
    /// On the address by which the controller reaches this machine; 0 is an ephemeral port.
    Port(u16),
    /// On this address only.
    At(SocketAddr),
}

impl Default for ApiDoor {
    fn default() -> Self {
        Self::Port(8443)
    }
}

pub(super) fn parse_api(text: &str) -> Result<ApiDoor, ConfigError> {
    match text {
        "off" => Ok(ApiDoor::Off),
        "on" => Ok(ApiDoor::default()),
        _ if text.contains(':') => {
            text.parse().map(ApiDoor::At).map_err(|_| ConfigError::Api { value: text.to_owned() })
        }
        _ => text.parse().map(ApiDoor::Port).map_err(|_| ConfigError::Api { value: text.to_owned() }),
    }
}

/// The source of an order without a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderSource {
    Url(HttpUrl),
    Path(PathBuf),
}

pub(super) fn parse_bytes(text: &str) -> Result<OrderSource, ConfigError> {
    if text.starts_with('/') {
        return Ok(OrderSource::Path(PathBuf::from(text)));
    }
    HttpUrl::parse(text).map(OrderSource::Url).map_err(|why| ConfigError::url("burin.order", text, why))
}

/// A level, syslog servers, or both, separated by commas; `local` excludes DHCP's servers.
pub(super) fn parse_log(text: &str) -> Result<LogWord, ConfigError> {
    let mut word = LogWord::default();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        if part == "local" {
            word.local = true;
        } else if part.contains("://") {
            let target = SyslogTarget::parse(part).map_err(|_| ConfigError::Log { value: text.to_owned() })?;
            word.targets.push(target);
        } else {
            word.level = Some(parse_level(part).map_err(|_| ConfigError::Log { value: text.to_owned() })?);
        }
    }
    Ok(word)
}

/// `burin.log=`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogWord {
    pub level: Option<log::LevelFilter>,
    pub targets: Vec<SyslogTarget>,
    /// Do not send to servers that only DHCP names.
    pub local: bool,
}

fn parse_level(text: &str) -> Result<log::LevelFilter, ConfigError> {
    match text {
        "error" | "warn" | "info" | "debug" | "trace" => text.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| ConfigError::Log { value: text.to_owned() })
}

/// Switches send every 30 seconds; more than five minutes is pointless.
pub(super) fn parse_lldp(text: &str) -> Result<Duration, ConfigError> {
    let seconds = text.parse().ok().filter(|seconds| *seconds <= 300);
    seconds.map(Duration::from_secs).ok_or_else(|| ConfigError::Lldp { value: text.to_owned() })
}

/// An enclosure with staggered spin-up takes minutes, but nothing takes an hour.
pub(super) fn parse_bmc(text: &str) -> Result<Duration, ConfigError> {
    let seconds = text.parse().ok().filter(|seconds| *seconds <= 600);
    seconds.map(Duration::from_secs).ok_or_else(|| ConfigError::Bmc { value: text.to_owned() })
}

pub(super) fn parse_settle(text: &str) -> Result<Duration, ConfigError> {
    let seconds = text.parse().ok().filter(|seconds| *seconds <= 3600);
    seconds.map(Duration::from_secs).ok_or_else(|| ConfigError::Settle { value: text.to_owned() })
}

pub(super) fn parse_finish(text: &str) -> Result<Finish, ConfigError> {
    match text {
        "reboot" => Ok(Finish::Reboot),
        "poweroff" => Ok(Finish::Poweroff),
        "kexec" => Ok(Finish::Kexec),
        "hold" => Ok(Finish::Hold),
        _ => Err(ConfigError::Finish { value: text.to_owned() }),
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// `aa:bb:cc:dd:ee:ff`, or with hyphens.
    pub fn parse(text: &str) -> Option<Self> {
        let mut mac = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut mac {
            let part = parts.next().filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))?;
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        if parts.next().is_some() { None } else { Some(Self(mac)) }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mac({self})")
    }
}

/// `01-aa-bb-cc-dd-ee-ff` as PXELINUX defined it (ARP hardware type first), or the bare address.
pub(super) fn parse_boot_mac(text: &str) -> Result<Mac, ConfigError> {
    let address = match text.split_once(['-', ':']) {
        Some(("01", rest)) if rest.len() == 17 => rest,
        _ => text,
    };
    let mac = Mac::parse(address).ok_or_else(|| ConfigError::BootIf { value: text.to_owned() })?;
    if mac.0 == [0; 6] || mac.0[0] & 1 == 1 {
        return Err(ConfigError::BootIf { value: text.to_owned() });
    }
    Ok(mac)
}
