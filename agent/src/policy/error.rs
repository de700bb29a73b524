use crate::error::Coded;
use crate::protocol::order::{Erase, OrderError};
use crate::protocol::policy::PolicyError;
use burin_sign::{EnvelopeError, KeyError};
use std::path::PathBuf;

/// Why the ramdisk's policy cannot be used: the agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    #[error("cannot read the policy {path}", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error("a key of the policy cannot be used: {0}")]
    Key(#[from] KeyError),
}

impl Coded for RulesError {
    fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "policy.file",
            Self::Policy(error) => error.code(),
            Self::Key(_) => "policy.key",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => None,
            Self::Policy(error) => error.hint(),
            Self::Key(error) => error.hint(),
        }
    }
}

/// Why an order is not carried out; nothing has been done for it.
#[derive(Debug, thiserror::Error)]
pub enum RefusedByPolicy {
    #[error("this ramdisk accepts only signed orders, and this one is not signed")]
    Unsigned,
    #[error("the order's signature is not valid: {0}")]
    Signature(EnvelopeError),
    #[error(transparent)]
    Order(OrderError),
    #[error("the order is not the one that was signed")]
    NotTheSame,
    #[error("a signed order must name its machine in `valid`, and its end in `not_after`")]
    Unbound,
    #[error("this ramdisk accepts only orders that name the key of this boot in `valid.key`")]
    AnyBoot,
    #[error("the order is for another boot, or another machine: its `valid.key` is not this one's")]
    OtherBoot,
    #[error("orders from before {least} are no longer accepted")]
    Withdrawn { least: String },
    #[error("the order has already been carried out in this boot")]
    Replayed,
    #[error("the order is valid from {not_before}, and it is {now}")]
    TooEarly { not_before: String, now: String },
    #[error("the order was valid until {not_after}, and it is {now}")]
    TooLate { not_after: String, now: String },
    #[error("no trusted source has set the clock, so `valid` cannot be checked")]
    NoTime,
    #[error("{what} is {url}: this ramdisk requires https")]
    Https { what: String, url: String },
    #[error("the image `{image}` {why}")]
    Image { image: String, why: &'static str },
    #[error("layout `{layout}`, disk set `{set}`: its `erase` is `{}`, and this ramdisk requires `{}`", found.word(), least.word())]
    Erase { layout: String, set: String, found: Erase, least: Erase },
    #[error("this ramdisk requires {wanted}, but found {found}")]
    Boot { wanted: &'static str, found: String },
}

impl Coded for RefusedByPolicy {
    fn code(&self) -> &'static str {
        match self {
            Self::Unsigned => "order.unsigned",
            Self::Signature(error) => error.code(),
            Self::Order(error) => error.code(),
            Self::NotTheSame => "order.not_the_same",
            Self::Unbound => "policy.unbound",
            Self::AnyBoot => "policy.any_boot",
            Self::OtherBoot => "order.other_boot",
            Self::Withdrawn { .. } => "policy.withdrawn",
            Self::Replayed => "policy.replayed",
            Self::TooEarly { .. } => "order.too_early",
            Self::TooLate { .. } => "order.too_late",
            Self::NoTime => "policy.no_time",
            Self::Https { .. } => "policy.https",
            Self::Image { .. } => "policy.image",
            Self::Erase { .. } => "policy.erase",
            Self::Boot { .. } => "policy.boot",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unsigned => {
                "sign it with `burin order sign order.json --key key.pem`; docs/security.md shows it with openssl"
            }
            Self::Signature(error) => return error.hint(),
            Self::Order(error) => return error.hint(),
            Self::Unbound => {
                "add \"valid\": {\"machines\": [\"UUID, serial or MAC\"], \"not_after\": \"2026-11-22T09:00:00Z\"}"
            }
            Self::AnyBoot | Self::OtherBoot => "sign an order for the key that is in the machine's hello",
            Self::Withdrawn { .. } | Self::TooLate { .. } => "sign it again, with a new id",
            Self::Replayed => "give a new order with a new id",
            Self::TooEarly { .. } => return None,
            Self::NoTime => "provide a time server by DHCP or burin.ntp, or a controller by https",
            Self::NotTheSame => return None,
            Self::Erase { least, .. } => {
                return Some(format!("let the set say \"erase\": \"{}\", or more", least.word()));
            }
            Self::Https { .. } | Self::Image { .. } | Self::Boot { .. } => {
                "meet the ramdisk's policy, or change its /etc/burin/policy.json"
            }
        };
        Some(hint.to_owned())
    }
}
