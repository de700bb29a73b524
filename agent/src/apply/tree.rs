//! The steps of a tree: filesystems mounted below each other, the archive unpacked and read back, fstab written.

use super::fetch::{self, Fetched};
use super::raid::Arrays;
use super::{ApplyError, Context, filesystem, mdadm_conf};
use crate::finalize::mount::{Access, Mounted};
use crate::finalize::root::Root;
use crate::image::{self, Source};
use crate::protocol::image::Verify;
use crate::protocol::order::FsType;
use crate::protocol::plan::{ArrayEntry, Device, FstabEntry};
use crate::tree::{self, Manifest, TreeError, Unpacked, Verified};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The new system's filesystems while it is made. Dropping it unmounts them, the innermost first.
#[derive(Debug, Default)]
pub struct Mounts {
    filesystems: Vec<Filesystem>,
    /// What was written after the archive, to be compared when all is done: paths below the root, and contents.
    written: Vec<(String, Written)>,
}

/// One of them, mounted or not.
#[derive(Debug)]
struct Filesystem {
    on: Device,
    node: PathBuf,
    kind: &'static str,
    at: String,
    mounted: Option<Mounted>,
}

#[derive(Debug)]
enum Written {
    Bytes(Vec<u8>),
    /// SHA-256.
    Digest([u8; 32]),
}

/// Proof of a tree.
#[derive(Debug, Serialize)]
pub struct TreeReceipt {
    pub url: String,
    pub compression: &'static str,
    pub wire_bytes: u64,
    /// Of the decoded archive.
    pub archive_bytes: u64,
    /// Digests that were computed and are as ordered.
    pub digest: crate::protocol::image::ImageDigests,
    pub verify: Verify,
    #[serde(flatten)]
    pub unpacked: Unpacked,
    /// What was read back from filesystems that were mounted anew, and found to be as it was unpacked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    /// On a mirror: how many members all of that was read from, each by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_members: Option<usize>,
}

impl Mounts {
    /// Parents come before children. Mount options of the order are the installed system's business.
    pub fn mount(&mut self, context: &Context<'_>, on: &Device, at: &str, kind: FsType) -> Result<PathBuf, ApplyError> {
        let (node, at) = (filesystem::node(context, on)?, at.to_owned());
        if self.filesystems.is_empty() != (at == "/") {
            return Err(ApplyError::NoRoot { at });
        }
        let kind = filesystem::name(kind);
        self.filesystems.push(Filesystem { on: on.clone(), node: node.clone(), kind, at, mounted: None });
        self.attach(context, Access::ReadWrite)?;
        Ok(node)
    }

    /// Mounts what is not mounted, the outermost first.
    fn attach(&mut self, context: &Context<'_>, access: Access) -> Result<(), ApplyError> {
        let mut root: Option<PathBuf> = None;
        for one in &mut self.filesystems {
            if one.mounted.is_none() {
                one.mounted = Some(match &root {
                    None => Mounted::mount(&one.node, one.kind, access, &context.paths.mounts)?,
                    Some(root) => {
                        let relative = Path::new(one.at.trim_start_matches('/'));
                        let path = root.join(relative);
                        let tree = Root::open(root);
                        let made = tree.and_then(|root| match access {
                            Access::ReadWrite => root.make_directories(relative).map(|_| ()),
                            Access::ReadOnly => Ok(()),
                        });
                        made.map_err(|source| ApplyError::Open { device: path.clone(), source })?;
                        Mounted::mount_at(&one.node, one.kind, access, &path)?
                    }
                });
            }
            root = root.or_else(|| one.mounted.as_ref().map(|mounted| mounted.path().to_owned()));
        }
        Ok(())
    }

    /// Everything on stable storage, and in no cache any more.
    fn detach(&mut self) -> Result<(), ApplyError> {
        for one in self.filesystems.iter_mut().rev() {
            if let Some(mounted) = one.mounted.take() {
                mounted.unmount()?;
            }
        }
        Ok(())
    }

    pub fn root(&self) -> Result<Root, ApplyError> {
        let first = self.filesystems.first().and_then(|first| first.mounted.as_ref());
        let path = first.ok_or(ApplyError::NoRoot { at: "/".to_owned() })?.path().to_owned();
        Root::open(&path).map_err(|source| ApplyError::Open { device: path, source })
    }

    pub fn is_empty(&self) -> bool {
        self.filesystems.is_empty()
    }

    /// Where a filesystem is mounted in the new system.
    pub fn place(&self, on: &Device) -> Option<&str> {
        self.filesystems.iter().find(|one| one.on == *on).map(|one| one.at.as_str())
    }

    /// The device with the filesystem that has this path of the tree.
    pub fn holding(&self, path: &str) -> Option<&Path> {
        let path = Path::new("/").join(path);
        let above = self.filesystems.iter().filter(|one| path.starts_with(&one.at));
        above.max_by_key(|one| one.at.len()).map(|one| one.node.as_path())
    }

    /// Mount points in the new system, and what is mounted there.
    pub fn places(&self) -> impl Iterator<Item = (&str, &Device)> {
        self.filesystems.iter().map(|one| (one.at.as_str(), &one.on))
    }

    /// With `verify: readback`, all filesystems are mounted anew, and every file compared with what was unpacked.
    pub fn unpack(
        &mut self,
        context: &Context<'_>,
        arrays: &Arrays,
        name: &str,
        verify: Verify,
    ) -> Result<TreeReceipt, ApplyError> {
        let spec = context.order.images.get(name).ok_or_else(|| ApplyError::NoImage { name: name.to_owned() })?;
        let Fetched { http, digest, signature } = fetch::prepare(context, spec)?;
        let root = self.root()?;
        let stopped = || context.cancel.is_cancelled();
        let mut manifest = (verify == Verify::Readback).then(Manifest::default);
        let (unpacked, read) = image::read(Source::Http(http), &digest, signature, &context.cancel, |reader| {
            tree::unpack(reader, &root, manifest.as_mut(), &stopped)
        })?;
        drop(root);
        let verified = manifest.map(|manifest| self.verify(context, arrays, &manifest)).transpose()?;
        let verified_members = verified.as_ref().map(|_| arrays.copies()).filter(|copies| *copies > 1);
        let image::ReadReceipt { name: url, compression, wire_bytes, bytes: archive_bytes, digest } = read;
        Ok(TreeReceipt {
            url,
            compression,
            wire_bytes,
            archive_bytes,
            digest,
            verify,
            unpacked,
            verified,
            verified_members,
        })
    }

    fn verify(&mut self, context: &Context<'_>, arrays: &Arrays, manifest: &Manifest) -> Result<Verified, ApplyError> {
        let mut verified = Verified::default();
        self.each_copy(context, arrays, |root| {
            verified = manifest.verify(root, &|| context.cancel.is_cancelled())?;
            Ok(())
        })?;
        self.attach(context, Access::ReadWrite)?;
        Ok(verified)
    }

    /// The tree's own mdadm.conf, with a line for each array.
    pub fn mdadm_conf(&mut self, arrays: &[ArrayEntry]) -> Result<(), ApplyError> {
        let file = mdadm_conf::prepare(&self.root()?, arrays)?;
        self.write(file.directory, file.name, file.text.into_bytes(), 0o644)
    }

    pub fn fstab(&mut self, entries: &[FstabEntry]) -> Result<(), ApplyError> {
        self.write("etc", "fstab", fstab(entries).into_bytes(), 0o644)
    }

    /// A small file of our own in the tree.
    pub fn write(&mut self, directory: &str, name: &str, bytes: Vec<u8>, mode: u32) -> Result<(), ApplyError> {
        let path = format!("{directory}/{name}");
        let failed = |source| ApplyError::Tree(TreeError::Io { path: path.clone(), action: "write", source });
        self.root()?.write(directory, name, &bytes, mode).map_err(failed)?;
        self.wrote(path, bytes);
        Ok(())
    }

    /// What somebody else wrote into the tree.
    pub fn wrote(&mut self, path: String, bytes: Vec<u8>) {
        self.written.retain(|(other, _)| *other != path);
        self.written.push((path, Written::Bytes(bytes)));
    }

    /// The same of a large file.
    pub fn copied(&mut self, path: String, digest: [u8; 32]) {
        self.written.retain(|(other, _)| *other != path);
        self.written.push((path, Written::Digest(digest)));
    }

    /// Unmounts all, and compares what was written since the archive was read back. Nothing is left to do the second time.
    pub fn settle(&mut self, context: &Context<'_>, arrays: &Arrays) -> Result<(), ApplyError> {
        self.detach()?;
        let written = std::mem::take(&mut self.written);
        if written.is_empty() {
            self.filesystems.clear();
            return Ok(());
        }
        self.each_copy(context, arrays, |root| {
            for (path, wanted) in &written {
                let failed = |source| TreeError::Io { path: path.clone(), action: "read back", source };
                let same = match wanted {
                    Written::Bytes(bytes) => root.read(path, bytes.len() as u64).map_err(failed)? == *bytes,
                    Written::Digest(digest) => {
                        let file = root.open_file(path).map_err(failed)?;
                        crate::finalize::root::digest(&file).map_err(failed)? == *digest
                    }
                };
                if !same {
                    let what = "its contents differ";
                    return Err(TreeError::Differs { path: path.clone(), what }.into());
                }
            }
            Ok(())
        })?;
        self.filesystems.clear();
        Ok(())
    }

    /// Mounts all anew and lets `look` read, once from each copy that arrays keep. Nothing is mounted afterwards.
    fn each_copy(
        &mut self,
        context: &Context<'_>,
        arrays: &Arrays,
        mut look: impl FnMut(&Root) -> Result<(), ApplyError>,
    ) -> Result<(), ApplyError> {
        for copy in 0..arrays.copies() {
            self.detach()?;
            arrays.read_from(Some(copy))?;
            self.attach(context, Access::ReadOnly)?;
            look(&self.root()?)?;
            self.detach()?;
        }
        arrays.read_from(None)
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        while let Some(one) = self.filesystems.pop() {
            drop(one);
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
    fn a_path_is_on_the_innermost_filesystem() {
        let filesystem = |at: &str, node: &str| Filesystem {
            on: Device::Raid { name: node.to_owned() },
            node: node.into(),
            kind: "ext4",
            at: at.to_owned(),
            mounted: None,
        };
        let filesystems =
            [("/", "root"), ("/boot/efi", "esp"), ("/boot", "boot")].map(|(at, node)| filesystem(at, node));
        let mounts = Mounts { filesystems: filesystems.into(), written: Vec::new() };
        for (path, node) in [("boot/efi/a", "esp"), ("boot/efile", "boot"), ("/bootx", "root"), ("etc/fstab", "root")] {
            assert_eq!(mounts.holding(path), Some(Path::new(node)), "{path}");
        }
        let error = ApplyError::Tree(TreeError::Differs { path: "boot/efi/a".into(), what: "its contents differ" });
        assert_eq!(
            error.on(&mounts).to_string(),
            "esp: boot/efi/a: is not on the disk as it was unpacked: its contents differ"
        );
    }

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
