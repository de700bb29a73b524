//! Checks that a system can boot from the devices below it, instead of finding out at its first boot.

mod mirrored;

use super::{ApplyError, CheckTree, Perform, Ramdisk, Work};
use crate::apply::system::Image;
use crate::finalize::modules;
use crate::finalize::mount::Access;
use crate::finalize::root::Root;
use crate::protocol::plan::{SeedTarget, TreeNeed};
use crate::tree::TreeError;

impl Perform for CheckTree {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        match self.target {
            SeedTarget::Tree | SeedTarget::ImagePartition { .. } => Ok(()),
            SeedTarget::Own { .. } | SeedTarget::Ignition { .. } => {
                Err(ApplyError::Unsupported { step: "check-tree of a partition without a system".to_owned() })
            }
        }
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        if let SeedTarget::ImagePartition { disk, partition } = &self.target {
            let image = Image::find(work, *disk, *partition)?;
            let (device, found) = image.visit(work, Access::ReadOnly, &mirrored::PLACES, |system| {
                self.needs.iter().try_for_each(|need| check(system.root(), *need))?;
                Ok((image.device(system, "etc"), mirrored::look(system.root())?))
            })?;
            work.note("check-tree", &device, &found);
            return Ok(());
        }
        let tree = work.tree();
        let checked = tree.root().and_then(|root| {
            self.needs.iter().try_for_each(|need| match check(&root, *need) {
                Err(error @ ApplyError::NoMultipath) => {
                    work.anomaly("tree", &error);
                    work.note("check-tree", "tree", &serde_json::json!({ "lacks": ["multipath-tools"] }));
                    Ok(())
                }
                checked => checked,
            })
        });
        checked.map_err(|error| error.on(&tree))?;
        work.note("check-tree", "tree", &self.needs);
        Ok(())
    }
}

/// Alternative files, one of which must exist, and the Debian package that contains them.
fn wanted(need: TreeNeed) -> (&'static [&'static str], &'static str) {
    match need {
        TreeNeed::Lvm => (&["usr/sbin/lvm", "sbin/lvm", "usr/bin/lvm"], "lvm2"),
        TreeNeed::ThinVolumes => {
            (&["usr/sbin/thin_check", "sbin/thin_check", "usr/bin/thin_check"], "thin-provisioning-tools")
        }
        TreeNeed::Luks => (&["usr/sbin/cryptsetup", "sbin/cryptsetup", "usr/bin/cryptsetup"], "cryptsetup"),
        TreeNeed::Multipath => (&["usr/sbin/multipathd", "sbin/multipathd", "usr/bin/multipathd"], "multipath-tools"),
        TreeNeed::MirroredRoot => (&["usr/sbin/mdadm", "sbin/mdadm", "usr/bin/mdadm"], "mdadm"),
        TreeNeed::LuksTpm => (&TPM, "libtss2-esys"),
        TreeNeed::LuksTpmRoot => (&["usr/lib/dracut/modules.d/91tpm2-tss"], "dracut"),
        // The tool that makes ramdisks, if known: it includes what opens the root.
        TreeNeed::LuksRoot => {
            (&["usr/share/initramfs-tools/hooks/cryptroot", "usr/lib/dracut/modules.d/90crypt"], "cryptsetup-initramfs")
        }
    }
}

/// The libraries with which systemd accesses a TPM.
const TPM: [&str; 3] = [
    "usr/lib/x86_64-linux-gnu/libtss2-esys.so.0",
    "usr/lib/aarch64-linux-gnu/libtss2-esys.so.0",
    "usr/lib64/libtss2-esys.so.0",
];
/// The tools that make a tree's ramdisks.
const MAKERS: [&str; 2] = ["usr/share/initramfs-tools", "usr/lib/dracut"];

fn check(root: &Root, need: TreeNeed) -> Result<(), ApplyError> {
    let has = |path: &str| {
        let failed = |source| TreeError::Io { path: path.to_owned(), action: "look for", source };
        Ok::<_, ApplyError>(root.has(path).map_err(failed)?)
    };
    let any = |paths: &[&str]| paths.iter().try_fold(false, |found, path| Ok::<_, ApplyError>(found || has(path)?));
    let (files, package) = wanted(need);
    // The contents of a ramdisk made elsewhere are unknown.
    let is_known = !matches!(need, TreeNeed::LuksRoot | TreeNeed::LuksTpmRoot) || any(&MAKERS)?;
    if need == TreeNeed::Multipath && !any(files)? {
        return Err(ApplyError::NoMultipath);
    }
    if is_known && !any(files)? {
        return Err(ApplyError::TreeLacks { need, package });
    }
    match need {
        TreeNeed::Multipath => Ok(()),
        TreeNeed::Lvm => has_module(root, "dm-mod"),
        TreeNeed::MirroredRoot => has_module(root, "raid1"),
        TreeNeed::ThinVolumes => has_module(root, "dm-thin-pool"),
        TreeNeed::Luks | TreeNeed::LuksRoot | TreeNeed::LuksTpm | TreeNeed::LuksTpmRoot => has_module(root, "dm-crypt"),
    }
}

/// Without it the tree's kernel cannot use the device, whatever its ramdisk contains.
pub fn has_module(root: &Root, module: &'static str) -> Result<(), ApplyError> {
    let failed = |source| TreeError::Io { path: "lib/modules".to_owned(), action: "look into", source };
    match modules::lacking(root, module).map_err(failed)? {
        Some(release) => Err(ApplyError::TreeModule { release, module }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_by_its_package() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let put = |path: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        };
        let missing = |need| {
            check(&root, need).err().map(|error| match error {
                ApplyError::TreeLacks { package, .. } => package,
                error => panic!("{error}"),
            })
        };
        assert!(matches!(check(&root, TreeNeed::Multipath), Err(ApplyError::NoMultipath)));
        put("usr/sbin/multipathd");
        assert!(check(&root, TreeNeed::Multipath).is_ok());
        assert_eq!(missing(TreeNeed::Lvm), Some("lvm2"));
        put("sbin/lvm");
        assert_eq!(missing(TreeNeed::Lvm), None);
        assert_eq!(missing(TreeNeed::ThinVolumes), Some("thin-provisioning-tools"));
        assert_eq!(missing(TreeNeed::Luks), Some("cryptsetup"));
        assert_eq!(missing(TreeNeed::LuksRoot), None, "nobody knows how its ramdisk is made");
        put("usr/share/initramfs-tools/init");
        assert_eq!(missing(TreeNeed::LuksRoot), Some("cryptsetup-initramfs"));
        put("lib/modules/6.1.0/modules.dep");
        let error = check(&root, TreeNeed::Lvm).unwrap_err();
        assert!(matches!(error, ApplyError::TreeModule { module: "dm-mod", .. }), "{error}");
        std::fs::remove_dir_all(dir.path().join("lib")).unwrap();
        // initramfs-tools do not support TPMs.
        assert_eq!(missing(TreeNeed::LuksTpmRoot), Some("dracut"));
        assert_eq!(missing(TreeNeed::LuksTpm), Some("libtss2-esys"));
        put("usr/share/initramfs-tools/hooks/cryptroot");
        assert_eq!(missing(TreeNeed::LuksRoot), None);
    }
}
