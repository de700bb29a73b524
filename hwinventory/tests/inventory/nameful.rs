//! Made-up machines for the redaction tests: identifiers in unusual places, and numbers that look like identifiers.

use crate::builder;
use crate::support::Machine;

const IB: &str = "/sys/devices/pci0000:00/0000:00:05.0";

/// GUIDs in groups of four, serial numbers of digits and dashes, and of hexadecimal digits in ATA's swapped bytes.
pub fn many_spellings() -> Machine {
    let mut machine = Machine::default();
    let address = "80:00:00:48:fe:80:00:00:00:00:00:00:00:02:c9:03:00:12:34:57\n";
    machine.file(&format!("{IB}/net/ib0/address"), address).file(&format!("{IB}/net/ib0/type"), "32\n");
    machine.file(&format!("{IB}/net/ib0/ifindex"), "2\n").link(&format!("{IB}/net/ib0/device"), IB);
    machine.link("/sys/class/net/ib0", &format!("{IB}/net/ib0"));
    machine.file(&format!("{IB}/infiniband/mlx4_0/node_guid"), "0002:c903:0012:3456\n");
    let gid = "fe80:0000:0000:0000:0002:c903:0012:3457\n";
    machine.file(&format!("{IB}/infiniband/mlx4_0/ports/1/gids/0"), gid);
    let names = ["Microsoft Corporation", "Virtual Machine", "7.0", "1234-5678-9012-3456-7890-1234-56"];
    builder::smbios(&mut machine, (3, 1), &[builder::system(&names, *b"\x11\x22\x33\x44\x55\x66\x77\x88abcdefgh")]);
    for (port, serial) in [(1, "50026B7200C0FFEE"), (2, "50026b7200c0ffed"), (3, "WD-WCC4E1234567")] {
        machine.sata(&format!("sd{port}"), port, serial);
        let device = format!("/sys/devices/pci0000:00/0000:00:17.0/ata{port}/host{port}/target{port}:0:0/{port}:0:0:0");
        let mut identify = vec![0; 512];
        let swap = |text: String| text.as_bytes().chunks(2).flat_map(|p| [p[1], p[0]]).collect::<Vec<u8>>();
        identify[20..40].copy_from_slice(&swap(format!("{serial:>20}")));
        identify[54..94].copy_from_slice(&swap(format!("{:<40}", "MADEUP")));
        let head = [&[0, 0x89, 2, 0x38][..], &[0; 52], &[0xec, 0, 0, 0]].concat();
        machine.files.insert(format!("{device}/vpd_pg89"), [head, identify].concat());
    }
    machine
}

/// What says of which kind a name is survives, and with it who belongs to whom.
pub fn many_relations() -> Machine {
    let mut machine = Machine::default();
    let pci = "/sys/devices/pci0000:00/0000:00:17.0";
    let virtual_ = "/sys/devices/virtual/block";
    let mut paths = Vec::new();
    for (n, wwid) in ["t10.MADEUP  SERIAL-0001", "naa.6005076300000000000000000000cafe"].iter().enumerate() {
        for path in 0..2 {
            let name = format!("sd{}", char::from(b'a' + (2 * n + path) as u8));
            let real = format!("{pci}/host{path}/target{path}:0:{n}/{path}:0:{n}:0");
            let base = builder::scsi(&mut machine, &real, &name, ["MADEUP", "X", "1"], &[]);
            machine.file(&format!("{real}/wwid"), &format!("{wwid}\n"));
            paths.push((name, base));
        }
    }
    let vg = "q1w2e3r4t5y6u7i8o9p0a1s2d3f4g5h6";
    let maps = [
        ("dm-0", "mpatha", "mpath-SMADEUP_X_SERIAL-0001".to_owned(), &paths[..2]),
        ("dm-1", "mpathb", "mpath-36005076300000000000000000000cafe".to_owned(), &paths[2..]),
        ("dm-2", "mpathb-part1", "part1-mpath-36005076300000000000000000000cafe".to_owned(), &paths[..0]),
        ("dm-3", "vg-root", format!("LVM-{vg}R1t2y3u4i5o6p7a8s9d0f1g2h3j4k5l6"), &paths[..0]),
        ("dm-4", "vg-swap", format!("LVM-{vg}Z1x2c3v4b5n6m7q8w9e0r1t2y3u4i5o6-tpool"), &paths[..0]),
        (
            "dm-5",
            "luks-01234567-89ab-cdef-0123-456789abcdef",
            "CRYPT-LUKS2-0123456789abcdef0123456789abcdef-luks-01234567-89ab-cdef-0123-456789abcdef".to_owned(),
            &paths[..0],
        ),
    ];
    for (name, label, uuid, slaves) in maps {
        let base = builder::disk(&mut machine, virtual_, name, &[("dm/name", label), ("dm/uuid", &uuid)]);
        for (slave, real) in slaves {
            machine.link(&format!("{base}/slaves/{slave}"), real);
        }
    }
    let md = [("md/uuid", "26d43bb7-2b9b-b08e-6912-462ad6572672"), ("md/level", "raid1")];
    builder::disk(&mut machine, virtual_, "md0", &md);
    machine.file(
        "/proc/cmdline",
        "root=UUID=11223344-5566-7788-99aa-bbccddeeff00 rd.md.uuid=26d43bb7:2b9bb08e:6912462a:d6572672 quiet\n",
    );
    machine
}

/// Names that are in no field of the inventory, and numbers that are no names.
pub fn names_in_passing() -> Machine {
    let mut machine = Machine::default();
    let md = "26d43bb7:2b9bb08e:6912462a:d6572671";
    machine.file(
        "/proc/cmdline",
        &format!(
            "root=PARTUUID=f5a5c5d3-01 resume=UUID=0A1B2C3D4E5F6071 rd.md.uuid={md} ifname=eth7:52:54:00:ab:cd:ef \
             rd.zfcp=0.0.4000,0x5005076300C213e9,0x5022000000000000 systemd.machine_id=0f1e2d3c4b5a69788796a5b4c3d2e1f0 \
             ip=10.0.0.7::10.0.0.1:255.255.255.0 console=ttyS0,115200n8\n"
        ),
    );
    let cpu = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\nHardware\t: BCM2711\nSerial\t\t: 10000000abcdef01\n";
    machine.file("/proc/cpuinfo", cpu);
    // Ceph calls its volumes by UUIDs, and device mapper doubles their dashes.
    let osd = "ceph--a1b2c3d4--1122--4344--8566--778899aabbcc-osd--block--b1b2c3d4--1122--4344--8566--778899aabbcd";
    let lvm = "LVM-q1w2e3r4t5y6u7i8o9p0a1s2d3f4g5h6R1t2y3u4i5o6p7a8s9d0f1g2h3j4k5l6";
    builder::disk(&mut machine, "/sys/devices/virtual/block", "dm-0", &[("dm/name", osd), ("dm/uuid", lvm)]);
    machine.file("/proc/self/mountinfo", &format!("1 0 253:0 / /var rw - ext4 /dev/mapper/{osd} rw\n"));
    let hca = format!("{IB}/infiniband/mlx5_0");
    machine.file(&format!("{hca}/node_desc"), "node17 mlx5_0\n").file(&format!("{hca}/node_type"), "1: CA\n");
    machine.file(&format!("{hca}/node_guid"), "0002:c903:0012:3456\n");
    machine.link("/sys/class/infiniband/mlx5_0", &hca);
    let fc = "/sys/devices/pci0000:00/0000:00:06.0/host1/fc_host/host1";
    machine.file(&format!("{fc}/symbolic_name"), "Emulex LPe16002B-M6 FV10.2 DV11.1. HN:node17. OS:Linux\n");
    machine.file(&format!("{fc}/port_name"), "0x10000090faf1e2d3\n").link("/sys/class/fc_host/host1", fc);
    machine.file("/proc/sys/kernel/hostname", "node17\n");
    // A card that is called by its address.
    let nic = "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-3/1-3:1.0/net/enx525400abcdee";
    for (file, text) in [("address", "52:54:00:ab:cd:ee"), ("type", "1"), ("ifindex", "3"), ("addr_assign_type", "0")] {
        machine.file(&format!("{nic}/{file}"), &format!("{text}\n"));
    }
    machine.link("/sys/class/net/enx525400abcdee", nic);
    machine.link(&format!("{nic}/device"), "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-3/1-3:1.0");
    // NVMe over Fibre Channel: the address is made of names.
    let ctl = "/sys/devices/virtual/nvme-fabrics/ctl/nvme3";
    let address =
        "traddr=nn-0x20000090faf1e2d3:pn-0x21000090faf1e2d4,host_traddr=nn-0x2000000000c0ffee:pn-0x1000000000c0ffef\n";
    machine.file(&format!("{ctl}/address"), address).file(&format!("{ctl}/transport"), "fc\n");
    machine.file(&format!("{ctl}/subsysnqn"), "nqn.1992-08.com.example:sn.0a1b2c3d:subsystem.7\n");
    machine.file(&format!("{ctl}/hostid"), "c1b2c3d4-1122-4344-8566-778899aabbcc\n");
    machine.link("/sys/class/nvme/nvme3", ctl);
    machine
}

/// Serial numbers of digits, asset tags of one: the numbers of the machine are not among its names.
pub fn numbers() -> Machine {
    let mut machine = Machine::default();
    let mut dimms = vec![builder::system(&["Made Up", "Server", "1", "1001000"], *b"made-up-machine!")];
    for (n, serial) in ["1", "512", "00001234", "8192000"].iter().enumerate() {
        let slot = format!("A{n}");
        let dimm = builder::Structure::new(17, 0x54, &[&slot, serial, "1"]);
        dimms.push(dimm.set(0x0c, &[0, 4]).set(0x10, &[1]).set(0x12, &[0x1a]).set(0x18, &[2, 3]));
    }
    builder::smbios(&mut machine, (3, 2), &dimms);
    machine.file("/proc/meminfo", "MemTotal: 8192000 kB\nMemAvailable: 28192000 kB\n");
    machine.sata("sda", 1, "1001000").sata("sdb", 2, "512").sata("sdc", 3, "200040");
    let nic = "/sys/devices/pci0000:00/0000:00:05.0";
    machine.link("/sys/bus/pci/devices/0000:00:05.0", nic).file(&format!("{nic}/vendor"), "0x8086\n");
    machine.file(&format!("{nic}/device"), "0x1234\n").file(&format!("{nic}/class"), "0x020000\n");
    machine.file(&format!("{nic}/modalias"), "pci:v00008086d00001234sv00001AF4sd00001100bc02sc00i00\n");
    machine
}
