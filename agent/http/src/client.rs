//! Builds the agent's only HTTP client, with its TLS trust and time limits.

use super::names::Names;
use super::proxy::ProxyConnector;
use super::tls::TlsConnector;
use super::trust::Trust;
use std::time::Duration;

use ureq::Agent;
use ureq::unversioned::transport::{Connector, TcpConnector};

/// Limits that turn a silent peer into an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// Name resolution, TCP and TLS together.
    pub connect: Duration,
    /// From the request to the end of the reply's header.
    pub response: Duration,
    /// Longest silence while a body comes or goes.
    pub read: Duration,
    /// The whole exchange, where it is known to be short.
    pub total: Option<Duration>,
}

impl Timeouts {
    /// For calls of the protocol: small bodies both ways.
    pub const CALLS: Self = Self {
        connect: Duration::from_secs(10),
        response: Duration::from_secs(20),
        read: Duration::from_secs(15),
        total: Some(Duration::from_secs(60)),
    };

    /// For images: as long as it takes, as long as bytes come.
    pub const DOWNLOADS: Self = Self {
        connect: Duration::from_secs(10),
        response: Duration::from_secs(30),
        read: Duration::from_secs(30),
        total: None,
    };
}

pub const USER_AGENT: &str = concat!("burin/", env!("CARGO_PKG_VERSION"));

/// Statuses are answers, not errors, redirects too: [`crate::redirect`] knows which of them are followed. No proxy is taken
/// from the environment: the kernel hands words of its command line to PID 1 as environment.
pub fn agent(trust: &Trust, timeouts: &Timeouts) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .max_redirects(0)
        .user_agent(USER_AGENT)
        .max_response_header_size(64 * 1024)
        .timeout_resolve(Some(timeouts.connect))
        .timeout_connect(Some(timeouts.connect))
        .timeout_recv_response(Some(timeouts.response))
        .timeout_per_read(Some(timeouts.read))
        .timeout_per_write(Some(timeouts.read))
        .timeout_global(timeouts.total)
        .build();
    // Only a request that names a proxy goes through one: images may, calls of the protocol never do.
    let connector =
        ().chain(ProxyConnector::new(config.clone()))
            .chain(TcpConnector::default())
            .chain(TlsConnector::new(trust.config().clone()));
    Agent::with_parts(config, connector, Names::default())
}
