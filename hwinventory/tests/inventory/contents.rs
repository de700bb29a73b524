//! What a disk holds, of real block devices: loop devices of this host, where root may make them.

use crate::support;
use hwinventory::model::unfinished::mark;
use hwinventory::model::{Disk, Samples};
use hwinventory::source::{FsSource, Recorder, Source};
use hwinventory::{Inventory, Options};
use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

struct Loop {
    node: String,
    _file: tempfile::NamedTempFile,
}

impl Loop {
    /// A disk with this content, or `None` with a word about it.
    fn attach(content: &[u8]) -> Option<Loop> {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(content).expect("room for it");
        let output = Command::new("losetup").args(["--find", "--show"]).arg(file.path()).output();
        let Some(output) = output.ok().filter(|o| o.status.success()) else {
            burin_skip::skip!("no loop devices here");
            return None;
        };
        let node = String::from_utf8(output.stdout).expect("a path").trim().to_owned();
        Some(Loop { node, _file: file })
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.node).status();
    }
}

fn collect(source: Arc<dyn Source>) -> Inventory {
    hwinventory::collect(&Options {
        source,
        include_loop: true,
        device_deadline: Duration::from_secs(60),
        ..Options::default()
    })
}

fn find(inventory: &Inventory, node: &str) -> Disk {
    inventory.disks.data.iter().find(|d| d.path == node).expect("it is listed").clone()
}

const SIZE: usize = 8 << 20;

#[test]
fn empty_used_and_unfinished_disks() {
    let empty = vec![0; SIZE];
    let mut used = empty.clone();
    used[5 << 20..6 << 20].fill(7);
    let mut unfinished = empty.clone();
    unfinished[..512].copy_from_slice(&mark("order-7"));
    let Some(disks) = [empty, used, unfinished].iter().map(|c| Loop::attach(c)).collect::<Option<Vec<_>>>() else {
        return;
    };

    let recorder = Arc::new(Recorder::new(Arc::new(FsSource::live()), "test"));
    let inventory = collect(recorder.clone());
    let found: Vec<Disk> = disks.iter().map(|d| find(&inventory, &d.node)).collect();
    let blank = Samples { looked_at_bytes: (2 << 20) + 32 * 4096, blank: true };
    assert_eq!((&found[0].samples, &found[0].unfinished), (&Some(blank), &None));
    assert_eq!(found[1].samples.as_ref().map(|s| s.blank), Some(false));
    assert_eq!(found[2].samples, Some(Samples { looked_at_bytes: 4096, blank: false }));
    assert_eq!(found[2].unfinished.as_deref(), Some("order-7"));
    let sequence = std::fs::read_to_string(format!("/sys/block/{}/diskseq", found[0].name)).ok();
    assert_eq!(found[0].diskseq, sequence.and_then(|text| text.trim().parse().ok()));

    let replayed = collect(Arc::new(recorder.recording()));
    for (disk, was) in disks.iter().zip(&found) {
        assert_eq!(&find(&replayed, &disk.node), was);
    }
}

/// By the record, else by the first table or by its backup, though nothing in the first sector protects them.
#[test]
fn an_unfinished_disk_tells_what_it_remembers() {
    use hwinventory::model::kept::{KeptPartition, PLACES, Record, Remembered, SLOT, encode};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    std::fs::write(&path, vec![0; SIZE]).unwrap();
    let table = "label: gpt\n5: start=2MiB, size=3MiB, name=\"data\", attrs=\"GUID:60\", \
                 uuid=11111111-2222-4333-8444-555555555555\n";
    let sfdisk =
        std::process::Command::new("sfdisk").arg("--quiet").arg(&path).stdin(std::process::Stdio::piped()).spawn();
    let Ok(mut sfdisk) = sfdisk else { return };
    std::io::Write::write_all(&mut sfdisk.stdin.take().unwrap(), table.as_bytes()).unwrap();
    assert!(sfdisk.wait().unwrap().success());
    let mut both = std::fs::read(&path).unwrap();
    both[..512].copy_from_slice(&mark("order-7"));
    let mut backup = both.clone();
    backup[512..1024].fill(0);
    let mut neither = backup.clone();
    neither[SIZE - 512..].fill(0);
    let partition = |number: u32| KeptPartition {
        number,
        start: 2 << 20,
        size: 3 << 20,
        type_guid: "0fc63daf-8483-4772-8e79-3d69d8477de4".to_owned(),
        guid: "11111111-2222-4333-8444-555555555555".to_owned(),
        name: "data".to_owned(),
        attributes: 1 << 60,
    };
    let mut recorded = both.clone();
    let record = encode(&Record { generation: 3, partitions: vec![partition(9)] }).unwrap();
    recorded[PLACES[1] as usize..PLACES[1] as usize + SLOT].copy_from_slice(&record);
    let disks = [both, backup, neither, recorded];
    let Some(disks) = disks.iter().map(|c| Loop::attach(c)).collect::<Option<Vec<_>>>() else { return };
    let inventory = collect(Arc::new(FsSource::live()));
    let found: Vec<Option<Remembered>> = disks.iter().map(|d| find(&inventory, &d.node).remembered).collect();
    let by_table = Some(Remembered { recorded: false, partitions: vec![partition(5)] });
    let by_record = Some(Remembered { recorded: true, partitions: vec![partition(9)] });
    assert_eq!(found, [by_table.clone(), by_table, None, by_record]);
}

/// A deadline that passes while the disk is looked at costs the look alone.
#[test]
fn a_disk_that_hangs_has_no_samples() {
    use hwinventory::source::Query;
    let mut machine = support::Machine::default();
    machine.sata("sda", 1, "SERIAL0001");
    machine.answer(&Query::Signatures { device: "/dev/sda".into() }, br#"{"unfinished": "order-7"}"#);
    machine.hung.push(("sda".into(), Duration::from_secs(30)));
    machine.answer(&Query::Samples { device: "/dev/sda".into() }, br#"{"looked_at_bytes": 4096, "blank": true}"#);
    let hung = Options {
        source: Arc::new(HangsWhenSampled(machine)),
        device_deadline: Duration::from_secs(5),
        ..Options::default()
    };
    let disk = hwinventory::collect(&hung).disks.data.remove(0);
    assert_eq!(disk.status, hwinventory::model::Status::Timeout);
    assert_eq!((disk.samples, disk.unfinished.as_deref()), (None, Some("order-7")));
}

struct HangsWhenSampled(support::Machine);

impl Source for HangsWhenSampled {
    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        self.0.read(path)
    }

    fn list(&self, path: &str) -> std::io::Result<Vec<String>> {
        self.0.list(path)
    }

    fn link(&self, path: &str) -> std::io::Result<String> {
        Source::link(&self.0, path)
    }

    fn query(&self, query: &hwinventory::source::Query) -> std::io::Result<Vec<u8>> {
        if query.key().starts_with("samples_") {
            return self.0.query(query);
        }
        self.0.queries.get(&query.key()).cloned().ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }
}
