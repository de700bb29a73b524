//! The kernel modules of a tree, from depmod's lists (modules.dep(5), modules.builtin).

use super::root::Root;
use std::io;

/// Usually some hundred KiB.
const LONGEST: u64 = 16 << 20;
const LISTS: [&str; 2] = ["modules.dep", "modules.builtin"];

/// Whether the kernel `release` has `module`; `None` if it has no such lists.
pub fn has(root: &Root, release: &str, module: &str) -> io::Result<Option<bool>> {
    let mut known = None;
    for list in LISTS {
        let Some(text) = found(root.read(&format!("lib/modules/{release}/{list}"), LONGEST))? else { continue };
        if String::from_utf8_lossy(&text).lines().any(|line| is(line, module)) {
            return Ok(Some(true));
        }
        known = Some(false);
    }
    Ok(known)
}

/// The release of a kernel without `module`, if no kernel of the tree has it. A tree without such lists has its kernel
/// elsewhere, or a monolithic one: since that cannot be determined, nothing is reported as lacking.
pub fn lacking(root: &Root, module: &str) -> io::Result<Option<String>> {
    let mut lacks = None;
    for release in found(root.list("lib/modules"))?.unwrap_or_default() {
        match has(root, &release, module)? {
            Some(true) => return Ok(None),
            Some(false) => lacks = Some(release),
            None => {}
        }
    }
    Ok(lacks)
}

/// `kernel/drivers/md/raid456.ko.xz: kernel/lib/...`; the kernel treats `-` and `_` in names as equal.
fn is(line: &str, module: &str) -> bool {
    let path = line.split(':').next().unwrap_or(line);
    let file = path.rsplit('/').next().unwrap_or(path);
    let name = file.split(".ko").next().unwrap_or(file);
    name.len() == module.len() && name.replace('-', "_") == module.replace('-', "_")
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_kernel_of_the_tree_has_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert_eq!(lacking(&root, "raid456").unwrap(), None, "nobody can tell");
        let put = |path: &str, text: &str| {
            let path = dir.path().join("lib/modules").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("extra.conf", "");
        put("6.1.0/modules.dep", "kernel/drivers/md/raid1.ko.xz: kernel/drivers/md/md-mod.ko\n");
        put("6.1.0/modules.builtin", "kernel/drivers/md/dm-crypt.ko\n");
        assert_eq!(lacking(&root, "raid1").unwrap(), None);
        assert_eq!(lacking(&root, "dm_crypt").unwrap(), None);
        assert_eq!(
            lacking(&root, "md-mod").unwrap().as_deref(),
            Some("6.1.0"),
            "what others need is no entry of its own"
        );
        assert_eq!(lacking(&root, "raid10").unwrap().as_deref(), Some("6.1.0"));
        put("6.12.0/modules.dep", "kernel/drivers/md/raid10.ko:\n");
        assert_eq!(lacking(&root, "raid10").unwrap(), None);
    }
}
