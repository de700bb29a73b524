//! Wipes secrets before kexec, which leaves memory as it is: order, tokens and keys are removed from files and from
//! freed memory, so that the installed system cannot find them.
//!
//! Files in the ramdisk and in /run are memory: they are overwritten in place. The agent's own memory has been freed by
//! then; a child of this program allocates nearly all free memory once and writes to it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Directories with the order, the files that came with it, and the state that the agent kept for its successor.
const SECRET: [&str; 5] = ["order.json", "etc/burin", "run/burin", "tmp", "dev/burin"];
/// The subcommand that writes to free memory.
pub const SCRUB: &str = "scrub-memory";
/// Memory that other processes and the kernel need to continue.
const RESERVE: u64 = 96 << 20;
const CHUNK: usize = 16 << 20;
/// On a server with a terabyte, memory that is not reached by then is left as it is, and this is reported.
const PATIENCE: Duration = Duration::from_secs(60);

/// Wipes everything, as far as possible. Called by PID 1 once all other processes are gone.
pub fn forget(root: &Path) {
    SECRET.iter().for_each(|place| wipe_all(&root.join(place)));
    // Cached disk pages become free memory, which is overwritten next.
    let _ = std::fs::write(root.join("proc/sys/vm/drop_caches"), "3");
    log::info!("wiping free memory");
    let mut command = Command::new("/proc/self/exe");
    let scrubbed = command.arg(SCRUB).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match scrubbed {
        Ok(status) if status.success() => {}
        Ok(status) => log::warn!("free memory was not wiped completely: {status}"),
        Err(error) => log::warn!("free memory was not wiped: {error}"),
    }
}

/// Wipes a file, or all files below a directory. Links are not followed, and devices and mounts are left alone: a mount
/// may be the installed system, if a disk could not be unmounted.
fn wipe_all(path: &Path) {
    if let Ok(kind) = path.symlink_metadata() {
        wipe(path, kind.dev());
    }
}

fn wipe(path: &Path, filesystem: u64) {
    let Ok(kind) = path.symlink_metadata() else { return };
    if kind.dev() != filesystem {
        return;
    }
    if kind.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<PathBuf>>().iter().for_each(|path| wipe(path, filesystem));
    } else if kind.is_file()
        && let Err(error) = overwrite(path, kind.len())
    {
        log::warn!("{} was not wiped: {error}", path.display());
    }
}

fn overwrite(path: &Path, mut left: u64) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).open(path)?;
    let zeros = [0; 4096];
    while left > 0 {
        let count = left.min(4096);
        file.write_all(zeros.get(..count as usize).unwrap_or_default())?;
        left -= count;
    }
    drop(file);
    std::fs::remove_file(path)
}

/// The child's work: allocates memory and writes to it until little is free. If that is too much after all, the kernel
/// kills it first.
pub fn scrub() {
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let start = Instant::now();
    let free = || super::mounts::unused(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let mut held: Vec<Vec<u8>> = Vec::new();
    while free().is_some_and(|free| free > RESERVE + (threads * CHUNK) as u64) && start.elapsed() < PATIENCE {
        std::thread::scope(|scope| {
            // Not zeros: the kernel would map those without allocating pages.
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| vec![0x5a_u8; CHUNK])).collect();
            held.extend(workers.into_iter().filter_map(|worker| worker.join().ok()));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, SeekFrom};

    #[test]
    fn what_was_secret_is_overwritten_and_gone() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for directory in ["etc/burin", "run/burin/deep", "etc/ssl"] {
            std::fs::create_dir_all(at(directory)).unwrap();
        }
        let outside = at("etc/ssl/kept");
        std::fs::write(&outside, "kept").unwrap();
        std::os::unix::fs::symlink(&outside, at("run/burin/link")).unwrap();
        let secrets = ["order.json", "etc/burin/cmdline", "run/burin/deep/machine.key"];
        let mut open: Vec<File> = secrets
            .iter()
            .map(|path| {
                std::fs::write(at(path), "s3cret".repeat(2000)).unwrap();
                File::open(at(path)).unwrap()
            })
            .collect();
        SECRET.iter().for_each(|place| wipe_all(&at(place)));
        for (file, path) in open.iter_mut().zip(secrets) {
            assert!(!at(path).exists(), "{path}");
            // The file's former contents are all zeros, and not just unreachable.
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(0)).unwrap();
            file.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, vec![0; 12_000], "{path}");
        }
        assert_eq!(std::fs::read(&outside).unwrap(), b"kept");
    }
}
