//! One entry per parser that reads what devices, firmware or the network say. For fuzzers and bounded trials: they must
//! return for every input.

use crate::parse::{ata, ethtool, ipmi, lldp, netlink, nvme, probed, scsi, smbios, tpm, uefi};

pub type Target = fn(&[u8]);

pub const TARGETS: &[(&str, Target)] = &[
    ("smbios", smbios_table),
    ("scsi", scsi_pages),
    ("nvme", nvme_data),
    ("ata", ata_data),
    ("lldp", lldp_frame),
    ("ipmi", ipmi_answers),
    ("uefi", uefi_variable),
    ("netlink", netlink_dump),
    ("tpm", tpm_response),
];

fn smbios_table(bytes: &[u8]) {
    let table = smbios::Table::parse(Some(bytes), bytes);
    smbios::system(&table);
    smbios::memory(&table);
    smbios::bmc_interface(&table);
    if let Some(table) = smbios::Table::parse_dump(bytes) {
        smbios::system(&table);
        smbios::memory(&table);
    }
}

fn scsi_pages(bytes: &[u8]) {
    scsi::serial(bytes);
    scsi::designators(bytes);
    scsi::characteristics(bytes);
    scsi::unmapped_reads_zero(bytes);
    for page in [0x02, 0x0d, 0x11, 0x2f] {
        scsi::log_parameters(bytes, page);
    }
}

fn nvme_data(bytes: &[u8]) {
    nvme::controller(bytes);
    nvme::namespace(bytes);
    nvme::smart(bytes);
}

fn ata_data(bytes: &[u8]) {
    ata::identify(bytes);
    ata::smart(bytes, Some(bytes), None);
    ata::predicts_failure(bytes);
}

fn lldp_frame(bytes: &[u8]) {
    lldp::neighbour(bytes);
    lldp::frames(bytes);
}

fn ipmi_answers(bytes: &[u8]) {
    ipmi::device_id(bytes);
    ipmi::guid(bytes);
    ipmi::parameter(bytes);
}

fn uefi_variable(bytes: &[u8]) {
    uefi::boot_entry("0000", bytes);
}

fn netlink_dump(bytes: &[u8]) {
    netlink::permanent_addresses(bytes);
    netlink::addresses(bytes);
    ethtool::link_settings(bytes);
    probed::parse(bytes);
}

fn tpm_response(bytes: &[u8]) {
    tpm::properties(bytes);
    tpm::nv_data(bytes);
    tpm::nv_size(bytes);
}

/// Runs the target of that name.
pub fn run(name: &str, bytes: &[u8]) {
    for (_, target) in TARGETS.iter().filter(|(n, _)| *n == name) {
        target(bytes);
    }
}

/// For tests that compare with other programs.
pub fn is_placeholder(text: &str) -> bool {
    crate::parse::names::is_placeholder(text)
}

/// Where the table starts in a file of `dmidecode --dump-bin`.
pub fn table_offset(dump: &[u8]) -> Option<usize> {
    smbios::Table::dump_offset(dump).filter(|&at| at < dump.len())
}

pub fn neighbour(frame: &[u8]) -> Option<crate::model::LldpNeighbour> {
    lldp::neighbour(frame)
}
