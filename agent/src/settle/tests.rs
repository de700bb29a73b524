use super::*;
use proptest::prelude::*;
use std::os::unix::fs::symlink;

/// A simulated sysfs: files in a directory.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.root().join("sys").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("{text}\n")).unwrap();
        self
    }

    fn link(&self, path: &str, to: &str) -> &Self {
        let (path, to) = (self.root().join("sys").join(path), self.root().join("sys").join(to));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::create_dir_all(&to).unwrap();
        if !path.is_symlink() {
            symlink(to, path).unwrap();
        }
        self
    }

    fn pci(&self, address: &str, class: &str, driver: &str) -> String {
        let path = format!("devices/pci0000:00/{address}");
        self.file(&format!("{path}/class"), class);
        self.link(&format!("{path}/driver"), &format!("bus/pci/drivers/{driver}"));
        self.link(&format!("bus/pci/devices/{address}"), &path);
        path
    }

    fn host(&self, above: &str, host: &str) -> String {
        let path = format!("{above}/{host}");
        self.file(&format!("{path}/scsi_host/{host}/state"), "running");
        self.link(&format!("class/scsi_host/{host}"), &format!("{path}/scsi_host/{host}"));
        path
    }

    fn scsi(&self, host: &str, hctl: &str, kind: &str) -> String {
        let target = hctl.rsplit_once(':').unwrap().0;
        let path = format!("{host}/target{target}/{hctl}");
        self.file(&format!("{path}/type"), kind).file(&format!("{path}/state"), "running");
        self.link(&format!("bus/scsi/devices/{hctl}"), &path);
        self.link("bus/scsi/drivers/sd", "bus/scsi/sd");
        path
    }

    fn block(&self, device: &str, name: &str) -> &Self {
        self.link(&format!("{device}/block/{name}/device"), device);
        self.link(&format!("class/block/{name}"), &format!("{device}/block/{name}"))
    }

    fn words(&self) -> Vec<String> {
        look(self.root()).iter().map(Sought::to_string).collect()
    }
}

#[test]
fn a_usb_adapter_is_waited_for_until_it_has_shown_its_disk() {
    let machine = Machine::new();
    machine.file("module/usb_storage/parameters/delay_use", "25");
    let interface = format!("{}/usb1/1-1/1-1:1.0", machine.pci("0000:00:04.0", "0x0c0330", "xhci_hcd"));
    machine.file(&format!("{interface}/bInterfaceClass"), "08");
    machine.link("bus/usb/devices/1-1:1.0", &interface);
    assert_eq!(look(machine.root())[0].seeking, Seeking::UsbWithoutDriver);
    machine.link(&format!("{interface}/driver"), "bus/usb/drivers/usb-storage");
    assert_eq!(machine.words(), ["USB storage 1-1:1.0 has not shown its disk (delay_use is 25 s)"]);
    assert!(look(machine.root())[0].seeking.patience() > Duration::from_secs(25));

    let host = machine.host(&interface, "host6");
    assert_eq!(machine.words().len(), 1, "an empty host of an adapter is told once");
    let disk = machine.scsi(&host, "6:0:0:0", "0");
    assert_eq!(machine.words(), ["SCSI disk 6:0:0:0 is not ready"]);
    machine.block(&disk, "sda");
    assert_eq!(machine.words(), [""; 0]);
    assert_eq!(disks(machine.root()).into_iter().collect::<Vec<_>>(), ["sda"]);
}

#[test]
fn nvme_controllers_until_live_and_with_a_namespace() {
    let machine = Machine::new();
    let function = machine.pci("0000:01:00.0", "0x010802", "nvme");
    assert_eq!(machine.words(), ["storage controller 0000:01:00.0 (nvme) has shown no disk"]);
    let controller = format!("{function}/nvme/nvme0");
    machine.file(&format!("{controller}/state"), "connecting").link("class/nvme/nvme0", &controller);
    assert_eq!(machine.words(), ["NVMe controller nvme0 is connecting, not live"]);
    machine.file(&format!("{controller}/state"), "live");
    assert_eq!(machine.words(), ["NVMe controller nvme0 has shown no namespace"]);
    // With native multipath the namespace is below nvme-subsystem, and only one of its paths is here.
    machine.file(&format!("{controller}/nvme0c0n1/hidden"), "1");
    assert_eq!(machine.words(), [""; 0]);
    machine.file(&format!("{controller}/state"), "dead");
    assert_eq!(machine.words(), [""; 0], "nothing will come of it");
}

#[test]
fn empty_sata_ports_are_no_reason_and_a_link_without_its_disk_is() {
    let machine = Machine::new();
    let function = machine.pci("0000:00:1f.2", "0x010601", "ahci");
    for (port, speed) in [(1, "<unknown>"), (2, "6.0 Gbps")] {
        let above = format!("{function}/ata{port}");
        machine.link(&format!("class/ata_port/ata{port}"), &format!("{above}/ata_port/ata{port}"));
        machine.file(&format!("{above}/link{port}/ata_link/link{port}/sata_spd"), speed);
        machine.link(&format!("class/ata_link/link{port}"), &format!("{above}/link{port}/ata_link/link{port}"));
        machine.host(&above, &format!("host{port}"));
    }
    assert_eq!(machine.words(), ["the link link2 is up (6.0 Gbps), its disk not known yet"]);
    let disk = machine.scsi(&format!("{function}/ata2/host2"), "2:0:0:0", "0");
    machine.block(&disk, "sda");
    assert_eq!(machine.words(), [""; 0]);
}

#[test]
fn scsi_hosts_by_state_and_by_what_they_have() {
    let machine = Machine::new();
    let function = machine.pci("0000:02:00.0", "0x010400", "megaraid_sas");
    machine.pci("0000:03:00.0", "0x020000", "e1000e");
    let host = machine.host(&function, "host0");
    assert_eq!(machine.words(), ["SCSI host host0 has shown no device"]);
    machine.file(&format!("{host}/scsi_host/host0/state"), "recovery");
    assert_eq!(machine.words(), ["SCSI host host0 is in state recovery"]);
    machine.file(&format!("{host}/scsi_host/host0/state"), "running");
    // An enclosure is a device too, but never a disk.
    machine.scsi(&host, "0:0:9:0", "13");
    assert_eq!(machine.words(), [""; 0]);
    let lost = machine.scsi(&host, "0:2:0:0", "0");
    machine.file(&format!("{lost}/state"), "offline");
    assert_eq!(machine.words(), [""; 0]);
}

#[test]
fn fibre_channel_ports_arrays_and_maps() {
    let machine = Machine::new();
    let host = machine.host(&machine.pci("0000:05:00.0", "0x0c0400", "qla2xxx"), "host3");
    machine.file(&format!("{host}/fc_host/host3/port_state"), "Linkdown");
    machine.link("class/fc_host/host3", &format!("{host}/fc_host/host3"));
    machine.file("devices/virtual/block/md127/md/array_state", "inactive");
    machine.link("class/block/md127", "devices/virtual/block/md127");
    machine.file("devices/virtual/block/dm-0/dm/uuid", "mpath-360000");
    machine.link("class/block/dm-0", "devices/virtual/block/dm-0");
    let expected =
        ["Fibre Channel port host3 is Linkdown", "multipath map dm-0 has no path", "array md127 is inactive"];
    assert_eq!(machine.words(), expected);
    machine.file(&format!("{host}/fc_host/host3/port_state"), "Online");
    assert_eq!(machine.words()[0], "Fibre Channel port host3 is online without a target");
    let disk = machine.scsi(&host, "3:0:0:0", "0");
    machine.block(&disk, "sdz");
    assert_eq!(machine.words().len(), 2);
}

fn sought(seeking: Seeking, age: u64) -> (Sought, Duration) {
    (Sought { device: "x".into(), seeking }, Duration::from_secs(age))
}

fn at(sought: &[(Sought, Duration)], waited: u64) -> Situation<'_> {
    let (quiet, age) = (Duration::from_secs(waited), Duration::from_secs(waited));
    Situation { sought, loading: false, quiet, waited: age, age }
}

#[test]
fn hello_waits_for_what_is_at_work_and_plans_for_what_is_silent_too() {
    let (hello, plan) = (Moment::Hello, Moment::Plan { least: Duration::ZERO });
    let silent = [sought(Seeking::ScsiHostEmpty, 3)];
    assert_eq!(
        (verdict(hello, &at(&silent, 3)), verdict(plan, &at(&silent, 3))),
        (WaitVerdict::Settled, WaitVerdict::Wait)
    );
    let patient = [sought(Seeking::ScsiHostEmpty, 60)];
    assert_eq!(verdict(plan, &at(&patient, 60)), WaitVerdict::Settled, "its time is over");
    let usb = [sought(Seeking::Usb { delay: Duration::from_secs(25) }, 40)];
    assert_eq!(
        (verdict(hello, &at(&usb, 29)), verdict(hello, &at(&usb, 30))),
        (WaitVerdict::Wait, WaitVerdict::TimeOver)
    );
    assert_eq!(verdict(plan, &at(&usb, 40)), WaitVerdict::Wait);
}

#[test]
fn the_tidy_machine_does_not_wait_before_its_plan() {
    let situation = Situation { quiet: Duration::ZERO, ..at(&[], 0) };
    assert_eq!(verdict(Moment::Plan { least: Duration::ZERO }, &situation), WaitVerdict::Settled);
    assert_eq!(verdict(Moment::Plan { least: Duration::from_secs(9) }, &situation), WaitVerdict::Wait);
    assert_eq!(verdict(Moment::Hello, &situation), WaitVerdict::Wait, "uevents of half a second are waited for once");
    let loading = Situation { loading: true, ..at(&[], 60) };
    assert_eq!(verdict(Moment::Plan { least: Duration::ZERO }, &loading), WaitVerdict::Wait);
    let hung = Situation { loading: true, ..at(&[], 200) };
    assert_eq!(verdict(Moment::Plan { least: Duration::ZERO }, &hung), WaitVerdict::TimeOver);
}

proptest! {
    /// Whatever is waited for, every wait ends.
    #[test]
    fn every_wait_ends(ages in prop::collection::vec(0u64..500, 0..5), kinds in prop::collection::vec(0usize..5, 5)) {
        let kind = |index: usize| match index {
            0 => Seeking::Nvme { state: "new".into() },
            1 => Seeking::ScsiDisk,
            2 => Seeking::ScsiHostEmpty,
            3 => Seeking::FibreChannel { state: "Linkdown".into() },
            _ => Seeking::Multipath,
        };
        let list: Vec<_> = ages.iter().zip(&kinds).map(|(age, index)| sought(kind(*index), age + 200)).collect();
        let plan = Moment::Plan { least: Duration::from_secs(60) };
        prop_assert_ne!(verdict(plan, &at(&list, 200)), WaitVerdict::Wait);
        prop_assert_ne!(verdict(Moment::Hello, &at(&list, 200)), WaitVerdict::Wait);
    }
}

#[test]
fn news_is_a_disk_or_a_uevent() {
    let machine = Machine::new();
    machine.file("kernel/uevent_seqnum", "7");
    assert!(!news(machine.root(), Duration::from_millis(1), &|| false));
    assert!(!news(machine.root(), Duration::from_secs(3600), &|| true), "called off");
    let root = machine.root().to_owned();
    let later = thread::spawn(move || news(&root, Duration::from_secs(60), &|| false));
    // Until the thread has looked once; however late that is, the number changes after it.
    while !later.is_finished() {
        thread::sleep(Duration::from_millis(20));
        let next = uevents(machine.root()).len();
        machine.file("kernel/uevent_seqnum", &"8".repeat(next + 1));
    }
    assert!(later.join().unwrap());
}
