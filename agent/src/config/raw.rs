//! The known parameters, not yet validated, and their conversion to a [`Config`].

use super::cmdline::{Word, words};
use super::ironic::{Ironic, is_true};
use super::value::{
    parse_api, parse_bmc, parse_boot_mac, parse_bytes, parse_finish, parse_lldp, parse_log, parse_settle, parse_trust,
};
use super::{Config, ConfigError, HttpUrl, OrderSource, Secret, network};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Switches send every 30 seconds.
const LLDP_OF_IRONIC: Duration = Duration::from_secs(31);
const ATTRIBUTE: &str = "burin.attr.";
/// Words of ironic-python-agent.
const IPA: &str = "ipa_";
/// Slow BMCs take half a minute for a few hundred sensors.
const BMC: Duration = Duration::from_secs(60);
const HINTS: &str = "burin.ironic.hints";
const KNOWN: [&str; 18] = [
    "burin.controller",
    "burin.ca",
    "burin.token",
    "burin.order",
    "burin.events",
    "burin.log",
    "burin.ntp",
    "burin.lldp",
    "burin.bmc",
    "burin.settle",
    "burin.medium",
    "burin.watchdog",
    "burin.finish",
    "burin.api",
    "burin.attr.NAME",
    HINTS,
    "burin.vlan",
    "burin.client_id",
];

/// The command line, word by word: the last of equal keys, not validated.
#[derive(Clone, Default, PartialEq)]
pub struct Raw {
    pub controller: Option<String>,
    pub ca: Option<String>,
    pub token: Option<Secret>,
    pub order: Option<String>,
    pub events: Option<String>,
    pub log: Option<String>,
    pub ntp: Option<String>,
    pub lldp: Option<String>,
    pub bmc: Option<String>,
    pub settle: Option<String>,
    pub finish: Option<String>,
    pub api: Option<String>,
    pub bootif: Option<String>,
    /// Words about the network, in order.
    pub network: Vec<Word>,
    pub attributes: BTreeMap<String, String>,
    /// Ironic's words by folded key.
    pub ipa: BTreeMap<String, String>,
    pub virtual_media: bool,
    pub warnings: Vec<String>,
}

/// Unvalidated words may be secrets in the wrong place (a URL with a password): only safe parts are shown.
impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token, bootif, network, log, finish, warnings, .. } = self;
        f.debug_struct("Raw")
            .field("token", token)
            .field("bootif", bootif)
            .field("network", network)
            .field("log", log)
            .field("finish", finish)
            .field("warnings", warnings)
            .finish_non_exhaustive()
    }
}

impl Raw {
    /// Texts in order of increasing precedence.
    pub fn parse(texts: &[&str]) -> Self {
        let mut raw = Self::default();
        for word in texts.iter().flat_map(|text| words(text)) {
            raw.take(&word);
        }
        raw
    }

    fn take(&mut self, word: &Word) {
        // Attribute names keep their spelling: only the prefix is folded.
        if let Some(name) = word.key.get(ATTRIBUTE.len()..)
            && word.key.get(..ATTRIBUTE.len()).is_some_and(|prefix| prefix == ATTRIBUTE)
        {
            match (name, &word.value) {
                ("", _) => self.warnings.push(format!("{}: an attribute needs a name", word.key)),
                // A bare flag is true, like the kernel's own flags.
                (_, value) => {
                    drop(self.attributes.insert(name.to_owned(), value.clone().unwrap_or_else(|| String::from("true"))))
                }
            }
            return;
        }
        let folded = word.folded();
        if folded.starts_with(IPA) || folded == HINTS {
            self.ipa.insert(folded, word.value.clone().unwrap_or_else(|| String::from("true")));
            return;
        }
        if folded == "boot_method" {
            self.virtual_media = word.value.as_deref() == Some("vmedia");
            return;
        }
        if network::verdict(&folded).is_some() {
            return self.network.push(word.clone());
        }
        let slot = match folded.as_str() {
            "burin.controller" => &mut self.controller,
            "burin.ca" => &mut self.ca,
            "burin.order" => &mut self.order,
            "burin.events" => &mut self.events,
            "burin.log" => &mut self.log,
            "burin.ntp" => &mut self.ntp,
            "burin.lldp" => &mut self.lldp,
            "burin.bmc" => &mut self.bmc,
            "burin.settle" => &mut self.settle,
            "burin.finish" => &mut self.finish,
            "burin.api" => &mut self.api,
            "BOOTIF" => &mut self.bootif,
            "burin.token" => {
                match word.value.as_deref() {
                    None | Some("") => self.warnings.push("burin.token has no value: ignored".to_owned()),
                    Some(value) => self.token = Some(Secret::new(value)),
                }
                return;
            }
            // Handled by PID 1.
            "burin.medium" | "burin.watchdog" => return,
            unknown => {
                if unknown.starts_with("burin.") {
                    self.warnings.push(unknown_word(&word.key));
                }
                return;
            }
        };
        match word.value.as_deref() {
            None | Some("") => self.warnings.push(format!("{} has no value: ignored", word.key)),
            Some(value) => *slot = Some(value.to_owned()),
        }
    }

    /// Validates every value; the first invalid one is the error.
    pub fn validate(self) -> Result<Config, ConfigError> {
        let url = |word: &'static str, text: Option<String>| {
            text.map(|text| HttpUrl::parse(&text).map_err(|why| ConfigError::url(word, &text, why))).transpose()
        };
        let ipa = |key: &str| self.ipa.get(key).map(String::as_str);
        let debug = is_true(ipa("ipa_debug")).then_some(log::LevelFilter::Debug);
        let lldp = if is_true(ipa("ipa_collect_lldp")) { LLDP_OF_IRONIC } else { Duration::ZERO };
        let ntp = self.ntp.or_else(|| self.ipa.get("ipa_ntp_server").cloned());
        let log = self.log.as_deref().map(parse_log).transpose()?.unwrap_or_default();
        let mut config = Config {
            ironic: Ironic::read(&self.ipa)?,
            virtual_media: self.virtual_media,
            controller: url("burin.controller", self.controller)?,
            trust: self.ca.as_deref().map(parse_trust).transpose()?.unwrap_or_default(),
            token: self.token,
            order: self.order.as_deref().map(parse_bytes).transpose()?,
            events: url("burin.events", self.events)?,
            attributes: self.attributes,
            log: log.level.or(debug),
            syslog: log.targets,
            syslog_by_dhcp: !log.local,
            ntp,
            lldp: self.lldp.as_deref().map(parse_lldp).transpose()?.unwrap_or(lldp),
            bmc: self.bmc.as_deref().map(parse_bmc).transpose()?.unwrap_or(BMC),
            settle: self.settle.as_deref().map(parse_settle).transpose()?.unwrap_or_default(),
            finish: self.finish.as_deref().map(parse_finish).transpose()?,
            api: self.api.as_deref().map(parse_api).transpose()?.unwrap_or_default(),
            boot_mac: None,
            network: network::NetworkPlan::default(),
            policy: None,
            warnings: self.warnings,
        };
        if let Some(ca) = &self.ca
            && let Some((word, url)) = unprotected(&config)
        {
            let why = "nothing that is told over plain http can be checked by a certificate";
            return Err(ConfigError::Ca { value: format!("{ca} with {word}={url}"), why });
        }
        let (network, hw_addr, bootif) = network::plan(&self.network, &mut config.warnings)?;
        config.network = network;
        // BOOTIF is written by a boot loader, not by a person: an invalid one (InfiniBand, an unexpanded iPXE variable)
        // must not prevent a boot that would find its network by carrier.
        match self.bootif.as_deref().filter(|_| bootif).map(parse_boot_mac) {
            None => {}
            Some(Ok(mac)) => config.boot_mac = Some(mac),
            Some(Err(why)) => config.warnings.push(format!("{why}: ignored, every NIC with carrier is tried")),
        }
        // Tinkerbell's name for the same setting.
        config.boot_mac = config.boot_mac.or(hw_addr);
        Ok(config)
    }
}

/// A plain http URL: somebody who configured a CA or a pin expects protection.
fn unprotected(config: &Config) -> Option<(&'static str, &HttpUrl)> {
    let order = config.order.as_ref().and_then(|order| match order {
        OrderSource::Url(url) => Some(url),
        OrderSource::Path(_) => None,
    });
    let named = [
        ("burin.controller", config.controller.as_ref()),
        ("burin.order", order),
        ("burin.events", config.events.as_ref()),
    ];
    named.into_iter().find_map(|(word, url)| Some((word, url.filter(|url| !url.is_https())?)))
}

fn unknown_word(key: &str) -> String {
    let nearest = KNOWN.iter().min_by_key(|known| distance(known, key)).copied().unwrap_or_default();
    format!("unknown word {key} on the kernel command line: did you mean {nearest}?")
}

/// Levenshtein distance over bytes, one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let value = (diagonal + usize::from(x != y)).min(left + 1).min(*cell + 1);
            diagonal = *cell;
            *cell = value;
            left = value;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
