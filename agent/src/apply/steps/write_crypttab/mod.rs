//! Writes a line for each LUKS volume into the tree's crypttab.

use super::{ApplyError, Perform, Ramdisk, Work, WriteCrypttab};
use crate::protocol::plan::CrypttabEntry;
use crate::tree::TreeError;

const PATH: &str = "etc/crypttab";
/// No crypttab is longer.
const LIMIT: u64 = 1 << 20;

impl Perform for WriteCrypttab {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let mut tree = work.tree();
        let failed = |action| move |source| TreeError::Io { path: PATH.to_owned(), action, source };
        let old = tree.root().and_then(|root| {
            Ok(match root.has(PATH).map_err(failed("look for"))? {
                true => root.read(PATH, LIMIT).map_err(failed("read"))?,
                false => Vec::new(),
            })
        });
        let written = old.and_then(|old| {
            let text = with_entries(&String::from_utf8_lossy(&old), &self.entries);
            tree.write("etc", "crypttab", text.into_bytes(), 0o644)
        });
        written.map_err(|error| error.on(&tree))?;
        work.note("write-crypttab", "tree", &self.entries);
        Ok(())
    }
}

/// Lines with the same name or UUID are replaced, everything else is kept.
fn with_entries(old: &str, entries: &[CrypttabEntry]) -> String {
    let same = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, device) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let of = |entry: &CrypttabEntry| {
            name == entry.name || device.to_ascii_lowercase() == format!("uuid={}", entry.uuid.to_ascii_lowercase())
        };
        !name.starts_with('#') && entries.iter().any(of)
    };
    let mut text: String = old.lines().filter(|line| !same(line)).map(|line| format!("{line}\n")).collect();
    for entry in entries {
        text += &format!("{} UUID={} none {}\n", entry.name, entry.uuid, entry.options.join(","));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_added_once_and_others_stay() {
        let entry = CrypttabEntry { name: "crypt".into(), uuid: "0f-ab".into(), options: vec!["luks".into()] };
        let old = "# <target> <source>\nhome UUID=11 none luks\ncrypt /dev/sda2 none\nx UUID=0F-AB none";
        let once = with_entries(old, std::slice::from_ref(&entry));
        assert_eq!(once, "# <target> <source>\nhome UUID=11 none luks\ncrypt UUID=0f-ab none luks\n");
        assert_eq!(with_entries(&once, &[entry]), once);
    }
}
