use crate::attest::AttestError;
use crate::error::Coded;
use crate::protocol::{Problem, VersionError};
use burin_http::NameError;
use burin_http::redirect::RedirectError;
use std::time::Duration;

/// Errors between agent and controller.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    #[error("{url:?} is not an http or https URL")]
    Url { url: String },
    #[error("cannot find the host of {url}")]
    Name { url: String, source: Option<std::io::Error> },
    #[error("cannot reach {url}")]
    Unreachable { url: String, source: Box<ureq::Error> },
    #[error("the server at {url} cannot be trusted")]
    Untrusted { url: String, source: rustls::Error },
    #[error("the server at {url} does not accept this machine's certificate, or asks for one")]
    Distrusted { url: String, source: rustls::Error },
    #[error("{url}: the redirect is refused")]
    Redirect { url: String, source: RedirectError },
    #[error("{url} did not answer in time")]
    Timeout { url: String, source: Box<ureq::Error> },
    #[error("{url} violates the HTTP protocol")]
    Http { url: String, source: Box<ureq::Error> },
    #[error("{url} answered {status}{}", problem.as_ref().map(|p| format!(": {}", p.message)).unwrap_or_default())]
    Status { url: String, status: u16, problem: Option<Box<Problem>>, retry_after: Option<Duration> },
    #[error("{url} answered with {found:?} instead of JSON")]
    ContentType { url: String, found: String },
    #[error("{url} answered more than {limit} bytes")]
    TooLarge { url: String, limit: u64 },
    #[error("{url} answered JSON that is not as documented")]
    Body { url: String, source: serde_json::Error },
    #[error("{url} speaks another version of the protocol")]
    Version { url: String, source: VersionError },
    #[error("the controller refused attempt {attempt} of order {order}{}", problem.as_ref().map(|p| format!(": {}", p.message)).unwrap_or_default())]
    Refused { order: String, attempt: u32, problem: Option<Box<Problem>> },
    #[error("nobody acknowledged the receipt within {seconds} s")]
    Unacknowledged { seconds: u64, source: Option<Box<ControllerError>> },
    #[error("gave up on {url}")]
    GaveUp { url: String, source: Box<ControllerError> },
    #[error("cannot read {path}")]
    Read { path: std::path::PathBuf, source: std::io::Error },
    #[error("{url} requires attestation by a TPM, and this machine has none")]
    NoChip { url: String },
    #[error("{url} requires attestation by the TPM, and it failed")]
    Attest { url: String, source: AttestError },
    #[error("cannot start the sender thread")]
    Thread { source: std::io::Error },
}

impl Coded for ControllerError {
    fn code(&self) -> &'static str {
        match self {
            Self::Url { .. } => "controller.url",
            Self::Name { .. } => "controller.dns",
            Self::Unreachable { .. } => "controller.unreachable",
            Self::Untrusted { .. } => "controller.tls",
            Self::Distrusted { .. } => "controller.client_certificate",
            Self::Redirect { .. } => "controller.redirect",
            Self::Timeout { .. } => "controller.timeout",
            Self::Http { .. } => "controller.http",
            Self::Status { status: 401 | 403, .. } => "controller.token",
            Self::Status { .. } => "controller.status",
            Self::ContentType { .. } => "controller.content_type",
            Self::TooLarge { .. } => "controller.too_large",
            Self::Body { .. } => "controller.body",
            Self::Version { .. } => "controller.version",
            Self::Refused { .. } => "controller.grant_refused",
            Self::Unacknowledged { .. } => "controller.unacknowledged",
            Self::GaveUp { .. } => "controller.gave_up",
            Self::Read { .. } => "controller.order_file",
            Self::NoChip { .. } => "tpm.none",
            Self::Attest { source, .. } => source.code(),
            Self::Thread { .. } => "controller.thread",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(
            match self {
                Self::Untrusted { .. } => {
                    "set the controller's CA with burin.ca=PATH, or its fingerprint with burin.ca=sha256:HEX"
                }
                Self::Distrusted { .. } => {
                    "put a certificate that the server trusts into the ramdisk, as /etc/burin/client.pem and client.key"
                }
                Self::Redirect { .. } => {
                    "configure the URL that it leads to; redirects from https to http are not followed"
                }
                Self::Status { status: 401 | 403, .. } => "set the join token with burin.token=TOKEN",
                Self::Version { source, .. } => return source.hint(),
                Self::Attest { source, .. } => return source.hint(),
                Self::Refused { problem: Some(problem), .. } => return problem.hint.clone(),
                _ => return None,
            }
            .to_owned(),
        )
    }
}

impl ControllerError {
    pub fn transport(url: &str, error: ureq::Error, limit: u64) -> Self {
        let url = url.to_owned();
        match error {
            ureq::Error::Rustls(source) if is_about_us(&source) => Self::Distrusted { url, source },
            ureq::Error::Rustls(source) => Self::Untrusted { url, source },
            ureq::Error::HostNotFound => Self::Name { url, source: None },
            ureq::Error::Other(inner) => match inner.downcast::<NameError>() {
                Ok(error) => Self::Name { url, source: Some(error.0) },
                Err(inner) => match inner.downcast::<RedirectError>() {
                    Ok(source) => Self::Redirect { url, source: *source },
                    Err(inner) => Self::Http { url, source: Box::new(ureq::Error::Other(inner)) },
                },
            },
            ureq::Error::BadUri(_) => Self::Url { url },
            ureq::Error::BodyExceedsLimit(_) => Self::TooLarge { url, limit },
            ureq::Error::Timeout(_) => Self::Timeout { url, source: Box::new(error) },
            ureq::Error::Io(_) | ureq::Error::ConnectionFailed => Self::Unreachable { url, source: Box::new(error) },
            _ => Self::Http { url, source: Box::new(error) },
        }
    }

    /// Whether retrying cannot help.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Url { .. } | Self::Refused { .. } | Self::Thread { .. })
    }

    /// Whether the two sides use different versions, so that one of them must be updated first.
    pub fn is_other_version(&self) -> bool {
        matches!(self, Self::Version { .. })
            || matches!(self, Self::Status { problem: Some(problem), .. } if problem.code == "protocol.version")
    }

    /// The controller understood the request and rejected it.
    pub fn rejects_request(&self) -> bool {
        matches!(self, Self::Status { status: 400 | 409 | 413 | 415 | 422, .. })
    }

    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The code of the controller's problem.
    pub fn problem_code(&self) -> Option<&str> {
        match self {
            Self::Status { problem: Some(problem), .. } => Some(&problem.code),
            _ => None,
        }
    }

    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// Alerts in which a server rejects a client's certificate (RFC 8446 section 6.2).
fn is_about_us(error: &rustls::Error) -> bool {
    use rustls::AlertDescription as Alert;
    let rustls::Error::AlertReceived(alert) = error else { return false };
    matches!(
        alert,
        Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::CertificateRequired
            | Alert::UnknownCA
            | Alert::AccessDenied
            // The certificate's signature does not match its issuer's key.
            | Alert::DecryptError
    )
}
