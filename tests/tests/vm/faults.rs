//! One machine gets one bad order after another. Each must end with a clear code on the console and at the controller,
//! with no other disk touched, and without a disk that would boot half an image. Then a good order succeeds although
//! the controller disappears, and a reboot must not write again.

use burin::protocol::{Decision, Kind};
use burin_tests::controller::{Call, Controller, Fault, ImageFault, Observation};
use burin_tests::deploy::{Image, Netboot, OrderBuilder, SMALL_MARK, Watch, built, start_controller};
use burin_tests::vm::{Boot, Bus, Dirt, Disk, DiskFile, Firmware, Machine, MachineSpec, Nic, NicModel, OLD_MARK, Slot};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// How long the controller is away in the middle of the image.
const AWAY: Duration = Duration::from_secs(60);
const MAC: &str = "52:54:00:b0:00:02";

/// A bad order, the image server's fault, and the expected codes.
struct Case {
    name: &'static str,
    order: Vec<u8>,
    fault: Option<ImageFault>,
    codes: &'static [&'static str],
    /// The plan is refused: not even the ordered disk may change.
    untouched: bool,
}

struct Bench {
    machine: Machine,
    controller: Controller,
    watch: Watch,
    target: DiskFile,
    others: Vec<(DiskFile, String)>,
    image: Image,
}

#[test]
fn bad_orders_and_a_controller_that_goes_away() {
    let netboot = match built() {
        Ok((netboot, _)) => netboot,
        Err(reason) => return burin_skip::skip!("{reason}"),
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::start(dir.path(), &netboot);

    for case in bench.cases() {
        println!("-- {}", case.name);
        bench.refuses(case);
    }
    println!("-- a good order, with the controller away in the middle and at receipt time");
    bench.obeys_in_spite_of_absence();
    println!("-- a reboot");
    bench.does_not_repeat_itself();
}

impl Bench {
    fn start(dir: &Path, netboot: &Netboot) -> Self {
        let images = dir.join("images");
        std::fs::create_dir_all(&images).unwrap();
        let image = Image::small(&images, "small.raw.zst", 64 * MIB).unwrap();
        let huge = std::fs::File::create(images.join("huge.raw")).unwrap();
        huge.set_len(1024 * MIB).unwrap();

        let disk = |name: &str, size: u64, dense: u64, seed: u64| {
            let file = DiskFile::new(dir.join(name));
            Dirt::new(size * MIB, dense * MIB, seed).create(&file).unwrap();
            file
        };
        let target = disk("nvme.raw", 512, 96, 11);
        let sata = disk("sata.raw", 512, 16, 12);
        let locked = disk("locked.raw", 512, 4, 13);
        let (twin, other) = (disk("twin-a.raw", 512, 4, 14), disk("twin-b.raw", 512, 4, 15));

        let controller = start_controller(dir, netboot, &images).unwrap();
        let boot = Boot::Kernel {
            kernel: netboot.kernel(),
            initrd: netboot.initramfs(),
            cmdline: format!(
                "console=ttyS0,115200 burin.controller={} BOOTIF=01-{}",
                controller.public_url(),
                MAC.replace(':', "-")
            ),
        };
        let spec = MachineSpec::new(dir, Firmware::Bios)
            .identity("b0b0b0b0-0000-4000-8000-000000000001", "FAULTS-1")
            .disk(Disk::new(Bus::Nvme, target.path(), "ORDERED"))
            .disk(Disk::new(Bus::Sata, sata.path(), "DATA"))
            .disk(Disk::new(Bus::VirtioBlk, locked.path(), "LOCKED").read_only())
            .disk(Disk::new(Bus::VirtioScsi, twin.path(), "TWIN-A"))
            .disk(Disk::new(Bus::VirtioScsi, other.path(), "TWIN-B"))
            .nic(Nic::new(NicModel::Virtio, MAC))
            .boot(boot);
        let others = [sata, locked, twin, other].map(|file| {
            let digest = file.digest().unwrap();
            (file, digest)
        });

        // Unavailable at the start: the agent must keep trying.
        controller.faults().refuse_all();
        let seen = controller.subscribe();
        let machine = spec.start().unwrap();
        let watch = Watch::new(seen, &machine);
        let bench = Self { machine, controller, watch, target, others: others.into(), image };
        bench.watch.console("; again in ", 0);
        bench.controller.faults().heal();
        bench.watch.observe("hello", |seen| matches!(seen, Observation::Hello { .. }));
        bench
    }

    fn cases(&self) -> Vec<Case> {
        let order = |id: &str| self.order(id);
        let case = |name, order: Vec<u8>, codes| Case { name, order, fault: None, codes, untouched: true };
        let writes = |name, order: OrderBuilder, fault: Option<ImageFault>, codes| {
            let order = order.json().into_bytes();
            Case { name, order, fault, codes, untouched: false }
        };
        let matching = |id, rule: Value| order(id).set("/layouts/0/disks/system/match", rule).json().into_bytes();
        let wrong = format!("sha256:{}", "00".repeat(32));
        let file = |name: &str| json!([format!("{}/images/{name}", self.controller.public_url())]);
        vec![
            case("not JSON", b"{ \"version\": \"order/v1\", oops".to_vec(), &["order.not_json"]),
            case(
                "an unknown key",
                order("unknown-key").set("/surprise", json!(1)).json().into_bytes(),
                &["order.unknown_key"],
            ),
            case(
                "another version",
                order("version").set("/version", json!("order/v9")).json().into_bytes(),
                &["order.version"],
            ),
            case(
                "a disk that cannot be",
                matching("impossible", json!({ "size": { "ge": "900TB" } })),
                &["plan.no_match"],
            ),
            case("a read-only disk", matching("read-only", json!({ "serial": "LOCKED" })), &["plan.no_match"]),
            case("two disks alike", matching("tie", json!({ "serial": { "glob": "TWIN-*" } })), &["plan.ambiguous"]),
            case(
                "a disk that is not empty",
                order("not-empty").set("/layouts/0/disks/system/on_existing", json!("refuse")).json().into_bytes(),
                &["plan.on_existing"],
            ),
            writes(
                "no such image",
                order("not-found").set("/images/debian/urls", file("absent.raw")),
                None,
                &["image.not_found"],
            ),
            writes(
                "an image larger than the disk",
                order("too-large").set("/images/debian/urls", file("huge.raw")).set("/images/debian/digest", json!({})),
                None,
                &["image.too_large"],
            ),
            writes(
                "a truncated image",
                order("truncated").set("/images/debian/digest", json!({})),
                Some(ImageFault::Truncate(self.image.wire_size / 2)),
                &["image.truncated"],
            ),
            writes(
                "a flipped bit",
                order("flipped").set("/images/debian/digest", json!({})),
                Some(ImageFault::Flip(self.image.wire_size / 2)),
                // Which layer of zstd detects it depends on the bit.
                &["image.corrupt", "image.truncated"],
            ),
            writes(
                "a wrong digest of the file",
                order("wire").set("/images/debian/digest/wire", json!(wrong)),
                None,
                &["image.digest_mismatch"],
            ),
            writes(
                "a wrong digest of the content",
                order("content").set("/images/debian/digest/content", json!(wrong)),
                None,
                &["image.digest_mismatch"],
            ),
        ]
    }

    fn order(&self, id: &str) -> OrderBuilder {
        let images = format!("{}/images", self.controller.public_url());
        OrderBuilder::new(id, "nobody", &images, &self.image)
            .set("/layouts/0/disks/system/match", json!({ "class": "nvme" }))
            .set("/layouts/0/disks/system/grow", Value::Null)
            .set("/seed", Value::Null)
            .set("/policies/finish", json!("hold"))
    }

    fn refuses(&self, case: Case) {
        let before = self.target.digest().unwrap();
        let position = self.machine.console().position();
        if let Some(fault) = case.fault {
            self.controller.faults().set_image(&self.image.file, fault, u32::MAX);
        }
        self.controller.put_order(MAC, &case.order).unwrap();
        let code = self.problem();
        assert!(case.codes.contains(&code.as_str()), "{}: {code}, expected {:?}", case.name, case.codes);
        self.watch.console(&format!("[{code}]"), position);
        self.controller.faults().heal();
        self.nobody_else_was_touched(case.name);
        if case.untouched {
            assert_eq!(self.target.digest().unwrap(), before, "{}: the ordered disk was touched", case.name);
        } else {
            // These errors are detected before the disk is touched.
            let early = ["image.not_found", "image.too_large"].contains(&code.as_str());
            if !early || self.target.digest().unwrap() != before {
                self.does_not_boot(case.name);
            }
        }
    }

    /// The code of the next refusal, or of the next failed receipt, which an event must have reported before.
    fn problem(&self) -> String {
        let (mut code, mut told) = (None, None);
        self.watch.observe("a problem", |seen| {
            match seen {
                Observation::Receipt { receipt, .. } => match &receipt.problem {
                    Some(problem) => code = Some(problem.code.clone()),
                    None => panic!("{} was carried out", receipt.order),
                },
                Observation::Event { event, .. } => match event.kind() {
                    Some(Kind::OrderRefused(refused)) => {
                        code = Some(refused.problem.code.clone());
                        told = code.clone();
                    }
                    Some(Kind::StageFailed(failed)) => told = Some(failed.problem.code),
                    _ => {}
                },
                _ => {}
            }
            code.is_some() && told.is_some()
        });
        assert_eq!(told, code, "the event and the receipt differ");
        code.unwrap_or_default()
    }

    fn nobody_else_was_touched(&self, name: &str) {
        for (file, digest) in &self.others {
            assert_eq!(&file.digest().unwrap(), digest, "{name}: {} was touched", file.path().display());
        }
    }

    /// Neither the image's table nor its boot sector may be there.
    fn does_not_boot(&self, name: &str) {
        let partitions = self.target.partitions().unwrap();
        assert!(partitions.iter().all(|part| part.name != SMALL_MARK), "{name}: the image's table is there");
        assert!(self.target.is_unfinished().unwrap(), "{name}: something is in the first MiB");
    }

    fn obeys_in_spite_of_absence(&mut self) {
        let faults = self.controller.faults();
        // Unavailable in the middle of the image, for a minute, for all calls; and again when the receipt is due.
        let third = self.image.wire_size / 3;
        faults.set_image(&self.image.file, ImageFault::Cut(third), 1);
        let position = self.machine.console().position();
        let order = self.order("good").set("/policies/finish", json!("reboot"));
        self.controller.put_order(MAC, order.json()).unwrap();
        let path = format!("/images/{}", self.image.file);
        self.watch
            .observe("the download", |seen| matches!(seen, Observation::File { path: asked, .. } if *asked == path));
        faults.refuse_all();
        self.watch.console("; trying again", position);
        std::thread::sleep(AWAY);
        assert!(self.machine.is_running());
        self.controller.faults().heal();
        self.controller.faults().set(Call::Receipt, Fault::Drop, 2);
        let (mut resumed, mut asked) = (false, 0);
        let mut digest = None;
        self.watch.observe("the receipt", |seen| {
            match seen {
                Observation::File { range, .. } => {
                    asked += 1;
                    resumed |= range.is_some();
                }
                Observation::Receipt { receipt, .. } => {
                    assert_eq!(receipt.problem, None);
                    digest = receipt.images[0].digest.content.clone();
                }
                _ => {}
            }
            digest.is_some()
        });
        assert!(resumed, "{asked} downloads after the minute, none of them from where it broke off");
        assert_eq!(self.controller.faults().left(Call::Receipt), 0, "the receipt was not refused");
        assert_eq!(digest.as_ref(), Some(&self.image.content));
        self.nobody_else_was_touched("a good order");
        let partitions = self.target.partitions().unwrap();
        assert_eq!(partitions[0].name, SMALL_MARK);
        let beyond = self.target.find(OLD_MARK, 4096, self.image.size, 96 * MIB).unwrap();
        println!("   old data beyond the image, which holds no signature: {beyond:?}");
    }

    /// The machine has rebooted into the agent, like one that always boots from the network.
    fn does_not_repeat_itself(&mut self) {
        self.watch.observe("the next hello", |seen| {
            let granted = matches!(seen, Observation::Grant { reply, .. } if reply.decision == Decision::Granted);
            assert!(!granted, "leave to write was given twice");
            matches!(seen, Observation::Hello { .. })
        });
        let before = self.target.digest().unwrap();
        // A refused order shows that the agent has finished everything that was pending.
        self.controller.put_order(MAC, b"no order").unwrap();
        assert_eq!(self.problem(), "order.not_json");
        assert_eq!(self.target.digest().unwrap(), before, "the disk was written again");
        self.nobody_else_was_touched("a reboot");
        assert!(self.machine.is_running());
    }
}
