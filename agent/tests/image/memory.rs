//! Memory does not grow with the image: the program's memory use, measured from outside.

use crate::support::*;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

/// `name` of /proc/PID/status in bytes.
fn status(pid: u32, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Peak of resident bytes, without those of the program's file, while `frames` are written `count` times over, and the budget of the receipt.
fn peak(frames: &[Vec<u8>], count: usize) -> (u64, u64) {
    let dir = tempfile::tempdir().unwrap();
    let (from, target) = (dir.path().join("image.zst"), dir.path().join("target"));
    fs::write(&from, (0..count).flat_map(|index| frames[index % frames.len()].clone()).collect::<Vec<u8>>()).unwrap();
    fs::File::create(&target).unwrap().set_len((count * 7 * MIB) as u64).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_burin"))
        .args(["write", "--file", "--json"])
        .args([&from, &target])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(status(child.id(), "RssAnon").unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let receipt: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    (peak, receipt["data"]["memory_bytes"].as_u64().unwrap())
}

#[test]
fn frames_are_written_within_the_budget_however_many() {
    // Noise is the costliest there is; three bits of eight in each byte is what a disk image is like.
    for (kind, mask) in [("noise", 0xff), ("ordinary", 0x07)] {
        // Whole chunks, and not so many that the frame is too large for a worker.
        let frame = |index: u64| {
            let bytes: Vec<u8> = noise(7 * MIB, index + 1).iter().map(|byte| byte & mask).collect();
            zstd::bulk::compress(&bytes, 1).unwrap()
        };
        let frames: Vec<Vec<u8>> = (0..3).map(frame).collect();
        // The last image is more than twice the budget.
        let peaks = [4, 16].map(|count| {
            let (peak, budget) = peak(&frames, count);
            println!("{count} frames of {kind}: peak {} KiB, budget {} KiB", peak / 1024, budget / 1024);
            assert!(budget <= 48 << 20, "{budget}");
            // Beside the budget: a frame that is coming in, and the program's own, which is more without optimisation.
            let most = budget + (frames[0].len() + 20 * MIB) as u64;
            assert!(peak > 8 << 20 && peak < most, "{kind}: a peak of {peak} with a budget of {budget}");
            peak
        });
        assert!(peaks[1] < peaks[0] + (12 << 20), "{kind}: memory grows with the image: {peaks:?}");
    }
}
