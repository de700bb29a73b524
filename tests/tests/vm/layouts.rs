//! Fresh layouts and images under UEFI. An order that could mean either of two disks with 4096-byte sectors is refused,
//! and so is an image made for 512-byte sectors. A tree, as a container image, goes onto a fresh layout over the
//! remains of LVM and a filesystem, the same tree as a tar with GRUB onto a disk with 512-byte sectors, and an image
//! onto the third. Each of them boots to its login prompt by the entry that the agent made.

use burin::protocol::Receipt;
use burin_tests::controller::Controller;
use burin_tests::deploy::{Image, SmallDebian, built, start_controller};
use burin_tests::vm::{
    BadSector, Boot, Bus, Dirt, Disk, DiskFile, Firmware, Machine, MachineSpec, Nic, NicModel, Slot,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const LONG: Duration = Duration::from_secs(600);
const MAC: &str = "52:54:00:b0:00:04";
const UUID: &str = "b0b0b0b0-0000-4000-8000-000000000004";

struct Bench {
    dir: PathBuf,
    controller: Controller,
    images: String,
    /// The tree as a container image.
    container: String,
    machine: Machine,
    system: DiskFile,
    data: DiskFile,
    grub: DiskFile,
}

#[test]
fn trees_and_images_boot_from_disks_of_both_sector_sizes() {
    let (netboot, debian) = match (built(), SmallDebian::built()) {
        (Ok((netboot, _)), Ok(debian)) => (netboot, debian),
        (Err(reason), _) | (_, Err(reason)) => return burin_skip::skip!("{reason}"),
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();

    // They differ only in their serial numbers.
    let disk = |name: &str, seed: u64| {
        let file = DiskFile::new(dir.path().join(name));
        Dirt::new(2 * GIB, 8 * MIB, seed).create(&file).unwrap();
        file
    };
    let (system, data) = (disk("system.raw", 31), disk("data.raw", 32));
    an_old_life(&system);
    let grub = disk("grub.raw", 33);

    // One directory to serve from.
    let images = dir.path().join("images");
    std::fs::create_dir(&images).unwrap();
    for image in [&debian.tree, &debian.disk] {
        std::os::unix::fs::symlink(image.dir.join(&image.file), images.join(&image.file)).unwrap();
    }
    let small = Image::small(&images, "small-512.raw.zst", 64 * MIB).unwrap();
    let bare = Image::small_tree(&images, "bare.tar", 24 << 20).unwrap();
    let (no_write, no_read) = (disk("no-write.raw", 34), disk("no-read.raw", 35));
    // In the ESP, where the kernel's file will be.
    let bad = 16 * MIB;

    let controller = start_controller(dir.path(), &netboot, &images).unwrap();
    let url = controller.public_url();
    let registry = Registry::start(&dir.path().join("registry"), &debian.tree);
    let host = url.split("://").nth(1).and_then(|rest| rest.rsplit_once(':')).unwrap().0;
    let container = format!("oci+http://{host}:{}/team/debian:12", registry.port);
    let boot = Boot::Kernel {
        kernel: netboot.kernel(),
        initrd: netboot.initramfs(),
        cmdline: format!("console=ttyS0,115200 burin.controller={url} BOOTIF=01-{}", MAC.replace(':', "-")),
    };
    let machine = spec(dir.path())
        .disk(Disk::new(Bus::Nvme, system.path(), "TREE-4K").four_k())
        .disk(Disk::new(Bus::Nvme, data.path(), "IMAGE-4K").four_k())
        .disk(Disk::new(Bus::VirtioBlk, grub.path(), "GRUB-512"))
        .disk(Disk::new(Bus::VirtioBlk, no_write.path(), "ESP-WRITE").bad(BadSector::Write(bad)))
        .disk(Disk::new(Bus::VirtioBlk, no_read.path(), "ESP-READ").bad(BadSector::Read(bad)))
        .nic(Nic::new(NicModel::Virtio, MAC))
        .boot(boot)
        .exit_on_reboot()
        .start()
        .unwrap();
    let (dir, images) = (dir.path().to_owned(), format!("{url}/images"));
    let mut bench = Bench { dir, controller, images, container, machine, system, data, grub };

    bench.refuses_what_could_mean_either();
    bench.refuses_an_image_for_other_sectors(&small);
    bench.fails_where_an_esp_does_not_hold(&bare);
    bench.engraves_a_container(&debian.tree, ("tree-4k", "TREE-4K"), "systemd-boot");
    bench.engraves_a_tree(&debian.tree, ("grub-512", "GRUB-512"), "grub");
    assert_ne!(bench.system.read(512, 8).unwrap(), b"LABELONE");
    bench.engraves_an_image(&debian.disk);
    bench.boots_all();
}

fn spec(dir: &Path) -> MachineSpec {
    MachineSpec::new(dir, Firmware::Uefi).identity(UUID, "LAYOUTS-1")
}

/// An LVM label on the whole disk, and an ext4 where the new root will be.
fn an_old_life(disk: &DiskFile) {
    let file = std::fs::OpenOptions::new().write(true).open(disk.path()).unwrap();
    // "label_header" in LVM2's on-disk format: its checksum covers the rest of the sector.
    let mut label = [0u8; 512];
    label[..8].copy_from_slice(b"LABELONE");
    label[8..16].copy_from_slice(&1u64.to_le_bytes());
    label[20..24].copy_from_slice(&32u32.to_le_bytes());
    label[24..32].copy_from_slice(b"LVM2 001");
    label[32..64].copy_from_slice(b"0123456789abcdefghijklmnopqrstuv");
    let crc = label[20..].iter().fold(0xf597_a6cfu32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    });
    label[16..20].copy_from_slice(&crc.to_le_bytes());
    file.write_all_at(&[0; 4096], 0).unwrap();
    file.write_all_at(&label, 512).unwrap();
    let options = ["-q", "-F", "-L", "old-root", "-E", "offset=314572800"];
    let made = Command::new("/usr/sbin/mke2fs").args(options).arg(disk.path()).arg("64M").status().unwrap();
    assert!(made.success());
}

/// A registry with one image: pulling only needs files.
struct Registry {
    server: Child,
    port: u16,
}

impl Registry {
    fn start(dir: &Path, tree: &Image) -> Self {
        let repository = dir.join("v2/team/debian");
        let (blobs, manifests) = (repository.join("blobs"), repository.join("manifests"));
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::create_dir_all(&manifests).unwrap();
        // Hides two files of the layer below, and adds one.
        let upper = dir.join("upper");
        std::fs::create_dir_all(upper.join("etc")).unwrap();
        for (name, text) in [(".wh.motd", ""), (".wh.issue.net", ""), ("from-a-registry", "yes\n")] {
            std::fs::write(upper.join("etc").join(name), text).unwrap();
        }
        let layer = dir.join("upper.tar");
        let made = Command::new("tar").arg("-C").arg(&upper).arg("-cf").arg(&layer).arg("etc").status().unwrap();
        assert!(made.success());
        let keep = |kind: &str, file: &Path| {
            let output = Command::new("sha256sum").arg(file).output().unwrap();
            let hex = String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap().to_owned();
            std::os::unix::fs::symlink(file, blobs.join(format!("sha256:{hex}"))).unwrap();
            json!({ "mediaType": kind, "digest": format!("sha256:{hex}"), "size": std::fs::metadata(file).unwrap().len() })
        };
        let tar = "application/vnd.oci.image.layer.v1.tar";
        let (lower, upper) = (keep(&format!("{tar}+zstd"), &tree.dir.join(&tree.file)), keep(tar, &layer));
        let diffs = [tree.content.as_str(), upper["digest"].as_str().unwrap()];
        let config =
            json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": diffs } });
        let file = dir.join("config.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let config = keep("application/vnd.oci.image.config.v1+json", &file);
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": [lower, upper] });
        std::fs::write(manifests.join("12"), manifest.to_string()).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("python3");
        let server =
            command.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]).arg(dir).arg(port.to_string());
        let server = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { server, port }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Bench {
    fn order(&self, id: &str, image: (&str, &Image, Value), layout: Value) -> Value {
        let (name, image, more) = image;
        let url = format!("{}/{}", self.images, image.file);
        let mut spec = json!({ "urls": [url], "digest": { "content": image.content } });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({
            "version": "order/v1", "id": id, "images": { name: spec }, "layouts": [layout],
            "seed": { "hostname": id }, "policies": { "finish": "hold" },
        })
    }

    fn onto(serial: Option<&str>) -> Value {
        let rule = serial.map_or_else(|| json!({ "class": "nvme" }), |serial| json!({ "serial": serial }));
        json!({ "name": "image", "disks": {
            "system": { "match": rule, "on_existing": "destroy", "image": "debian", "grow": "last" }
        } })
    }

    fn gives(&self, order: &Value) -> Receipt {
        self.controller.put_order(MAC, order.to_string()).unwrap();
        let id = order["id"].as_str().unwrap();
        let receipt = self.controller.wait_receipt(id, LONG);
        receipt.unwrap_or_else(|| panic!("no receipt of {id}\n{}", self.machine.console().tail(60))).1
    }

    fn refuses_what_could_mean_either(&self) {
        let before = [self.system.digest().unwrap(), self.data.digest().unwrap()];
        let image = Image { dir: self.dir.clone(), ..tiny() };
        let receipt = self.gives(&self.order("either", ("debian", &image, json!({})), Self::onto(None)));
        let problem = receipt.problem.expect("a refusal");
        assert_eq!(problem.code, "plan.ambiguous");
        for disk in ["/dev/nvme0n1", "/dev/nvme1n1"] {
            assert!(problem.message.contains(disk), "{}", problem.message);
        }
        // Old contents are detected, and lost only if the order says so.
        let order = self.order("keep", ("debian", &image, json!({})), Self::onto(Some("TREE-4K")));
        let mut order = order;
        order["layouts"][0]["disks"]["system"]["on_existing"] = json!("refuse");
        let problem = self.gives(&order).problem.expect("a refusal");
        assert_eq!(problem.code, "plan.on_existing");
        assert!(problem.message.contains("LVM2_member"), "{}", problem.message);
        assert_eq!([self.system.digest().unwrap(), self.data.digest().unwrap()], before);
    }

    fn refuses_an_image_for_other_sectors(&self, small: &Image) {
        let before = [self.system.digest().unwrap(), self.data.digest().unwrap()];
        let said = json!({ "sector_size": 512 });
        let told = self.gives(&self.order("told", ("debian", small, said), Self::onto(Some("IMAGE-4K"))));
        assert_eq!(told.problem.expect("a refusal").code, "plan.sector_size");
        let found = self.gives(&self.order("found", ("debian", small, json!({})), Self::onto(Some("IMAGE-4K"))));
        assert_eq!(found.problem.expect("a refusal").code, "image.sector_size");
        // Detected from the image's first MiB, before the disk was touched.
        assert!([self.system.digest().unwrap(), self.data.digest().unwrap()] == before, "a disk has changed");
    }

    fn tree_onto(serial: &str, bootloader: &str) -> Value {
        json!({
            "name": "tree",
            "disks": { "system": { "match": { "serial": serial }, "on_existing": "destroy", "partitions": [
                { "name": "esp", "type": "esp", "size": "160MiB", "filesystem": { "type": "vfat" }, "mount": "/boot/efi" },
                { "name": "root", "type": "root", "filesystem": { "type": "ext4" }, "mount": "/" },
            ] } },
            "tree": { "image": "tree", "bootloader": bootloader, "cmdline": ["console=ttyS0,115200"] },
        })
    }

    /// A sector under the kernel's file that cannot be written, or cannot be read back: no success, and nothing
    /// bootable.
    fn fails_where_an_esp_does_not_hold(&self, tree: &Image) {
        for (serial, code) in [("ESP-WRITE", "finalize.boot_io"), ("ESP-READ", "tree.io")] {
            let layout = Self::tree_onto(serial, "systemd-boot");
            let order = self.order(&serial.to_lowercase(), ("tree", tree, json!({ "format": "tar" })), layout);
            let receipt = self.gives(&order);
            let problem = receipt.problem.expect("a failure");
            let stages: Vec<&str> = receipt.stages.iter().map(|stage| stage.stage.as_str()).collect();
            assert!(stages.contains(&"unpack-tree") && !stages.contains(&"boot-entry"), "{problem:?} {stages:?}");
            let said = format!("{} {} {}", problem.code, problem.message, problem.causes.join(" "));
            let names = [code, "/dev/vd", ": boot/efi/small/1/linux: ", "Input/output error"];
            assert!(names.iter().all(|name| said.contains(name)), "{said}");
        }
    }

    /// The same tree in two layers, from a registry.
    fn engraves_a_container(&self, tree: &Image, (id, serial): (&str, &str), bootloader: &str) {
        let mut order = self.order(id, ("tree", tree, json!({})), Self::tree_onto(serial, bootloader));
        order["images"]["tree"] = json!({ "urls": [self.container] });
        let unpacked = self.unpacks(&order, bootloader);
        let url = unpacked["url"].as_str().unwrap();
        assert!(url.starts_with(&format!("{}@sha256:", self.container)), "{url}");
        // What the upper layer hides was written, but can no longer be read back: two small files.
        let bytes = |of: &Value| of["file_bytes"].as_u64().unwrap();
        let hidden = bytes(&unpacked) - bytes(&unpacked["verified"]);
        assert!((1..4096).contains(&hidden), "{hidden}");
    }

    fn engraves_a_tree(&self, tree: &Image, (id, serial): (&str, &str), bootloader: &str) {
        let layout = Self::tree_onto(serial, bootloader);
        let unpacked = self.unpacks(&self.order(id, ("tree", tree, json!({ "format": "tar" })), layout), bootloader);
        assert_eq!(unpacked["verified"]["file_bytes"], unpacked["file_bytes"]);
    }

    fn unpacks(&self, order: &Value, bootloader: &str) -> Value {
        let receipt = self.gives(order);
        assert_eq!(receipt.problem, None, "{}", self.machine.console().tail(80));
        let detail = |step: &str| &receipt.changes.iter().find(|change| change.step == step).expect(step).detail;
        let unpacked = detail("unpack-tree");
        assert_eq!(unpacked["verify"], "readback");
        assert!(unpacked["verified"]["entries"].as_u64() > Some(3000), "{unpacked}");
        assert_eq!(detail("install-boot")["bootloader"], bootloader);
        // Nothing bootable was there before the data had been read back.
        let stages: Vec<&str> = receipt.stages.iter().map(|stage| stage.stage.as_str()).collect();
        let wanted = ["unpack-tree", "write-fstab", "install-boot", "write-seed", "settle", "boot-entry"];
        let places = wanted.map(|name| stages.iter().position(|stage| *stage == name));
        assert!(places.is_sorted() && places.iter().all(Option::is_some), "{stages:?}");
        unpacked.clone()
    }

    fn engraves_an_image(&mut self, disk: &Image) {
        let mut order =
            self.order("image-4k", ("debian", disk, json!({ "sector_size": 4096 })), Self::onto(Some("IMAGE-4K")));
        order["policies"]["finish"] = json!("reboot");
        let receipt = self.gives(&order);
        assert_eq!(receipt.problem, None, "{}", self.machine.console().tail(80));
        let checked = receipt.changes.iter().find(|change| change.step == "find-collisions").expect("a step");
        // Disk, three partitions, the UUIDs of an ESP and a root, one label.
        assert!(checked.detail["identifiers"].as_u64() >= Some(7), "{}", checked.detail);
        self.machine.wait_exit(LONG).unwrap();
    }

    /// The latest entry is used; without its disk the previous one is.
    fn boots_all(&self) {
        let image = Disk::new(Bus::Nvme, self.data.path(), "IMAGE-4K").four_k();
        let tree = Disk::new(Bus::Nvme, self.system.path(), "TREE-4K").four_k();
        let grub = Disk::new(Bus::VirtioBlk, self.grub.path(), "GRUB-512");
        let all = spec(&self.dir).disk(tree.clone()).disk(image).disk(grub.clone());
        let (found, _) = boots(all, "image-4k", ("IMAGE-4K", 4096));
        assert_eq!(found["partition"], "1", "the image's numbers are kept");
        grown(&found);

        let (found, said) = boots(spec(&self.dir).disk(tree.clone()).disk(grub), "grub-512", ("GRUB-512", 512));
        // A boot loader's own output.
        assert!(said.contains("Welcome to GRUB!"), "{said}");
        holds_the_tree(&found);

        let (found, said) = boots(spec(&self.dir).disk(tree), "tree-4k", ("TREE-4K", 4096));
        assert!(!said.contains("GRUB"), "{said}");
        holds_the_tree(&found);
    }
}

fn holds_the_tree(found: &BTreeMap<String, String>) {
    assert_eq!(found["partition"], "2");
    assert_eq!(found["mounts"], "/,/boot/efi");
    grown(found);
    assert_eq!(found["cap"], "/usr/bin/pingcap_net_raw=ep");
    assert_eq!(found["links"], "2");
    assert_eq!(found["xattr"], "/srv/onecap_net_raw=ep");
    let (size, blocks) = found["sparse"].split_once(':').unwrap();
    assert_eq!(size, "50331648");
    assert!(blocks.parse::<u64>().unwrap() < 1024, "{blocks} blocks");
}

fn grown(found: &BTreeMap<String, String>) {
    let number = |key: &str| found[key].parse::<u64>().unwrap();
    assert!(number("size") > 2 * GIB - 200 * MIB, "{found:?}");
    assert!(number("filesystem") > number("size") * 9 / 10, "{found:?}");
}

/// Boots to the login prompt of this host name, on the disk with this serial number and sector size. Returns the
/// system's report on itself, and the console output.
fn boots(spec: MachineSpec, hostname: &str, (serial, sector): (&str, u32)) -> (BTreeMap<String, String>, String) {
    let machine = spec.boot(Boot::FirmwareOrder).start().unwrap();
    let console = machine.console();
    console.wait_for(&format!("{hostname} login:"), LONG).unwrap_or_else(|error| panic!("{error}"));
    console.wait_for("tree-proof end", LONG).unwrap_or_else(|error| panic!("{error}"));
    let text = console.text();
    // The firmware chose the entry with the order's id.
    assert!(text.lines().any(|line| line.contains("BdsDxe: starting Boot") && line.contains(hostname)), "{text}");
    machine.cut_power();
    let lines = text.lines().filter_map(|line| line.split_once("tree-proof ").map(|(_, said)| said));
    let words = lines.flat_map(str::split_whitespace).filter_map(|word| word.split_once('='));
    let found: BTreeMap<String, String> = words.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    assert_eq!(
        (found["serial"].as_str(), found["sector"].as_str(), found["failed"].as_str()),
        (serial, sector.to_string().as_str(), "0"),
        "{text}"
    );
    (found, text)
}

/// Never fetched.
fn tiny() -> Image {
    let digest = format!("sha256:{}", "0".repeat(64));
    let file = "never.raw".to_owned();
    Image { dir: PathBuf::new(), file, size: 1, wire_size: 1, wire: digest.clone(), content: digest }
}
