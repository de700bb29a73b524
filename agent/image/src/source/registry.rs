//! Authentication with registries: passwords from docker's configuration files, and the tokens obtained with them
//! (distribution's "Token Authentication Specification").
//!
//! A registry gets a password only if it asks for one, and its token server only where it can be taken for the registry's
//! own: on the same host, or in the same domain, and by TLS unless the registry is without. A token is asked for pulling
//! from the one repository, whatever the registry would like, and goes back to that registry and no other.

use crate::error::ImageError;
use crate::source::answer::{FetchFailure, display, refused, status_failure};
use crate::source::challenge::Challenge;
use crate::source::get::Http;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use burin_http::redirect::{self, Origin, RedirectError};
use burin_protocol::Secret;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use ureq::http::HeaderMap;
use url::Url;

/// Limit for a token server's response.
const LARGEST: u64 = 64 << 10;
/// The registry of docker.io has another address, and its passwords are stored under a third name.
const DOCKER: (&str, &str, &str) = ("docker.io", "registry-1.docker.io", "index.docker.io");

/// Passwords for registries, and their tokens. Clones share the tokens.
#[derive(Clone, Default)]
pub struct Registries {
    logins: Vec<Login>,
    tokens: Arc<Mutex<HashMap<String, Secret>>>,
}

#[derive(Clone)]
struct Login {
    /// `HOST` or `HOST:PORT`.
    server: String,
    /// The repository or its parent; empty for all.
    below: String,
    /// `Basic ...`.
    header: Secret,
}

impl std::fmt::Debug for Registries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let servers: Vec<_> = self.logins.iter().map(|login| login.server.as_str()).collect();
        write!(f, "Registries for {servers:?}")
    }
}

/// The format of docker, podman, skopeo and others (containers-auth.json(5)). Credential helpers are not run.
#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(alias = "access_token")]
    token: Option<String>,
}

impl Registries {
    /// Adds the contents of a `config.json`. An error says why it cannot be read, without revealing its contents.
    pub fn add_configuration(&mut self, json: &[u8]) -> Result<(), String> {
        let parsed: Configuration = serde_json::from_slice(json).map_err(|error| {
            format!("not a docker configuration (line {}, column {})", error.line(), error.column())
        })?;
        for (name, entry) in parsed.auths {
            let pair = match entry.auth.as_str() {
                "" if entry.username.is_empty() => continue,
                "" => BASE64_STANDARD.encode(format!("{}:{}", entry.username, entry.password)),
                auth => auth.trim().to_owned(),
            };
            let name = name.split_once("://").map_or(name.as_str(), |(_, rest)| rest);
            let (server, below) = name.split_once('/').unwrap_or((name, ""));
            // docker writes the path of an API that no longer exists.
            let below = if matches!(below.trim_matches('/'), "v1" | "v2") { "" } else { below.trim_matches('/') };
            self.logins.push(Login {
                server: server.to_ascii_lowercase(),
                below: below.to_owned(),
                header: Secret::new(format!("Basic {pair}")),
            });
        }
        Ok(())
    }

    /// `header` is for the registry `server`, and takes precedence over other entries.
    pub(crate) fn add(&mut self, server: &str, header: Secret) {
        self.logins.insert(0, Login { server: server.to_ascii_lowercase(), below: String::new(), header });
    }

    /// The authorization for a request to `url`.
    pub(crate) fn token(&self, url: &str) -> Option<Secret> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(&repository(url)?.key()).cloned()
    }

    /// Answers the challenge in a 401 from `url`; `None` if it cannot be answered.
    pub(crate) fn answer(&self, http: &Http, url: &str, headers: &HeaderMap) -> Result<Option<Secret>, FetchFailure> {
        let Some(repository) = repository(url) else { return Ok(None) };
        let fields = headers.get_all("www-authenticate").into_iter().filter_map(|field| field.to_str().ok());
        let challenges: Vec<Challenge> = fields.flat_map(Challenge::parse).collect();
        let login = self.login(&repository);
        let header = match challenges.iter().find(|challenge| challenge.scheme == "bearer") {
            Some(bearer) => Some(ask(http, url, &repository, bearer, login)?),
            None => challenges.iter().find(|challenge| challenge.scheme == "basic").and(login).cloned(),
        };
        if let Some(header) = &header {
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            tokens.insert(repository.key(), header.clone());
        }
        Ok(header)
    }

    /// The password of the most specific entry.
    fn login(&self, repository: &Repository) -> Option<&Secret> {
        let fits = |login: &&Login| {
            let server = if login.server == DOCKER.2 || login.server == DOCKER.0 { DOCKER.1 } else { &login.server };
            let origin = Origin::of(&format!("{}://{server}/", repository.origin.scheme));
            let below = login.below.is_empty()
                || repository
                    .name
                    .strip_prefix(&login.below)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            below && origin.as_ref() == Some(&repository.origin)
        };
        let fitting = self.logins.iter().rev().filter(fits);
        fitting.max_by_key(|login| login.below.len()).map(|login| &login.header)
    }
}

/// The server and repository of a distribution API URL.
struct Repository {
    origin: Origin,
    name: String,
}

impl Repository {
    fn key(&self) -> String {
        format!("{}://{}:{}/{}", self.origin.scheme, self.origin.host, self.origin.port, self.name)
    }
}

/// `https://HOST/v2/NAME/blobs/...`
fn repository(url: &str) -> Option<Repository> {
    let origin = Origin::of(url)?;
    let (_, path) = url.split_once("/v2/")?;
    let end = ["/manifests/", "/blobs/", "/referrers/"].iter().filter_map(|kind| path.rfind(kind)).max()?;
    Some(Repository { origin, name: path.get(..end)?.to_owned() })
}

/// The URL of a registry, from `oci://HOST/...` or `oci+http://HOST/...`.
pub(crate) fn base(reference: &str) -> Option<String> {
    let (scheme, rest) = reference.split_once("://")?;
    let scheme = match scheme {
        "oci" => "https",
        "oci+http" => "http",
        _ => return None,
    };
    let host = rest.split(['/', '?', '#']).next().filter(|host| !host.is_empty())?;
    Some(format!("{scheme}://{}", if host == DOCKER.0 { DOCKER.1 } else { host }))
}

/// Gets a token from the server that the registry names.
fn ask(
    http: &Http,
    url: &str,
    repository: &Repository,
    challenge: &Challenge,
    login: Option<&Secret>,
) -> Result<Secret, FetchFailure> {
    let odd = |what: &str| {
        let what = format!("its registry asks for a token, {what}");
        FetchFailure::Final(ImageError::Damaged { source_name: display(url), format: "OCI", what })
    };
    let realm = challenge.parameter("realm").and_then(|realm| redirect::join(url, realm));
    let realm = realm.ok_or_else(|| odd("and does not say where it is to be had"))?;
    let origin = Origin::of(&realm).ok_or_else(|| odd("and does not say where it is to be had"))?;
    if repository.origin.scheme == "https" && origin.scheme != "https" {
        let source = RedirectError::Downgrade { from: display(url), to: display(&realm) };
        return Err(FetchFailure::Final(ImageError::Redirect { url: display(url), source }));
    }
    if login.is_some() && !its_own(&repository.origin, &origin) {
        return Err(FetchFailure::Final(ImageError::TokenServer { url: display(url), server: display(&realm) }));
    }
    let mut asked = Url::parse(&realm).map_err(|_| odd("and does not say where it is to be had"))?;
    if let Some(service) = challenge.parameter("service") {
        asked.query_pairs_mut().append_pair("service", service);
    }
    asked.query_pairs_mut().append_pair("scope", &format!("repository:{}:pull", repository.name));
    let mut request = http.agent.get(asked.as_str());
    if let Some(login) = login {
        request = request.header("authorization", login.reveal());
    }
    let config = request.config().http_status_as_error(false).max_redirects(0);
    let config = config.proxy(http.proxies.for_url(&realm)).timeout_global(Some(http.stall));
    let name = http.name(&realm);
    let mut response = config.build().call().map_err(|error| refused(&realm, &name, 0, error))?;
    let status = response.status().as_u16();
    if status != 200 {
        let other = FetchFailure::Final(ImageError::Status { url: name.clone(), status });
        return Err(status_failure(&name, 0, status).unwrap_or(other));
    }
    let body = response.body_mut().with_config().limit(LARGEST).read_to_vec();
    let body = body.map_err(|error| refused(&realm, &name, 0, error))?;
    let answer: Option<Answer> = serde_json::from_slice(&body).ok();
    let token = answer.and_then(|answer| answer.token);
    let token = token.filter(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
    token.map(|token| Secret::new(format!("Bearer {token}"))).ok_or_else(|| odd("and its token server gave none"))
}

/// Whether a token server may get the registry's password.
fn its_own(registry: &Origin, server: &Origin) -> bool {
    if registry == server {
        return true;
    }
    if server.scheme != "https" || registry.scheme != "https" {
        return false;
    }
    if registry.host == server.host {
        return true;
    }
    let host = registry.host.trim_matches(['[', ']']);
    if host.parse::<IpAddr>().is_ok() {
        return false;
    }
    let inside = |domain: &str| {
        domain.contains('.')
            && server.host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    inside(host) || host.split_once('.').is_some_and(|(_, domain)| inside(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(registries: &Registries, url: &str) -> Option<String> {
        registries.login(&repository(url).unwrap()).map(|header| header.reveal().to_owned())
    }

    #[test]
    fn configuration_files_of_docker_and_podman() {
        let mut registries = Registries::default();
        let json = r#"{"credsStore": "desktop", "auths": {
            "https://index.docker.io/v1/": {"auth": "ZG9ja2Vy"},
            "Registry.example:5000": {"auth": "cmVn"},
            "registry.example:5000/team/app": {"auth": "YXBw"},
            "plain.example": {"username": "u", "password": "hunter2"},
            "helper.example": {}
        }}"#;
        registries.add_configuration(json.as_bytes()).unwrap();
        let asked = |url: &str| header(&registries, url);
        assert_eq!(asked("https://registry-1.docker.io/v2/library/x/manifests/1").as_deref(), Some("Basic ZG9ja2Vy"));
        let registry = "https://registry.example:5000/v2";
        assert_eq!(asked(&format!("{registry}/other/blobs/sha256:0")).as_deref(), Some("Basic cmVn"));
        assert_eq!(asked(&format!("{registry}/team/app/db/blobs/sha256:0")).as_deref(), Some("Basic YXBw"));
        assert_eq!(asked(&format!("{registry}/team/apple/blobs/sha256:0")).as_deref(), Some("Basic cmVn"));
        assert_eq!(asked("https://plain.example/v2/x/manifests/1").as_deref(), Some("Basic dTpodW50ZXIy"));
        // Another port, another host, no password.
        for other in
            ["https://registry.example", "https://registry.example:5001", "https://helper.example", "https://x"]
        {
            assert_eq!(asked(&format!("{other}/v2/x/manifests/1")), None, "{other}");
        }
        assert!(!format!("{registries:?}").contains("cmVn"));
        assert!(
            registries
                .add_configuration(b"{\"auths\": {\"x\": \"hunter2\"}}")
                .is_err_and(|why| !why.contains("hunter2"))
        );
    }

    #[test]
    fn a_token_server_is_the_registrys_own_or_gets_no_password() {
        let own = |registry: &str, server: &str| its_own(&Origin::of(registry).unwrap(), &Origin::of(server).unwrap());
        for (registry, server) in [
            ("https://registry-1.docker.io", "https://auth.docker.io/token"),
            ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth"),
            ("https://ghcr.io", "https://ghcr.io/token"),
            ("https://example.com", "https://auth.example.com"),
            ("https://10.0.0.1:5000", "https://10.0.0.1:5001"),
            ("http://10.0.0.1:5000", "http://10.0.0.1:5000/auth"),
        ] {
            assert!(own(registry, server), "{registry} {server}");
        }
        for (registry, server) in [
            ("https://registry.example.com", "https://evil.com"),
            ("https://registry.example.com", "https://evilexample.com"),
            ("https://registry.example.com", "http://registry.example.com"),
            ("https://ghcr.io", "https://evil.io"),
            ("https://10.0.0.1", "https://9.0.0.1"),
            ("http://registry.lan", "https://auth.lan"),
            ("http://10.0.0.1:5000", "http://10.0.0.1:5001"),
            ("https://registry", "https://registry.evil"),
        ] {
            assert!(!own(registry, server), "{registry} {server}");
        }
    }

    #[test]
    fn a_repository_is_read_off_the_url() {
        let name = |url: &str| repository(url).map(|found| found.name);
        assert_eq!(name("https://r/v2/a/b/manifests/latest").as_deref(), Some("a/b"));
        assert_eq!(name("https://r/v2/a/manifests/blobs/sha256:0").as_deref(), Some("a/manifests"));
        assert_eq!(name("https://r/image.raw"), None);
        assert_eq!(base("oci://docker.io/x").as_deref(), Some("https://registry-1.docker.io"));
        assert_eq!(base("oci+http://r:5000/x:1").as_deref(), Some("http://r:5000"));
        assert_eq!(base("https://r/x"), None);
    }
}
