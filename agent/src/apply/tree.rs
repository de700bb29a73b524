//! The steps of a tree: filesystems mounted below each other, the archive unpacked, fstab written.

use super::{ApplyError, Context, filesystem, mdadm_conf};
use crate::finalize::mount::{Access, Mounted};
use crate::finalize::root::Root;
use crate::image::{self, Http, Source};
use crate::protocol::order::FsType;
use crate::protocol::plan::{ArrayEntry, Device, FstabEntry};
use crate::tree::{self, TreeError, Unpacked};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The new system's filesystems while it is made. Dropping it unmounts them, the innermost first.
#[derive(Debug, Default)]
pub struct Mounts {
    mounted: Vec<Mounted>,
}

/// Proof of a tree.
#[derive(Debug, Serialize)]
pub struct TreeReceipt {
    pub url: String,
    pub compression: &'static str,
    pub wire_bytes: u64,
    /// Of the decoded archive.
    pub archive_bytes: u64,
    /// Digests that were computed and are as ordered. Files are not read back.
    pub digest: crate::protocol::image::ImageDigests,
    #[serde(flatten)]
    pub unpacked: Unpacked,
}

impl Mounts {
    /// Parents come before children. Mount options of the order are the installed system's business.
    pub fn mount(&mut self, context: &Context<'_>, on: &Device, at: &str, kind: FsType) -> Result<PathBuf, ApplyError> {
        let node = filesystem::node(context, on)?;
        let name = filesystem::name(kind);
        let mounted = match (self.mounted.first(), at) {
            (None, "/") => Mounted::mount(&node, name, Access::ReadWrite, &context.paths.mounts)?,
            (Some(root), at) if at != "/" => {
                let relative = Path::new(at.trim_start_matches('/'));
                let path = root.path().join(relative);
                let made = Root::open(root.path()).and_then(|root| root.make_directories(relative));
                made.map_err(|source| ApplyError::Open { device: path.clone(), source })?;
                Mounted::mount_at(&node, name, Access::ReadWrite, &path)?
            }
            _ => return Err(ApplyError::NoRoot { at: at.to_owned() }),
        };
        self.mounted.push(mounted);
        Ok(node)
    }

    pub fn root(&self) -> Result<Root, ApplyError> {
        let first = self.mounted.first().ok_or(ApplyError::NoRoot { at: "/".to_owned() })?;
        let path = first.path().to_owned();
        Root::open(&path).map_err(|source| ApplyError::Open { device: path, source })
    }

    pub fn unpack(&self, context: &Context<'_>, name: &str) -> Result<TreeReceipt, ApplyError> {
        let spec = context.order.images.get(name).ok_or_else(|| ApplyError::NoImage { name: name.to_owned() })?;
        let source = Source::Http(Http::new(context.download.clone(), spec.urls.clone()));
        let root = self.root()?;
        let stopped = || context.cancel.is_cancelled();
        let (unpacked, read) =
            image::read(source, &spec.digest, &context.cancel, |reader| tree::unpack(reader, &root, &stopped))?;
        let image::ReadReceipt { name: url, compression, wire_bytes, bytes: archive_bytes, digest } = read;
        Ok(TreeReceipt { url, compression, wire_bytes, archive_bytes, digest, unpacked })
    }

    pub fn fstab(&self, entries: &[FstabEntry]) -> Result<(), ApplyError> {
        let root = self.root()?;
        let failed = |source| ApplyError::Tree(TreeError::Io { path: "etc/fstab".to_owned(), action: "write", source });
        root.write("etc", "fstab", fstab(entries).as_bytes(), 0o644).map_err(failed)
    }

    /// The tree's own mdadm.conf, with a line for each array.
    pub fn mdadm_conf(&self, arrays: &[ArrayEntry]) -> Result<(), ApplyError> {
        mdadm_conf::write(&self.root()?, arrays)
    }

    /// Everything on stable storage, then gone.
    pub fn unmount(mut self) -> Result<(), ApplyError> {
        while let Some(mounted) = self.mounted.pop() {
            mounted.unmount()?;
        }
        Ok(())
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        while let Some(mounted) = self.mounted.pop() {
            drop(mounted);
        }
    }
}

/// fstab(5): blanks, tabs, line breaks and backslashes in octal.
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
        let (at, kind) = (field(&entry.at), filesystem::name(entry.kind));
        format!("UUID={} {at} {kind} {} 0 {}\n", field(&entry.uuid), field(&options), entry.pass)
    };
    entries.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_filesystem() {
        let entry = |at: &str, kind, options: &[&str], pass| FstabEntry {
            uuid: "0B5E-11CE".to_owned(),
            at: at.to_owned(),
            kind,
            options: options.iter().map(|&word| word.to_owned()).collect(),
            pass,
        };
        let text = fstab(&[
            entry("/", FsType::Ext4, &["noatime", "errors=remount-ro"], 1),
            entry("/srv/my data", FsType::Xfs, &[], 0),
            entry("none", FsType::Swap, &["sw"], 0),
        ]);
        let wanted = "UUID=0B5E-11CE / ext4 noatime,errors=remount-ro 0 1\n\
                      UUID=0B5E-11CE /srv/my\\040data xfs defaults 0 0\n\
                      UUID=0B5E-11CE none swap sw 0 0\n";
        assert_eq!(text, wanted);
    }
}
