//! Memory does not grow with the image. One test a file: it looks at a process of its own.

mod image_support;

use image_support::*;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

/// `name` of /proc/PID/status in bytes.
fn status(pid: u32, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[test]
fn frames_that_do_not_compress_are_written_within_the_budget() {
    let dir = tempfile::tempdir().unwrap();
    // Frames of 8 MiB of noise, the costliest there are; the last image is more than twice the budget.
    let frame = |index: u64| zstd::bulk::compress(&noise(8 * MIB, index + 1), 1).unwrap();
    let frames: Vec<Vec<u8>> = (0..4).map(frame).collect();
    let from = dir.path().join("image.zst");
    let target = dir.path().join("target");
    let mut peaks = Vec::new();
    for count in [4, 16] {
        fs::write(&from, (0..count).flat_map(|index| frames[index % 4].clone()).collect::<Vec<u8>>()).unwrap();
        fs::File::create(&target).unwrap().set_len((count * 8 * MIB) as u64).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_burin"))
            .args(["write", "--file", "--json"])
            .args([&from, &target])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            peak = peak.max(status(child.id(), "VmHWM").unwrap_or(0));
            std::thread::sleep(Duration::from_millis(5));
        }
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let receipt: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        let budget = receipt["data"]["memory_bytes"].as_u64().unwrap();
        assert!(budget <= 48 << 20, "{budget}");
        println!("{count} frames: peak {} KiB, budget {} KiB", peak / 1024, budget / 1024);
        // Beside the buffers: the program, much larger without optimisation, its threads' heaps and decoders.
        assert!(peak > 8 << 20 && peak < budget + (24 << 20), "a peak of {peak} bytes with a budget of {budget}");
        peaks.push(peak);
    }
    assert!(peaks[1] < peaks[0] + (16 << 20), "memory grows with the image: {peaks:?}");
}
