//! Builds the agent's only HTTP client, with its TLS trust and time limits.

use super::names::Names;
use super::proxy::ProxyConnector;
use super::tls::TlsConnector;
use super::trust::Trust;
use std::time::Duration;

use ureq::Agent;
use ureq::unversioned::transport::{Connector, TcpConnector};

/// Time limits that turn a silent peer into an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// Name resolution, TCP and TLS together.
    pub connect: Duration,
    /// From the request to the end of the reply's header.
    pub response: Duration,
    /// The longest silence while a body is transferred.
    pub read: Duration,
    /// The whole exchange, if it is known to be short.
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

    /// For images: no limit as long as bytes arrive.
    pub const DOWNLOADS: Self = Self {
        connect: Duration::from_secs(10),
        response: Duration::from_secs(30),
        read: Duration::from_secs(30),
        total: None,
    };
}

pub const USER_AGENT: &str = concat!("burin/", env!("CARGO_PKG_VERSION"));

/// All statuses are responses, not errors, redirects included: [`crate::redirect`] decides which ones are followed.
/// Proxies from the environment are ignored, because the kernel passes words of its command line to PID 1 as
/// environment variables.
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
    // Only a request that names a proxy uses one: images may, calls to a controller never do.
    let connector =
        ().chain(ProxyConnector::new(config.clone()))
            .chain(TcpConnector::default())
            .chain(TlsConnector::new(trust.config().clone()));
    Agent::with_parts(config, connector, Names::default())
}
