//! Power cuts at every moment of an order: afterwards the disks do not boot, or are complete.
//!
//! Whole orders are carried out on disks that record every write and flush; the states that a cut can leave are made of
//! the recording and judged in memory ([`cuts`]). Orders with arrays are not among them: tests run on kernels without md,
//! and those are cut in the virtual machine tests.
//!
//! Each test takes a few seconds. `BURIN_CUTS=1000` looks at so many parts of each epoch, instead of 50.
//!
//! Needs root, loop devices, /dev/fuse, util-linux and e2fsprogs; else it says that it was skipped.

use crate::support::cuts::{self, Counts, Disk};
use crate::support::orders::{
    IMAGE, has_tree, image, image_order, mbr_image, noise, order, serve_ranges, tree, tree_order_on, tree_with,
};
use crate::support::storage::FailingDisk;
use crate::support::tape::{Event, Tape};
use crate::support::{Loop, MIB, apply_on, machine, paths, run, serve, skipped};
use burin::apply::Applied;
use burin::finalize::mount::{Access, Mounted};
use burin::image;
use burin::protocol::Control;
use hwinventory::model::BootMode;
use hwinventory::model::kept::KeptPartition;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SUBSETS: usize = 50;

pub fn unable() -> bool {
    if skipped() {
        return true;
    }
    let able = File::options().read(true).write(true).open("/dev/fuse").is_ok();
    if !able {
        burin_skip::skip!("needs /dev/fuse");
    }
    !able
}

fn subsets() -> usize {
    std::env::var("BURIN_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(SUBSETS)
}

/// A system that boots by all ways, with no sector empty.
pub fn old_system(at: &Path, mib: u64, seed: u8) {
    let mut bytes = noise((mib * MIB) as usize);
    bytes.iter_mut().for_each(|byte| *byte = (*byte ^ seed) | 1);
    fs::write(at, bytes).expect("writes");
    let script = "label: gpt\nstart=1MiB, size=8MiB, type=U\nstart=16MiB, size=20MiB\n";
    run("sh", &["-c", &format!("printf '{script}' | sfdisk --quiet --wipe=never {}", at.display())]);
    assert_eq!(cuts::paths(&fs::read(at).expect("reads")).len(), 3, "it boots");
}

/// An order that was carried out, and what it took.
pub struct Recording {
    disks: Vec<Disk>,
    events: Vec<Event>,
    id: String,
    pub done: Applied,
}

impl Recording {
    /// On disks of these files, the serial numbers S1, S2 and so on. `holds` looks at them afterwards.
    fn of(value: &Value, files: &[PathBuf], holds: &dyn Fn(&[&Loop])) -> Self {
        Self::keeping(value, files, None, holds)
    }

    /// `kept` is on the first of them.
    pub fn keeping(value: &Value, files: &[PathBuf], kept: Option<&KeptPartition>, holds: &dyn Fn(&[&Loop])) -> Self {
        let old: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).expect("reads")).collect();
        let tape = Arc::new(Tape::default());
        let start = |(number, file): (usize, &PathBuf)| FailingDisk::recorded(file, &tape, number).expect("a disk");
        let disks: Vec<FailingDisk> = files.iter().enumerate().map(start).collect();
        let mut described: Vec<Value> =
            (1..).zip(&disks).map(|(n, disk)| disk.disk().described(&format!("S{n}"))).collect();
        if let Some(kept) = kept {
            described[0] = super::kept::with_kept(&described[0], kept);
        }
        tape.take();
        let order = order(value);
        let mut inventory = machine(&described);
        if value.to_string().contains("bios-boot") {
            inventory.firmware.data.boot_mode = BootMode::Bios;
        }
        let (done, result) = apply_on(&order, &inventory, &paths(disks[0].disk()), &|| Control::Continue);
        result.expect("applies");
        let events = tape.take();
        let end: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).expect("reads")).collect();
        disks.iter().for_each(|disk| disk.disk().sync());
        holds(&disks.iter().map(FailingDisk::disk).collect::<Vec<_>>());
        let mut disks: Vec<Disk> = old.into_iter().zip(end).map(|(old, end)| Disk::new(old, end)).collect();
        disks[..1].iter_mut().for_each(|disk| disk.keep(kept.cloned()));
        Self { disks, events, id: order.id.clone(), done }
    }

    /// Every state is looked at.
    pub fn judge(mut self, what: &str) {
        let began = std::time::Instant::now();
        let judged = cuts::judge(&mut self.disks, &self.events, &self.id, subsets());
        let counts = judged.unwrap_or_else(|wrong| panic!("{what}: wrong after a power cut:\n{}", wrong.join("\n")));
        let Counts { prefixes, subsets, epochs, whole } = counts;
        let points = prefixes + subsets;
        println!(
            "{what}: {} requests in {epochs} epochs, {points} cut points ({prefixes} prefixes, {subsets} parts), {whole} \
             of them whole, 0 wrong, in {:?}",
            self.events.len(),
            began.elapsed()
        );
        // A recording of nothing has no wrong states either.
        assert!(epochs > 5 && whole > 0 && points > whole, "{counts:?}");
    }
}

pub fn has_image(disk: &Loop, number: u32) {
    let mounted =
        Mounted::mount(&disk.partition(number), "ext4", Access::ReadOnly, &paths(disk).mounts).expect("mounts");
    assert_eq!(fs::read(mounted.path().join("etc/os-release")).expect("reads"), b"ID=image\n");
    let meta = fs::read_to_string(mounted.path().join("var/lib/cloud/seed/nocloud/meta-data")).expect("a seed");
    assert!(meta.contains("survivor"), "{meta}");
    mounted.unmount().expect("unmounts");
}

fn old(directory: &tempfile::TempDir, sizes: &[u64]) -> Vec<PathBuf> {
    let file = |(number, mib): (usize, &u64)| {
        let path = directory.path().join(format!("disk{number}"));
        old_system(&path, *mib, number as u8 + 1);
        path
    };
    sizes.iter().enumerate().map(file).collect()
}

#[test]
fn an_image_with_seed_that_grows() {
    if unable() {
        return;
    }
    let (directory, bytes) = (tempfile::tempdir().expect("a directory"), image(&Loop::new(IMAGE, 512)));
    let value = image_order(&serve(bytes.clone()), &bytes);
    let recording = Recording::of(&value, &old(&directory, &[64]), &|disks| has_image(disks[0], 3));
    recording.judge("image, seed, grow");
}

#[test]
fn two_disks() {
    if unable() {
        return;
    }
    let (directory, bytes) = (tempfile::tempdir().expect("a directory"), image(&Loop::new(IMAGE, 512)));
    let mut value = image_order(&serve(bytes.clone()), &bytes);
    value["layouts"][0]["disks"]["data"] = json!({
        "on_existing": "destroy", "match": { "serial": "S2" },
        "partitions": [{ "name": "more", "type": "linux", "filesystem": { "type": "ext4" } }]
    });
    let recording = Recording::of(&value, &old(&directory, &[64, 40]), &|disks| has_image(disks[0], 3));
    recording.judge("two disks");
}

#[test]
fn a_fresh_layout_with_a_tree() {
    if unable() {
        return;
    }
    let (directory, bytes) = (tempfile::tempdir().expect("a directory"), tree(200_000));
    let value = tree_order_on(&serve(bytes.clone()), &bytes, "ext4", "16MiB");
    let recording = Recording::of(&value, &old(&directory, &[68]), &|disks| {
        has_tree(disks[0], 200_000);
    });
    recording.judge("fresh layout, tree");
}

/// GRUB's core image in its partition, its boot sector as the very last: by BIOS the disk starts whole, or not at all.
#[test]
fn a_tree_that_boots_by_bios() {
    const MODULES: &str = "/usr/lib/grub/i386-pc";
    if unable() {
        return;
    }
    let Ok(modules) = fs::read_dir(MODULES) else { return burin_skip::skip!("no grub-pc-bin here") };
    let names = modules.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let part = |name: &str| fs::read(Path::new(MODULES).join(name)).expect("reads");
    let parts = names.filter(|name| [".mod", ".lst", ".img"].iter().any(|end| name.ends_with(end)));
    let mut more: Vec<(String, Vec<u8>)> =
        parts.map(|name| (format!("usr/lib/grub/i386-pc/{name}"), part(&name))).collect();
    more.push(("boot/vmlinuz-6.1".to_owned(), noise(10_000)));
    more.push(("boot/initrd.img-6.1".to_owned(), noise(20_000)));
    let (directory, bytes) = (tempfile::tempdir().expect("a directory"), tree_with(100_000, &more));
    let mut value = tree_order_on(&serve(bytes.clone()), &bytes, "ext4", "16MiB");
    value["layouts"][0]["tree"]["bootloader"] = json!("auto");
    let partitions = value["layouts"][0]["disks"]["system"]["partitions"].as_array_mut().expect("a list");
    partitions.insert(0, json!({ "name": "boot", "type": "bios-boot", "size": "1MiB", "number": 3 }));
    let recording = Recording::of(&value, &old(&directory, &[68]), &|disks| {
        has_tree(disks[0], 100_000);
        let disk = fs::read(&disks[0].node).expect("reads");
        let lba = u64::from_le_bytes(disk[0x5c..0x64].try_into().expect("eight bytes"));
        assert_eq!(lba, 2048, "the boot sector leads to the partition");
        assert!(disk[..0x5c] == part("boot.img")[..0x5c] && disk[510..512] == [0x55, 0xaa]);
        let core = &disk[MIB as usize..];
        assert!(core[..500] == part("diskboot.img")[..500] && core[512 + 16..4096] != [0; 4096 - 528]);
        let root =
            Mounted::mount(&disks[0].partition(2), "ext4", Access::ReadOnly, &paths(disks[0]).mounts).expect("mounts");
        let read = |path: &str| fs::read(root.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(read("boot/grub/i386-pc/normal.mod") == part("normal.mod"));
        assert!(
            String::from_utf8(read("boot/grub/grub.cfg"))
                .expect("UTF-8")
                .contains("linux /boot/vmlinuz-6.1 root=UUID=")
        );
        root.unmount().expect("unmounts");
    });
    let told = recording.done.changes.iter().find(|change| change.step == "install-boot").expect("told");
    assert_eq!(told.detail["bios"][0]["lba"], 2048);
    recording.judge("tree by BIOS");
}

/// Boot code in the first sector, and more of it behind.
#[test]
fn an_mbr_image() {
    if unable() {
        return;
    }
    let (directory, bytes) = (tempfile::tempdir().expect("a directory"), mbr_image(&Loop::new(IMAGE, 512)));
    let mut value = image_order(&serve(bytes.clone()), &bytes);
    let set = value["layouts"][0]["disks"]["system"].as_object_mut().expect("a set");
    set.remove("guids");
    set.remove("add");
    let recording = Recording::of(&value, &old(&directory, &[64]), &|disks| has_image(disks[0], 1));
    recording.judge("MBR image");
}

/// Most of the image is there already.
#[test]
fn a_delta() {
    if unable() {
        return;
    }
    let (directory, mut bytes) = (tempfile::tempdir().expect("a directory"), image(&Loop::new(IMAGE, 512)));
    // Behind its filesystem nothing is looked at, and there is room for what is the same in both.
    let files = old(&directory, &[64]);
    let mut before = fs::read(&files[0]).expect("reads");
    before[MIB as usize..bytes.len() - MIB as usize].copy_from_slice(&bytes[MIB as usize..bytes.len() - MIB as usize]);
    before[12 * MIB as usize..14 * MIB as usize].fill(0x5a);
    fs::write(&files[0], before).expect("writes");
    let source = image::Source::Reader(Box::new(std::io::Cursor::new(bytes.clone())), "image".into());
    let index = image::index(source, image::Options::default(), &image::Cancel::default()).expect("an index").bytes();
    let mut value = image_order(&serve_ranges(std::mem::take(&mut bytes)), &[]);
    let digest = format!("sha256:{}", sha256(&index));
    value["images"]["image"].as_object_mut().expect("an image").remove("digest");
    value["images"]["image"]["delta"] = json!({ "url": serve(index), "digest": digest });
    let recording = Recording::of(&value, &files, &|disks| has_image(disks[0], 3));
    let delta = recording.done.images[0].delta.as_ref().expect("a delta");
    assert!(delta.used && delta.reused_bytes > 10 * MIB, "{delta:?}");
    recording.judge("delta");
}

pub fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What would be wrong is found: a table too early, a flush that is missing, a sector that comes too late.
#[test]
fn the_judge_finds_what_is_wrong() {
    const DISK: usize = 4 * MIB as usize;
    let write = |offset: usize, bytes: &[u8]| Event::Write { disk: 0, offset: offset as u64, bytes: bytes.to_vec() };
    let flush = || Event::Flush { disk: 0 };
    let sector = |byte: u8| vec![byte; 512];
    let mut table = sector(0);
    table[..8].copy_from_slice(b"EFI PART");
    let mut boot = sector(3);
    boot[510..].copy_from_slice(&[0x55, 0xaa]);
    let mark = hwinventory::model::unfinished::mark("cuts").to_vec();
    let (body, gap) = (2 * MIB as usize, 4096);
    let last = DISK - 512;
    let mut old = vec![1; DISK];
    old[..512].copy_from_slice(&boot);
    let begin =
        [write(0, &mark), flush(), write(512, &sector(0)), write(gap, &sector(0)), write(last, &sector(0)), flush()];
    let then = |events: Vec<Event>| {
        let events: Vec<Event> = begin.iter().cloned().chain(events).collect();
        let mut end = old.clone();
        for event in &events {
            if let Event::Write { offset, bytes, .. } = event {
                end[*offset as usize..*offset as usize + bytes.len()].copy_from_slice(bytes);
            }
        }
        cuts::judge(&mut [Disk::new(old.clone(), end)], &events, "cuts", 50)
    };
    let (contents, tail) = (write(body, &[5; 8192]), write(last, &table));
    let (primary, code, first) = (write(512, &table), write(gap, &sector(7)), write(0, &boot));
    let good =
        vec![contents.clone(), flush(), tail.clone(), flush(), primary.clone(), code.clone(), flush(), first.clone()];
    assert!(then(good).is_ok_and(|counts| counts.whole > 3));
    for (what, events) in [
        (
            "a table first",
            vec![primary.clone(), flush(), contents.clone(), flush(), code.clone(), flush(), first.clone()],
        ),
        (
            "no flush behind the contents",
            vec![contents.clone(), tail.clone(), flush(), code.clone(), flush(), first.clone()],
        ),
        ("no flush behind the boot code", vec![contents.clone(), flush(), code.clone(), first.clone()]),
        ("the boot sector alone", vec![contents.clone(), flush(), first.clone(), flush(), code.clone(), flush()]),
        (
            "no mark",
            vec![write(0, &sector(0)), flush(), contents.clone(), write(body + 9000 / 512 * 512, &sector(9)), flush()],
        ),
        (
            "contents after all",
            vec![contents, flush(), code, flush(), first, flush(), write(body, &sector(6)), flush()],
        ),
    ] {
        assert!(then(events).is_err(), "{what}");
    }
}
