//! Systems that ostree or bootc deployed (ostree manual, "Deployments"): the root lies in
//! `ostree/deploy/NAME/deploy/CHECKSUM.SERIAL`, and what it has below /var in `ostree/deploy/NAME/var`.

use super::super::rootfs::is_root;
use crate::finalize::root::Root;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

const DEPLOY: &str = "ostree/deploy";

/// A deployment; its paths are relative to the root of the filesystem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The root of the system.
    pub root: PathBuf,
    /// Its /var, which all deployments of the same name share.
    pub var: PathBuf,
    /// There is only one deployment, so its /etc is the one that will be booted.
    pub single: bool,
}

/// All deployments. Of several with the same name, the last one, which is the newest unless an older one was booted.
pub fn deployments(sysroot: &Root) -> io::Result<Vec<Deployment>> {
    if !sysroot.has(DEPLOY)? {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for name in sysroot.list(DEPLOY)? {
        let directory = format!("{DEPLOY}/{name}/deploy");
        let all = sysroot.list(&directory).unwrap_or_default();
        let mut roots = Vec::new();
        for entry in all.into_iter().filter(|entry| !entry.ends_with(".origin")) {
            let path = format!("{directory}/{entry}");
            if sysroot.subtree(Path::new(&path)).is_ok_and(|root| is_root(&root).unwrap_or(false)) {
                roots.push(PathBuf::from(path));
            }
        }
        let single = roots.len() == 1;
        if let Some(root) = roots.pop() {
            found.push(Deployment { root, var: PathBuf::from(format!("{DEPLOY}/{name}/var")), single });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn deployments_are_found_and_their_var_is_shared() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = Root::open(directory.path()).expect("root");
        assert!(deployments(&root).expect("none").is_empty());
        let make = |path: &str| fs::create_dir_all(directory.path().join(path)).expect("makes");
        make("ostree/deploy/empty/deploy");
        make("ostree/deploy/centos/deploy/abc.0/usr/lib");
        make("ostree/deploy/centos/deploy/half.0");
        fs::write(directory.path().join("ostree/deploy/centos/deploy/abc.0/usr/lib/os-release"), "ID=x")
            .expect("writes");
        fs::write(directory.path().join("ostree/deploy/centos/deploy/abc.0.origin"), "").expect("writes");
        let found = deployments(&root).expect("one");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].root, Path::new("ostree/deploy/centos/deploy/abc.0"));
        assert_eq!(found[0].var, Path::new("ostree/deploy/centos/var"));
        assert!(found[0].single);
    }
}
