use super::*;
use std::fs;

/// A disk with an array on its second partition.
#[test]
fn arrays_on_a_disk_and_its_partitions_are_stopped_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let sys = dir.path().join("sys");
    let (disk, class) = (sys.join("dev/block/1:3"), sys.join("class/block"));
    for holder in ["null2/holders/md127", "null3/holders/dm-0", "null3/holders/md5", "holders/md_d1"] {
        fs::create_dir_all(disk.join(holder)).unwrap();
    }
    for partition in ["null2", "null3"] {
        fs::write(disk.join(partition).join("partition"), "1").unwrap();
    }
    fs::create_dir_all(class.join("dm-0/dm")).unwrap();
    fs::create_dir_all(class.join("md5/holders/dm-0")).unwrap();
    for array in ["md127", "md_d1", "md9", "md5"] {
        fs::create_dir_all(class.join(array).join("md")).unwrap();
        fs::write(class.join(array).join("md/array_state"), "active").unwrap();
    }
    let stopped = stop(&[], &[disk], &sys, Path::new("/dev")).unwrap();
    // An array with something on top of it is not stopped.
    let mut devices: Vec<&str> = stopped.iter().map(|one| one.device.as_str()).collect();
    devices.sort_unstable();
    assert_eq!(devices, ["/dev/md127", "/dev/md_d1"]);
    let state = |array: &str| fs::read_to_string(class.join(array).join("md/array_state")).unwrap();
    assert_eq!(["md127", "md_d1", "md9", "md5"].map(state), ["clear", "clear", "active", "active"]);
}

#[test]
fn an_array_that_is_known_to_be_another_stays() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = ["11111111-2222-3333-4444-555555555555".to_owned()];
    assert!(!is_another(&wanted, dir.path()), "a kernel that does not tell");
    for (text, another) in
        [("11111111:22223333:44445555:55555555\n", false), ("21111111:22223333:44445555:55555555\n", true)]
    {
        fs::write(dir.path().join("uuid"), text).unwrap();
        assert_eq!((is_another(&wanted, dir.path()), is_another(&[], dir.path())), (another, false));
    }
}
