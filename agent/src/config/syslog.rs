//! Syslog targets: `udp://HOST[:PORT]` or `tcp://HOST[:PORT]`.

use std::fmt;

/// RFC 5426 section 3.3.
const UDP_PORT: u16 = 514;
/// The customary port for octet-counted TCP; RFC 6587 assigns none.
const TCP_PORT: u16 = 601;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyslogTransport {
    Udp,
    Tcp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyslogTarget {
    pub wire: SyslogTransport,
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    pub port: u16,
}

/// Why a text is not a valid target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not udp://HOST[:PORT] or tcp://HOST[:PORT]")]
pub struct TargetError;

impl SyslogTarget {
    /// A server named by DHCP.
    pub fn udp(host: impl fmt::Display) -> Self {
        Self { wire: SyslogTransport::Udp, host: host.to_string(), port: UDP_PORT }
    }

    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = text.split_once("://").ok_or(TargetError)?;
        let (wire, standard) = match scheme {
            "udp" | "syslog" => (SyslogTransport::Udp, UDP_PORT),
            "tcp" => (SyslogTransport::Tcp, TCP_PORT),
            _ => return Err(TargetError),
        };
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, tail) = rest.split_once(']').ok_or(TargetError)?;
                (host, if tail.is_empty() { None } else { Some(tail.strip_prefix(':').ok_or(TargetError)?) })
            }
            None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let strange = |c: char| c.is_whitespace() || matches!(c, '/' | '@' | '?' | '#');
        if host.is_empty() || host.contains(strange) {
            return Err(TargetError);
        }
        let port = port.map_or(Ok(standard), str::parse).ok().filter(|port| *port != 0).ok_or(TargetError)?;
        Ok(Self { wire, host: host.to_owned(), port })
    }
}

impl fmt::Display for SyslogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.wire {
            SyslogTransport::Udp => "udp",
            SyslogTransport::Tcp => "tcp",
        };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}
