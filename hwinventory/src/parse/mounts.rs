//! `/proc/self/mountinfo` and `/proc/swaps`.

#[derive(Debug, Clone, PartialEq)]
pub struct MountLine {
    /// `major:minor`; meaningless (0:N) for filesystems that span devices, such as btrfs.
    pub device_number: String,
    /// As given to mount, usually a path.
    pub source: String,
    pub mountpoint: String,
    pub filesystem: String,
    pub read_only: bool,
}

/// proc(5): id, parent, major:minor, root, mount point, options, optional fields, `-`, type, source, super options.
pub fn mountinfo(text: &str) -> Vec<MountLine> {
    text.lines().filter_map(mount_line).collect()
}

fn mount_line(line: &str) -> Option<MountLine> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(2);
    let device_number = before.next()?.to_owned();
    let mountpoint = unescape(before.nth(1)?);
    let read_only = before.next()?.split(',').any(|o| o == "ro");
    let mut after = after.split(' ');
    let filesystem = after.next()?.to_owned();
    let source = unescape(after.next()?);
    Some(MountLine { device_number, source, mountpoint, filesystem, read_only })
}

/// `/proc/mounts`: source, mount point, type, options. No device numbers.
pub fn mounts(text: &str) -> Vec<MountLine> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            Some(MountLine {
                device_number: String::new(),
                source: unescape(fields.next()?),
                mountpoint: unescape(fields.next()?),
                filesystem: fields.next()?.to_owned(),
                read_only: fields.next()?.split(',').any(|o| o == "ro"),
            })
        })
        .collect()
}

/// Paths of swap devices and files.
pub fn swaps(text: &str) -> Vec<String> {
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let path = fields.next()?;
            (fields.next()? == "partition").then(|| unescape(path))
        })
        .collect()
}

/// A path as the kernel writes it in `mounts`, `mountinfo` and `swaps` (proc(5)): white space and backslashes are three
/// octal digits after a backslash, `\040` is a space.
pub fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = (first == b'\\')
            .then(|| tail.get(..3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_lines() {
        let mounts = mountinfo("36 35 98:0 /mnt1 /mnt\\0402 ro,noatime master:1 - ext3 /dev/root rw\nbroken\n");
        assert_eq!(
            mounts,
            [MountLine {
                device_number: "98:0".into(),
                source: "/dev/root".into(),
                mountpoint: "/mnt 2".into(),
                filesystem: "ext3".into(),
                read_only: true,
            }]
        );
    }

    #[test]
    fn swap_partitions() {
        let text = "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 1 0 -2\n/swap file 1 0 -3\n";
        assert_eq!(swaps(text), ["/dev/sda2"]);
    }
}
