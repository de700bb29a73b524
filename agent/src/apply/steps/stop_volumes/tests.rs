use super::*;
use std::cell::RefCell;

/// sda1 is below dm-0, a logical volume, and dm-1, a LUKS volume; sda2 is below bcache0.
fn machine(sys: &Path) -> Vec<PathBuf> {
    let (disk, class) = (sys.join("dev/block/8:0"), sys.join("class/block"));
    for holder in ["sda1/holders/dm-0", "sda1/holders/dm-1", "sda2/holders/bcache0"] {
        fs::create_dir_all(disk.join(holder)).unwrap();
    }
    for (number, partition) in [("8:1", "sda1"), ("8:2", "sda2")] {
        fs::write(disk.join(partition).join("partition"), "1").unwrap();
        fs::write(disk.join(partition).join("dev"), number).unwrap();
    }
    for (name, number, map, uuid) in
        [("dm-0", "253:0", "vg-root", "LVM-abc"), ("dm-1", "253:1", "secret", "CRYPT-LUKS2-def-secret")]
    {
        fs::create_dir_all(class.join(name).join("dm")).unwrap();
        fs::write(class.join(name).join("dev"), format!("{number}\n")).unwrap();
        fs::write(class.join(name).join("dm/name"), format!("{map}\n")).unwrap();
        fs::write(class.join(name).join("dm/uuid"), format!("{uuid}\n")).unwrap();
    }
    vec![disk]
}

fn map(name: &str, uuid: &str) -> MappedVolume {
    MappedVolume { name: Some(name.to_owned()), uuid: Some(uuid.to_owned()) }
}

#[test]
fn what_the_plan_names_is_removed_by_its_number_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let disks = machine(dir.path());
    let removed = RefCell::new(Vec::new());
    let remove = |number| {
        removed.borrow_mut().push(number);
        Ok(())
    };
    let run = |wanted: &[MappedVolume]| mapped(VolumeKind::Lvm, wanted, &disks, dir.path(), Path::new("/dev"), &remove);
    // A volume with the same name but another UUID is not removed.
    assert!(run(&[map("vg-root", "LVM-other")]).unwrap().is_empty());
    assert!(removed.borrow().is_empty());
    let receipts = run(&[map("vg-root", "LVM-abc")]).unwrap();
    assert_eq!(*removed.borrow(), [(253, 0)]);
    assert_eq!((receipts[0].device.as_str(), receipts[0].name.as_deref()), ("/dev/dm-0", Some("vg-root")));
}

#[test]
fn what_is_gone_is_done_and_what_fails_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let disks = machine(dir.path());
    let wanted = [map("secret", "CRYPT-LUKS2-def-secret")];
    let run = |errno| {
        let remove = |_| Err(io::Error::from_raw_os_error(errno));
        mapped(VolumeKind::Crypt, &wanted, &disks, dir.path(), Path::new("/dev"), &remove)
    };
    assert_eq!(run(libc::ENXIO).unwrap().len(), 1);
    let error = run(libc::EPERM).unwrap_err();
    assert_eq!(crate::error::Coded::code(&error), "apply.stop_volume");
    assert!(error.to_string().contains("/dev/dm-1"), "{error}");
}

#[test]
fn only_swap_on_these_disks_is_turned_off() {
    let dir = tempfile::tempdir().unwrap();
    let disks = machine(dir.path());
    // A device that exists on every machine stands in for the disk's partition.
    let null = fs::metadata("/dev/null").unwrap().rdev();
    let number = format!("{}:{}", libc::major(null), libc::minor(null));
    fs::write(disks[0].join("sda2/dev"), number).unwrap();
    let table = dir.path().join("swaps");
    fs::write(&table, "Filename\tType\tSize\n/dev/null partition 1 0 -2\n/dev/zero partition 1 0 -3\n").unwrap();
    let off = RefCell::new(Vec::new());
    let receipts = swaps(&disks, dir.path(), &table, &|path: &Path| {
        off.borrow_mut().push(path.to_owned());
        Ok(())
    });
    assert_eq!(receipts.unwrap().len(), 1);
    assert_eq!(*off.borrow(), [Path::new("/dev/null")]);
}

#[test]
fn caches_end_when_the_kernel_has_let_go_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let disks = machine(dir.path());
    let device = dir.path().join("class/block/bcache0/bcache");
    fs::create_dir_all(&device).unwrap();
    fs::write(device.join("stop"), "").unwrap();
    // The kernel removes the directory a moment after the request.
    let kernel = std::thread::spawn({
        let device = device.clone();
        move || {
            while fs::read_to_string(device.join("stop")).unwrap() != "1" {
                std::thread::sleep(Duration::from_millis(5));
            }
            fs::remove_dir_all(&device).unwrap();
        }
    });
    let receipts = caches(&disks, dir.path(), Path::new("/dev")).unwrap();
    kernel.join().unwrap();
    assert_eq!(receipts.iter().map(|one| one.device.as_str()).collect::<Vec<_>>(), ["/dev/bcache0"]);
    assert!(!device.exists());
}
