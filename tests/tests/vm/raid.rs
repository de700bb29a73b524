//! MD RAID 1 end to end. Two disks that were members of other arrays get a mirror, the power is cut before the
//! controller knows of it, the same order is carried out again, and both members are complete. This uses a small tree
//! that boots nothing. Then another order writes a mirrored Debian over it, and the machine boots with either disk
//! removed.

use burin::protocol::{Kind, Receipt};
use burin_tests::controller::{Call, Controller, Fault, Observation};
use burin_tests::deploy::{Image, Netboot, SmallDebian, built, start_controller_as};
use burin_tests::vm::{
    Boot, Bus, Dirt, Disk, DiskFile, Firmware, Machine, MachineSpec, Nic, NicModel, OldMember, Slot, lvm_label,
};
use serde_json::{Value, json};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::Receiver;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const LONG: Duration = Duration::from_secs(600);
const HOST: &str = "mirrored";
const MAC: &str = "52:54:00:b0:00:05";
const ORDER: &str = "mirror-1";
const DEBIAN: &str = "mirror-2";
/// Size in bytes of the small tree's kernel.
const KERNEL: usize = 1 << 20;
/// UUID of the array that the disks belonged to before.
const OLD: [u8; 16] = *b"\x11old-array-uuid\x11";

#[test]
fn a_mirror_over_old_members_twice() {
    let (netboot, debian) = match (built(), SmallDebian::built()) {
        (Ok((netboot, _)), Ok(debian)) => (netboot, debian),
        (Err(reason), _) | (_, Err(reason)) => return burin_skip::skip!("{reason}"),
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new(dir.path(), &netboot, &debian.tree);
    bench.put(ORDER, &bench.small);

    println!("-- the first attempt, of whose end nobody hears");
    bench.controller.faults().set(Call::Receipt, Fault::Drop, u32::MAX);
    let seen = bench.controller.subscribe();
    let machine = bench.start();
    machine.console().wait_for(&format!("order {ORDER}: done and verified"), LONG).unwrap_or_else(|e| panic!("{e}"));
    machine.cut_power();
    let plan = seen.try_iter().find_map(|seen| match seen {
        Observation::Event { event, .. } => match event.kind() {
            Some(Kind::Plan(plan)) => Some(plan),
            _ => None,
        },
        _ => None,
    });
    for disk in &plan.expect("a plan").disks {
        let contents = disk.existing.partitions.iter().flat_map(|part| &part.contents);
        let kinds: Vec<&str> = contents.map(|content| content.kind.as_str()).collect();
        let member = "linux_raid_member";
        assert_eq!(kinds, [member, member, member, "LVM2_member", "ext4"], "what was lost is told");
    }
    let first = bench.members("/etc/mdadm.conf");
    bench.controller.faults().heal();

    println!("-- the same order again, over its own result");
    let seen = bench.controller.subscribe();
    let machine = bench.start();
    let receipt = receipt_of(ORDER, &seen, &machine);
    assert_eq!((receipt.problem.as_ref(), receipt.attempt), (None, 2));
    raid_receipt(&receipt);
    let second = bench.members("/etc/mdadm.conf");
    assert_eq!(first.map(|member| member.uuid), second.map(|member| member.uuid), "another array than before");

    println!("-- a Debian over it");
    bench.put(DEBIAN, &debian.tree);
    let receipt = receipt_of(DEBIAN, &seen, &machine);
    machine.cut_power();
    assert_eq!(receipt.problem, None);
    raid_receipt(&receipt);
    bench.members("/etc/mdadm/mdadm.conf");
    assert_eq!(bench.other.digest().unwrap(), bench.before, "the third disk was touched");

    let states = [0, 1].map(|pulled| {
        println!("-- boots with disk {pulled} pulled");
        bench.boots_without(pulled)
    });
    assert_ne!(states[0], states[1], "each time the other member was away");
}

fn receipt_of(order: &str, seen: &Receiver<Observation>, machine: &Machine) -> Receipt {
    loop {
        match seen.recv_timeout(LONG) {
            Ok(Observation::Receipt { receipt, .. }) if receipt.order == order => return *receipt,
            Ok(Observation::Event { event, .. }) => {
                if let Some(Kind::StageFailed(failed)) = event.kind() {
                    panic!("{failed:?}");
                }
            }
            Ok(_) => {}
            Err(_) => panic!("no receipt of {order}; the console:\n{}", machine.console().tail(60)),
        }
    }
}

/// The array's creation and end in the receipt.
fn raid_receipt(receipt: &Receipt) {
    let change = |step: &str| {
        let found = receipt.changes.iter().find(|change| change.step == step);
        found.unwrap_or_else(|| panic!("no {step} in {:?}", receipt.changes)).detail.clone()
    };
    let made = change("create-raid");
    assert_eq!((&made["name"], &made["level"], &made["metadata"]), (&json!("root"), &json!("raid1"), &json!("1.2")));
    assert_eq!(made["resync"], "pending", "nobody has proven the members equal");
    assert_eq!(made["members"].as_array().map(Vec::len), Some(2));
    let stopped = change("stop-arrays");
    let events: Vec<&Value> = stopped["members"].as_array().unwrap().iter().map(|member| &member["events"]).collect();
    assert_eq!(events[0], events[1], "{stopped}");
    let filesystems: Vec<&str> = receipt
        .changes
        .iter()
        .filter(|change| change.step == "make-filesystem")
        .map(|change| change.device.as_str())
        .collect();
    assert!(filesystems.len() == 3 && filesystems.iter().any(|one| one.ends_with("/md/root")), "{filesystems:?}");
    let tree = change("unpack-tree");
    assert_eq!((&tree["verify"], &tree["verified_members"]), (&json!("readback"), &json!(2)), "{tree}");
    assert_eq!(change("install-boot")["esps"].as_array().map(Vec::len), Some(2));
    let entries = receipt.changes.iter().filter(|change| change.step == "boot-entry").count();
    assert_eq!(entries, 2, "an entry for each disk");
    let stages: Vec<&str> = receipt.stages.iter().map(|stage| stage.stage.as_str()).collect();
    let places = ["settle", "stop-arrays", "make-bootable", "tell-firmware"]
        .map(|name| stages.iter().position(|stage| *stage == name));
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{stages:?}");
}

/// What mdadm on the host reports about a member.
#[derive(Debug, Clone)]
struct Member {
    uuid: String,
    events: String,
    /// Digest of the array's contents on this member, if it claims to be in sync with the others.
    contents: Option<String>,
}

struct Bench {
    controller: Controller,
    boot: Boot,
    dir: PathBuf,
    disks: [DiskFile; 2],
    other: DiskFile,
    before: String,
    small: Image,
}

impl Bench {
    fn new(dir: &Path, netboot: &Netboot, tree: &Image) -> Self {
        let disks = [old_disk(dir, "a.raw", 0), old_disk(dir, "b.raw", 1)];
        // Members of an unrelated array, which must not matter.
        let other = DiskFile::new(dir.join("other.raw"));
        Dirt::new(128 * MIB, 4 * MIB, 53).create(&other).unwrap();
        let extent = other.partitions().unwrap()[1].extent();
        OldMember { metadata: "1.2", uuid: *b"another-array-16", name: "other:data", role: 0 }
            .write(&other, &extent)
            .unwrap();
        let before = other.digest().unwrap();

        // One directory to serve from.
        let images = dir.join("images");
        std::fs::create_dir(&images).unwrap();
        std::os::unix::fs::symlink(tree.dir.join(&tree.file), images.join(&tree.file)).unwrap();
        let small = Image::small_tree(&images, "small.tar", KERNEL).unwrap();
        let controller = start_controller_as(dir, netboot, &images, |options| options.max_attempts = 2).unwrap();
        let url = controller.public_url();
        let boot = Boot::Kernel {
            kernel: netboot.kernel(),
            initrd: netboot.initramfs(),
            cmdline: format!("console=ttyS0,115200 burin.controller={url} BOOTIF=01-{}", MAC.replace(':', "-")),
        };
        Self { controller, boot, dir: dir.to_owned(), disks, other, before, small }
    }

    fn put(&self, id: &str, tree: &Image) {
        let order = order(id, &self.controller.public_url(), tree);
        self.controller.put_order(MAC, order.to_string()).unwrap();
    }

    /// Starts the agent, with all disks.
    fn start(&self) -> Machine {
        self.machine(&[0, 1])
            .disk(Disk::new(Bus::Sata, self.other.path(), "OTHER"))
            .nic(Nic::new(NicModel::Virtio, MAC))
            .boot(self.boot.clone())
            .start()
            .unwrap()
    }

    fn machine(&self, disks: &[usize]) -> MachineSpec {
        let spec =
            MachineSpec::new(&self.dir, Firmware::Uefi).identity("b0b0b0b0-0000-4000-8000-000000000005", "RAID-1");
        disks.iter().fold(spec, |spec, place| {
            let (bus, serial) = [(Bus::Nvme, "MIRROR-A"), (Bus::VirtioBlk, "MIRROR-B")][*place];
            spec.disk(Disk::new(bus, self.disks[*place].path(), serial))
        })
    }

    /// Boots by the entry of the remaining disk to the login prompt. The system itself reports a degraded root. Returns
    /// the remaining member as in /proc/mdstat, because the plan orders a set's disks by identity.
    fn boots_without(&self, pulled: usize) -> &'static str {
        let machine = self.machine(&[1 - pulled]).boot(Boot::FirmwareOrder).start().unwrap();
        let console = machine.console();
        let wait = |text: &str| console.wait_for(text, LONG).unwrap_or_else(|error| panic!("{error}"));
        wait(&format!("{HOST} login:"));
        wait("tree-proof end");
        let text = console.text();
        let mdstat = text.lines().find(|line| line.contains("tree-proof mdstat=")).unwrap_or_default();
        println!("   {mdstat}");
        assert!(mdstat.contains("active raid1") && mdstat.contains("[2/1]"), "{mdstat}");
        let state = ["[U_]", "[_U]"].into_iter().find(|state| mdstat.contains(state));
        let state = state.unwrap_or_else(|| panic!("one member of two is there: {mdstat}"));
        let started = text.lines().any(|line| line.contains("BdsDxe: starting Boot") && line.contains(DEBIAN));
        assert!(started, "the firmware took another way than the order's entry:\n{}", console.tail(60));
        machine.cut_power();
        state
    }

    /// Checks both disks from the host: table, superblocks, and the filesystem on each member alone, with the array in
    /// its mdadm.conf.
    fn members(&self, conf: &str) -> [Member; 2] {
        let found = self.disks.each_ref().map(|disk| {
            disk.verify_table().unwrap();
            let partitions = disk.partitions().unwrap();
            let names: Vec<&str> = partitions.iter().map(|part| part.name.as_str()).collect();
            assert_eq!(names, ["esp", "root"], "{}", disk.path().display());
            let member = disk.extract(&partitions[1].extent(), &self.dir.join("member")).unwrap();
            let said = run("/usr/sbin/mdadm", &["--examine", &member.path().display().to_string()]);
            let value = |key: &str| {
                let line = said.lines().find_map(|line| line.trim().strip_prefix(key)?.trim().strip_prefix(':'));
                line.unwrap_or_else(|| panic!("no {key}: {said}")).trim().to_owned()
            };
            assert_eq!(value("Name").split_whitespace().next(), Some("any:root"));
            assert_eq!((value("Raid Level").as_str(), value("Raid Devices").as_str()), ("raid1", "2"));
            // `active`: a resync is pending. `clean`: the members are known to be in sync, which is checked below.
            let clean = value("State") == "clean";
            assert!(clean || value("State") == "active", "{said}");
            assert!(value("Array State").starts_with("AA"), "{said}");
            let start = value("Data Offset").split_whitespace().next().unwrap().parse::<u64>().unwrap() * 512;
            let size = value("Array Size").split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024;
            let data = member.extract(&(start..start + size), &self.dir.join("data")).unwrap();
            let contents = clean.then(|| data.digest().unwrap());
            let data = data.path().display().to_string();
            run("/usr/sbin/e2fsck", &["-f", "-n", &data]);
            let uuid = value("Array UUID");
            let conf = run("/usr/sbin/debugfs", &["-R", &format!("cat {conf}"), &data]);
            assert!(conf.contains(&format!("ARRAY /dev/md/root metadata=1.2 UUID={uuid}")), "{conf}");
            Member { uuid, events: value("Events"), contents }
        });
        assert_eq!(found[0].contents, found[1].contents, "called equal, and are not");
        assert_eq!(found[0].uuid, found[1].uuid);
        assert_eq!(found[0].events, found[1].events, "the array was not stopped in order");
        found
    }
}

/// A disk with members of old arrays in every metadata version, an LVM volume and a filesystem.
fn old_disk(dir: &Path, name: &str, role: u32) -> DiskFile {
    let disk = DiskFile::new(dir.join(name));
    Dirt::new(2048 * MIB, 16 * MIB, u64::from(role) + 50).create(&disk).unwrap();
    let sizes = ["--new=1:2048:+64M", "--new=2:0:+64M", "--new=3:0:+64M", "--new=4:0:+64M", "--new=5:0:+64M"];
    let path = disk.path().display().to_string();
    run("/usr/sbin/sgdisk", &[&["--clear"][..], &sizes, &[&path]].concat());
    let partitions: Vec<Range<u64>> = disk.partitions().unwrap().iter().map(|part| part.extent()).collect();
    for (metadata, extent) in ["1.2", "1.0", "0.90"].into_iter().zip(&partitions) {
        let mut uuid = OLD;
        uuid[15] = metadata.len() as u8 + metadata.as_bytes()[2];
        OldMember { metadata, uuid, name: "elsewhere:root", role }.write(&disk, extent).unwrap();
    }
    disk.write(partitions[3].start, &lvm_label(b"abcdefghijklmnopqrstuvwxyz012345")).unwrap();
    let file = dir.join("old-filesystem");
    std::fs::File::create(&file).unwrap().set_len(64 * MIB).unwrap();
    run("/usr/sbin/mkfs.ext4", &["-q", "-F", &file.display().to_string()]);
    disk.write(partitions[4].start, &std::fs::read(&file).unwrap()).unwrap();
    disk
}

fn order(id: &str, url: &str, tree: &Image) -> Value {
    json!({
        "version": "order/v1",
        "id": id,
        "images": { "tree": {
            "urls": [format!("{url}/images/{}", tree.file)],
            "digest": { "wire": tree.wire },
            "format": "tar",
        } },
        "layouts": [{
            "name": "mirror",
            "disks": { "os": {
                "match": { "serial": { "glob": "MIRROR-*" } }, "count": 2, "on_existing": "destroy",
                "partitions": [
                    { "name": "esp", "type": "esp", "size": "160MiB", "filesystem": { "type": "vfat" }, "mount": "/boot/efi" },
                    { "name": "root", "type": "raid" },
                ],
            } },
            "raid": { "root": {
                "level": "raid1", "members": { "partition": "os/root" },
                "filesystem": { "type": "ext4", "label": "root" }, "mount": "/",
            } },
            "tree": { "image": "tree", "bootloader": "systemd-boot", "cmdline": ["console=ttyS0,115200"] },
        }],
        "seed": { "hostname": HOST },
        "policies": { "finish": "hold" },
    })
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    said
}
