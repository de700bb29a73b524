//! The tree of a new system while it is being made: mounts its filesystems, unpacks the archive and reads it back, and
//! verifies files that are written afterwards.

use super::bound::{Access, BoundDisk};
use super::fetch::{self, Fetched};
use super::live::{Closed, Live};
use super::work::Work;
use super::{ApplyError, resolve};
use crate::finalize::files::{self, FileReceipt, relative};
use crate::finalize::mount::{Access as Mode, Mounted};
use crate::finalize::root::Root;
use crate::image::{self, ImageError, Source, oci};
use crate::protocol::image::{ImageDigests, PublishedAs, Verify};
use crate::protocol::plan::Device;
use crate::tree::{self, TreeError, TreeManifest, Unpacked, Verified};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The filesystems of the new system while it is being made.
#[derive(Debug, Default)]
pub struct Tree {
    filesystems: Vec<Arc<Filesystem>>,
    /// Files written after the archive, to be compared at the end: paths below the root, and contents.
    written: Vec<(String, Written)>,
}

/// One filesystem, mounted or not.
#[derive(Debug)]
struct Filesystem {
    on: Device,
    disks: Vec<Arc<BoundDisk>>,
    /// For display.
    device: PathBuf,
    kind: &'static str,
    at: String,
    mounted: Mutex<Option<Mounted>>,
}

#[derive(Debug)]
enum Written {
    Bytes(Vec<u8>),
    /// SHA-256.
    Digest([u8; 32]),
    /// SHA-256 and attributes.
    File([u8; 32], FileReceipt),
}

impl Filesystem {
    fn mounted(&self) -> MutexGuard<'_, Option<Mounted>> {
        self.mounted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self) -> Option<PathBuf> {
        self.mounted().as_ref().map(|mounted| mounted.path().to_owned())
    }
}

impl Live for Filesystem {
    fn name(&self) -> String {
        format!("the mount of {}", self.device.display())
    }

    fn disks(&self) -> Vec<Arc<BoundDisk>> {
        self.disks.clone()
    }

    /// Everything is on stable storage, and in no cache any more.
    fn close(&self) -> Result<Option<Closed>, ApplyError> {
        let taken = self.mounted().take();
        taken.map(Mounted::unmount).transpose()?;
        Ok(None)
    }
}

/// The result for a tree.
#[derive(Debug, Serialize)]
pub struct TreeReceipt {
    pub url: String,
    pub compression: &'static str,
    pub wire_bytes: u64,
    /// Size of the decoded archive.
    pub archive_bytes: u64,
    /// Digests that were computed and match the order.
    pub digest: ImageDigests,
    pub verify: Verify,
    #[serde(flatten)]
    pub unpacked: Unpacked,
    /// What was read back from filesystems mounted again, and matched what was unpacked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    /// On a mirror: from how many members all of that was read, each separately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_members: Option<usize>,
    /// The publisher's data, if the image has a manifest or was signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<PublishedAs>,
}

impl Tree {
    /// Parents come before children. The order's mount options are for the installed system only.
    pub fn mount(&mut self, work: &Work, on: &Device, at: &str, kind: &'static str) -> Result<(), ApplyError> {
        let at = at.to_owned();
        if self.filesystems.is_empty() != (at == "/") {
            return Err(ApplyError::NoRoot { at });
        }
        let disks = work.plan.disks_below(on).into_iter().map(|index| work.disks.disk(index).cloned());
        let filesystem = Filesystem {
            on: on.clone(),
            disks: disks.collect::<Result<_, _>>()?,
            device: resolve::open(work, on, Access::Read)?.name().to_owned(),
            kind,
            at,
            mounted: Mutex::default(),
        };
        self.filesystems.push(Arc::new(filesystem));
        self.attach(work, Mode::ReadWrite)
    }

    /// Mounts what is not mounted, the outermost first.
    fn attach(&mut self, work: &Work, mode: Mode) -> Result<(), ApplyError> {
        let mut root: Option<PathBuf> = None;
        for one in &self.filesystems {
            if one.mounted().is_none() {
                let proven = resolve::open(work, &one.on, Access::Read)?;
                let mounted = match &root {
                    None => Mounted::mount(proven.node(), one.kind, mode, &work.paths.mounts)?,
                    Some(root) => {
                        let relative = Path::new(one.at.trim_start_matches('/'));
                        let path = root.join(relative);
                        let tree = Root::open(root);
                        let made = tree.and_then(|root| match mode {
                            Mode::ReadWrite => root.make_directories(relative).map(|_| ()),
                            Mode::ReadOnly => Ok(()),
                        });
                        made.map_err(|source| ApplyError::Open { device: path.clone(), source })?;
                        Mounted::mount_at(proven.node(), one.kind, mode, &path)?
                    }
                };
                *one.mounted() = Some(mounted);
                work.stack.push(one.clone());
            }
            root = root.or_else(|| one.path());
        }
        Ok(())
    }

    fn detach(&mut self, work: &Work) -> Result<(), ApplyError> {
        for one in self.filesystems.iter().rev() {
            one.close()?;
            let live: Arc<dyn Live> = one.clone();
            work.stack.forget(&live);
        }
        Ok(())
    }

    pub fn root(&self) -> Result<Root, ApplyError> {
        let path = self.filesystems.first().and_then(|first| first.path());
        let path = path.ok_or(ApplyError::NoRoot { at: "/".to_owned() })?;
        Root::open(&path).map_err(|source| ApplyError::Open { device: path, source })
    }

    /// Where a filesystem is mounted in the new system.
    pub fn place(&self, on: &Device) -> Option<&str> {
        self.filesystems.iter().find(|one| one.on == *on).map(|one| one.at.as_str())
    }

    /// The device with the filesystem that contains this path of the tree.
    pub fn holding(&self, path: &str) -> Option<&Path> {
        self.filesystem_of(path).map(|one| one.device.as_path())
    }

    /// The same, as named in the plan.
    pub fn device_of(&self, path: &str) -> Option<&Device> {
        self.filesystem_of(path).map(|one| &one.on)
    }

    fn filesystem_of(&self, path: &str) -> Option<&Filesystem> {
        let path = Path::new("/").join(path);
        let above = self.filesystems.iter().filter(|one| path.starts_with(&one.at));
        above.max_by_key(|one| one.at.len()).map(Arc::as_ref)
    }

    /// Mount points in the new system, with their devices.
    pub fn places(&self) -> impl Iterator<Item = (&str, &Device)> {
        self.filesystems.iter().map(|one| (one.at.as_str(), &one.on))
    }

    /// With `verify: readback`, all filesystems are mounted again, and every file is compared with what was unpacked.
    pub fn unpack(&mut self, work: &Work, name: &str, verify: Verify) -> Result<TreeReceipt, ApplyError> {
        let spec = work.order.images.get(name).ok_or_else(|| ApplyError::NoImage { name: name.to_owned() })?;
        let mut fetched = fetch::prepare(work, spec)?;
        let published = fetched.published.take();
        let root = self.root()?;
        let stopped = || work.cancel.is_cancelled();
        let mut manifest = (verify == Verify::Readback).then(TreeManifest::default);
        let mut unpacker = tree::Unpacker::new(&root, manifest.as_mut(), &stopped);
        let read = match fetched {
            Fetched { registry: Some(registry), digest, .. } => layers(work, &registry, digest, &mut unpacker)?,
            Fetched { http, digest, signature, .. } => {
                let unpack = |reader: &mut dyn Read| unpacker.archive(reader);
                image::read(Source::Http(http), &digest, signature, &work.cancel, unpack)?.1
            }
        };
        let unpacked = unpacker.finish()?;
        drop(root);
        let verified = manifest.map(|manifest| self.verify(work, &manifest)).transpose()?;
        let verified_members = verified.as_ref().map(|_| copies(work)).filter(|copies| *copies > 1);
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
            published,
        })
    }

    fn verify(&mut self, work: &Work, manifest: &TreeManifest) -> Result<Verified, ApplyError> {
        let mut verified = Verified::default();
        self.each_copy(work, |root| {
            verified = manifest.verify(root, &|| work.cancel.is_cancelled())?;
            Ok(())
        })?;
        self.attach(work, Mode::ReadWrite)?;
        Ok(verified)
    }

    /// Writes a small file into the tree.
    pub fn write(&mut self, directory: &str, name: &str, bytes: Vec<u8>, mode: u32) -> Result<(), ApplyError> {
        let path = format!("{directory}/{name}");
        let failed = |source| ApplyError::Tree(TreeError::Io { path: path.clone(), action: "write", source });
        self.root()?.write(directory, name, &bytes, mode).map_err(failed)?;
        self.wrote(path, bytes);
        Ok(())
    }

    /// Records a file that was written into the tree elsewhere.
    pub fn wrote(&mut self, path: String, bytes: Vec<u8>) {
        self.written.retain(|(other, _)| *other != path);
        self.written.push((path, Written::Bytes(bytes)));
    }

    /// The same for a large file.
    pub fn copied(&mut self, path: String, digest: [u8; 32]) {
        self.written.retain(|(other, _)| *other != path);
        self.written.push((path, Written::Digest(digest)));
    }

    /// The same for a file with attributes of its own.
    pub fn put(&mut self, receipt: FileReceipt, bytes: &[u8]) {
        let path = relative(&receipt.path).to_owned();
        self.written.retain(|(other, _)| *other != path);
        self.written.push((path, Written::File(Sha256::digest(bytes).into(), receipt)));
    }

    /// Unmounts everything, and compares what was written since the archive was read back. A second call has nothing
    /// left to do.
    pub fn settle(&mut self, work: &Work) -> Result<(), ApplyError> {
        self.detach(work)?;
        let written = std::mem::take(&mut self.written);
        if written.is_empty() {
            self.filesystems.clear();
            return Ok(());
        }
        self.each_copy(work, |root| {
            for (path, wanted) in &written {
                let failed = |source| TreeError::Io { path: path.clone(), action: "read back", source };
                let same = match wanted {
                    Written::Bytes(bytes) => root.read(path, bytes.len() as u64).map_err(failed)? == *bytes,
                    Written::File(digest, receipt) => {
                        files::compare_attributes(root, receipt)?;
                        let file = root.open_file(path).map_err(failed)?;
                        crate::finalize::root::digest(&file).map_err(failed)? == *digest
                    }
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

    /// Mounts everything again and calls `look`, once for each copy in arrays. Nothing is mounted afterwards.
    fn each_copy(
        &mut self,
        work: &Work,
        mut look: impl FnMut(&Root) -> Result<(), ApplyError>,
    ) -> Result<(), ApplyError> {
        for copy in 0..copies(work) {
            self.detach(work)?;
            read_from(work, Some(copy))?;
            self.attach(work, Mode::ReadOnly)?;
            look(&self.root()?)?;
            self.detach(work)?;
        }
        read_from(work, None)
    }
}

/// Unpacks the layers of an image in a registry, each verified against the digest in its manifest.
fn layers(
    work: &Work,
    registry: &oci::Resolved,
    asked: ImageDigests,
    unpacker: &mut tree::Unpacker<'_>,
) -> Result<image::ReadReceipt, ApplyError> {
    let layers = registry.layers(&work.cancel)?;
    let several = layers.len() > 1;
    if several && asked != ImageDigests::default() {
        let what = "is pinned by its reference (@sha256:HEX): a digest of one download says nothing of several layers";
        return Err(ImageError::Unsupported { source_name: registry.name(), what: what.to_owned() }.into());
    }
    let mut all: Option<image::ReadReceipt> = None;
    for layer in layers {
        let first = all.is_none();
        let mut digest = layer.digest.clone();
        digest.wire = asked.wire.clone().or(digest.wire);
        digest.content = asked.content.clone().or(digest.content);
        let unpack = |reader: &mut dyn Read| match layer.layer {
            true => unpacker.layer(reader, first),
            false => unpacker.archive(reader),
        };
        let (_, read) = image::read(layer.source(), &digest, None, &work.cancel, unpack)?;
        all = Some(match all {
            None => read,
            Some(all) => image::ReadReceipt {
                wire_bytes: all.wire_bytes + read.wire_bytes,
                bytes: all.bytes + read.bytes,
                digest: ImageDigests::default(),
                ..all
            },
        });
    }
    let all = all.ok_or(ImageError::NoSource)?;
    Ok(image::ReadReceipt { name: registry.name(), ..all })
}

/// The largest number of copies, each of which is to be read separately.
fn copies(work: &Work) -> usize {
    work.arrays().iter().map(|array| array.copies()).max().unwrap_or(1)
}

fn read_from(work: &Work, copy: Option<usize>) -> Result<(), ApplyError> {
    work.arrays().iter().try_for_each(|array| array.read_from(copy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_on_the_innermost_filesystem() {
        let filesystem = |at: &str, node: &str| Filesystem {
            on: Device::Raid { name: node.to_owned() },
            disks: Vec::new(),
            device: node.into(),
            kind: "ext4",
            at: at.to_owned(),
            mounted: Mutex::default(),
        };
        let filesystems =
            [("/", "root"), ("/boot/efi", "esp"), ("/boot", "boot")].map(|(at, node)| Arc::new(filesystem(at, node)));
        let tree = Tree { filesystems: filesystems.into(), written: Vec::new() };
        for (path, node) in [("boot/efi/a", "esp"), ("boot/efile", "boot"), ("/bootx", "root"), ("etc/fstab", "root")] {
            assert_eq!(tree.holding(path), Some(Path::new(node)), "{path}");
        }
        let error = ApplyError::Tree(TreeError::Differs { path: "boot/efi/a".into(), what: "its contents differ" });
        assert_eq!(
            error.on(&tree).to_string(),
            "esp: boot/efi/a: read back, it differs from what was unpacked: its contents differ"
        );
    }
}
