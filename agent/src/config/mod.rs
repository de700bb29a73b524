//! Raw command line and files -> one validated [`Config`].
//!
//! Words come from `/etc/burin/cmdline` first, from the boot medium's `burin.conf` then, and from the kernel command line
//! last; the last of two equal keys wins.
//! Keys treat `-` and `_` as one character, as the kernel does. The grammar of quotes is the kernel's
//! (Documentation/admin-guide/kernel-parameters): double quotes may enclose a value or a whole word and are dropped.

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

/// Everything the agent was told at boot, validated.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// Where to say hello.
    pub controller: Option<HttpUrl>,
    /// How the controller's certificate is judged.
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
    /// Where the log goes beside consoles and controller.
    pub syslog: Vec<SyslogTarget>,
    /// Servers that DHCP names get it too.
    pub syslog_by_dhcp: bool,
    /// Time server, before those of DHCP.
    pub ntp: Option<String>,
    /// How long the first inventory listens for LLDP. Zero: not at all.
    pub lldp: Duration,
    /// How long the BMC's records are read, beside the work.
    pub bmc: Duration,
    /// Disks are chosen no earlier than so long after the agent has looked for the first time.
    pub settle: Duration,
    /// Overrides the order's `finish`.
    pub finish: Option<Finish>,
    /// The agent's own API.
    pub api: ApiDoor,
    /// The NIC that booted.
    pub boot_mac: Option<Mac>,
    /// Links and addresses.
    pub network: NetworkPlan,
    /// Ironic, where its words say where it is.
    pub ironic: Option<Ironic>,
    /// More words are on virtual media (`boot_method=vmedia`).
    pub virtual_media: bool,
    /// What the ramdisk demands of whoever gives orders; none: nothing.
    pub policy: Option<Rules>,
    /// What was odd but not wrong, in plain words: the caller logs it once its logger runs.
    pub warnings: Vec<String>,
}

impl Config {
    /// Parses and validates words in order of rising precedence: `[file, kernel command line]`.
    pub fn parse(texts: &[&str]) -> Result<Self, ConfigError> {
        Raw::parse(texts).validate()
    }

    /// Whether anybody is named who gives orders; one that is given to the agent's own API is not.
    pub fn names_a_front(&self) -> bool {
        self.controller.is_some() || self.order.is_some() || self.ironic.is_some()
    }
}

/// Reads `etc/burin/cmdline` (optional), what PID 1 kept of the boot medium, and `proc/cmdline` below `root`.
pub fn load(root: &Path) -> Result<Config, ConfigError> {
    load_with(root, "")
}

/// The same, with words that go before both.
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
