//! The mounts of a system: rows of fstab(5), and mount units (systemd.mount(5)).

use crate::finalize::root::Root;

/// A larger file is not an fstab.
const LIMIT: u64 = 1 << 20;
/// Directories with units of the administrator and of packages.
const UNITS: [&str; 2] = ["etc/systemd/system", "usr/lib/systemd/system"];
/// A unit is started if it is in one of these (systemd.unit(5), "Wants=").
const WANTED: [&str; 3] = ["local-fs.target.wants", "local-fs.target.requires", "multi-user.target.wants"];

/// One row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// `UUID=...`, `/dev/disk/by-label/...`, `tmpfs`.
    pub what: String,
    /// Without a trailing slash, except for the root itself.
    pub at: String,
    pub kind: String,
    pub options: Vec<String>,
}

/// How a row refers to its partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    FilesystemUuid(String),
    FilesystemLabel(String),
    PartitionGuid(String),
    PartitionName(String),
    /// By a kernel or device-mapper name, which cannot be predicted.
    Unstable(String),
    /// Not a device: tmpfs, a network share, a directory.
    None,
}

impl Row {
    pub fn name(&self) -> Name {
        let (tag, value) = match self.what.split_once('=') {
            Some((tag, value)) => (tag, value.trim_matches('"')),
            None => match self.what.strip_prefix("/dev/disk/").and_then(|rest| rest.split_once('/')) {
                Some((tag, value)) => (tag, value),
                None if self.what.starts_with("/dev/") => return Name::Unstable(self.what.clone()),
                None => return Name::None,
            },
        };
        let value = unescaped_udev(value);
        match tag {
            "UUID" | "by-uuid" => Name::FilesystemUuid(value),
            "LABEL" | "by-label" => Name::FilesystemLabel(value),
            "PARTUUID" | "by-partuuid" => Name::PartitionGuid(value),
            "PARTLABEL" | "by-partlabel" => Name::PartitionName(value),
            _ => Name::Unstable(self.what.clone()),
        }
    }

    /// The btrfs option `subvol=` or `subvolid=`, as written.
    pub fn subvolume(&self) -> Option<&str> {
        let mut options = self.options.iter().map(String::as_str);
        options.rfind(|word| word.starts_with("subvol=") || word.starts_with("subvolid="))
    }
}

/// All rows with a mount point, ordered by its depth.
pub fn rows(root: &Root) -> Vec<Row> {
    let text = |path: &str| {
        let bytes = root.read(path, LIMIT).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let mut rows = parse(&text("etc/fstab"));
    for directory in UNITS {
        for name in root.list(directory).unwrap_or_default() {
            let wanted = |target: &&str| root.has(&format!("etc/systemd/system/{target}/{name}")).unwrap_or(false);
            if name.ends_with(".mount")
                && WANTED.iter().any(wanted)
                && let Some(row) = unit(&text(&format!("{directory}/{name}")))
                && rows.iter().all(|other| other.at != row.at)
            {
                rows.push(row);
            }
        }
    }
    rows.sort_by_key(|row| row.at.matches('/').count());
    rows
}

/// fstab(5).
pub fn parse(text: &str) -> Vec<Row> {
    let row = |line: &str| {
        let mut fields = line.split_whitespace();
        let what = fields.next().filter(|what| !what.starts_with('#'))?;
        let (at, kind) = (fields.next()?, fields.next()?);
        let options = fields.next().unwrap_or("defaults").split(',').map(str::to_owned).collect();
        let noauto = |words: &Vec<String>| words.iter().any(|word| word == "noauto");
        let row = Row { what: unescaped(what), at: place(&unescaped(at))?, kind: kind.to_owned(), options };
        (kind != "swap" && !noauto(&row.options)).then_some(row)
    };
    text.lines().filter_map(row).collect()
}

/// The keys of a mount unit that correspond to a row.
fn unit(text: &str) -> Option<Row> {
    let value = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='));
        lines.next_back().map(|value| value.trim().to_owned())
    };
    let what = value("What")?;
    let options = value("Options").unwrap_or_default().split(',').map(str::to_owned).collect();
    Some(Row { what, at: place(&value("Where")?)?, kind: value("Type").unwrap_or_default(), options })
}

/// An absolute path without `..` and without a trailing slash.
fn place(at: &str) -> Option<String> {
    let parts: Vec<&str> = at.strip_prefix('/')?.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    (!parts.contains(&"..")).then(|| format!("/{}", parts.join("/")))
}

/// Blanks, tabs, newlines and backslashes are in octal.
fn unescaped(text: &str) -> String {
    replaced(text, "\\", 3, 8)
}

/// Characters that udev does not allow in link names are in hexadecimal.
fn unescaped_udev(text: &str) -> String {
    replaced(text, "\\x", 2, 16)
}

fn replaced(text: &str, mark: &str, digits: usize, base: u32) -> String {
    let mut pieces = text.split(mark);
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let code = piece.get(..digits).and_then(|number| u8::from_str_radix(number, base).ok());
        match (code, piece.get(digits..)) {
            (Some(byte), Some(rest)) => {
                bytes.push(byte);
                bytes.extend_from_slice(rest.as_bytes());
            }
            _ => {
                bytes.extend_from_slice(mark.as_bytes());
                bytes.extend_from_slice(piece.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_are_read_as_the_system_reads_them() {
        let text = "# comment\nUUID=ab-12 / ext4 defaults 0 1\n\nLABEL=my\\040var /var/ btrfs rw,subvol=/@/var 0 0\n\
                    /dev/sda3 none swap sw\n/dev/mapper/vg-home /home xfs\nPARTLABEL=\"x\" /srv ext4 noauto\ntmpfs /tmp tmpfs";
        let rows = parse(text);
        let places: Vec<&str> = rows.iter().map(|row| row.at.as_str()).collect();
        assert_eq!(places, ["/", "/var", "/home", "/tmp"]);
        assert_eq!(rows[0].name(), Name::FilesystemUuid("ab-12".to_owned()));
        assert_eq!(rows[1].name(), Name::FilesystemLabel("my var".to_owned()));
        assert_eq!(rows[1].subvolume(), Some("subvol=/@/var"));
        assert_eq!(rows[2].name(), Name::Unstable("/dev/mapper/vg-home".to_owned()));
        assert_eq!(rows[3].name(), Name::None);
        let unit = unit("[Mount]\nWhat=/dev/disk/by-partlabel/my\\x20var\nWhere=/var\nType=ext4\n").expect("a row");
        assert_eq!((unit.at.as_str(), unit.name()), ("/var", Name::PartitionName("my var".to_owned())));
        assert!(parse("UUID=1 /../etc ext4").is_empty());
    }

    proptest! {
        #[test]
        fn junk_never_panics(text in any::<String>()) {
            for row in parse(&text) {
                row.name();
                prop_assert!(row.at.starts_with('/'));
            }
            unit(&text);
        }
    }
}
