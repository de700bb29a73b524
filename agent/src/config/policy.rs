//! Applies the ramdisk's policy to parameters from outside. The kernel command line is one of these, because a boot
//! server writes it.

use super::{ApiDoor, Config, ConfigError, OrderSource};
use crate::policy::{RefusedByPolicy, Rules};

/// `file` contains the words of the ramdisk itself.
pub(super) fn enforce(mut config: Config, file: &str, rules: Rules) -> Result<Config, ConfigError> {
    let own = Config::parse(&[file])?;
    if rules.requires_https() {
        https(&config)?;
        if config.trust != own.trust {
            return Err(ConfigError::PolicyCa);
        }
        if config.ironic.as_ref().is_some_and(|ironic| ironic.insecure) {
            return Err(ConfigError::PolicyCa);
        }
    }
    if rules.requires_signed_orders() && config.attributes != own.attributes {
        config.warnings.push(
            "burin.attr words that are not the ramdisk's own are ignored: its policy wants signed orders".to_owned(),
        );
        config.attributes = own.attributes;
    }
    if rules.closes_api() {
        config.api = ApiDoor::Off;
    }
    config.policy = Some(rules);
    Ok(config)
}

fn https(config: &Config) -> Result<(), ConfigError> {
    let order = match &config.order {
        Some(OrderSource::Url(url)) => Some(url),
        _ => None,
    };
    let named = [
        ("burin.controller", config.controller.as_ref()),
        ("burin.order", order),
        ("burin.events", config.events.as_ref()),
    ];
    let ironic = config.ironic.iter().flat_map(|ironic| ironic.api_urls.iter().chain(&ironic.inspection_url));
    let named = named.into_iter().filter_map(|(word, url)| Some((word, url?)));
    for (word, url) in named.chain(ironic.map(|url| ("Ironic's API", url))) {
        if !url.is_https() {
            let refused = RefusedByPolicy::Https { what: word.to_owned(), url: url.to_string() };
            return Err(ConfigError::Policy(refused));
        }
    }
    Ok(())
}
