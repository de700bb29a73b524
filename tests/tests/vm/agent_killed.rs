//! Kills the agent, and resets the machine, in every stage of an order. PID 1 starts another agent, which reports what
//! it finds; both sides end in a correct state, and none of the machine's output contains a secret. The last order ends
//! in kexec.
//!
//! The agent is killed from within the guest: the kernel's OOM killer, triggered by SysRq, kills the largest process.

use burin::http;
use burin::http::{Ca, Clock, Timeouts, Trust, TrustFiles};
use burin::protocol::{Control, Decision, Hello, Kind, Receipt, Secret};
use burin_tests::controller::{Call, Controller, Fault, ImageFault, Observation, site_archive};
use burin_tests::deploy::{Image, Netboot, OrderBuilder, SMALL_MARK, Watch, built, start_controller_as};
use burin_tests::vm::{Boot, Bus, Dirt, Disk, DiskFile, Firmware, Machine, MachineSpec, Nic, NicModel, Slot};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
const LONG: Duration = Duration::from_secs(300);
const FOR_EVER: Duration = Duration::from_secs(3600);
const MAC: &str = "52:54:00:b0:00:05";
const JOIN: &str = "join-5ecret-0f-this-site";
const PASSWORD: &str = "p4ssword-of-the-new-system";
const SIGNATURE: &str = "s1gnature-of-the-image-url";

struct Bench {
    machine: Machine,
    controller: Controller,
    watch: Watch,
    disk: DiskFile,
    image: Image,
    api: u16,
    secrets: BTreeSet<String>,
    /// Output of the machine, besides the console and what the controller stores.
    said: String,
}

#[test]
#[ignore = "on demand: scripts/test --matrix"]
fn the_agent_is_killed_in_every_stage() {
    let netboot = match built() {
        Ok((netboot, _)) => netboot,
        Err(reason) => return burin_skip::skip!("{reason}"),
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::start(dir.path(), &netboot);
    let mut first = bench.killed_at_hello();
    first = bench.killed_while_waiting(&first);
    bench.killed_while_asking_for_leave();
    bench.killed_in_mid_image();
    bench.reset_while_verifying(&first);
    bench.reset_between_two_steps();
    bench.killed_before_the_acknowledgement();
    bench.starts_what_it_installed(dir.path(), &netboot);
    bench.said_no_secret(dir.path());
}

impl Bench {
    fn start(dir: &Path, netboot: &Netboot) -> Self {
        let images = dir.join("images");
        std::fs::create_dir_all(&images).unwrap();
        let image = Image::small(&images, "small.raw.zst", 64 * MIB).unwrap();
        let disk = DiskFile::new(dir.join("nvme.raw"));
        Dirt::new(512 * MIB, 96 * MIB, 51).create(&disk).unwrap();
        let controller = start_controller_as(dir, netboot, &images, |options| {
            options.join_token = Some(Secret::new(JOIN));
        })
        .unwrap();
        let api = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let boot = Boot::Kernel {
            kernel: netboot.kernel(),
            initrd: with_token(dir, netboot),
            cmdline: format!(
                "console=ttyS0,115200 sysrq_always_enabled burin.controller={} BOOTIF=01-{}",
                controller.public_url(),
                MAC.replace(':', "-")
            ),
        };
        controller.faults().set(Call::Hello, Fault::Stall(FOR_EVER), 1);
        let seen = controller.subscribe();
        let machine = MachineSpec::new(dir, Firmware::Bios)
            .identity("b0b0b0b0-0000-4000-8000-000000000005", "KILLED-1")
            .disk(Disk::new(Bus::Nvme, disk.path(), "ORDERED"))
            .nic(Nic::new(NicModel::Virtio, MAC).forward(api, 8443))
            .boot(boot)
            .start()
            .unwrap();
        let secrets = [JOIN, PASSWORD, SIGNATURE].map(str::to_owned).into();
        let watch = Watch::new(seen, &machine);
        Self { machine, controller, watch, disk, image, api, secrets, said: String::new() }
    }

    fn killed_at_hello(&mut self) -> Hello {
        println!("-- killed at hello");
        self.struck(Call::Hello);
        self.kill();
        self.hello()
    }

    fn killed_while_waiting(&mut self, before: &Hello) -> Hello {
        println!("-- killed while it waits for an order");
        self.kill();
        let hello = self.hello();
        assert_eq!(hello.boot_id, before.boot_id);
        assert_ne!(hello.instance, before.instance);
        let crash = hello.last_crash.as_ref().expect("how the last one ended");
        assert!(crash["reason"].as_str().unwrap().contains("SIGKILL"), "{crash}");
        hello
    }

    fn killed_while_asking_for_leave(&mut self) {
        println!("-- killed while it asks for leave");
        let before = self.disk.digest().unwrap();
        self.controller.faults().set(Call::Grant, Fault::Stall(FOR_EVER), 1);
        self.order("leave", |order| order);
        self.struck(Call::Grant);
        assert_eq!(self.disk.digest().unwrap(), before, "written without leave");
        self.kill();
        self.controller.faults().heal();
        // Nothing was granted: the next agent may get the grant.
        let receipt = self.receipt("leave");
        assert_eq!((receipt.problem, self.granted("leave")), (None, 1));
        assert_eq!(receipt.images[0].digest.content.as_ref(), Some(&self.image.content));
    }

    fn killed_in_mid_image(&mut self) {
        println!("-- killed in mid-image");
        let stall = ImageFault::Stall(self.image.wire_size / 2, FOR_EVER);
        self.controller.faults().set_image(&self.image.file, stall, 1);
        self.order("image", |order| order);
        self.event("progress of the image", |kind| matches!(kind, Kind::Progress(now) if now.written_bytes > 0));
        self.kill();
        self.controller.faults().heal();
        self.is_refused("image");
        self.does_not_boot();
    }

    fn reset_while_verifying(&mut self, before: &Hello) {
        println!("-- reset while it reads back");
        self.machine.qmp().unwrap().throttle_reads(0, 2 * MIB).unwrap();
        self.order("verify", |order| order);
        self.event("read-back", |kind| matches!(kind, Kind::Progress(now) if now.verified_bytes > 0));
        self.machine.qmp().unwrap().reset().unwrap();
        self.does_not_boot();
        self.machine.qmp().unwrap().throttle_reads(0, 0).unwrap();
        let hello = self.hello();
        assert_ne!(hello.boot_id, before.boot_id);
        assert!(hello.last_crash.is_none(), "a reset leaves nothing behind");
        self.is_refused("verify");
        self.does_not_boot();
    }

    fn reset_between_two_steps(&mut self) {
        println!("-- reset between two steps");
        let position = self.machine.console().position();
        let machine = self.name();
        // Long enough for the word to arrive during the image.
        let stall = ImageFault::Stall(self.image.wire_size / 2, Duration::from_secs(5));
        self.controller.faults().set_image(&self.image.file, stall, 1);
        self.order("steps", |order| order);
        self.event("progress of the image", |kind| matches!(kind, Kind::Progress(now) if now.written_bytes > 0));
        self.controller.control(&machine, Control::Hold);
        self.watch.console("held by the controller", position);
        self.calls_in();
        self.machine.qmp().unwrap().reset().unwrap();
        self.controller.control(&machine, Control::Continue);
        self.hello();
        self.is_refused("steps");
    }

    fn killed_before_the_acknowledgement(&mut self) {
        println!("-- killed before the receipt is acknowledged");
        self.controller.faults().set(Call::Receipt, Fault::LoseReply, u32::MAX);
        self.order("receipt", |order| order);
        assert_eq!(self.receipt("receipt").problem, None);
        let installed = self.disk.digest().unwrap();
        self.kill();
        self.hello();
        self.controller.faults().heal();
        // A refusal shows that the agent has finished everything that was pending.
        self.controller.put_order(MAC, b"no order").unwrap();
        self.event("a refusal", |kind| matches!(kind, Kind::OrderRefused(_)));
        assert_eq!(self.granted("receipt"), 1);
        let view = self.controller.machine(&self.name()).unwrap();
        let receipts = view.receipts.iter().filter(|receipt| receipt.order == "receipt").count();
        assert_eq!(receipts, 1, "the same receipt came again, and is one");
        assert_eq!(self.disk.digest().unwrap(), installed, "what was installed was written again");
        assert_eq!(self.disk.partitions().unwrap()[0].name, SMALL_MARK);
    }

    /// The image is a system with a kernel and a ramdisk, burin's own, which says hello again.
    fn starts_what_it_installed(&mut self, dir: &Path, netboot: &Netboot) {
        println!("-- kexec into what was installed");
        self.image = bootable(dir, netboot, &self.controller.public_url());
        let position = self.machine.console().position();
        self.order("kexec", |order| order.set("/policies/finish", json!("kexec")));
        let receipt = self.receipt("kexec");
        assert_eq!(receipt.problem, None);
        assert!(receipt.stages.iter().any(|time| time.stage == "kexec"), "{:?}", receipt.stages);
        self.watch.console("starting the loaded kernel", position);
        let hello = self.hello();
        self.watch.console("burin.attr.started=kexec", position);
        assert_ne!(hello.boot_id, receipt.boot_id);
        let text = self.machine.console().text();
        let firmware = text.get(position..).unwrap_or_default().contains("SeaBIOS");
        assert!(!firmware, "it went through the firmware");
    }

    fn said_no_secret(&mut self, dir: &Path) {
        println!("-- what was said");
        let machine = self.name();
        let view = self.controller.machine(&machine).unwrap();
        let read = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
        let console = self.machine.console().text();
        assert!(console.contains("Command line:"), "the kernel's echo is part of what is looked through");
        let all = [
            ("the console", console),
            ("the machine's own record", read(&dir.join("console.log"))),
            ("QEMU", read(&dir.join("qemu.log"))),
            ("events", serde_json::to_string(&view.events().collect::<Vec<_>>()).unwrap()),
            ("hello", serde_json::to_string(&view.hello).unwrap()),
            ("receipts", serde_json::to_string(&view.receipts).unwrap()),
            ("the controller's journal", read(&dir.join("controller/state/journal.jsonl"))),
            ("the agent's API", self.said.clone()),
        ];
        assert!(self.secrets.len() > 3 && self.said.contains("burin_phase"));
        for (name, text) in &all {
            for secret in &self.secrets {
                let at = text.find(secret.as_str());
                let around = at.map(|at| text.get(at.saturating_sub(200)..at + 20).unwrap_or_default().to_owned());
                assert!(at.is_none(), "{name} has the secret {secret}: {around:?}");
            }
        }
    }

    /// An orchestrator reads everything but the order, which contains secrets legitimately.
    fn calls_in(&mut self) {
        let hello = self.controller.machine(&self.name()).unwrap().hello.unwrap();
        let ca: Ca = hello.api.unwrap().fingerprint.parse().unwrap();
        let files = TrustFiles::below(Path::new("/nowhere"));
        let agent = http::agent(&Trust::controller(Some(&ca), &files, Clock::trusted()).unwrap(), &Timeouts::CALLS);
        let token = format!("Bearer {}", self.controller.token(&self.name()).unwrap().reveal());
        for path in ["/v1/status", "/v1/inventory", "/v1/plan", "/v1/log", "/metrics"] {
            let request = agent.get(format!("https://127.0.0.1:{}{path}", self.api)).header("Authorization", &token);
            let mut response = request.call().unwrap();
            assert_eq!(response.status(), 200, "{path}");
            self.said += &response.body_mut().read_to_string().unwrap();
        }
    }

    fn order(&self, id: &str, change: impl FnOnce(OrderBuilder) -> OrderBuilder) {
        let images = format!("{}/images", self.controller.public_url());
        let url = format!("{images}/{}?signature={SIGNATURE}", self.image.file);
        let user_data = format!("#cloud-config\nchpasswd: {{list: 'root:{PASSWORD}'}}\n");
        let order = OrderBuilder::new(id, "nobody", &images, &self.image)
            .set("/images/debian/urls", json!([url]))
            .set("/layouts/0/disks/system/match", json!({ "class": "nvme" }))
            .set("/layouts/0/disks/system/grow", Value::Null)
            .set("/attributes/password", json!(user_data))
            .set("/seed", Value::Null)
            .set("/policies/finish", json!("hold"));
        self.controller.put_order(MAC, change(order).json()).unwrap();
    }

    /// The next agent gets no second grant, and reports that.
    fn is_refused(&mut self, order: &str) {
        let receipt = self.receipt(order);
        assert_eq!(receipt.problem.map(|problem| problem.code).as_deref(), Some("controller.grant_refused"), "{order}");
        assert!(receipt.images.is_empty());
        assert_eq!(self.granted(order), 1, "{order}");
    }

    fn does_not_boot(&self) {
        assert!(self.disk.is_unfinished().unwrap(), "something is in the first MiB");
    }

    fn granted(&self, order: &str) -> usize {
        let view = self.controller.machine(&self.name()).unwrap();
        let granted = |reply: Decision| reply == Decision::Granted;
        view.grants.iter().filter(|(asked, reply)| asked.order == order && granted(reply.decision)).count()
    }

    fn name(&self) -> String {
        self.controller.machines().first().cloned().unwrap_or_default()
    }

    fn kill(&mut self) {
        let position = self.machine.console().position();
        self.machine.sysrq('f').unwrap();
        self.watch.console("killed by SIGKILL; starting it again", position);
    }

    fn struck(&self, call: Call) {
        let until = Instant::now() + LONG;
        while self.controller.faults().left(call) > 0 {
            assert!(Instant::now() < until, "{call:?} never came\n{}", self.machine.console().tail(60));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn hello(&mut self) -> Hello {
        let mut found = None;
        self.watch.observe("hello", |seen| {
            if let Observation::Hello { hello, .. } = seen {
                found = Some(hello.as_ref().clone());
            }
            found.is_some()
        });
        self.secrets.extend(self.controller.token(&self.name()).map(|token| token.reveal().to_owned()));
        found.unwrap()
    }

    fn receipt(&mut self, order: &str) -> Receipt {
        let mut found = None;
        self.watch.observe("receipt", |seen| {
            if let Observation::Receipt { receipt, .. } = seen
                && receipt.order == order
            {
                found = Some(receipt.as_ref().clone());
            }
            found.is_some()
        });
        found.unwrap()
    }

    fn event(&self, what: &str, wanted: impl Fn(&Kind) -> bool) {
        self.watch.observe(what, |seen| match seen {
            Observation::Event { event, .. } => event.kind().is_some_and(|kind| wanted(&kind)),
            Observation::Receipt { receipt, .. } => panic!("no {what}, but {receipt:?}"),
            _ => false,
        });
    }
}

/// The ramdisk, followed by what iPXE would append: the join token, where the kernel does not print it.
fn with_token(dir: &Path, netboot: &Netboot) -> std::path::PathBuf {
    let mut bytes = std::fs::read(netboot.initramfs()).unwrap();
    bytes.extend(site_archive(&Secret::new(JOIN)).unwrap());
    let path = dir.join("with-token.img");
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A disk with one ext4 that contains kernel, ramdisk and grub.cfg.
fn bootable(dir: &Path, netboot: &Netboot, url: &str) -> Image {
    let boot = dir.join("tree/boot");
    std::fs::create_dir_all(boot.join("grub")).unwrap();
    std::fs::copy(netboot.kernel(), boot.join("vmlinuz-1")).unwrap();
    std::fs::copy(dir.join("with-token.img"), boot.join("initrd.img-1")).unwrap();
    let words = format!("root=LABEL=none console=ttyS0,115200 burin.controller={url} burin.attr.started=kexec");
    let entry = format!("menuentry 'burin' {{\n\tlinux /boot/vmlinuz-1 {words}\n\tinitrd /boot/initrd.img-1\n}}\n");
    std::fs::write(boot.join("grub/grub.cfg"), entry).unwrap();
    let run = |command: &mut Command| {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    // As small as possible: the guest's processor is emulated.
    let length = |name: &str| std::fs::metadata(boot.join(name)).unwrap().len();
    let megabytes = (length("vmlinuz-1") + length("initrd.img-1")) * 21 / 20 / MIB + 16;
    let filesystem = dir.join("root.ext4");
    run(Command::new("/usr/sbin/mke2fs")
        .args(["-q", "-t", "ext4", "-d"])
        .arg(dir.join("tree"))
        .arg(&filesystem)
        .arg(format!("{megabytes}M")));
    let mut bytes = vec![0; MIB as usize];
    bytes.extend(std::fs::read(&filesystem).unwrap());
    bytes.resize(bytes.len() + MIB as usize, 0);
    let path = dir.join("images/bootable.raw");
    std::fs::write(&path, &bytes).unwrap();
    run(Command::new("/usr/sbin/sgdisk")
        .args([&format!("--new=1:1M:+{megabytes}M"), "--change-name=1:system"])
        .arg(&path));
    let bytes = std::fs::read(&path).unwrap();
    let hex: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let (size, digest) = (bytes.len() as u64, format!("sha256:{hex}"));
    Image {
        dir: dir.join("images"),
        file: "bootable.raw".to_owned(),
        size,
        wire_size: size,
        wire: digest.clone(),
        content: digest,
    }
}
