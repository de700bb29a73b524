//! Whole plans on loop devices, killed at every step, on failing storage, and beside disks that are not part of the
//! plan: a repeated run succeeds, a failure is never reported as success, and only planned disks are written to.
//!
//! Needs root, util-linux and e2fsprogs; without root it says that it was skipped.

use crate::support::orders::{IMAGE, holds_image, holds_tree, image, image_order, order, tree, tree_order};
use crate::support::{Loop, MIB, apply_on, machine, paths, program, run, serve, skipped};
use burin::apply::Paths;
use burin::finalize::filesystem;
use burin::plan;
use burin::protocol::Control;
use hwinventory::Inventory;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a child process of these tests is to apply.
const CHILD: &str = "BURIN_TEST_APPLY";
const ON: &str = "stage-begins";

/// Not a test of its own: what the next ones start, to kill it.
#[test]
fn child() {
    let Ok(text) = std::env::var(CHILD) else { return };
    let case: Value = serde_json::from_str(&text).expect("JSON");
    let (inventory, order) = (machine(&[case["disk"].clone()]), order(&case["order"]));
    let paths = Paths { mounts: PathBuf::from(case["mounts"].as_str().expect("a path")), ..program() };
    let tell = || {
        // Past the capture of the test runner.
        let _ = nix::unistd::write(std::io::stderr(), format!("{ON}\n").as_bytes());
        Control::Continue
    };
    apply_on(&order, &inventory, &paths, &tell).1.expect("applies");
}

/// Kills a process at the beginning of each step, a little later each time, and runs the plan again to its end.
fn survives_kills(disk: &Loop, order_text: &Value, check: &dyn Fn()) {
    let (inventory, order) = (machine(&[disk.described("S1")]), order(order_text));
    let steps = plan::plan(&inventory, &order, &BTreeMap::new()).expect("a plan").steps.len();
    assert!(steps > 5);
    for step in 1..=steps {
        let case = json!({ "disk": disk.described("S1"), "order": order_text, "mounts": paths(disk).mounts });
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "apply::faults::child", "--nocapture"])
            .env(CHILD, case.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let reached = lines.filter(|line| line.contains(ON)).take(step).count();
        std::thread::sleep(std::time::Duration::from_millis(7 * (step as u64 % 5)));
        child.kill().expect("kills");
        child.wait().expect("ends");
        assert_eq!(reached, step);
        apply_on(&order, &inventory, &paths(disk), &|| Control::Continue).1.expect("applies");
        check();
    }
}

#[test]
fn a_tree_killed_at_any_step_is_made_good_by_the_next_run() {
    if skipped() {
        return;
    }
    let (disk, bytes) = (Loop::new(192 * MIB, 512), tree(3_000_000));
    let url = serve(bytes.clone());
    survives_kills(&disk, &tree_order(&url, &bytes), &|| holds_tree(&disk, 3_000_000));
}

#[test]
fn an_image_killed_at_any_step_is_made_good_by_the_next_run() {
    if skipped() {
        return;
    }
    let bytes = image(&Loop::new(IMAGE, 512));
    let (disk, url) = (Loop::new(192 * MIB, 512), serve(bytes.clone()));
    survives_kills(&disk, &image_order(&url, &bytes), &|| holds_image(&disk));
}

#[test]
fn a_tree_that_does_not_fit_is_no_success_and_one_that_fits_then_is() {
    if skipped() {
        return;
    }
    let (disk, large, small) = (Loop::new(192 * MIB, 512), tree(80_000_000), tree(1_000_000));
    let inventory = machine(&[disk.described("S1")]);
    let orders = [&large, &small].map(|bytes| order(&tree_order(&serve(bytes.clone()), bytes)));
    let (done, result) = apply_on(&orders[0], &inventory, &paths(&disk), &|| Control::Continue);
    let failure = result.expect_err("no room");
    assert_eq!((failure.stage.as_str(), failure.problem.code.as_str()), ("unpack-tree", "tree.io"));
    assert!(failure.problem.causes.iter().any(|cause| cause.contains("No space left")), "{:?}", failure.problem);
    assert!(done.changes.iter().all(|change| change.step != "write-fstab" && change.step != "write-seed"));
    apply_on(&orders[1], &inventory, &paths(&disk), &|| Control::Continue).1.expect("applies");
    holds_tree(&disk, 1_000_000);
}

/// A disk that loses what it was given: the storage behind it is full, and nobody hears of that before the flush.
#[test]
fn storage_that_gives_out_is_no_success() {
    if skipped() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path().to_str().expect("UTF-8").to_owned();
    run("mount", &["-t", "tmpfs", "-o", "size=24m", "none", &at]);
    let file = directory.path().join("disk");
    fs::File::create(&file).and_then(|file| file.set_len(192 * MIB)).expect("a sparse file");
    let node = run("losetup", &["--find", "--show", file.to_str().expect("UTF-8")]);
    let bytes = tree(40_000_000);
    let order = order(&tree_order(&serve(bytes.clone()), &bytes));
    let disk = Loop {
        node: PathBuf::from(node.trim()),
        directory: tempfile::tempdir().expect("a directory"),
        bytes: 192 * MIB,
        sector: 512,
    };
    let inventory = machine(&[disk.described("S1")]);
    let (done, result) = apply_on(&order, &inventory, &paths(&disk), &|| Control::Continue);
    let failure = result.expect_err("lost");
    assert!(done.changes.iter().all(|change| change.step != "unpack-tree"), "{failure:?}");
    run("mount", &["-o", "remount,size=200m", &at]);
    let again = apply_on(&order, &inventory, &paths(&disk), &|| Control::Continue).1;
    let holds = again.is_ok().then(|| holds_tree(&disk, 40_000_000));
    drop(disk);
    run("umount", &["--lazy", &at]);
    again.expect("applies");
    assert!(holds.is_some());
}

/// Writes and discards that the kernel has sent to a disk.
fn writes(disk: &Loop) -> Vec<u64> {
    let name = disk.node.file_name().expect("a name");
    let stat = fs::read_to_string(Path::new("/sys/block").join(name).join("stat")).expect("counters");
    let fields: Vec<u64> = stat.split_whitespace().map(|field| field.parse().expect("a number")).collect();
    [4, 6, 11, 13].map(|at| fields[at]).into()
}

#[test]
fn planning_writes_nothing_and_applying_writes_to_planned_disks_only() {
    if skipped() {
        return;
    }
    let (disk, other, third) = (Loop::new(192 * MIB, 512), Loop::new(64 * MIB, 512), Loop::new(64 * MIB, 4096));
    run("mkfs.ext4", &["-q", "-F", other.node()]);
    let bytes = tree(100_000);
    let order = order(&tree_order(&serve(bytes.clone()), &bytes));
    let all = [&disk, &other, &third];
    let before = all.map(writes);
    // The inventory of the real collector too: it looks into every disk.
    let options = hwinventory::Options { include_loop: true, ..hwinventory::Options::default() };
    let collected = hwinventory::collect(&options);
    assert!(
        all.iter().all(|one| collected
            .disks
            .data
            .iter()
            .any(|found| found.path == one.node() && found.edges.is_some()))
    );
    let inventory: Inventory = machine(&[disk.described("S1"), other.described("S2"), third.described("S3")]);
    plan::plan(&inventory, &order, &BTreeMap::new()).expect("a plan");
    let _ = plan::plan(&collected, &order, &BTreeMap::new());
    assert_eq!(all.map(writes), before);

    let steps = Cell::new(0);
    let count = || {
        steps.set(steps.get() + 1);
        Control::Continue
    };
    apply_on(&order, &inventory, &paths(&disk), &count).1.expect("applies");
    assert!(steps.get() > 5);
    let after = all.map(writes);
    assert_ne!(after[0], before[0]);
    assert_eq!(after[1..], before[1..]);
}

#[test]
fn what_an_image_brings_is_looked_for_on_other_disks() {
    if skipped() {
        return;
    }
    let source = Loop::new(IMAGE, 512);
    let bytes = image(&source);
    let uuid = filesystem::probe(&source.partition(3)).expect("ext4").uuid.expect("a UUID");
    drop(source);
    let (disk, url) = (Loop::new(192 * MIB, 512), serve(bytes.clone()));
    let mut twin = json!({ "name": "sdx", "path": "/dev/sdx", "status": "ok", "mounts": [], "size": IMAGE, "serial": "S2",
        "logical_block_size": 512, "class": "ssd", "signatures": [{ "kind": "ext4", "uuid": uuid.to_uppercase() }] });
    twin["identity"] = json!({ "kind": "serial", "value": "S2", "strength": "strong" });
    twin["identities"] = json!([twin["identity"]]);
    let inventory = machine(&[disk.described("S1"), twin]);
    let mut text = image_order(&url, &bytes);
    let (done, result) = apply_on(&order(&text), &inventory, &paths(&disk), &|| Control::Continue);
    let failure = result.expect_err("a collision");
    assert_eq!((failure.stage.as_str(), failure.problem.code.as_str()), ("find-collisions", "apply.collision"));
    assert!(
        failure.problem.message.contains(&uuid) && failure.problem.message.contains("/dev/sdx"),
        "{:?}",
        failure.problem
    );
    // Neither the seed nor anything else that makes it start comes after.
    assert!(done.changes.iter().all(|change| change.step != "write-seed"));
    text["policies"]["collisions"] = json!("warn");
    let (done, result) = apply_on(&order(&text), &inventory, &paths(&disk), &|| Control::Continue);
    result.expect("applies");
    let told = done.changes.iter().find(|change| change.step == "find-collisions").expect("a receipt");
    assert_eq!(told.detail["found"].as_array().map(Vec::len), Some(1), "{}", told.detail);
    assert!(done.changes.iter().any(|change| change.step == "write-seed"));
}

/// A disk whose beginning or end changes between plan and apply is another plan.
#[test]
fn a_change_of_the_first_or_last_mib_changes_the_plan() {
    if skipped() {
        return;
    }
    let disk = Loop::new(64 * MIB, 512);
    let value = json!({
        "version": "order/v1", "id": "edges", "layouts": [{ "name": "edges", "disks": { "system": {
            "match": { "serial": "S1" }, "on_existing": "destroy", "partitions": [{ "name": "data", "type": "linux" }]
        } } }]
    });
    let order = order(&value);
    let digest = || {
        let options = hwinventory::Options { include_loop: true, ..hwinventory::Options::default() };
        let collected = hwinventory::collect(&options);
        let found = collected.disks.data.into_iter().find(|found| found.path == disk.node()).expect("the disk");
        let mut described = disk.described("S1");
        described["edges"] = json!(found.edges.expect("its edges"));
        plan::plan(&machine(&[described]), &order, &BTreeMap::new()).expect("a plan").digest
    };
    let first = digest();
    assert_eq!(digest(), first);
    let file = fs::OpenOptions::new().write(true).open(&disk.node).expect("opens");
    let mut seen = vec![first.clone()];
    // Nothing that has a signature: a byte in the first MiB, one in the last.
    for at in [700_000, 64 * MIB - 1000] {
        file.write_all_at(&[1], at).and_then(|()| file.sync_all()).expect("writes");
        let now = digest();
        assert!(!seen.contains(&now));
        seen.push(now);
    }
    file.write_all_at(&[1], 30 * MIB).and_then(|()| file.sync_all()).expect("writes");
    assert_eq!(Some(&digest()), seen.last());
}
