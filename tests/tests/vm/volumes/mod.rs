//! LVM and LUKS end to end. A Debian on LVM on LUKS on a mirror boots with a typed passphrase, its keys can be
//! decrypted only by their keeper, and none of the machine's unencrypted output contains one.

mod grown;
mod shapes;
mod tpm;

use burin::protocol::Receipt;
use burin_tests::controller::{Controller, Observation};
use burin_tests::deploy::{Image, Netboot, built_for_storage, start_controller};
use burin_tests::vm::{Boot, Bus, Dirt, Disk, DiskFile, Firmware, Machine, MachineSpec, Nic, NicModel, Slot};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const LONG: Duration = Duration::from_secs(900);
const MAC: &str = "52:54:00:b0:00:17";
const PASSPHRASE: &str = "correct-horse-5ecret";

struct Bench {
    dir: PathBuf,
    controller: Controller,
    seen: Receiver<Observation>,
    boot: Boot,
    disks: Vec<(DiskFile, String)>,
    /// Everything that the machine sent to its controller.
    said: String,
    tpm: bool,
}

impl Bench {
    fn new(dir: &Path, netboot: &Netboot, images: &Path, disks: u64, size: u64) -> Self {
        let make = |number: u64| {
            let file = DiskFile::new(dir.join(format!("disk{number}.raw")));
            Dirt::new(size, 16 * MIB, number + 80).create(&file).unwrap();
            (file, format!("STORE-{number}"))
        };
        let controller = start_controller(dir, netboot, images).unwrap();
        let seen = controller.subscribe();
        let url = controller.public_url();
        let mac = MAC.replace(':', "-");
        let boot = Boot::Kernel {
            kernel: netboot.kernel(),
            initrd: netboot.initramfs(),
            cmdline: format!("console=ttyS0,115200 burin.controller={url} burin.log=debug BOOTIF=01-{mac}"),
        };
        Self {
            dir: dir.to_owned(),
            controller,
            seen,
            boot,
            disks: (0..disks).map(make).collect(),
            said: String::new(),
            tpm: false,
        }
    }

    fn machine(&self) -> MachineSpec {
        let spec =
            MachineSpec::new(&self.dir, Firmware::Uefi).identity("b0b0b0b0-0000-4000-8000-000000000017", "STORE-1");
        let spec = if self.tpm { spec.tpm() } else { spec };
        self.disks.iter().fold(spec, |spec, (file, serial)| spec.disk(Disk::new(Bus::VirtioBlk, file.path(), serial)))
    }

    /// Carries out an order and returns its receipt.
    fn runs(&mut self, order: &Value) -> Receipt {
        self.controller.put_order(MAC, order.to_string()).unwrap();
        let machine = self.machine().nic(Nic::new(NicModel::Virtio, MAC)).boot(self.boot.clone()).start().unwrap();
        let receipt = loop {
            match self.seen.recv_timeout(LONG) {
                Ok(Observation::Receipt { receipt, .. }) => break receipt,
                Ok(Observation::Event { event, .. }) => self.said += &serde_json::to_string(&event).unwrap(),
                Ok(Observation::Hello { hello, .. }) => self.said += &serde_json::to_string(&hello).unwrap(),
                Ok(Observation::Grant { request, .. }) => self.said += &serde_json::to_string(&request).unwrap(),
                Ok(_) => {}
                Err(_) => panic!("no receipt; the console:\n{}", machine.console().tail(80)),
            }
        };
        self.said += &serde_json::to_string(&receipt).unwrap();
        self.said += &machine.console().text();
        assert_eq!(receipt.problem, None, "{}", machine.console().tail(80));
        machine.cut_power();
        *receipt
    }

    fn start(&self) -> Machine {
        self.machine().boot(Boot::FirmwareOrder).start().unwrap()
    }
}

fn detail<'a>(receipt: &'a Receipt, step: &str) -> Vec<&'a Value> {
    let found: Vec<&Value> =
        receipt.changes.iter().filter(|change| change.step == step).map(|change| &change.detail).collect();
    assert!(!found.is_empty(), "no {step} in {:?}", receipt.changes);
    found
}

#[test]
#[ignore = "on demand: scripts/test --storage"]
fn lvm_on_luks_on_a_mirror_boots_by_a_passphrase() {
    let (netboot, debian) = match built_for_storage() {
        Ok(built) => built,
        Err(reason) => return burin_skip::skip!("{reason}"),
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (identity, to) = keeper(dir);
    let mut bench = Bench::new(dir, &netboot, &debian.tree.dir, 2, 2560 * MIB);
    let order = on_a_mirror(&bench.controller.public_url(), &debian.tree, &to);
    let receipt = bench.runs(&order);

    let luks = detail(&receipt, "create-luks")[0];
    assert_eq!((&luks["cipher"], &luks["sector_size"]), (&json!("aes-xts-plain64"), &json!(4096)));
    assert_eq!(luks["slots"][0]["memory"], json!(32 * MIB), "{luks}");
    assert_eq!(luks["slots"][1]["token"], "systemd-recovery");
    let keys: Vec<String> = luks["escrow"].as_array().unwrap().iter().map(|key| opened(&identity, key)).collect();
    assert_eq!(keys.len(), 2, "a recovery key and a generated one");
    assert_eq!(keys[0].split('-').map(str::len).collect::<Vec<_>>(), [8; 8]);
    for volume in detail(&receipt, "create-volume") {
        assert_eq!(volume["lies_on"], json!([0]));
    }

    println!("-- every key opens either disk's half by this host's cryptsetup, and another does not");
    for (file, _) in &bench.disks {
        let partitions = file.partitions().unwrap();
        let names: Vec<&str> = partitions.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["esp", "root"]);
        let member = file.extract(&partitions[1].extent(), &dir.join("member")).unwrap();
        let start = member.find(b"LUKS\xba\xbe", 512, 0, 200 * MIB).unwrap().expect("a LUKS header");
        let volume = member.extract(&(start..member.size().unwrap()), &dir.join("volume")).unwrap();
        for key in [PASSPHRASE, &keys[0], &keys[1]] {
            assert!(opens(volume.path(), key), "{key}");
        }
        assert!(!opens(volume.path(), "correct-horse"));
        std::fs::remove_file(member.path()).unwrap();
        std::fs::remove_file(volume.path()).unwrap();
    }

    println!("-- boots when the passphrase is typed");
    let mut machine = bench.start();
    let asked = machine.console().wait_for("Please unlock disk crypt", LONG);
    asked.unwrap_or_else(|error| panic!("{error}"));
    machine.type_text(&format!("{PASSPHRASE}\r")).unwrap();
    let console = machine.console();
    console.wait_for("deep login:", LONG).unwrap_or_else(|error| panic!("{error}"));
    console.wait_for("tree-proof end", LONG).unwrap_or_else(|error| panic!("{error}"));
    let text = console.text();
    let line = |what: &str| text.lines().find(|line| line.contains(what)).unwrap_or_default().to_owned();
    let below = line("tree-proof below=");
    println!("   {below}");
    for layer in ["lvm", "crypt", "raid1", "part", "disk"] {
        assert!(below.contains(layer), "{below}");
    }
    let mounts = line("tree-proof mounts=");
    assert!(mounts.contains("/srv") && mounts.contains("failed=0"), "{mounts}");
    bench.said += &text;
    machine.cut_power();

    println!("-- nothing that was said, and nothing on a disk, holds a key");
    for secret in [PASSPHRASE, &keys[0], &keys[1]] {
        assert!(!bench.said.contains(secret), "the machine said a key");
        for (file, serial) in &bench.disks {
            let found = file.find(secret.as_bytes(), 1, 0, file.size().unwrap()).unwrap();
            assert_eq!(found, None, "a key is on {serial}");
        }
    }
}

fn on_a_mirror(url: &str, tree: &Image, to: &str) -> Value {
    json!({
        "version": "order/v1", "id": "deep-1",
        "images": { "tree": {
            "urls": [format!("{url}/images/{}", tree.file)], "digest": { "wire": tree.wire }, "format": "tar",
        } },
        "layouts": [{
            "name": "deep",
            "disks": { "os": {
                "match": { "serial": { "glob": "STORE-*" } }, "count": 2, "on_existing": "destroy",
                "partitions": [
                    { "name": "esp", "type": "esp", "size": "160MiB", "filesystem": { "type": "vfat" }, "mount": "/boot/efi" },
                    { "name": "root", "type": "raid" },
                ],
            } },
            "raid": { "md": { "level": "raid1", "members": { "partition": "os/root" } } },
            "luks": { "crypt": { "on": { "raid": "md" }, "pbkdf_memory": "32MiB", "unlock": [
                { "passphrase": PASSPHRASE }, { "recovery-key": { "to": to } }, { "generated": { "to": to } },
            ] } },
            "lvm": { "vg": { "on": { "luks": "crypt" }, "tags": ["burin"], "volumes": {
                "root": { "size": "80%", "filesystem": { "type": "ext4" }, "mount": "/" },
                "srv": { "filesystem": { "type": "ext4" }, "mount": "/srv/data" },
            } } },
            "tree": { "image": "tree", "bootloader": "systemd-boot", "cmdline": ["console=ttyS0,115200"] },
        }],
        "seed": { "hostname": "deep" },
        "policies": { "finish": "hold" },
    })
}

/// An age identity in a file, and its recipient.
fn keeper(dir: &Path) -> (PathBuf, String) {
    let path = dir.join("keeper.key");
    let made = Command::new("age-keygen").arg("-o").arg(&path).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let text = std::fs::read_to_string(&path).unwrap();
    let to = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    (path, to.to_owned())
}

/// A key from a receipt, decrypted as its keeper would.
fn opened(identity: &Path, key: &Value) -> String {
    let mut age = Command::new("age")
        .args(["--decrypt", "--identity"])
        .arg(identity)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    age.stdin.take().unwrap().write_all(key["age"].as_str().unwrap().as_bytes()).unwrap();
    let output = age.wait_with_output().unwrap();
    assert!(output.status.success(), "{key}");
    String::from_utf8(output.stdout).unwrap()
}

fn opens(volume: &Path, key: &str) -> bool {
    let mut child = Command::new("/usr/sbin/cryptsetup")
        .args(["open", "--test-passphrase", "--key-file", "-"])
        .arg(volume)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(key.as_bytes()).unwrap();
    child.wait().unwrap().success()
}

fn wait(machine: &Machine, text: &str) {
    machine.console().wait_for(text, LONG).unwrap_or_else(|error| panic!("{error}"));
}
