use crate::error::Coded;
use crate::http::TrustError;
use std::net::SocketAddr;

/// Why the agent's own API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("cannot make a certificate for the agent's API")]
    Certificate { source: rcgen::Error },
    #[error("cannot set up TLS for the agent's API")]
    Tls { source: rustls::Error },
    #[error("the CAs of those who may call cannot be used")]
    Callers { source: TrustError },
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("cannot start the API's thread")]
    Thread { source: std::io::Error },
}

impl Coded for ApiError {
    fn code(&self) -> &'static str {
        match self {
            Self::Certificate { .. } | Self::Tls { .. } => "api.tls",
            Self::Callers { .. } => "api.callers_ca",
            Self::Listen { .. } => "api.listen",
            Self::Thread { .. } => "api.thread",
        }
    }
}
