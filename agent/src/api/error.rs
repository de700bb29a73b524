use super::lock::LEAST_TOKEN;
use crate::error::Coded;
use crate::http::TrustError;
use std::net::{IpAddr, SocketAddr};

/// Why the agent's own API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("cannot make a certificate for the agent's API")]
    Certificate { source: rcgen::Error },
    #[error("cannot set up TLS for the agent's API")]
    Tls { source: rustls::Error },
    #[error("the CA file for callers cannot be used")]
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

/// Anomalies that are reported while the API is open.
#[derive(Debug, thiserror::Error)]
pub(super) enum DoorAnomaly {
    #[error("the token of this boot is shorter than {LEAST_TOKEN} characters and is not accepted")]
    WeakToken,
    #[error("{count} wrong tokens in this boot so far, the last one from {peer}")]
    WrongToken { count: u64, peer: IpAddr },
}

impl Coded for DoorAnomaly {
    fn code(&self) -> &'static str {
        match self {
            Self::WeakToken => "api.weak_token",
            Self::WrongToken { .. } => "api.wrong_token",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::WeakToken => {
                "use a token of at least 16 random characters, from the controller or in burin.token: openssl rand -hex 16"
            }
            Self::WrongToken { .. } => {
                "find out who that is; burin.api=off switches the API off, burin.api=ADDRESS:PORT moves it"
            }
        };
        Some(hint.to_owned())
    }
}
