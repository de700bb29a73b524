//! The questions to kernel and devices that are not files: ioctls, netlink dumps, frames from the network.

use crate::parse::bytes::hex;

/// A question to the kernel or a device that is not a file. The answer is bytes in the device's own format, so that a
/// recorded answer goes through the same parsers as a live one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Query {
    /// An NVMe admin command that reads.
    NvmeAdmin {
        device: String,
        opcode: u8,
        namespace: u32,
        cdw10: u32,
        cdw11: u32,
        length: u32,
    },
    /// A SCSI command that reads, through `SG_IO`.
    Scsi {
        device: String,
        cdb: Vec<u8>,
        length: u32,
    },
    /// What libblkid recognises, as JSON.
    Signatures {
        device: String,
    },
    /// Whether a disk looks empty, as the JSON of [`crate::model::Samples`].
    Samples {
        device: String,
    },
    /// A `SIOCETHTOOL` command structure that reads, as the kernel filled it.
    Ethtool {
        interface: String,
        command: u32,
        length: u32,
    },
    /// Half a page of a pluggable module's memory, 128 bytes: the upper half of this page in this bank, or the lower half
    /// that all of them share.
    ModulePage {
        interface: String,
        upper: bool,
        page: u8,
        bank: u8,
    },
    /// The messages of an rtnetlink dump, headers and all.
    Links,
    Addresses,
    /// LLDP frames heard, each preceded by its length as a big-endian u16.
    Lldp {
        interface: String,
        seconds: u32,
        /// Switch the card's own LLDP agent off meanwhile, where it has one and it is on.
        agent_off: bool,
    },
    /// An IPMI request; the answer starts with the completion code.
    Ipmi {
        device: String,
        netfn: u8,
        command: u8,
        data: Vec<u8>,
    },
    /// A TPM 2.0 command and its response.
    Tpm {
        device: String,
        command: Vec<u8>,
    },
}

impl Query {
    /// A stable name for the question, usable as a file name.
    pub fn key(&self) -> String {
        match self {
            Query::NvmeAdmin { device, opcode, namespace, cdw10, cdw11, length } => {
                format!("nvme_{}_{opcode:02x}_{namespace:x}_{cdw10:x}_{cdw11:x}_{length}", safe(device))
            }
            Query::Scsi { device, cdb, length } => format!("scsi_{}_{}_{length}", safe(device), hex(cdb)),
            Query::Signatures { device } => format!("signatures_{}", safe(device)),
            Query::Samples { device } => format!("samples_{}", safe(device)),
            Query::Ethtool { interface, command, length } => {
                format!("ethtool_{}_{command:x}_{length}", safe(interface))
            }
            Query::ModulePage { interface, upper, page, bank } => {
                format!("module_{}_{page:02x}_{bank}_{}", safe(interface), if *upper { "upper" } else { "lower" })
            }
            Query::Links => "links".to_owned(),
            Query::Addresses => "addresses".to_owned(),
            Query::Lldp { interface, .. } => format!("lldp_{}", safe(interface)),
            Query::Ipmi { device, netfn, command, data } => {
                format!("ipmi_{}_{netfn:02x}_{command:02x}_{}", safe(device), hex(data))
            }
            Query::Tpm { device, command } => format!("tpm_{}_{}", safe(device), hex(command)),
        }
    }
}

fn safe(name: &str) -> String {
    name.trim_start_matches("/dev/")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':') { c } else { '+' })
        .collect()
}
