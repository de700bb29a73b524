//! Measures a command from outside: wall and CPU time, memory of it and its children.

use super::Result;
use super::error::BenchError;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often memory is sampled.
const LOOK: Duration = Duration::from_millis(20);
/// Limit for a command.
const PATIENCE: Duration = Duration::from_secs(900);

/// The cost of one run of a command.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    pub ok: bool,
    /// Seconds from start to end.
    pub wall: f64,
    /// CPU seconds of the command and its children.
    pub cpu: f64,
    /// CPU seconds of the whole machine in that time: includes the kernel's threads and the server.
    pub machine: f64,
    /// Peak of resident bytes, over all processes of the command.
    pub rss: u64,
}

/// Runs shell commands with variables set.
#[derive(Debug)]
pub struct Shell {
    pub variables: Vec<(String, String)>,
    /// The output of the last command.
    pub log: PathBuf,
}

impl Shell {
    /// The first error that the last command printed, otherwise its last output, on one line.
    pub fn last_words(&self) -> String {
        last_words(&std::fs::read_to_string(&self.log).unwrap_or_default())
    }

    pub fn run(&self, command: &str) -> Result<Sample> {
        let log = File::create(&self.log).map_err(BenchError::file("make", &self.log))?;
        let errors = log.try_clone().map_err(BenchError::file("make", &self.log))?;
        let (cpu, machine) = (children_cpu()?, machine_cpu()?);
        let began = Instant::now();
        let mut child = {
            use std::os::unix::process::CommandExt;
            let mut shell = Command::new("bash");
            shell
                .args(["-euo", "pipefail", "-c", command])
                .envs(self.variables.iter().map(|(key, value)| (key, value)));
            let shell = shell.stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0);
            shell.spawn().map_err(|source| BenchError::Start { program: "bash".into(), source })?
        };
        let (ended, most) = (AtomicBool::new(false), AtomicU64::new(0));
        let root = child.id();
        let status = std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    most.fetch_max(resident(root), Ordering::Relaxed);
                    if began.elapsed() > PATIENCE {
                        let _ = killpg(Pid::from_raw(root as i32), Signal::SIGKILL);
                    }
                    std::thread::park_timeout(LOOK);
                }
            });
            let status = child.wait();
            let wall = began.elapsed();
            ended.store(true, Ordering::Relaxed);
            watcher.thread().unpark();
            status.map(|status| (status, wall))
        });
        let (status, wall) = status.map_err(|source| BenchError::Start { program: "bash".into(), source })?;
        Ok(Sample {
            ok: status.success(),
            wall: wall.as_secs_f64(),
            cpu: children_cpu()? - cpu,
            machine: machine_cpu()? - machine,
            rss: most.load(Ordering::Relaxed),
        })
    }
}

fn last_words(text: &str) -> String {
    // Removes terminal control sequences.
    let plain = text.replace(|char: char| char.is_control() && char != '\n', " ");
    let lines: Vec<&str> = plain.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let error = lines.iter().find(|line| line.to_lowercase().starts_with("error"));
    let words = error.map_or_else(
        || lines.iter().rev().take(2).rev().copied().collect::<Vec<_>>().join("; "),
        |line| line.to_string(),
    );
    words.chars().take(300).collect()
}

/// CPU seconds of all children that ended.
fn children_cpu() -> Result<f64> {
    let odd = |error: nix::Error| BenchError::odd("getrusage", error.to_string());
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(odd)?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn machine_cpu() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/stat").map_err(BenchError::file("read", "/proc/stat"))?;
    busy(&text).ok_or_else(|| BenchError::odd("/proc/stat", text))
}

/// Seconds in which a CPU was not idle: user, nice, system, irq and softirq of /proc/stat, in ticks of 10 ms.
fn busy(stat: &str) -> Option<f64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, ..] = ticks.as_slice() else { return None };
    Some((user + nice + system + irq + softirq) as f64 / 100.0)
}

/// Bytes resident in a process and its descendants.
fn resident(root: u32) -> u64 {
    let mut bytes = 0;
    let mut waiting = vec![root];
    while let Some(pid) = waiting.pop() {
        let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
        let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
        bytes += pages * 4096;
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            waiting.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_watched_with_its_children() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let watch = Shell { variables: vec![("WORD".into(), "hello".into())], log: log.clone() };
        let sample = watch.run("echo $WORD | cat; sleep 0.2").unwrap();
        assert!(sample.ok && sample.wall >= 0.2 && sample.rss > 0);
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "hello\n");
        assert!(!watch.run("false | true").unwrap().ok, "a pipe that fails in the middle has failed");
    }

    #[test]
    fn the_error_is_what_is_told_of_a_failure() {
        assert_eq!(last_words("1 of 2\nError: no socket\n\nStack backtrace:\n  0: main\n"), "Error: no socket");
        assert_eq!(last_words("one\ntwo\n\u{1b}[31mthree\n"), "two; [31mthree");
        assert_eq!(last_words(""), "");
    }

    #[test]
    fn waiting_for_a_disk_is_not_busy() {
        assert_eq!(busy("cpu  100 0 50 900 800 1 2 7 0 0\ncpu0 1\n"), Some(1.53));
        assert_eq!(busy("intr 1"), None);
    }
}
