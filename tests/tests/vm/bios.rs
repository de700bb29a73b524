//! A tree on a machine that boots by BIOS, mirrored over disks on which a partition is kept. The power is cut in the
//! middle, the order is carried out again, the kept bytes are unchanged, and SeaBIOS boots the system from either disk.

use burin::protocol::Kind;
use burin_tests::controller::{Controller, Observation};
use burin_tests::deploy::{Image, Netboot, SmallDebian, built, start_controller_as};
use burin_tests::vm::{Boot, Bus, Dirt, Disk, DiskFile, Firmware, Machine, MachineSpec, Nic, NicModel, Slot};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const LONG: Duration = Duration::from_secs(600);
const HOST: &str = "bios-1";
const MAC: &str = "52:54:00:b0:00:16";
const KEPT: std::ops::Range<u64> = 2100 * MIB..2130 * MIB;

struct Bench {
    controller: Controller,
    boot: Boot,
    dir: PathBuf,
    disks: [DiskFile; 2],
    kept: [String; 2],
}

#[test]
#[ignore = "on demand: scripts/test --bios"]
fn a_mirrored_tree_beside_what_is_kept() {
    let (netboot, debian) = match (built(), SmallDebian::built()) {
        (Ok((netboot, _)), Ok(debian)) => (netboot, debian),
        (Err(reason), _) | (_, Err(reason)) => return burin_skip::skip!("{reason}"),
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new(dir.path(), &netboot, &debian.tree);

    println!("-- cut while the tree is unpacked");
    let seen = bench.controller.subscribe();
    let machine = bench.start();
    wait(&seen, &machine, |kind| matches!(kind, Kind::StageStarted(stage) if stage.stage == "unpack-tree"));
    machine.cut_power();
    assert_eq!(bench.digests(), bench.kept, "the kept partitions");
    for disk in &bench.disks {
        assert!(disk.read(0, 16).unwrap() == b"BURIN-UNFINISHED", "it does not boot");
        assert!(disk.read(512, 8).unwrap() != b"EFI PART");
    }

    println!("-- the same order again");
    let machine = bench.start();
    let (_, receipt) =
        bench.controller.wait_receipt(HOST, LONG).unwrap_or_else(|| panic!("{}", machine.console().tail(60)));
    machine.cut_power();
    assert_eq!((receipt.problem.as_ref(), receipt.attempt), (None, 2));
    let told = |step: &str| receipt.changes.iter().filter(|change| change.step == step).collect::<Vec<_>>();
    let mut proven: Vec<&str> = told("verify-kept").iter().filter_map(|one| one.detail["sha256"].as_str()).collect();
    let mut wanted: Vec<&str> = bench.kept.iter().map(|digest| digest.trim_start_matches("sha256:")).collect();
    proven.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(proven, wanted, "before and after, by the agent and by the host");
    let places = &told("install-boot")[0].detail["bios"];
    assert_eq!(places.as_array().map(Vec::len), Some(2), "{places}");
    assert_eq!(bench.digests(), bench.kept, "the kept partitions");
    for disk in &bench.disks {
        disk.verify_table().unwrap();
        let names: Vec<String> = disk.partitions().unwrap().iter().map(|part| part.name.clone()).collect();
        assert_eq!(names, ["boot", "root", "data"]);
    }

    for pulled in [1, 0] {
        println!("-- boots with disk {pulled} pulled");
        bench.boots_without(pulled);
    }
}

fn wait(seen: &std::sync::mpsc::Receiver<Observation>, machine: &Machine, is: impl Fn(&Kind) -> bool) {
    loop {
        match seen.recv_timeout(LONG) {
            Ok(Observation::Event { event, .. }) => match event.kind() {
                Some(kind) if is(&kind) => return,
                Some(Kind::StageFailed(failed)) => panic!("{failed:?}"),
                _ => {}
            },
            Ok(_) => {}
            Err(_) => panic!("it does not come to it; the console:\n{}", machine.console().tail(60)),
        }
    }
}

impl Bench {
    fn new(dir: &Path, netboot: &Netboot, tree: &Image) -> Self {
        let disks = ["a.raw", "b.raw"].map(|name| disk(dir, name));
        let controller = start_controller_as(dir, netboot, &tree.dir, |options| options.max_attempts = 2).unwrap();
        let url = controller.public_url();
        controller.put_order(MAC, order(&url, tree).to_string()).unwrap();
        let boot = Boot::Kernel {
            kernel: netboot.kernel(),
            initrd: netboot.initramfs(),
            cmdline: format!("console=ttyS0,115200 burin.controller={url} BOOTIF=01-{}", MAC.replace(':', "-")),
        };
        let mut bench = Self { controller, boot, dir: dir.to_owned(), disks, kept: Default::default() };
        bench.kept = bench.digests();
        bench
    }

    fn digests(&self) -> [String; 2] {
        self.disks.each_ref().map(|disk| disk.extract(&KEPT, &self.dir.join("kept")).unwrap().digest().unwrap())
    }

    fn start(&self) -> Machine {
        self.machine(&[0, 1]).nic(Nic::new(NicModel::Virtio, MAC)).boot(self.boot.clone()).start().unwrap()
    }

    fn machine(&self, disks: &[usize]) -> MachineSpec {
        let spec =
            MachineSpec::new(&self.dir, Firmware::Bios).identity("b0b0b0b0-0000-4000-8000-000000000016", "BIOS-1");
        disks.iter().fold(spec, |spec, place| {
            let (bus, serial) = [(Bus::Sata, "MIRROR-A"), (Bus::VirtioBlk, "MIRROR-B")][*place];
            spec.disk(Disk::new(bus, self.disks[*place].path(), serial))
        })
    }

    fn boots_without(&self, pulled: usize) {
        let machine = self.machine(&[1 - pulled]).boot(Boot::FirmwareOrder).start().unwrap();
        let console = machine.console();
        for text in [format!("{HOST} login:"), "tree-proof end".to_owned()] {
            console.wait_for(&text, LONG).unwrap_or_else(|error| panic!("{error}"));
        }
        let text = console.text();
        let mdstat = text.lines().find(|line| line.contains("tree-proof mdstat=")).unwrap_or_default();
        assert!(mdstat.contains("active raid1") && mdstat.contains("[2/1]"), "{mdstat}");
        machine.cut_power();
    }
}

/// Noise, a table, and a partition to be kept at the end.
fn disk(dir: &Path, name: &str) -> DiskFile {
    let disk = DiskFile::new(dir.join(name));
    Dirt::new(2200 * MIB, 16 * MIB, u64::from(name.as_bytes()[0])).create(&disk).unwrap();
    let path = disk.path().display().to_string();
    let (first, last) = (KEPT.start / 512, KEPT.end / 512 - 1);
    let new = ["--new=1:2048:+64M".to_owned(), format!("--new=9:{first}:{last}"), "--change-name=9:data".to_owned()];
    let made = Command::new("/usr/sbin/sgdisk").arg("--clear").args(new).arg(&path).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    disk.write(KEPT.start + 4096, name.as_bytes()).unwrap();
    disk
}

fn order(url: &str, tree: &Image) -> Value {
    json!({
        "version": "order/v1",
        "id": HOST,
        "images": { "tree": {
            "urls": [format!("{url}/images/{}", tree.file)], "digest": { "wire": tree.wire }, "format": "tar"
        } },
        "layouts": [{
            "name": "mirror",
            "disks": { "os": {
                "match": { "serial": { "glob": "MIRROR-*" } }, "count": 2, "on_existing": "destroy",
                "keep": [{ "name": "data" }],
                "partitions": [
                    { "name": "boot", "type": "bios-boot", "size": "1MiB" },
                    { "name": "root", "type": "raid" },
                ],
            } },
            "raid": { "root": {
                "level": "raid1", "members": { "partition": "os/root" },
                "filesystem": { "type": "ext4", "label": "root" }, "mount": "/",
            } },
            "tree": { "image": "tree", "bootloader": "grub", "cmdline": ["console=ttyS0,115200"] },
        }],
        "seed": { "hostname": HOST },
        "policies": { "finish": "hold" },
    })
}
