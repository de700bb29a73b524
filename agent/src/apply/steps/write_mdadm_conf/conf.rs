//! The tree's mdadm.conf(5): an `ARRAY` line for each of its arrays, by UUID.

use super::ApplyError;
use crate::finalize::root::Root;
use crate::protocol::plan::ArrayEntry;
use crate::tree::TreeError;

/// Debian's location, and everybody else's.
const PLACES: [(&str, &str); 2] = [("etc/mdadm", "mdadm.conf"), ("etc", "mdadm.conf")];
const PROGRAMS: [&str; 3] = ["usr/sbin/mdadm", "sbin/mdadm", "usr/bin/mdadm"];
/// No mdadm.conf is longer.
const LIMIT: u64 = 1 << 20;

/// The file to be written, and its location.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfFile {
    pub directory: &'static str,
    pub name: &'static str,
    pub text: String,
}

/// The tree's file with the lines added, or a new one. A tree without mdadm cannot boot from an array, which is
/// detected here and not at its first boot.
pub fn prepare(root: &Root, arrays: &[ArrayEntry]) -> Result<ConfFile, ApplyError> {
    let failed = |path: &str, action| {
        let path = path.to_owned();
        move |source| ApplyError::Tree(TreeError::Io { path, action, source })
    };
    let has = |path: &str| root.has(path).map_err(failed(path, "look for"));
    let mut programs = PROGRAMS.iter().map(|path| has(path));
    if !programs.try_fold(false, |found, there| Ok::<_, ApplyError>(found || there?))? {
        return Err(ApplyError::NoMdadm);
    }
    let (mut place, mut old) = (None, String::new());
    for (directory, name) in PLACES {
        let path = format!("{directory}/{name}");
        if has(&path)? {
            let bytes = root.read(&path, LIMIT).map_err(failed(&path, "read"))?;
            old = String::from_utf8_lossy(&bytes).into_owned();
            place = Some((directory, name));
            break;
        }
    }
    let debian = has("etc/mdadm")? || has("etc/debian_version")?;
    let (directory, name) = place.unwrap_or(PLACES[usize::from(!debian)]);
    Ok(ConfFile { directory, name, text: with_arrays(&old, arrays) })
}

/// Lines with the same UUID are replaced, everything else is kept.
fn with_arrays(old: &str, arrays: &[ArrayEntry]) -> String {
    let uuid = |array: &ArrayEntry| colons(&array.uuid);
    let same = |line: &str| {
        let hex = |text: &str| text.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_ascii_lowercase();
        let named = line.split_whitespace().find_map(|word| word.to_ascii_lowercase().strip_prefix("uuid=").map(hex));
        line.trim_start().starts_with("ARRAY")
            && named.is_some_and(|named| arrays.iter().any(|array| hex(&array.uuid) == named))
    };
    let mut text: String = old.lines().filter(|line| !same(line)).map(|line| format!("{line}\n")).collect();
    for array in arrays {
        text += &format!("ARRAY /dev/md/{} metadata={} UUID={}\n", array.name, array.metadata, uuid(array));
    }
    text
}

/// In mdadm's format: four groups of eight digits.
fn colons(uuid: &str) -> String {
    let digits: Vec<char> = uuid.chars().filter(char::is_ascii_hexdigit).collect();
    let groups: Vec<String> = digits.chunks(8).map(|group| group.iter().collect()).collect();
    groups.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array() -> ArrayEntry {
        ArrayEntry {
            name: "root".to_owned(),
            uuid: "0f8fad5b-d9cb-869f-a165-70867728950e".to_owned(),
            metadata: "1.2".to_owned(),
        }
    }

    #[test]
    fn lines_are_added_once_and_others_stay() {
        let line = "ARRAY /dev/md/root metadata=1.2 UUID=0f8fad5b:d9cb869f:a1657086:7728950e\n";
        let old = "HOMEHOST <system>\n# a comment\nARRAY /dev/md/old UUID=11111111:22222222:33333333:44444444";
        let once = with_arrays(old, &[array()]);
        assert_eq!(once, format!("{old}\n{line}"));
        assert_eq!(with_arrays(&once, &[array()]), once);
    }

    #[test]
    fn the_file_is_where_the_tree_has_it_and_mdadm_must_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert!(matches!(prepare(&root, &[array()]), Err(ApplyError::NoMdadm)));
        std::fs::create_dir_all(dir.path().join("usr/sbin")).unwrap();
        std::fs::write(dir.path().join("usr/sbin/mdadm"), "").unwrap();
        let file = prepare(&root, &[array()]).unwrap();
        assert_eq!((file.directory, file.name), ("etc", "mdadm.conf"));
        assert!(file.text.starts_with("ARRAY /dev/md/root "));
        std::fs::create_dir_all(dir.path().join("etc/mdadm")).unwrap();
        std::fs::write(dir.path().join("etc/mdadm/mdadm.conf"), "MAILADDR root\n").unwrap();
        let file = prepare(&root, &[array()]).unwrap();
        assert_eq!((file.directory, file.name), ("etc/mdadm", "mdadm.conf"));
        assert!(file.text.starts_with("MAILADDR root\nARRAY /dev/md/root "));
    }
}
