//! Download options, shared by all commands that download images: trust, proxy, credentials, rate, connections.

use crate::error::Coded;
use crate::http::{Ca, TrustError};
use crate::image::oci::is_reference;
use crate::image::{Credentials, Http, ImageError, MOST_CONNECTIONS, Proxies, Registries};
use crate::protocol::Secret;
use crate::protocol::image::LEAST_RATE;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Secrets come from files or the environment, never from the command line, which every local user can read.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Download")]
pub struct TransferArgs {
    /// Proxy (http, https, socks5 or socks5h), instead of http_proxy, https_proxy, all_proxy and no_proxy in the
    /// environment; empty for none
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// Also trust this CA file (PEM), or the server certificate with this fingerprint (sha256:HEX)
    #[arg(long, value_name = "FILE")]
    ca: Option<String>,
    /// User name for the server of the first URL; the password is in --password-file or BURIN_PASSWORD
    #[arg(long, value_name = "NAME", conflicts_with = "bearer_file")]
    user: Option<String>,
    /// File with the password of --user
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// File with a bearer token for the server of the first URL; default: BURIN_BEARER, if set
    #[arg(long, value_name = "FILE")]
    bearer_file: Option<PathBuf>,
    /// docker's configuration with passwords for registries; default: REGISTRY_AUTH_FILE, podman's auth.json or
    /// docker's config.json, whichever is found first
    #[arg(long, value_name = "FILE")]
    registry_config: Option<PathBuf>,
    /// Limit the download to this rate, at least 65536 per connection
    #[arg(long, value_name = "BYTES_PER_SECOND", value_parser = clap::value_parser!(u64).range(LEAST_RATE..))]
    limit_rate: Option<u64>,
    /// Fetch this many ranges in parallel, if the server supports ranges (2 MiB of memory each)
    #[arg(long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u8).range(1..=MOST_CONNECTIONS as i64))]
    connections: u8,
    /// Abandon a connection after this many seconds without a byte
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    stall: u64,
    /// Give up after this many seconds without a byte from any mirror
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
}

/// Why nothing was downloaded, or why it failed.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("--user has no password")]
    NoPassword,
    #[error(transparent)]
    Image(#[from] ImageError),
}

impl Coded for TransferError {
    fn code(&self) -> &'static str {
        match self {
            Self::Trust(error) => error.code(),
            Self::NoPassword => "image.no_password",
            Self::Image(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Trust(error) => error.hint(),
            Self::NoPassword => Some("name a file with --password-file, or set BURIN_PASSWORD".to_owned()),
            Self::Image(error) => error.hint(),
        }
    }
}

impl TransferArgs {
    /// Options for `urls`, which are mirrors of the same bytes.
    pub fn http(&self, urls: Vec<String>) -> Result<Http, TransferError> {
        let ca = self.ca.as_deref().map(str::parse::<Ca>).transpose()?;
        let credentials = match urls.first() {
            Some(first) => self.credentials(first)?,
            None => None,
        };
        let mut http = Http::new(super::download_agent(ca.as_ref())?, urls);
        http.credentials = credentials;
        http.proxies = match self.proxy.as_deref() {
            Some("") => Proxies::default(),
            Some(url) => Proxies::all(url)?,
            None => Proxies::from_environment(|name| std::env::var(name).ok())?,
        };
        if http.urls.first().is_some_and(|first| is_reference(first)) {
            self.registries(&mut http.registries)?;
        }
        http.rate = self.limit_rate;
        http.connections = usize::from(self.connections);
        http.stall = Duration::from_secs(self.stall);
        http.patience = Duration::from_secs(self.patience);
        Ok(http)
    }

    /// In the locations of containers-auth.json(5) and docker.
    fn registries(&self, registries: &mut Registries) -> Result<(), ImageError> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let below = |variable: Option<PathBuf>, path: &str| variable.map(|directory| directory.join(path));
        let named = self.registry_config.clone().or_else(|| variable("REGISTRY_AUTH_FILE"));
        let home = variable("HOME");
        let usual = [
            below(variable("XDG_RUNTIME_DIR"), "containers/auth.json"),
            below(home.clone(), ".config/containers/auth.json"),
            below(variable("DOCKER_CONFIG"), "config.json"),
            below(home, ".docker/config.json"),
        ];
        let found = usual.into_iter().flatten().find(|path| path.is_file());
        let Some(path) = named.or(found) else { return Ok(()) };
        let failed = |source: io::Error| ImageError::ReadFile { path: path.clone(), source };
        let json = std::fs::read(&path).map_err(failed)?;
        let added = registries.add_configuration(&json);
        added.map_err(|why| failed(io::Error::new(io::ErrorKind::InvalidData, why)))
    }

    fn credentials(&self, url: &str) -> Result<Option<Credentials>, TransferError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).map(Secret::new);
        if let Some(user) = &self.user {
            let password = match &self.password_file {
                Some(path) => read(path)?,
                None => variable("BURIN_PASSWORD").ok_or(TransferError::NoPassword)?,
            };
            return Ok(Credentials::basic(url, user, &password));
        }
        let token = match &self.bearer_file {
            Some(path) => Some(read(path)?),
            None => variable("BURIN_BEARER"),
        };
        Ok(token.and_then(|token| Credentials::bearer(url, &token)))
    }
}

/// Reads a secret, without the trailing newline that editors add.
fn read(path: &Path) -> Result<Secret, ImageError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| ImageError::ReadFile { path: path.to_owned(), source })?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

/// Whether this is a URL and not a path.
pub fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}
