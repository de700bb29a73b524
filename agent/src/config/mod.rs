//! Raw command line and files -> one validated [`Config`].
//!
//! Words come first from `/etc/burin/cmdline`, then from the boot medium's `burin.conf`, and last from the kernel
//! command line; the last of several equal keys applies. Keys treat `-` and `_` as the same character, like the kernel.
//! Quoting follows the kernel (Documentation/admin-guide/kernel-parameters): double quotes may enclose a value or a
//! whole word and are removed.

mod cmdline;
mod error;
mod ip;
mod ironic;
mod links;
pub mod medium;
mod network;
mod policy;
mod raw;
mod syslog;
mod value;

#[cfg(test)]
mod network_tests;
#[cfg(test)]
mod tests;

pub use crate::protocol::Secret;
pub use cmdline::{Word, words};
pub use error::ConfigError;
pub use ip::{Addressing, FixedAddress, Ipv4Method, Ipv6Method, prefix_of};
pub use ironic::Ironic;
pub use links::{BondLink, VlanChoice, VlanLink};
pub use network::{ClientId, FixedRoute, NETWORK_WORDS, NetworkPlan, Verdict};
pub use raw::Raw;
pub use syslog::{SyslogTarget, SyslogTransport, TargetError};
pub use value::{ApiDoor, HttpUrl, Mac, OrderSource, Trust};

use crate::policy::Rules;
use crate::protocol::order::Finish;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// All boot settings, validated.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// The controller's base URL.
    pub controller: Option<HttpUrl>,
    /// How the controller's certificate is verified.
    pub trust: Trust,
    /// One-time join token.
    pub token: Option<Secret>,
    /// An order to run without a controller.
    pub order: Option<OrderSource>,
    /// Where CloudEvents are POSTed.
    pub events: Option<HttpUrl>,
    /// Attributes of lower precedence than the order's.
    pub attributes: BTreeMap<String, String>,
    /// Console verbosity.
    pub log: Option<log::LevelFilter>,
    /// Further destinations of the log, besides consoles and controller.
    pub syslog: Vec<SyslogTarget>,
    /// Also use the servers named by DHCP.
    pub syslog_by_dhcp: bool,
    /// A time server, which takes precedence over those of DHCP.
    pub ntp: Option<String>,
    /// How long the first inventory listens for LLDP. Zero: not at all.
    pub lldp: Duration,
    /// How long the BMC's records are read, in parallel with other work.
    pub bmc: Duration,
    /// How long to wait, after the first inventory, before disks are chosen.
    pub settle: Duration,
    /// Overrides the order's `finish`.
    pub finish: Option<Finish>,
    /// The agent's own API.
    pub api: ApiDoor,
    /// The NIC that booted.
    pub boot_mac: Option<Mac>,
    /// Links and addresses.
    pub network: NetworkPlan,
    /// Ironic, if configured.
    pub ironic: Option<Ironic>,
    /// More words are on virtual media (`boot_method=vmedia`).
    pub virtual_media: bool,
    /// The ramdisk's requirements on orders; `None`: there are none.
    pub policy: Option<Rules>,
    /// Readable warnings: the caller logs them once its logger runs.
    pub warnings: Vec<String>,
}

impl Config {
    /// Parses and validates words in order of increasing precedence: `[file, kernel command line]`.
    pub fn parse(texts: &[&str]) -> Result<Self, ConfigError> {
        Raw::parse(texts).validate()
    }

    /// Whether any source of orders is configured, other than the agent's own API.
    pub fn names_a_front(&self) -> bool {
        self.controller.is_some() || self.order.is_some() || self.ironic.is_some()
    }
}

/// Reads `etc/burin/cmdline` (optional), what PID 1 kept from the boot medium, and `proc/cmdline` below `root`.
pub fn load(root: &Path) -> Result<Config, ConfigError> {
    load_with(root, "")
}

/// The same, with additional words of lower precedence than both.
pub fn load_with(root: &Path, more: &str) -> Result<Config, ConfigError> {
    let file = read(&root.join("etc/burin/cmdline"), true)?;
    let medium = read(&root.join("run/burin/medium/words"), true)?;
    let kernel = read(&root.join("proc/cmdline"), false)?;
    let config = Config::parse(&[&file, &medium, &kernel, more])?;
    match Rules::load(root)? {
        None => Ok(config),
        Some(rules) => policy::enforce(config, &file, rules),
    }
}

fn read(path: &Path, optional: bool) -> Result<String, ConfigError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if optional && error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(ConfigError::Read { path: path.to_owned(), source }),
    }
}
