//! Collects iSCSI and NVMe over Fabrics: this machine's names, what firmware booted from, open sessions.

use crate::model::{
    Ibft, IbftNic, IbftTarget, IscsiSession, NameAndSource, NvmeController, NvmeSubsystem, StorageFabrics,
};
use crate::parse::ibft;
use crate::parse::names::natural;
use crate::source::Reader;

const IBFT: &str = "/sys/firmware/ibft";
const SESSIONS: &str = "/sys/class/iscsi_session";
const SUBSYSTEMS: &str = "/sys/class/nvme-subsystem";

pub fn collect(reader: &Reader) -> Option<StorageFabrics> {
    let (ibft, table) = firmware_table(reader);
    let nvme_subsystems = subsystems(reader);
    let named = |file: &str| reader.quiet_text(file).map(|name| NameAndSource { name, source: file.to_owned() });
    let of_table =
        |name: Option<String>, source: &str| name.map(|name| NameAndSource { name, source: source.to_owned() });
    const NBFT: &str = "/sys/firmware/acpi/tables/NBFT";
    let (nqn, id) = reader.source().read(NBFT).ok().and_then(|t| ibft::nbft_host(&t)).unwrap_or_default();
    let connected = nvme_subsystems.iter().flat_map(|s| &s.controllers).find_map(|c| c.host_nqn.clone());
    let fabrics = StorageFabrics {
        iscsi_initiator: initiator_file(reader)
            .or_else(|| of_table(ibft.as_ref().and_then(|t| t.initiator_name.clone()), table)),
        iscsi_sessions: sessions(reader),
        nvme_host_nqn: named("/etc/nvme/hostnqn")
            .or_else(|| of_table(nqn, NBFT))
            .or_else(|| of_table(connected, "/sys/class/nvme")),
        nvme_host_id: named("/etc/nvme/hostid").or_else(|| of_table(id, NBFT)),
        ibft,
        nvme_subsystems,
    };
    (fabrics != StorageFabrics::default()).then_some(fabrics)
}

/// `InitiatorName=iqn...`
fn initiator_file(reader: &Reader) -> Option<NameAndSource> {
    const FILE: &str = "/etc/iscsi/initiatorname.iscsi";
    let text = reader.quiet_text(FILE)?;
    let name = text.lines().find_map(|line| line.trim().strip_prefix("InitiatorName="))?;
    Some(NameAndSource { name: name.trim().to_owned(), source: FILE.to_owned() })
}

/// By the kernel's driver, which shows no secrets unless asked for them; without it, the table itself.
fn firmware_table(reader: &Reader) -> (Option<Ibft>, &'static str) {
    if let Ok(names) = reader.source().list(IBFT)
        && !names.is_empty()
    {
        return (Some(from_driver(reader, &names)), IBFT);
    }
    const TABLES: &[&str] = &["/sys/firmware/acpi/tables/iBFT", "/sys/firmware/acpi/tables/IBFT"];
    for table in TABLES {
        if let Some(found) = reader.source().read(table).ok().and_then(|t| ibft::ibft(&t)) {
            return (Some(found), table);
        }
    }
    (None, "")
}

fn from_driver(reader: &Reader, names: &[String]) -> Ibft {
    let text = |directory: &str, name: &str| reader.quiet_text(&format!("{IBFT}/{directory}/{name}"));
    let number = |directory: &str, name: &str| text(directory, name).and_then(|t| t.parse::<u64>().ok());
    let address = |directory: &str, name: &str| text(directory, name).filter(|a| a != "0.0.0.0" && a != "::");
    let selected = |directory: &str| number(directory, "flags").is_some_and(|f| f & 2 != 0);
    let mut table = Ibft { initiator_name: text("initiator", "initiator-name"), ..Ibft::default() };
    for name in names {
        if let Some(index) = name.strip_prefix("ethernet").and_then(|n| n.parse().ok()) {
            let prefix = number(name, "prefix-len");
            table.nics.push(IbftNic {
                index: number(name, "index").unwrap_or(index),
                boot_selected: selected(name),
                mac: text(name, "mac"),
                pci_address: reader.link_name(&format!("{IBFT}/{name}/device")),
                address: address(name, "ip-addr").map(|a| prefix.map_or_else(|| a.clone(), |p| format!("{a}/{p}"))),
                origin: number(name, "origin").map(|n| match n {
                    1 => "static".to_owned(),
                    3 => "dhcp".to_owned(),
                    4 => "router-advertisement".to_owned(),
                    _ => "other".to_owned(),
                }),
                gateway: address(name, "gateway"),
                name_servers: ["primary-dns", "secondary-dns"].iter().filter_map(|n| address(name, n)).collect(),
                dhcp_server: address(name, "dhcp"),
                vlan: number(name, "vlan").filter(|&v| v != 0),
                hostname: text(name, "hostname"),
            });
        } else if let Some(index) = name.strip_prefix("target").and_then(|n| n.parse().ok()) {
            table.targets.push(IbftTarget {
                index: number(name, "index").unwrap_or(index),
                boot_selected: selected(name),
                name: text(name, "target-name"),
                address: address(name, "ip-addr"),
                port: number(name, "port"),
                lun: text(name, "lun").map(unit),
                authentication: number(name, "chap-type").map(|n| match n {
                    0 => "none".to_owned(),
                    1 => "chap".to_owned(),
                    _ => "mutual-chap".to_owned(),
                }),
                nic: number(name, "nic-assoc"),
            });
        }
    }
    table
}

/// The driver prints the eight bytes of a unit's number one by one, without leading zeros: as the table has it where each
/// is one digit.
fn unit(text: String) -> String {
    let one_each = text.len() == 8 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    if one_each { text.chars().flat_map(|digit| ['0', digit]).collect() } else { text }
}

fn sessions(reader: &Reader) -> Vec<IscsiSession> {
    let mut names = reader.source().list(SESSIONS).unwrap_or_default();
    names.sort_by(|a, b| natural(a, b));
    let session = |name: String| {
        let text = |attribute: &str| reader.quiet_text(&format!("{SESSIONS}/{name}/{attribute}"));
        let number = name.strip_prefix("session").unwrap_or_default();
        let connection = |attribute: &str| {
            reader.quiet_text(&format!("/sys/class/iscsi_connection/connection{number}:0/{attribute}"))
        };
        IscsiSession {
            target_name: text("targetname"),
            initiator_name: text("initiatorname"),
            state: text("state"),
            interface: text("ifacename").filter(|i| i != "default"),
            address: connection("persistent_address").or_else(|| connection("address")),
            port: connection("persistent_port").or_else(|| connection("port")).and_then(|p| p.parse().ok()),
            name,
        }
    };
    names.into_iter().map(session).collect()
}

fn subsystems(reader: &Reader) -> Vec<NvmeSubsystem> {
    let mut names = reader.source().list(SUBSYSTEMS).unwrap_or_default();
    names.sort_by(|a, b| natural(a, b));
    names.into_iter().filter_map(|name| subsystem(reader, name)).collect()
}

fn subsystem(reader: &Reader, name: String) -> Option<NvmeSubsystem> {
    let real = reader.follow(SUBSYSTEMS, &name)?;
    let text = |attribute: &str| reader.quiet_text(&format!("{real}/{attribute}"));
    let mut below = reader.list(&real);
    below.sort_by(|a, b| natural(a, b));
    let digits = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit());
    let controllers = below.iter().filter(|n| n.strip_prefix("nvme").is_some_and(digits));
    let controllers: Vec<NvmeController> = controllers.map(|c| controller(reader, c)).collect();
    // Of the subsystem with native multipath, of its one controller without.
    let is_namespace = |n: &str| {
        n.strip_prefix("nvme").and_then(|rest| rest.split_once('n')).is_some_and(|(a, b)| digits(a) && digits(b))
    };
    let mut namespaces: Vec<String> = below.iter().filter(|n| is_namespace(n)).cloned().collect();
    if namespaces.is_empty() {
        let of = |c: &NvmeController| reader.source().list(&format!("/sys/class/nvme/{}", c.name)).unwrap_or_default();
        namespaces = controllers.iter().flat_map(of).filter(|n| is_namespace(n)).collect();
    }
    Some(NvmeSubsystem {
        nqn: text("subsysnqn"),
        model: text("model"),
        serial: text("serial"),
        firmware: text("firmware_rev"),
        kind: text("subsystype"),
        io_policy: text("iopolicy"),
        controllers,
        namespaces,
        name,
    })
}

fn controller(reader: &Reader, name: &str) -> NvmeController {
    let text = |attribute: &str| reader.quiet_text(&format!("/sys/class/nvme/{name}/{attribute}"));
    NvmeController {
        name: name.to_owned(),
        transport: text("transport"),
        address: text("address"),
        state: text("state"),
        controller_id: text("cntlid").and_then(|t| t.parse().ok()),
        kind: text("cntrltype"),
        host_nqn: text("hostnqn"),
    }
}
