//! Devices that were present before PID 1 started: every `modalias` file below `/sys/devices`.

use std::collections::BTreeSet;
use std::path::Path;

/// The distinct modaliases below `devices`. Directories may disappear meanwhile, with their devices.
pub fn modaliases(devices: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut pending = vec![devices.to_owned()];
    while let Some(directory) = pending.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            // The type of the entry itself: following links up the tree would never end.
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => pending.push(entry.path()),
                Ok(kind) if kind.is_file() && entry.file_name() == "modalias" => {
                    let text = std::fs::read(entry.path()).unwrap_or_default();
                    let text = String::from_utf8_lossy(&text).trim().to_owned();
                    if !text.is_empty() {
                        found.insert(text);
                    }
                }
                _ => {}
            }
        }
    }
    found
}
