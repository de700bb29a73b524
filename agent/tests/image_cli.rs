//! `burin write` as scripts meet it: exit status, lines of JSON, and what a kill leaves behind.

mod image_support;

use image_support::*;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn burin() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_burin"));
    command.arg("write");
    command
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
