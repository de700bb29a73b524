//! The receipt as evidence: which software did what, on which machine, and when, signed with the machine's key.

use super::{Agent, Ready};
use crate::boot;
use crate::dialect::Job;
use crate::policy::{PLACE, admit};
use crate::protocol::{Receipt, hex};
use burin_sign::{Predicate, Software, Statement};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

/// Paths that are not part of a ramdisk as it was built: the kernel's filesystems, what the agent writes, and what is
/// added for one machine.
const NOT_BUILT: [&str; 10] = [
    "proc",
    "sys",
    "dev",
    "run",
    "tmp",
    "order.json",
    "etc/resolv.conf",
    "etc/burin/order.json",
    "etc/burin/cmdline",
    "var/run",
];

/// Adds the evidence, if this machine has a key.
pub(super) fn sign(agent: &Agent, ready: &Ready, job: &Job, started: SystemTime, receipt: Receipt) -> Receipt {
    let Some(key) = &ready.key else { return receipt };
    let time = |time: SystemTime| humantime::format_rfc3339_seconds(time).to_string();
    // If the order was in an envelope, its signed content.
    let bytes = admit(None, &job.raw).map_or_else(|_| job.raw.clone(), |admitted| admitted.bytes);
    let predicate = Predicate {
        machine: ready.identity.clone(),
        software: software(agent, ready),
        started: time(started),
        finished: time(SystemTime::now()),
        clock_trusted: ready.trust.clock().is_trusted(),
        order_bytes: sha256(&bytes),
        receipt: receipt.clone(),
    };
    let signed = Statement::new(predicate).sign(key).and_then(serde_json::to_value);
    match signed {
        Ok(evidence) => Receipt { evidence: Some(evidence), ..receipt },
        Err(error) => {
            log::warn!("the receipt cannot be signed: {error}");
            receipt
        }
    }
}

fn software(agent: &Agent, ready: &Ready) -> Software {
    static OWN: OnceLock<Option<String>> = OnceLock::new();
    static RAMDISK: OnceLock<Option<String>> = OnceLock::new();
    let told = |what: &str, digest: io::Result<String>| {
        digest.inspect_err(|error| log::warn!("the digest of {what} cannot be computed: {error}")).ok()
    };
    let own = OWN.get_or_init(|| told("the agent", file(Path::new("/proc/self/exe"))));
    let ramdisk =
        RAMDISK.get_or_init(|| boot::is_ours(&agent.root).then(|| told("the ramdisk", tree(&agent.root))).flatten());
    Software {
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        agent: own.clone(),
        ramdisk: ramdisk.clone(),
        policy: std::fs::read(agent.root.join(PLACE)).ok().map(|bytes| sha256(&bytes)),
        kernel: ready.inventory.kernel.data.release.clone(),
    }
}

fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(Sha256::digest(bytes)))
}

fn file(path: &Path) -> io::Result<String> {
    let (mut file, mut hash, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hash.update(buffer.get(..count).unwrap_or_default()),
        }
    }
    Ok(format!("sha256:{}", hex(hash.finalize())))
}

/// `sha256:HEX` over all files and links of a ramdisk, sorted by path: the running one, or one unpacked elsewhere.
pub fn tree(root: &Path) -> io::Result<String> {
    let mut found = BTreeMap::new();
    collect(root, Path::new(""), &mut found)?;
    let mut hash = Sha256::new();
    for (path, digest) in found {
        for part in [path.as_os_str().as_bytes(), digest.as_bytes()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    Ok(format!("sha256:{}", hex(hash.finalize())))
}

fn collect(root: &Path, below: &Path, found: &mut BTreeMap<PathBuf, String>) -> io::Result<()> {
    for entry in std::fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if NOT_BUILT.iter().any(|other| Path::new(other) == path) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(root, &path, found)?;
        } else if kind.is_symlink() {
            let target = std::fs::read_link(entry.path())?;
            found.insert(path, format!("link:{}", hex(target.as_os_str().as_bytes())));
        } else if kind.is_file() {
            let digest = file(&entry.path())?;
            found.insert(path, digest);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramdisk_is_known_by_what_was_built_into_it() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("init", "agent");
        put("etc/burin/policy.json", "{}");
        let built = tree(root.path()).unwrap();
        for run in ["proc/cmdline", "run/burin/x", "order.json", "etc/resolv.conf", "etc/burin/cmdline"] {
            put(run, "of one boot");
        }
        assert_eq!(tree(root.path()).unwrap(), built);
        put("etc/burin/policy.json", "{ }");
        assert_ne!(tree(root.path()).unwrap(), built);
        put("etc/burin/policy.json", "{}");
        put("lib/modules/evil.ko", "");
        assert_ne!(tree(root.path()).unwrap(), built);
    }
}
