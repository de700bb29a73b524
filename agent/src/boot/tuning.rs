//! Kernel settings that PID 1 writes, as a table.

use crate::config::{Word, words};
use std::path::Path;

/// Seconds to show the message of a kernel panic, or of PID 1's own end, before the machine restarts.
const PANIC_SECONDS: i64 = 60;
/// Console messages with a lower level number are shown: warnings and worse.
const PRINTK_LEVEL: u8 = 5;

/// Settings from the kernel command line for PID 1 itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuning {
    /// The kernel's `panic=`: seconds to wait, 0 to halt for good, negative to restart at once.
    pub panic_seconds: i64,
    /// The user has set the kernel's verbosity.
    pub keep_printk: bool,
}

impl Tuning {
    pub fn parse(cmdline: &str) -> Self {
        let mut tuning = Self { panic_seconds: PANIC_SECONDS, keep_printk: false };
        for Word { key, value } in words(cmdline) {
            match (key.as_str(), value) {
                ("panic", Some(value)) => tuning.panic_seconds = value.parse().unwrap_or(PANIC_SECONDS),
                ("debug" | "quiet" | "ignore_loglevel", None) | ("loglevel", _) => tuning.keep_printk = true,
                _ => {}
            }
        }
        tuning
    }

    /// Writes the settings below `root`; failures are reported and ignored.
    pub fn apply(&self, root: &Path) {
        let panic = self.panic_seconds.to_string();
        let mut table = vec![
            ("proc/sys/kernel/panic", panic.as_str()),
            // No helper program exists: modules are loaded by PID 1, or by the agent as `modprobe`.
            ("proc/sys/kernel/hotplug", ""),
            ("proc/sys/kernel/modprobe", super::MODPROBE),
            ("proc/sys/kernel/hostname", "burin"),
        ];
        let level = PRINTK_LEVEL.to_string();
        if !self.keep_printk {
            table.push(("proc/sys/kernel/printk", &level));
        }
        for (path, value) in table {
            match std::fs::write(root.join(path), format!("{value}\n")) {
                // The setting exists only if the kernel was built with it.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => log::debug!("/{path}: {error}"),
                Ok(()) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_decides() {
        let tuning = |text| Tuning::parse(text);
        assert_eq!(tuning("ro"), Tuning { panic_seconds: 60, keep_printk: false });
        assert_eq!(tuning("panic=0 loglevel=7"), Tuning { panic_seconds: 0, keep_printk: true });
        assert_eq!(tuning("panic=-1 quiet"), Tuning { panic_seconds: -1, keep_printk: true });
        assert_eq!(tuning("panic=x").panic_seconds, 60);
    }

    #[test]
    fn settings_are_written_where_they_exist() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
        Tuning::parse("panic=5").apply(root.path());
        let read = |name: &str| std::fs::read_to_string(root.path().join("proc/sys/kernel").join(name)).ok();
        assert_eq!(read("panic").as_deref(), Some("5\n"));
        assert_eq!(read("printk").as_deref(), Some("5\n"));
        assert_eq!(read("hostname").as_deref(), Some("burin\n"));
    }
}
