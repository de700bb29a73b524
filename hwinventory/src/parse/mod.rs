//! Pure parsers: bytes or text in, values out. None of them panics, whatever the input.

mod armcpu;
pub mod ata;
pub mod bytes;
pub mod cmdline;
pub mod cpuinfo;
pub mod cpulist;
pub mod der;
pub mod ethtool;
pub mod ibft;
pub mod ids;
pub mod ipmi;
pub mod lldp;
pub mod modalias;
pub mod mounts;
pub mod names;
pub mod netlink;
pub mod nvme;
pub mod pcie;
pub mod probed;
pub mod samples;
pub mod scsi;
pub mod ses;
pub mod smbios;
pub mod spcr;
pub mod tpm;
pub mod uefi;
pub mod vpd;
