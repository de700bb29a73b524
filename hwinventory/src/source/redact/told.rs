//! Finds identifying values inside longer text: kernel command line, mount table, `/proc/cpuinfo`, names of adapters.

use super::atoms::uuids;
use std::collections::BTreeSet;

/// What stands before a name of a filesystem or partition, which need not be a UUID: FAT has eight digits, NTFS sixteen.
const BEFORE: &[&str] =
    &["UUID=", "UUID:", "by-uuid/", "by-partuuid/", "rd.md.uuid=", "rd.luks.uuid=", "machine_id=", "hostonly="];

/// Kernel command line and mounts.
pub fn gather(text: &str, found: &mut BTreeSet<String>) {
    found.extend(uuids(text));
    // Device mapper doubles the dashes of names that it joins: `ceph--11223344--5566--...`.
    found.extend(uuids(&text.replace("--", "-")));
    for before in BEFORE {
        for (at, _) in text.match_indices(before) {
            let value = text.get(at + before.len()..).unwrap_or_default();
            let value = value.trim_start_matches(['"', '\'']).strip_prefix("luks-").unwrap_or(value);
            let end =
                value.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | ':')).unwrap_or(value.len());
            found.extend(value.get(..end).filter(|name| name.len() > 4).map(str::to_owned));
        }
    }
    addresses(text, found);
    ids(text, found);
}

/// Six pairs of digits with colons or dashes between them, wherever they stand: `ifname=eth0:52:54:00:12:34:56`.
fn addresses(text: &str, found: &mut BTreeSet<String>) {
    const LENGTH: usize = 17;
    let bytes = text.as_bytes();
    let is_pairs = |window: &[u8]| {
        let separator = window.get(2).copied().filter(|c| matches!(c, b':' | b'-'));
        window.iter().enumerate().all(|(n, c)| match n % 3 {
            2 => Some(*c) == separator,
            _ => c.is_ascii_hexdigit(),
        })
    };
    for (at, _) in bytes.windows(LENGTH).enumerate().filter(|(_, window)| is_pairs(window)) {
        // `01-52-54-...` has its type before it: the last six pairs are the address.
        if !bytes.get(at + LENGTH).is_some_and(|c| c.is_ascii_hexdigit() || matches!(c, b':' | b'-')) {
            found.extend(text.get(at..at + LENGTH).map(str::to_owned));
        }
    }
}

/// Sixteen hexadecimal digits and more: names of ports, of units, of machines.
pub fn ids(text: &str, found: &mut BTreeSet<String>) {
    const SHORTEST: usize = 16;
    for run in text.split(|c: char| !c.is_ascii_hexdigit()).filter(|run| run.len() >= SHORTEST) {
        // `3` before a NAA, as SCSI names have it.
        let id = if run.len() % 2 == 1 { run.get(1..).unwrap_or_default() } else { run };
        found.insert(id.to_owned());
    }
}

/// The number that some architectures give to each board, or to each CPU: `Serial : 00000000abcdef01`,
/// `identification = 0133E8`.
pub fn processors(text: &str, found: &mut BTreeSet<String>) {
    for line in text.lines() {
        let serial = line.split_once(':').filter(|(key, _)| key.trim() == "Serial").map(|(_, value)| value.trim());
        let identification = line.split_once("identification = ").and_then(|(_, rest)| rest.split([',', ' ']).next());
        found.extend([serial, identification].into_iter().flatten().filter(|n| n.len() >= 6).map(str::to_owned));
    }
}

/// The name of the host in what an adapter calls itself: `HN:host` of Fibre Channel's symbolic names, and the first of two
/// words of an RDMA device's description, the second of which is the device.
pub fn host<'a>(path: &str, text: &'a str) -> Option<&'a str> {
    let name = match path.rsplit('/').next()? {
        "symbolic_name" => text.split_once("HN:")?.1.split_whitespace().next()?.trim_end_matches('.'),
        "node_desc" => {
            let device = path.rsplit('/').nth(1)?;
            text.trim().strip_suffix(device)?.strip_suffix(' ')?.trim()
        }
        "hostname" if path.starts_with("/proc/sys/kernel/") => text.trim(),
        _ => return None,
    };
    // What the kernel says before anybody has given it a name.
    let nobody = ["", "(none)", "localhost", "localhost.localdomain"].contains(&name);
    (!nobody && !name.contains(char::is_whitespace)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(gather: impl Fn(&mut BTreeSet<String>)) -> Vec<String> {
        let mut found = BTreeSet::new();
        gather(&mut found);
        found.into_iter().collect()
    }

    #[test]
    fn names_in_running_text() {
        let told = |text: &str| gathered(|found| gather(text, found));
        for (text, names) in [
            ("root=UUID=1A2B-3C4D ro", vec!["1A2B-3C4D"]),
            ("root=PARTUUID=f5a5c5d3-01 quiet", vec!["f5a5c5d3-01"]),
            ("/dev/disk/by-uuid/0A1B2C3D4E5F6071 /mnt ntfs", vec!["0A1B2C3D4E5F6071"]),
            ("rd.md.uuid=26d43bb7:2b9bb08e:6912462a:d6572672", vec!["26d43bb7:2b9bb08e:6912462a:d6572672"]),
            ("ifname=eth0:52:54:00:12:34:56 quiet", vec!["52:54:00:12:34:56"]),
            ("BOOTIF=01-52-54-00-12-34-56", vec!["52-54-00-12-34-56"]),
            ("rd.zfcp=0.0.4000,0x5005076300C213e9,0x5022000000000000", vec!["5005076300C213e9", "5022000000000000"]),
            ("root=/dev/disk/by-id/scsi-36005076300000000000000000000cafe", vec!["6005076300000000000000000000cafe"]),
            (
                "/dev/mapper/ceph--11223344--5566--7788--99aa--bbccddeeff01-osd x",
                vec!["11223344-5566-7788-99aa-bbccddeeff01"],
            ),
            ("console=ttyS0,115200n8 ip=10.0.0.2::10.0.0.1:255.255.255.0 mem=0x880000000", vec![]),
        ] {
            assert_eq!(told(text), names, "{text}");
        }
    }

    #[test]
    fn numbers_of_boards_and_processors() {
        let board = "processor\t: 0\n\nHardware\t: BCM2711\nSerial\t\t: 10000000abcdef01\n";
        assert_eq!(gathered(|found| processors(board, found)), ["10000000abcdef01"]);
        let mainframe = "processor 0: version = FF,  identification = 0133E8,  machine = 2964\n";
        assert_eq!(gathered(|found| processors(mainframe, found)), ["0133E8"]);
    }

    #[test]
    fn names_of_hosts() {
        let emulex = "Emulex LPe16002B-M6 FV10.2.340.19 DV11.1.0.2. HN:node17. OS:Linux";
        assert_eq!(host("/sys/class/fc_host/host1/symbolic_name", emulex), Some("node17"));
        assert_eq!(host("/x/infiniband/mlx5_0/node_desc", "node17 mlx5_0\n"), Some("node17"));
        assert_eq!(host("/x/infiniband/mlx4_0/node_desc", "MT25408 ConnectX Mellanox Technologies\n"), None);
        assert_eq!(host("/x/infiniband/mlx5_0/node_desc", "mlx5_0\n"), None);
        assert_eq!(host("/proc/sys/kernel/hostname", "node17\n"), Some("node17"));
        assert_eq!(host("/proc/sys/kernel/hostname", "(none)\n"), None);
    }
}
