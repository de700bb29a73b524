//! A whole-disk image as one system on two disks: it boots to login from both, from the second alone, from both again
//! (which are resynced), and then from the first alone.

use burin::protocol::{Kind, Receipt};
use burin_tests::controller::{Controller, Observation};
use burin_tests::deploy::{Image, Netboot, built_for_mirrors, start_controller};
use burin_tests::vm::{Boot, Bus, Dirt, Disk, DiskFile, Firmware, MachineSpec, Nic, NicModel, Slot};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const LONG: Duration = Duration::from_secs(900);
const HOST: &str = "mirrored";
const ORDER: &str = "mirror-image-1";
const MAC: &str = "52:54:00:b0:00:19";

/// Run at each boot of the installed system. It prints the number of boots and the state of the array, and re-adds a
/// missing member that is present.
const PROOF: &str = r#"#!/bin/sh
echo start >>/var/lib/mirror-proof
sync
md=$(findmnt -n -o SOURCE /)
# Opened for each line: the console hangs up on whoever has it open when it gets its login prompt.
tell() { echo "mirror-proof $*" >/dev/ttyS0; }
say() { tell "$1 root=$md starts=$(wc -l </var/lib/mirror-proof) mdstat=$(tr '\n' ' ' </proc/mdstat)"; }
say found
if grep -q '\[.*_.*\]' /proc/mdstat; then
    for part in $(blkid -t TYPE=linux_raid_member -o device); do
        grep -q "$(basename "$part")\[" /proc/mdstat || mdadm "$md" --add "$part"
    done
fi
mdadm --wait "$md"
say ended
tell "done"
"#;

const UNIT: &str =
    "[Unit]\nAfter=multi-user.target\n[Service]\nType=oneshot\nExecStart=/bin/sh /usr/local/sbin/mirror-proof\n";
const WANTED: &str = "[Unit]\nWants=mirror-proof.service\n";

#[test]
#[ignore = "on demand: scripts/test --storage"]
fn an_image_is_one_system_on_two_disks() {
    let (netboot, image) = match built_for_mirrors() {
        Ok(found) => found,
        Err(reason) => return burin_skip::skip!("{reason}"),
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new(dir.path());

    println!("-- the image on both disks");
    let receipt = bench.deploy(&netboot, &image);
    assert_eq!(receipt.images.len(), 2, "both were written, and read back");
    let made = change(&receipt, "create-raid");
    assert_eq!(
        (&made["level"], &made["metadata"], &made["consistency"]),
        (&json!("raid1"), &json!("1.0"), &json!("bitmap"))
    );
    assert_eq!(made["members"].as_array().map(Vec::len), Some(2), "{made}");
    assert_eq!(change(&receipt, "check-tree")["ramdisks"].as_array().map(Vec::len), Some(1), "{receipt:?}");
    let grown = change(&receipt, "grow-filesystem");
    assert!(grown["after"].as_u64() > grown["before"].as_u64(), "{grown}");
    let entries = receipt.changes.iter().filter(|change| change.step == "boot-entry").count();
    assert_eq!(entries, 2, "each disk has its own");
    bench.look();

    println!("-- boots with both");
    let said = bench.boots(&[0, 1], 1);
    assert!(said.contains("[2/2] [UU]"), "{said}");
    println!("-- with the second alone");
    let said = bench.boots(&[1], 2);
    assert!(said.contains("[2/1]"), "{said}");
    println!("-- with both again, made equal");
    let said = bench.boots(&[0, 1], 3);
    assert!(said.contains("[2/2] [UU]"), "{said}");
    println!("-- with the first alone, which has what the second alone was told");
    let said = bench.boots(&[0], 4);
    assert!(said.contains("[2/1]"), "{said}");
}

struct Bench {
    dir: PathBuf,
    disks: [DiskFile; 2],
}

impl Bench {
    fn new(dir: &Path) -> Self {
        let disk = |(name, seed)| {
            let file = DiskFile::new(dir.join(name));
            Dirt::new(2048 * MIB, 16 * MIB, seed).create(&file).unwrap();
            file
        };
        Self { dir: dir.to_owned(), disks: [("a.raw", 190), ("b.raw", 191)].map(disk) }
    }

    fn machine(&self, disks: &[usize]) -> MachineSpec {
        let spec =
            MachineSpec::new(&self.dir, Firmware::Uefi).identity("b0b0b0b0-0000-4000-8000-000000000019", "MIRROR-I");
        disks.iter().fold(spec, |spec, place| {
            let (bus, serial) = [(Bus::Nvme, "MIRROR-A"), (Bus::VirtioBlk, "MIRROR-B")][*place];
            spec.disk(Disk::new(bus, self.disks[*place].path(), serial))
        })
    }

    fn deploy(&self, netboot: &Netboot, image: &Image) -> Receipt {
        let controller: Controller = start_controller(&self.dir, netboot, &image.dir).unwrap();
        let url = controller.public_url();
        controller.put_order(MAC, order(&url, image).to_string()).unwrap();
        let seen = controller.subscribe();
        let boot = Boot::Kernel {
            kernel: netboot.kernel(),
            initrd: netboot.initramfs(),
            cmdline: format!("console=ttyS0,115200 burin.controller={url} BOOTIF=01-{}", MAC.replace(':', "-")),
        };
        let machine = self.machine(&[0, 1]).nic(Nic::new(NicModel::Virtio, MAC)).boot(boot).start().unwrap();
        let receipt = loop {
            match seen.recv_timeout(LONG) {
                Ok(Observation::Receipt { receipt, .. }) => break *receipt,
                Ok(Observation::Event { event, .. }) => {
                    if let Some(Kind::StageFailed(failed)) = event.kind() {
                        panic!("{failed:?}\n{}", machine.console().tail(60));
                    }
                }
                Ok(_) => {}
                Err(_) => panic!("no receipt; the console:\n{}", machine.console().tail(60)),
            }
        };
        machine.cut_power();
        assert_eq!(receipt.problem, None);
        receipt
    }

    /// Checks both disks from the host: separate tables, and one array over a filesystem that both have at its place.
    fn look(&self) {
        let found = self.disks.each_ref().map(|disk| {
            disk.verify_table().unwrap();
            let partitions = disk.partitions().unwrap();
            let root = partitions.iter().find(|part| part.name == "root").expect("a root");
            let member = disk.extract(&root.extent(), &self.dir.join("member")).unwrap();
            let path = member.path().display().to_string();
            let said = run("/usr/sbin/mdadm", &["--examine", &path]);
            let value = |key: &str| {
                let line = said.lines().find_map(|line| line.trim().strip_prefix(key)?.trim().strip_prefix(':'));
                line.unwrap_or_else(|| panic!("no {key}: {said}")).trim().to_owned()
            };
            assert_eq!((value("Raid Level").as_str(), value("Version").as_str()), ("raid1", "1.0"), "{said}");
            assert!(value("Array State").starts_with("AA"), "{said}");
            run("/usr/sbin/e2fsck", &["-f", "-n", &path]);
            let conf = run("/usr/sbin/debugfs", &["-R", "cat /etc/mdadm/mdadm.conf", &path]);
            let uuid = value("Array UUID");
            assert!(conf.contains(&format!("ARRAY /dev/md/root metadata=1.0 UUID={uuid}")), "{conf}");
            std::fs::remove_file(member.path()).unwrap();
            let id = run("/usr/sbin/sgdisk", &["--print", &disk.path().display().to_string()]);
            let id = id.lines().find_map(|line| line.strip_prefix("Disk identifier (GUID): ")).unwrap().to_owned();
            (uuid, value("Events"), id, root.extent())
        });
        let [(uuid, events, id, extent), (other_uuid, other_events, other_id, other_extent)] = found;
        assert_eq!((uuid, events, extent), (other_uuid, other_events, other_extent));
        assert_ne!(id, other_id, "a disk is taken for the other");
    }

    /// Boots by the order's entry for one of these disks to the login prompt. Returns the system's final report on its
    /// array. `starts` is the expected number of boots.
    fn boots(&self, disks: &[usize], starts: usize) -> String {
        let machine = self.machine(disks).boot(Boot::FirmwareOrder).start().unwrap();
        let console = machine.console();
        for text in [format!("{HOST} login:"), "mirror-proof done".to_owned()] {
            console.wait_for(&text, LONG).unwrap_or_else(|error| panic!("{error}"));
        }
        let text = console.text();
        let line = |what: &str| text.lines().find(|line| line.contains(what)).unwrap_or_default().to_owned();
        println!("   {}\n   {}", line("mirror-proof found"), line("mirror-proof ended"));
        let said = line("mirror-proof ended");
        assert!(said.contains("root=/dev/md") && said.contains("active raid1"), "{said}");
        assert!(said.contains(&format!("starts={starts} ")), "{said}");
        let started = text.lines().any(|line| line.contains("BdsDxe: starting Boot") && line.contains(ORDER));
        assert!(started, "the firmware took another way than the order's entry:\n{}", console.tail(60));
        machine.cut_power();
        said
    }
}

fn change(receipt: &Receipt, step: &str) -> Value {
    let found = receipt.changes.iter().find(|change| change.step == step);
    found.unwrap_or_else(|| panic!("no {step} in {:?}", receipt.changes)).detail.clone()
}

fn order(url: &str, image: &Image) -> Value {
    json!({
        "version": "order/v1",
        "id": ORDER,
        "images": { "debian": {
            "urls": [format!("{url}/images/{}", image.file)], "digest": { "wire": image.wire },
        } },
        "layouts": [{
            "name": "mirror",
            "disks": { "os": {
                "match": { "serial": { "glob": "MIRROR-*" } }, "count": 2, "on_existing": "destroy",
                "image": "debian", "mirror": true,
            } },
        }],
        "files": [
            { "path": "/usr/local/sbin/mirror-proof", "contents": PROOF },
            { "path": "/etc/systemd/system/mirror-proof.service", "contents": UNIT },
            { "path": "/etc/systemd/system/multi-user.target.d/proof.conf", "contents": WANTED },
        ],
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
