//! Writes /etc/fstab, with devices by UUID.

use super::{ApplyError, Perform, Ramdisk, Work, WriteFstab};
use crate::apply::steps::make_filesystem;
use crate::protocol::plan::FstabEntry;

impl Perform for WriteFstab {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        work.tree().write("etc", "fstab", fstab(&self.entries).into_bytes(), 0o644)?;
        work.note("write-fstab", "tree", &self.entries);
        Ok(())
    }
}

/// fstab(5): blanks, tabs, newlines and backslashes are written in octal.
fn fstab(entries: &[FstabEntry]) -> String {
    let field = |text: &str| -> String {
        text.chars()
            .map(|character| match character {
                ' ' | '\t' | '\n' | '\\' => format!("\\{:03o}", u32::from(character)),
                other => other.to_string(),
            })
            .collect()
    };
    let line = |entry: &FstabEntry| {
        let options = if entry.options.is_empty() { "defaults".to_owned() } else { entry.options.join(",") };
        let (at, kind) = (field(&entry.at), make_filesystem::name(entry.kind));
        format!("UUID={} {at} {kind} {} 0 {}\n", field(&entry.uuid), field(&options), entry.pass)
    };
    entries.iter().map(line).collect()
}

#[cfg(test)]
mod tests;
