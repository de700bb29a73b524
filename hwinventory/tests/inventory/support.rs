//! Machines for tests: captured dumps that live outside the repository, and a machine made of a map.

use hwinventory::source::{FsSource, Query, Source};
use hwinventory::{Inventory, Options};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// The folder of captured dumps, or `None` with a word about it.
pub fn fixtures() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/fixtures");
    let path = std::env::var_os("BURIN_FIXTURES").map_or_else(|| PathBuf::from(default), PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    burin_skip::skip!("no captured hardware in {}", path.display());
    None
}

/// The dumps of one kind, by name.
pub fn archives(kind: &str) -> Vec<PathBuf> {
    let Some(folder) = fixtures() else { return Vec::new() };
    let mut found: Vec<_> =
        std::fs::read_dir(folder.join(kind)).map(|d| d.flatten().map(|e| e.path()).collect()).unwrap_or_default();
    found.sort();
    found
}

/// Whether an oracle is installed, with a word about it if not.
pub fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        burin_skip::skip!("{program} is not installed");
    }
    found
}

/// Unpacks a dump, and finds the directory in it that holds `proc` or `sys`.
pub fn unpack(archive: &Path) -> Option<PathBuf> {
    let mut root = unpack_flat(archive)?;
    while !root.join("sys").is_dir() && !root.join("proc").is_dir() {
        root = std::fs::read_dir(&root).ok()?.flatten().find(|e| e.path().is_dir())?.path();
    }
    Some(root)
}

/// Unpacks an archive. Kept below `target/`: unpacking takes longer than all that is done with it.
pub fn unpack_flat(archive: &Path) -> Option<PathBuf> {
    let length = archive.metadata().expect("a file").len();
    let name = format!("{}-{length}", archive.file_name()?.to_string_lossy());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("captured");
    std::fs::create_dir_all(&folder).expect("target/ is writable");
    // Tests run side by side, in processes of their own.
    let lock = std::fs::File::create(folder.join(format!("{name}.lock"))).expect("target/ is writable");
    lock.lock().expect("a lock");
    let unpacked = folder.join(&name);
    if !unpacked.is_dir() {
        let directory = tempfile::tempdir_in(&folder).expect("a temporary directory");
        let status = Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(directory.path()).status();
        if !status.is_ok_and(|s| s.success()) {
            burin_skip::skip!("tar cannot unpack {}", archive.display());
            return None;
        }
        std::fs::rename(directory.keep(), &unpacked).expect("a new name");
    }
    Some(unpacked)
}

pub fn collect_directory(root: &Path) -> Inventory {
    let source = Arc::new(FsSource::directory(root).expect("a directory"));
    collect(source)
}

/// Patient: the machine that runs the tests may be loaded.
pub fn collect(source: Arc<dyn Source>) -> Inventory {
    let patience = Duration::from_secs(60);
    hwinventory::collect(&Options { source, device_deadline: patience, bmc_time: patience, ..Options::default() })
}

/// A machine of files. Directories follow from paths; links and queries are given.
#[derive(Default)]
pub struct Machine {
    pub files: BTreeMap<String, Vec<u8>>,
    pub links: BTreeMap<String, String>,
    /// Answers by the key of the query.
    pub queries: BTreeMap<String, Vec<u8>>,
    /// Devices whose queries hang.
    pub hung: Vec<(String, Duration)>,
    /// Devices whose queries panic, as a stand-in for a collector's bug.
    pub broken: Vec<String>,
}

impl Machine {
    pub fn file(&mut self, path: &str, text: &str) -> &mut Self {
        self.files.insert(path.to_owned(), text.as_bytes().to_vec());
        self
    }

    pub fn link(&mut self, path: &str, target: &str) -> &mut Self {
        self.links.insert(path.to_owned(), target.to_owned());
        self
    }

    pub fn answer(&mut self, query: &Query, answer: &[u8]) -> &mut Self {
        self.queries.insert(query.key(), answer.to_vec());
        self
    }

    /// An SMBIOS table with its entry point, as `dmidecode --dump-bin` writes them.
    pub fn smbios(&mut self, dump: &[u8]) -> &mut Self {
        let at = hwinventory::fuzz::table_offset(dump).expect("a dump has a table");
        self.files.insert("/sys/firmware/dmi/tables/smbios_entry_point".into(), dump[..at].to_vec());
        self.files.insert("/sys/firmware/dmi/tables/DMI".into(), dump[at..].to_vec());
        self
    }

    /// A SATA disk on a port of one controller.
    pub fn sata(&mut self, name: &str, port: u32, serial: &str) -> &mut Self {
        let real = format!(
            "/sys/devices/pci0000:00/0000:00:17.0/ata{port}/host{port}/target{port}:0:0/{port}:0:0:0/block/{name}"
        );
        let device = real.rsplitn(3, '/').nth(2).unwrap_or_default().to_owned();
        self.link(&format!("/sys/block/{name}"), &real.replace("/sys/", "../"));
        self.link(&format!("{real}/device"), "../..");
        self.file(&format!("{real}/size"), "2000409264\n").file(&format!("{real}/ro"), "0\n");
        self.file(&format!("{real}/removable"), "0\n").file(&format!("{real}/dev"), &format!("8:{}\n", port * 16));
        self.file(&format!("{real}/queue/rotational"), "0\n")
            .file(&format!("{real}/queue/logical_block_size"), "512\n");
        self.file(&format!("{device}/vendor"), "ATA     \n").file(&format!("{device}/model"), "DISK            \n");
        let mut page = vec![0, 0x80, 0, serial.len() as u8];
        page.extend(serial.as_bytes());
        self.files.insert(format!("{device}/vpd_pg80"), page);
        self
    }
}

impl Source for Machine {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let prefix = format!("{path}/");
        let names = self.files.keys().chain(self.links.keys()).filter_map(|p| p.strip_prefix(&prefix));
        let mut names: Vec<String> = names.filter_map(|rest| rest.split('/').next()).map(str::to_owned).collect();
        names.sort();
        names.dedup();
        if names.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(names) }
    }

    fn link(&self, path: &str) -> io::Result<String> {
        self.links.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn query(&self, query: &Query) -> io::Result<Vec<u8>> {
        let key = query.key();
        if let Some((_, time)) = self.hung.iter().find(|(device, _)| key.contains(&format!("_{device}"))) {
            std::thread::sleep(*time);
        }
        assert!(!self.broken.iter().any(|device| key.contains(&format!("_{device}"))), "a bug in a parser");
        self.queries.get(&key).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
