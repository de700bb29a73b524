//! `burin write` in scripts: exit status, lines of JSON, and the state after a kill.

use crate::support::{self, *};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn burin() -> Command {
    support::burin("write")
}

fn run(source: &str, target: &Path, more: &[&str]) -> Output {
    burin().args([source, "--file", "--json"]).arg(target).args(more).output().unwrap()
}

/// The last line of JSON.
fn last(output: &Output) -> serde_json::Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_else(|| panic!("no output: {output:?}"));
    serde_json::from_str(line).unwrap()
}

#[test]
fn success_is_status_0_and_a_receipt() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(3 * MIB);
    let server = Server::new(image.clone(), []);
    let target = dirty_file(dir.path(), 4 * MIB);
    let output = run(&server.url, &target, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let receipt = last(&output);
    assert_eq!(receipt["event"], "receipt");
    assert_eq!(receipt["data"]["verify"], "readback");
    assert_eq!(receipt["data"]["image_bytes"], image.len());
    assert_written(&fs::read(&target).unwrap(), &image);
}

#[test]
fn failure_is_status_1_and_a_code_and_misuse_is_status_2() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(image(3 * MIB), []);
    let target = dirty_file(dir.path(), 4 * MIB);
    let output = run(&server.url, &target, &["--sha256", &"0".repeat(64)]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(last(&output)["data"]["code"], "image.digest_mismatch");
    assert_unbootable(&target);
    let output = run("/no/such/image", &target, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(last(&output)["data"]["code"], "image.not_found");
    assert_eq!(run(&server.url, &target, &["--sha256", "short"]).status.code(), Some(2));
    assert_eq!(run(&server.url, &target, &["--verify", "maybe"]).status.code(), Some(2));
    // For people: plain words, the code, and nothing on standard output.
    let output = burin().args([&server.url, "--file"]).arg(dir.path().join("absent")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("disk.not_found") && text.contains("absent"), "{text}");
}

#[test]
fn sums_beside_the_image_are_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(2 * MIB);
    let server = Server::new(image.clone(), []);
    let digest = {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(&image);
        digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let target = dirty_file(dir.path(), 4 * MIB);
    let right = Server::new(format!("{digest}  image\n").into_bytes(), []);
    let output = run(&server.url, &target, &["--sha256sums", &right.url]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(last(&output)["data"]["digest"]["wire"], format!("sha256:{digest}"));
    let wrong = Server::new(format!("{}  image\n", "0".repeat(64)).into_bytes(), []);
    let output = run(&server.url, &target, &["--sha256sums", &wrong.url]);
    assert_eq!(last(&output)["data"]["code"], "image.digest_mismatch");
    let other = Server::new(format!("{digest}  other\n{digest}  another\n").into_bytes(), []);
    let output = run(&server.url, &target, &["--sha256sums", &other.url]);
    assert_eq!(last(&output)["data"]["code"], "image.digest_unpublished");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn standard_input_is_a_source() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(2 * MIB + 17);
    let from = dir.path().join("image");
    fs::write(&from, &image).unwrap();
    let target = dirty_file(dir.path(), 4 * MIB);
    let stdin = fs::File::open(&from).unwrap();
    let output = burin().args(["-", "--file", "--json"]).arg(&target).stdin(stdin).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_written(&fs::read(&target).unwrap(), &image);
}

#[test]
fn a_kill_at_any_moment_leaves_nothing_bootable_and_the_next_run_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(9 * MIB);
    let server = Server::new(image.clone(), []);
    for lines in 0..6 {
        let target = dirty_file(dir.path(), 12 * MIB);
        let mut child = burin()
            .args([&server.url, "--file", "--json", "--limit-rate", "6000000"])
            .arg(&target)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Killed after so many lines of progress, not after a time.
        let mut out = BufReader::new(child.stdout.take().unwrap());
        for _ in 0..=lines {
            out.read_line(&mut String::new()).unwrap();
        }
        child.kill().unwrap();
        let finished = child.wait().unwrap().success();
        let bytes = fs::read(&target).unwrap();
        if finished {
            assert_written(&bytes, &image);
        } else {
            let old = dirt(12 * MIB);
            // Before the first write everything is as it was; afterwards the head is gone.
            let zero = bytes[..MIB].iter().all(|byte| *byte == 0);
            assert!(zero || bytes == old || bytes[..MIB] == image[..MIB], "a mixed head after {lines} lines");
            if bytes[..MIB] == image[..MIB] {
                assert_written(&bytes, &image);
            }
        }
        assert_eq!(run(&server.url, &target, &[]).status.code(), Some(0));
        assert_written(&fs::read(&target).unwrap(), &image);
    }
}

/// Starts a write that no server will ever finish, and sends `signal` once `ready` is true of a line of its output (at
/// once where it is true of nothing). The last line.
fn interrupted(source: &str, target: &Path, more: &[&str], signal: Signal, ready: &dyn Fn(&str) -> bool) -> Output {
    let mut child = burin()
        // Only the signal can end it.
        .args([source, "--file", "--json", "--stall", "3600", "--patience", "3600"])
        .arg(target)
        .args(more)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    if !ready("") {
        assert!(lines.by_ref().any(|line| ready(&line.unwrap())), "it ended before the signal");
    }
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
    let last = lines.last().map(Result::unwrap).unwrap_or_default();
    Output { status: child.wait().unwrap(), stdout: last.into_bytes(), stderr: Vec::new() }
}

/// Bytes on the device, going by a line of progress.
fn written(line: &str) -> u64 {
    let line: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
    line["data"]["written_bytes"].as_u64().unwrap_or(0)
}

#[test]
fn a_signal_stops_a_write_and_leaves_nothing_bootable() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(noise(9 * MIB, 1), []).always(Answer::Hang(5 * MIB));
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let target = dirty_file(dir.path(), 12 * MIB);
        let output = interrupted(&server.url, &target, &[], signal, &|line| written(line) > 0);
        assert_eq!(output.status.code(), Some(1), "{signal}");
        let problem = &last(&output)["data"];
        assert_eq!(problem["code"], "cancelled");
        assert!(problem["message"].as_str().unwrap().contains("does not boot"), "{problem}");
        assert_unbootable(&target);
    }
}

#[test]
fn a_signal_before_the_first_write_leaves_the_target_alone() {
    let dir = tempfile::tempdir().unwrap();
    let target = dirty_file(dir.path(), 4 * MIB);
    let image = Server::new(image(3 * MIB), []);
    let sums = Server::new(vec![b'x'; 100], []).always(Answer::Hang(10));
    let mut qcow2 = b"QFI\xfb\0\0\0\x03".to_vec();
    qcow2.resize(MIB, 0);
    let ranges = Server::new(qcow2, [Answer::Proper]).always(Answer::Hang(0));
    let head = Server::new(noise(MIB, 1), []).always(Answer::Silence);
    let cases: [(&str, &Server, &[&str], usize); 3] = [
        (&image.url, &sums, &["--sha256sums", &sums.url], 1),
        (&ranges.url, &ranges, &[], 2),
        (&head.url, &head, &[], 1),
    ];
    for (source, stalling, more, requests) in cases {
        // Once the server has the request, the write can only wait.
        let ready = |_: &str| {
            while stalling.requests().len() < requests {
                std::thread::yield_now();
            }
            true
        };
        let output = interrupted(source, &target, more, Signal::SIGINT, &ready);
        assert_eq!((output.status.code(), last(&output)["data"]["code"].as_str()), (Some(1), Some("cancelled")));
        assert_eq!(fs::read(&target).unwrap(), dirt(4 * MIB), "the target was touched");
    }
}
