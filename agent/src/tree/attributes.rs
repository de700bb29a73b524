//! Attributes of an entry: mode, owners, time, extended attributes and ACLs.

use super::acl;
use super::archive::{self, TarEntry};
use crate::finalize::accounts::lookup;
use crate::finalize::root::Root;
use nix::sys::time::TimeSpec;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// The kernel's maximum (XATTR_SIZE_MAX, linux/limits.h).
const LONGEST_ATTRIBUTE: usize = 64 << 10;
/// Larger user databases are not read.
const DATABASE: u64 = 1 << 20;

/// An entry's metadata besides its contents.
pub(super) struct FileAttributes {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: TimeSpec,
    pub extended: Vec<(OsString, Vec<u8>)>,
    /// ACLs with names without a number, by their extended attribute.
    pub named: Vec<(&'static str, String)>,
}

impl FileAttributes {
    /// Metadata that cannot be kept is an error, not silently dropped.
    pub fn read(entry: &TarEntry) -> Result<Self, String> {
        let mut extended: Vec<(OsString, Vec<u8>)> = Vec::new();
        let mut named = Vec::new();
        let mut set = |name: OsString, value: Vec<u8>| {
            extended.retain(|(other, _)| *other != name);
            extended.push((name, value));
        };
        for (key, value) in &entry.records {
            let kept = [&b"SCHILY."[..], b"RHT.", b"LIBARCHIVE."].iter().any(|prefix| key.starts_with(prefix));
            if kept && value.len() > LONGEST_ATTRIBUTE {
                return Err(format!("an extended attribute of {} bytes", value.len()));
            }
            if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                set(OsString::from_vec(name.to_vec()), value.clone());
            } else if key == b"RHT.security.selinux" {
                set(OsString::from("security.selinux"), value.clone());
            } else if key == b"SCHILY.acl.access" || key == b"SCHILY.acl.default" {
                let name =
                    if key.ends_with(b"access") { "system.posix_acl_access" } else { "system.posix_acl_default" };
                let text = String::from_utf8_lossy(value);
                match acl::attribute(&text, &|_, _| None) {
                    Some(bytes) => set(OsString::from(name), bytes),
                    None => named.push((name, text.into_owned())),
                }
            } else if key == b"SCHILY.acl.ace" {
                return Err("ACLs of NFS version 4 are not supported".to_owned());
            } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                // bsdtar writes both forms unless told otherwise; its own has URL-encoded names.
                let plain = [b"SCHILY.xattr.", name].concat();
                if !name.contains(&b'%') && archive::value(&entry.records, &String::from_utf8_lossy(&plain)).is_none() {
                    let what =
                        "extended attributes in libarchive's own form are not supported (--options xattrheader=all)";
                    return Err(what.to_owned());
                }
            }
        }
        let id = |id: u64| u32::try_from(id).map_err(|_| format!("the owner {id} cannot be kept"));
        let (seconds, nanoseconds) = entry.mtime;
        let mtime = TimeSpec::new(seconds, nanoseconds);
        Ok(Self { mode: entry.mode, uid: id(entry.uid)?, gid: id(entry.gid)?, mtime, extended, named })
    }

    /// The memory needed to keep them.
    pub fn bytes(&self) -> usize {
        let extended = self.extended.iter().map(|(name, value)| name.len() + value.len());
        let named = self.named.iter().map(|(_, text)| text.len());
        extended.chain(named).sum::<usize>() + size_of::<Self>()
    }

    /// Replaces names by numbers from the unpacked tree itself.
    pub fn resolve(&mut self, root: &Root) -> Result<(), String> {
        for (attribute, text) in std::mem::take(&mut self.named) {
            let bytes = acl::attribute(&text, &|group, name| number(root, group, name))
                .ok_or_else(|| format!("the ACL {:?} names somebody whom the tree does not know", text.trim()))?;
            self.extended.push((OsString::from(attribute), bytes));
        }
        Ok(())
    }
}

fn number(root: &Root, group: bool, name: &str) -> Option<u32> {
    let bytes = root.read(if group { "etc/group" } else { "etc/passwd" }, DATABASE).ok()?;
    lookup(&String::from_utf8_lossy(&bytes), name)
}
