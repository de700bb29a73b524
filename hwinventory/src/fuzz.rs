//! Entry points for fuzzing, one for each parser of outside data. Each must return for every input.

use crate::parse::{
    ata, cmdline, cpuinfo, cpulist, der, ethtool, ibft, ids, ipmi, ipmifru, ipmisdr, ipmisel, lldp, modalias, mounts,
    names, netlink, nvme, optics, opticscmis, pcie, probed, scsi, ses, smbios, spcr, tpm, uefi, vpd,
};

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
    ("der", certificate),
    ("ethtool", ethtool_answers),
    ("pcie", configuration_space),
    ("probed", probed_signatures),
    ("ids", names_of_devices),
    ("cpuinfo", processors),
    ("mounts", mount_tables),
    ("lists", kernel_texts),
    ("acpi", firmware_tables),
    ("vpd", vital_product_data),
    ("ses", enclosure_pages),
    ("sdr", sensor_records),
    ("sel", events),
    ("fru", boards),
    ("optics", modules_of_cages),
    ("modalias", aliases),
];

fn smbios_table(bytes: &[u8]) {
    let table = smbios::Table::parse(Some(bytes), bytes);
    smbios::system(&table);
    smbios::memory(&table);
    smbios::bmc_interface(&table);
    smbios::host_interfaces(&table);
    smbios::sockets(&table);
    smbios::blank(&mut bytes.to_vec(), |kind| kind >= 128);
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
    ipmi::ipv6_address(bytes);
    ipmi::address_source(bytes);
    ipmi::mac(bytes);
    ipmi::vlan(bytes);
}

fn uefi_variable(bytes: &[u8]) {
    uefi::boot_entry("0000", bytes);
}

fn netlink_dump(bytes: &[u8]) {
    netlink::permanent_addresses(bytes);
    netlink::hardware_addresses(bytes);
    netlink::addresses(bytes);
}

fn tpm_response(bytes: &[u8]) {
    tpm::properties(bytes);
    tpm::nv_data(bytes);
    tpm::nv_size(bytes);
    tpm::handles(bytes);
    tpm::wants_password(bytes);
    for key in [tpm::read_key(bytes), tpm::created_key(bytes)].into_iter().flatten() {
        der::algorithm(&key);
    }
}

fn certificate(bytes: &[u8]) {
    if let Some(certificate) = der::certificate(bytes) {
        der::public_key(certificate).map(der::algorithm);
    }
    der::algorithm(bytes);
}

fn ethtool_answers(bytes: &[u8]) {
    ethtool::driver_info(bytes);
    ethtool::link_settings(bytes);
    ethtool::permanent_address(bytes);
    ethtool::wake_on_lan(bytes);
    ethtool::private_flag_count(bytes);
    // The two answers that belong together, one behind the other.
    let (flags, names) = bytes.split_at(bytes.len().min(8));
    ethtool::lldp_flag(names, flags);
}

fn configuration_space(bytes: &[u8]) {
    pcie::express(bytes);
}

fn probed_signatures(bytes: &[u8]) {
    probed::parse(bytes);
}

fn names_of_devices(bytes: &[u8]) {
    let mut found = ids::Names::default();
    found.want("8086", "1533", Some(("15d9", "1533")), "020000");
    found.want("é", "", Some(("", "")), "0é0000");
    let _ = found.fill(bytes);
    found.class("020000");
    found.subsystem("8086", "1533", "15d9", "1533");
}

fn processors(bytes: &[u8]) {
    cpuinfo::parse(&String::from_utf8_lossy(bytes));
}

fn mount_tables(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    mounts::mountinfo(&text);
    mounts::mounts(&text);
    mounts::swaps(&text);
}

fn kernel_texts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let set = cpulist::parse(&text);
    assert_eq!(cpulist::parse(&cpulist::format(&set)), set);
    cpulist::parse_mask(&text);
    cmdline::words(&text);
    cmdline::masked(&text);
    cmdline::bootif(&text);
    let (a, b) = text.split_once(' ').unwrap_or((&text, ""));
    assert_eq!(names::natural(a, b), names::natural(b, a).reverse());
    names::is_placeholder(&text);
    names::is_hypervisor_default(&text);
}

fn firmware_tables(bytes: &[u8]) {
    ibft::ibft(bytes);
    ibft::blank_secrets(&mut bytes.to_vec());
    ibft::nbft_host(bytes);
    spcr::console(bytes);
}

fn vital_product_data(bytes: &[u8]) {
    vpd::vpd(bytes);
    vpd::blank_others(&mut bytes.to_vec());
}

/// The four pages, one behind the other, each with its length in its header.
fn enclosure_pages(bytes: &[u8]) {
    let mut pages = [&[][..]; 4];
    let mut rest = bytes;
    for page in &mut pages {
        let length = rest.get(2..4).map_or(0, |l| usize::from(l[0]) << 8 | usize::from(l[1])) + 4;
        let (this, after) = rest.split_at(length.min(rest.len()));
        (*page, rest) = (this, after);
    }
    ses::overall(pages[1]);
    if let Some(configuration) = ses::configuration(pages[0]) {
        for element in ses::elements(&configuration, pages[1], pages[2], pages[3]) {
            element.temperature();
            element.fan_speed();
            element.voltage();
            element.current();
        }
    }
}

/// A reading of five bytes, and a record.
fn sensor_records(bytes: &[u8]) {
    ipmisdr::answer(bytes);
    let (reading, record) = bytes.split_at(bytes.len().min(5));
    if let Some(ipmisdr::Record::Sensor(sensor)) = ipmisdr::record(record) {
        sensor.sensor(Some(reading));
    }
}

fn events(bytes: &[u8]) {
    ipmisel::info(bytes);
    ipmisel::answer(bytes);
    ipmisel::event(bytes);
}

fn boards(bytes: &[u8]) {
    ipmifru::area(bytes);
    ipmifru::data(bytes);
    ipmifru::extent(bytes);
    ipmifru::fru(bytes);
    ipmifru::blank_others(&mut bytes.to_vec());
}

fn modules_of_cages(bytes: &[u8]) {
    optics::module_info(bytes);
    if let Some(mut found) = optics::module(bytes)
        && let Some(monitors) = opticscmis::monitors(bytes, bytes, &mut found)
    {
        opticscmis::lanes(&monitors, 1, bytes, &mut found);
    }
}

/// A modalias, and the file in the lines behind it.
fn aliases(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (modalias, file) = text.split_once('\n').unwrap_or((&text, ""));
    modalias::modules(file, modalias);
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

/// Frames as the source keeps them.
pub fn neighbours(answer: &[u8]) -> Vec<crate::model::LldpNeighbour> {
    lldp::frames(answer)
}
