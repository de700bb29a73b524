//! Partition table, kernel, filesystem growth and seeds on real block devices: loop devices of both sector sizes.
//!
//! Needs root, util-linux, gdisk, e2fsprogs, xfsprogs, btrfs-progs, dosfstools and mtools; without root it says that it
//! was skipped.

use crate::support::{Loop, MIB, may_grow_ext4, run, skipped};
use burin::error::Coded;
use burin::finalize::adjust::{self, Grow, TableChange, TableReceipt};
use burin::finalize::device::Device;
use burin::finalize::filesystem::{self, Kind};
use burin::finalize::grow::{self, GrowError, GrowReceipt};
use burin::finalize::guid::{self, Arch};
use burin::finalize::layout::{self, NewPartition};
use burin::finalize::mount::{Access, Mounted};
use burin::finalize::root::Root;
use burin::finalize::rootfs::{self, Candidate};
use burin::finalize::seed_write;
use burin::plan::SeedFile;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What the program printed, without its complaints.
fn output(program: &str, arguments: &[&str]) -> Vec<u8> {
    Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}")).stdout
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn grow_on(partition: &Path, disk: &Loop) -> Result<GrowReceipt, GrowError> {
    grow::grow(partition, filesystem::probe(partition)?, &disk.mounts())
}

fn candidates(disk: &Loop, numbers: &[u32]) -> Vec<Candidate> {
    let candidate =
        |&number| Candidate { number, type_guid: None, guid: None, name: None, node: disk.partition(number) };
    numbers.iter().map(candidate).collect()
}

fn partition(name: &str, kind: &str, mib: u64, number: u32) -> NewPartition {
    NewPartition {
        number: Some(number),
        type_guid: guid::partition_type(kind, Arch::native()).expect("a type"),
        guid: guid::derived(&["finalize", name]),
        name: name.to_owned(),
        attributes: 0,
        min: mib * MIB,
        max: Some(mib * MIB),
    }
}

/// The usual wish: the last partition fills the disk.
fn grow_last() -> TableChange {
    TableChange { grow: Some(Grow::Last), ..TableChange::default() }
}

fn lay_out(disk: &Loop, partitions: &[NewPartition]) -> TableReceipt {
    let alignment = layout::alignment(disk.kernel().optimal_io_size().expect("an optimal I/O size"));
    let receipt =
        adjust::write_fresh(&disk.device(), guid::derived(&["disk"]), partitions, alignment).expect("a table");
    disk.kernel().sync(&receipt.partitions).expect("the kernel takes it");
    receipt
}

/// A root filesystem as an image has it: a marker, and a file whose content must survive.
fn populate(node: &Path, kind: Kind, base: &Path) -> Vec<u8> {
    let content: Vec<u8> = (0..3_000_000u32).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let mounted = Mounted::mount(node, kind.name(), Access::ReadWrite, base).expect("mounts");
    fs::create_dir_all(mounted.path().join("etc")).expect("etc");
    fs::write(mounted.path().join("etc/os-release"), "ID=test\n").expect("os-release");
    fs::write(mounted.path().join("content"), &content).expect("content");
    mounted.unmount().expect("unmounts");
    content
}

fn mkfs(kind: Kind, node: &Path, extra: &[&str]) {
    let quiet = if kind == Kind::Ext4 { ["-q", "-F"] } else { ["-q", "-f"] };
    let arguments: Vec<&str> = quiet.iter().chain(extra).copied().chain([text(node)]).collect();
    run(&format!("mkfs.{kind}"), &arguments);
}

fn fsck(kind: Kind, node: &Path) {
    match kind {
        Kind::Ext4 => run("e2fsck", &["-f", "-n", text(node)]),
        Kind::Xfs => run("xfs_repair", &["-n", text(node)]),
        Kind::Btrfs => run("btrfs", &["check", text(node)]),
    };
}

fn grows(kind: Kind, sector: u32, extra: &[&str]) {
    if skipped() {
        return;
    }
    let disk = Loop::new(1200 * MIB, sector);
    lay_out(
        &disk,
        &[partition("bios", "bios-boot", 1, 14), partition("esp", "esp", 40, 15), partition("root", "root", 320, 1)],
    );
    let node = disk.partition(1);
    mkfs(kind, &node, extra);
    let content = populate(&node, kind, &disk.mounts());

    let change = TableChange { grow: Some(Grow::Last), ..TableChange::default() };
    let receipt = adjust::adjust(&disk.device(), &change, MIB).expect("adjusts");
    assert_eq!(receipt.grown, Some(1));
    assert_eq!(disk.kernel().sync(&receipt.partitions).expect("syncs"), [1]);
    assert_eq!(disk.kernel().sync(&receipt.partitions).expect("syncs"), [0u32; 0]);
    let check = run("sgdisk", &["--verify", text(&disk.node)]);
    assert!(check.contains("No problems found"), "{check}");

    if kind == Kind::Ext4 && !may_grow_ext4() {
        println!("not tried here: growing ext4 takes CAP_SYS_RESOURCE");
        let error = grow_on(&node, &disk).expect_err("the kernel refuses");
        assert_eq!(error.code(), "finalize.grow_refused");
        assert!(error.hint().is_some());
        return fsck(kind, &node);
    }
    let grown = grow_on(&node, &disk).expect("grows");
    println!("{kind} on {sector}-byte sectors: {} -> {} of {}", grown.before, grown.after, grown.partition_bytes);
    assert_eq!(grown.partition_bytes, 1199 * MIB - 42 * MIB);
    assert_eq!(grown.filesystem, kind);
    assert!(grown.before <= 320 * MIB && grown.after > 1150 * MIB && grown.after <= grown.partition_bytes, "{grown:?}");
    fsck(kind, &node);
    let again = grow_on(&node, &disk).expect("again");
    assert_eq!((again.before, again.after), (grown.after, grown.after));

    let root = rootfs::find(&candidates(&disk, &[1, 14, 15]), Arch::native(), &disk.mounts()).expect("a root");
    assert_eq!((root.number, root.kind), (1, kind));
    let mounted = Mounted::mount(&node, kind.name(), Access::ReadOnly, &disk.mounts()).expect("mounts");
    assert!(fs::read(mounted.path().join("content")).expect("content") == content);
    mounted.unmount().expect("unmounts");
    assert_eq!(fs::read_dir(disk.mounts()).expect("mount base").count(), 0, "mount points left behind");
}

#[test]
fn ext4_grows_on_512() {
    grows(Kind::Ext4, 512, &[]);
}

#[test]
fn ext4_grows_on_4096() {
    grows(Kind::Ext4, 4096, &[]);
}

#[test]
fn ext4_without_reserved_descriptors_grows() {
    grows(Kind::Ext4, 512, &["-O", "^resize_inode,^64bit,^metadata_csum"]);
}

#[test]
fn ext3_grows() {
    grows(Kind::Ext4, 512, &["-t", "ext3", "-b", "1024"]);
}

#[test]
fn xfs_grows_on_512() {
    grows(Kind::Xfs, 512, &[]);
}

#[test]
fn xfs_grows_on_4096() {
    grows(Kind::Xfs, 4096, &[]);
}

#[test]
fn btrfs_grows_on_512() {
    grows(Kind::Btrfs, 512, &[]);
}

#[test]
fn btrfs_grows_on_4096() {
    grows(Kind::Btrfs, 4096, &[]);
}

/// Tables of other makers: more and fewer entries than usual, numbers with gaps, an attribute, and a later verdict by
/// the same maker.
#[test]
fn tables_made_by_sgdisk_are_kept_whatever_their_length() {
    let directory = tempfile::tempdir().expect("a directory");
    let image = directory.path().join("disk");
    for entries in ["128", "200", "56"] {
        fs::File::create(&image).and_then(|file| file.set_len(64 * MIB)).expect("a sparse file");
        let resize = format!("--resize-table={entries}");
        let made = [
            "--clear",
            "--new=14:2048:+1M",
            "--new=15:0:+2M",
            "--new=1:0:+8M",
            "--attributes=1:set:2",
            "--typecode=15:ef00",
            "--change-name=1:root",
            &resize,
            text(&image),
        ];
        run("sgdisk", &made);
        let before = run("sgdisk", &["--info=14", "--info=15", text(&image)]);
        let root = run("sgdisk", &["--info=1", text(&image)]);
        fs::File::options().write(true).open(&image).and_then(|file| file.set_len(256 * MIB)).expect("a larger disk");
        let disk = Device::open_image(&image, 512).expect("opens");
        let receipt = adjust::adjust(&disk, &grow_last(), MIB).expect("adjusts");
        assert_eq!((receipt.grown, receipt.changed.len()), (Some(1), 1));
        let verdict = run("sgdisk", &["--verify", text(&image)]);
        assert!(verdict.contains("No problems found"), "{entries}: {verdict}");
        assert_eq!(run("sgdisk", &["--info=14", "--info=15", text(&image)]), before);
        let grown = run("sgdisk", &["--info=1", text(&image)]);
        let changed: Vec<&str> = grown.lines().filter(|line| !root.contains(line)).collect();
        assert_eq!(changed.len(), 2, "only the last sector and the size: {changed:?}");
        assert_eq!(adjust::adjust(&disk, &grow_last(), MIB).expect("again").writes, 0);
    }
}

#[test]
fn what_cannot_grow_is_said() {
    if skipped() {
        return;
    }
    let disk = Loop::new(128 * MIB, 512);
    lay_out(&disk, &[partition("a", "swap", 64, 1), partition("b", "root", 16, 2)]);
    run("mkswap", &[text(&disk.partition(1))]);
    let error = grow_on(&disk.partition(1), &disk).expect_err("swap");
    assert_eq!(error.code(), "finalize.grow_unsupported");
    // A filesystem that was cut off: larger than its partition.
    mkfs(Kind::Ext4, &disk.partition(2), &[]);
    lay_out(&disk, &[partition("a", "swap", 64, 1), partition("b", "root", 8, 2)]);
    let error = grow_on(&disk.partition(2), &disk).expect_err("truncated");
    assert_eq!(error.code(), "finalize.filesystem_truncated");
}

#[test]
fn the_kernel_learns_what_goes_moves_and_comes_while_a_partition_is_mounted() {
    if skipped() {
        return;
    }
    let disk = Loop::new(256 * MIB, 512);
    lay_out(&disk, &[partition("a", "root", 64, 1), partition("b", "home", 32, 2), partition("c", "srv", 16, 5)]);
    let node = disk.partition(1);
    mkfs(Kind::Ext4, &node, &[]);
    let mounted = Mounted::mount(&node, "ext4", Access::ReadOnly, &disk.mounts()).expect("mounts");
    let new = [partition("a", "root", 64, 1), partition("c", "srv", 16, 5), partition("d", "var", 100, 7)];
    let receipt = adjust::write_fresh(&disk.device(), guid::derived(&["disk"]), &new, MIB).expect("under a mount");
    assert_eq!(disk.kernel().sync(&receipt.partitions).expect("syncs"), [2, 5, 7]);
    let sizes: Vec<u64> =
        [1, 5, 7].map(|number| Device::open(&disk.partition(number)).expect("opens")).iter().map(size).collect();
    assert_eq!(sizes, [64 * MIB, 16 * MIB, 100 * MIB]);
    assert_eq!(disk.kernel().node(2).expect_err("gone").code(), "finalize.kernel_no_partition");
    // A mounted partition cannot go: typed, with the reason.
    let error = disk.kernel().sync(&receipt.partitions[1..]).expect_err("partition 1 is mounted");
    assert_eq!(error.code(), "finalize.kernel_partition");
    assert!(error.hint().is_some());
    mounted.unmount().expect("unmounts");
}

fn size(device: &Device) -> u64 {
    burin::finalize::device::Sectors::size(device)
}

#[test]
fn the_root_is_found_by_type_then_by_content_and_never_guessed() {
    if skipped() {
        return;
    }
    let disk = Loop::new(256 * MIB, 512);
    lay_out(&disk, &[partition("a", "linux", 64, 1), partition("b", "linux", 64, 2)]);
    let all = candidates(&disk, &[1, 2]);
    let find = |candidates: &[Candidate]| rootfs::find(candidates, Arch::native(), &disk.mounts());
    assert_eq!(find(&all).expect_err("blank").code(), "finalize.root_none");
    for candidate in &all {
        mkfs(Kind::Ext4, &candidate.node, &[]);
    }
    assert_eq!(find(&all).expect_err("empty").code(), "finalize.root_none");
    populate(&all[1].node, Kind::Ext4, &disk.mounts());
    assert_eq!(find(&all).expect("one").number, 2);
    populate(&all[0].node, Kind::Ext4, &disk.mounts());
    assert_eq!(find(&all).expect_err("two").code(), "finalize.root_ambiguous");
    let mut typed = all.clone();
    typed[0].type_guid = Some(Arch::native().root_type());
    assert_eq!(find(&typed).expect("by type").number, 1);
    run("wipefs", &["--all", text(&typed[0].node)]);
    assert_eq!(find(&typed).expect_err("blank root").code(), "finalize.root_unsupported");
}

#[test]
fn a_btrfs_root_in_a_subvolume_is_found() {
    if skipped() {
        return;
    }
    let disk = Loop::new(256 * MIB, 512);
    lay_out(&disk, &[partition("a", "linux", 200, 1)]);
    let all = candidates(&disk, &[1]);
    mkfs(Kind::Btrfs, &all[0].node, &[]);
    let mounted = Mounted::mount(&all[0].node, "btrfs", Access::ReadWrite, &disk.mounts()).expect("mounts");
    let subvolume = mounted.path().join("@rootfs");
    run("btrfs", &["subvolume", "create", text(&subvolume)]);
    fs::create_dir_all(subvolume.join("usr/lib")).expect("usr/lib");
    fs::write(subvolume.join("usr/lib/os-release"), "ID=test\n").expect("os-release");
    mounted.unmount().expect("unmounts");
    let root = rootfs::find(&all, Arch::native(), &disk.mounts()).expect("a root");
    assert_eq!(root.prefix, Path::new("@rootfs"));
}

/// Both kinds of FAT, every sector size, files over many clusters, empty ones, long names, directories in directories.
#[test]
fn fat_volumes_pass_the_checker_and_give_their_files_back() {
    if skipped() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let image = directory.path().join("volume");
    let large: Vec<u8> = (0..300_000u32).map(|byte| (byte % 251) as u8).collect();
    let files: Vec<(&str, &[u8])> = vec![
        ("a", b"a"),
        ("empty", b""),
        ("name-of-thirteen.x".get(..13).expect("ASCII"), b"13"),
        ("a-name-that-takes-more-than-two-long-entries.json", &large),
        ("directory/below/file.json", b"deep"),
        ("directory/beside.TXT", &large),
        ("directory/below/another-file-here", b"deep too"),
    ];
    for (sector, mib) in [(512, 1), (512, 4), (512, 32), (1024, 16), (2048, 32), (4096, 2), (4096, 32)] {
        let bytes = burin::finalize::fat::volume("SEED", 0x1234_5678, &files, sector, mib * MIB).expect("a volume");
        assert_eq!(bytes.len() as u64, mib * MIB);
        fs::write(&image, bytes).expect("writes");
        let report = run("fsck.vfat", &["-n", "-v", text(&image)]);
        println!("{sector} {mib}: {}", report.lines().last().unwrap_or_default());
        for (path, content) in &files {
            let read = output("mtype", &["-i", text(&image), &format!("::/{path}")]);
            assert!(read == *content, "{path} on {sector}-byte sectors");
        }
    }
    let full = burin::finalize::fat::volume("SEED", 1, &[("large", &vec![1; 2_000_000])], 512, MIB);
    assert_eq!(full, Err(burin::finalize::fat::FatError::Full));
}

fn seed_files() -> Vec<SeedFile> {
    let file = |path, contents: &str| SeedFile { path, contents: contents.to_owned() };
    vec![
        file("meta-data", "{\"instance-id\": \"order-1\", \"local-hostname\": \"node7.example.org\"}\n"),
        file("user-data", "#cloud-config\n{}\n"),
        file("network-config", "{\"version\": 2}\n"),
    ]
}

#[test]
fn a_seed_volume_is_a_clean_fat_filesystem_on_both_sector_sizes() {
    if skipped() {
        return;
    }
    for sector in [512, 4096] {
        let disk = Loop::new(160 * MIB, sector);
        lay_out(&disk, &[partition("seed", "linux", 120, 3)]);
        let node = disk.partition(3);
        // What was there before must not show through.
        mkfs(Kind::Btrfs, &node, &["--mixed"]);
        let written = |label: &str, files: &[SeedFile]| {
            let device = Device::open(&node).expect("opens");
            let receipt = seed_write::write_volume(&device, label, files).expect("writes");
            assert_eq!(receipt.files.len(), files.len());
            drop(device);
            let content = filesystem::probe(&node).expect("one filesystem");
            assert_eq!(
                (content.kind.as_deref(), content.label.as_deref()),
                (Some("vfat"), Some(label.to_ascii_uppercase().as_str()))
            );
            run("fsck.vfat", &["-n", text(&node)]);
            for file in files {
                let read = output("mtype", &["-i", text(&node), &format!("::/{}", file.path)]);
                assert!(read == file.contents.as_bytes(), "{}", file.path);
            }
        };
        written("CIDATA", &seed_files());
        let meta = SeedFile { path: "openstack/latest/meta_data.json", contents: "{}\n".to_owned() };
        written("config-2", &[meta]);
    }
}

#[test]
fn a_seed_lands_in_the_root_filesystem() {
    if skipped() {
        return;
    }
    let disk = Loop::new(128 * MIB, 512);
    lay_out(&disk, &[partition("root", "root", 64, 1)]);
    let node = disk.partition(1);
    mkfs(Kind::Ext4, &node, &[]);
    let mounted = Mounted::mount(&node, "ext4", Access::ReadWrite, &disk.mounts()).expect("mounts");
    let root = Root::open(mounted.path()).expect("opens");
    seed_write::write_files(&root, &seed_files()).expect("writes");
    drop(root);
    mounted.unmount().expect("unmounts");
    fsck(Kind::Ext4, &node);
    let mounted = Mounted::mount(&node, "ext4", Access::ReadOnly, &disk.mounts()).expect("mounts");
    let meta = fs::read_to_string(mounted.path().join("var/lib/cloud/seed/nocloud/meta-data")).expect("meta-data");
    assert!(meta.contains("node7.example.org"));
    mounted.unmount().expect("unmounts");
}
