//! Errors in the boot parameters.

use super::value::without_userinfo;
use crate::error::Coded;
use crate::policy::{RefusedByPolicy, RulesError};
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{word}={value}: {why}")]
    Url { word: &'static str, value: String, why: &'static str },
    #[error("burin.ca={value}: {why}")]
    Ca { value: String, why: &'static str },
    #[error("burin.log={value}: neither a level nor a syslog server")]
    Log { value: String },
    #[error("burin.lldp={value}: not a number of seconds up to 300")]
    Lldp { value: String },
    #[error("burin.bmc={value}: not a number of seconds up to 600")]
    Bmc { value: String },
    #[error("burin.settle={value}: not a number of seconds up to 3600")]
    Settle { value: String },
    #[error("burin.finish={value}: not one of reboot, poweroff, kexec and hold")]
    Finish { value: String },
    #[error("burin.api={value}: neither off, nor a port, nor an address with a port")]
    Api { value: String },
    #[error("BOOTIF={value}: not the address of an Ethernet NIC")]
    BootIf { value: String },
    #[error("{word}: {why}")]
    Ironic { word: &'static str, why: &'static str },
    #[error("ip={value}: {why}")]
    Ip { value: String, why: &'static str },
    #[error(transparent)]
    Rules(#[from] RulesError),
    #[error(transparent)]
    Policy(RefusedByPolicy),
    #[error("this ramdisk's policy requires https with its own CAs, but a boot parameter names other ones")]
    PolicyCa,
}

impl ConfigError {
    pub(super) fn url(word: &'static str, value: &str, why: &'static str) -> Self {
        Self::Url { word, value: without_userinfo(value), why }
    }
}

impl Coded for ConfigError {
    fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "config.read",
            Self::Url { .. } => "config.url",
            Self::Ca { .. } => "config.ca",
            Self::Log { .. } => "config.log",
            Self::Lldp { .. } => "config.lldp",
            Self::Bmc { .. } => "config.bmc",
            Self::Settle { .. } => "config.settle",
            Self::Finish { .. } => "config.finish",
            Self::Api { .. } => "config.api",
            Self::BootIf { .. } => "config.bootif",
            Self::Ironic { .. } => "config.ironic",
            Self::Ip { .. } => "config.ip",
            Self::Rules(error) => error.code(),
            Self::Policy(error) => error.code(),
            Self::PolicyCa => "policy.ca",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Read { .. } => return None,
            Self::Rules(error) => return error.hint(),
            Self::Policy(error) => return error.hint(),
            Self::PolicyCa => "put burin.ca into the ramdisk's /etc/burin/cmdline, or the CA into /etc/burin/ca.pem",
            Self::Url { word, .. } => return Some(format!("write {word}=http://HOST[:PORT]/PATH or https://...")),
            Self::Ca { .. } => {
                "write burin.ca=/etc/burin/ca.pem or burin.ca=sha256:<64 hexadecimal digits>, and URLs that begin with https://"
            }
            Self::Log { .. } => {
                "write error, warn, info, debug or trace, and servers as udp://HOST[:514] or tcp://HOST[:601]: burin.log=info,udp://10.0.0.5"
            }
            Self::Lldp { .. } => "write burin.lldp=31: switches send a frame every 30 seconds",
            Self::Bmc { .. } => "write burin.bmc=60, or burin.bmc=0 to skip the BMC's event log and sensors",
            Self::Settle { .. } => "write burin.settle=60 if disks may appear up to a minute late",
            Self::Finish { .. } => "write reboot, poweroff, kexec or hold",
            Self::Api { .. } => {
                "write burin.api=off, burin.api=8443, burin.api=10.0.0.7:8443 or burin.api=[fd00::7]:8443"
            }
            Self::BootIf { .. } => {
                "in iPXE write BOOTIF=01-${net0/mac:hexhyp}; burin supports Ethernet only, not InfiniBand (20-...)"
            }
            Self::Ironic { .. } => "see docs/ironic.md for the words",
            Self::Ip { .. } => {
                "write ip=dhcp or ip=<address>::<gateway>:<netmask>:<hostname>:<device>:none:<dns>:<dns>:<ntp>, IPv6 in brackets"
            }
        };
        Some(hint.to_owned())
    }
}
