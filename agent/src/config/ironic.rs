//! Ironic's settings for its agent on the kernel command line: the words of ironic-python-agent (its `config.py`).

use super::{ConfigError, HttpUrl, Secret};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The default port for Ironic's calls.
const PORT: u16 = 9999;
/// Shorter tokens are invalid.
const LEAST_TOKEN: usize = 32;

/// Ironic's words, validated.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ironic {
    /// `ipa-api-url`: tried in turn.
    pub api_urls: Vec<HttpUrl>,
    /// `ipa-inspection-callback-url`.
    pub inspection_url: Option<HttpUrl>,
    /// `ipa-inspection-collectors`; empty if none are named.
    pub collectors: Vec<String>,
    /// `ipa-insecure`: certificates are not verified, neither Ironic's nor an image server's.
    pub insecure: bool,
    /// `ipa-agent-token`: given in advance, by virtual media.
    pub token: Option<Secret>,
    /// `ipa-global-request-id`.
    pub request_id: Option<String>,
    /// `ipa-listen-port`.
    pub listen_port: u16,
    /// `ipa-advertise-host`, `ipa-advertise-port`.
    pub advertise: Option<(IpAddr, Option<u16>)>,
    /// `burin.ironic.hints=first`.
    pub hints_first: bool,
}

impl Ironic {
    /// The URL for inspection, if it is to be done.
    pub fn inspection(&self) -> Option<String> {
        match (&self.inspection_url, self.api_urls.first()) {
            (Some(url), _) => Some(url.as_str().to_owned()),
            (None, Some(api)) if !self.collectors.is_empty() => {
                Some(format!("{}/v1/continue_inspection", api.as_str().trim_end_matches('/')))
            }
            _ => None,
        }
    }

    /// Reads words by their folded keys (`ipa_api_url`); `None` if no word says where Ironic is.
    pub(super) fn read(words: &BTreeMap<String, String>) -> Result<Option<Self>, ConfigError> {
        let word = |key: &str| words.get(key).map(String::as_str).filter(|value| !value.is_empty());
        let url =
            |name: &'static str, text: &str| HttpUrl::parse(text).map_err(|why| ConfigError::url(name, text, why));
        let list = |key: &str| word(key).unwrap_or_default().split(',').map(str::trim).filter(|part| !part.is_empty());
        let wrong = |key: &'static str, why: &'static str| ConfigError::Ironic { word: key, why };
        if list("ipa_api_url").any(|text| text.eq_ignore_ascii_case("mdns")) {
            return Err(wrong("ipa-api-url", "mdns is not done here: name Ironic's API by its URL"));
        }
        let api_urls = list("ipa_api_url").map(|text| url("ipa-api-url", text)).collect::<Result<Vec<_>, _>>()?;
        let inspection_url =
            word("ipa_inspection_callback_url").map(|text| url("ipa-inspection-callback-url", text)).transpose()?;
        if api_urls.is_empty() && inspection_url.is_none() {
            return Ok(None);
        }
        let port = |key: &str, name: &'static str| {
            word(key).map(|text| text.parse::<u16>().map_err(|_| wrong(name, "it is not a port"))).transpose()
        };
        let host = word("ipa_advertise_host").map(|text| text.parse::<IpAddr>());
        let host = host.transpose().map_err(|_| wrong("ipa-advertise-host", "it is not an address"))?;
        let advertise_port = port("ipa_advertise_port", "ipa-advertise-port")?;
        let hints_first = match word("burin.ironic.hints") {
            None | Some("refuse") => false,
            Some("first") => true,
            Some(_) => return Err(wrong("burin.ironic.hints", "it is neither refuse nor first")),
        };
        Ok(Some(Self {
            api_urls,
            inspection_url,
            collectors: list("ipa_inspection_collectors").map(str::to_owned).collect(),
            insecure: is_true(word("ipa_insecure")),
            token: word("ipa_agent_token").filter(|token| token.len() >= LEAST_TOKEN).map(Secret::new),
            request_id: word("ipa_global_request_id").map(str::to_owned),
            listen_port: port("ipa_listen_port", "ipa-listen-port")?.unwrap_or(PORT),
            advertise: host.map(|host| (host, advertise_port)),
            hints_first,
        }))
    }
}

pub(super) fn is_true(word: Option<&str>) -> bool {
    matches!(word.map(str::to_ascii_lowercase).as_deref(), Some("1" | "true" | "yes" | "on" | "t" | "y"))
}
