//! Everything known about an image, for the rules and the report.

use crate::disk::Disk;
use crate::files::Files;
use crate::fstab::FstabLine;
use crate::loader::{self, Unified};
use crate::report::{
    BootFacts, CloudInit, CommandLine, ImageFacts, Report, SystemFacts, TableFacts, VERSION, VolumeReport,
};
use crate::system::{self, KernelFound, Readable, Root};
use crate::tree::tar::TarTree;
use crate::volumes::{self, Volume};
use burin_image::{ImageError, OpenedDisk};
use burin_protocol::image::ImageFormat;
use burin_table::Head;
use burin_table::head::TableKind;
use std::collections::BTreeMap;
use std::rc::Rc;

const HEAD: usize = 1 << 20;

/// An inspected image.
#[allow(missing_debug_implementations, reason = "trees have nothing to print")]
pub struct Look {
    pub image: ImageFacts,
    /// Its format, if it is not a disk image.
    pub foreign: Option<&'static str>,
    pub head: Head,
    pub volumes: Vec<Volume>,
    pub boot: BootFacts,
    /// Words for the next kernel of the system.
    pub templates: Vec<CommandLine>,
    pub root: Option<Root>,
    pub kernels: Vec<KernelFound>,
    pub cloud_init: Option<CloudInit>,
    pub unread: Vec<String>,
}

impl Look {
    pub fn at(opened: OpenedDisk) -> Result<Self, ImageError> {
        let disk = Disk::new(opened.bytes);
        let image = ImageFacts {
            name: opened.name,
            format: opened.format,
            compression: opened.compression.to_owned(),
            wire_bytes: opened.wire_bytes,
            bytes: disk.len(),
        };
        let head = Head::parse(disk.head(HEAD)?);
        let mut look = Self {
            image,
            foreign: opened.foreign,
            head,
            volumes: Vec::new(),
            boot: BootFacts::default(),
            templates: Vec::new(),
            root: None,
            kernels: Vec::new(),
            cloud_init: None,
            unread: Vec::new(),
        };
        let mut unified = Vec::new();
        match look.image.format {
            ImageFormat::Tar => look.archive(&disk, &mut unified),
            _ => look.disk(&disk, &mut unified)?,
        }
        if let Some(root) = &look.root {
            look.templates = loader::templates(&root.files);
            look.cloud_init = system::cloud_init(&root.files);
            look.kernels = system::kernels(&root.files, unified);
            look.unread.extend(root.files.unread());
        }
        Ok(look)
    }

    pub fn is_archive(&self) -> bool {
        self.image.format == ImageFormat::Tar
    }

    fn archive(&mut self, disk: &Disk, unified: &mut Vec<Unified>) {
        match TarTree::open(disk) {
            Ok(tree) => {
                let files = Files::of(Rc::new(tree), "");
                let (fstab, mounts) = (Vec::<FstabLine>::new(), BTreeMap::new());
                let known =
                    ["/etc/os-release", "/usr/lib/os-release"].iter().any(|path| files.metadata(path).is_some());
                if !known {
                    self.unread.push("the archive is no root filesystem: it has no os-release".to_owned());
                    return;
                }
                let lines = &mut self.boot.command_lines;
                let _ = loader::programs(&files, &mut |one| unified.push(one), lines);
                loader::command_lines(&files, &mut self.boot.command_lines);
                self.root = Some(Root { volume: None, called: "the archive".to_owned(), files, fstab, mounts });
            }
            Err(error) => self.unread.push(error.to_string()),
        }
    }

    fn disk(&mut self, disk: &Disk, unified: &mut Vec<Unified>) -> Result<(), ImageError> {
        if self.foreign.is_some() {
            return Ok(());
        }
        self.volumes = volumes::find(disk, &self.head)?;
        let readable = system::open(&self.volumes, &mut self.unread);
        let mut command_lines = Vec::new();
        let mut uefi = Vec::new();
        for (volume, files) in self.trees(&readable) {
            if loader::is_esp(volume) {
                uefi.extend(loader::programs(&files, &mut |one| unified.push(one), &mut command_lines));
            }
        }
        self.root = system::root(&self.volumes, &readable);
        if let Some(root) = &self.root {
            loader::command_lines(&root.files, &mut command_lines);
        }
        let mut unread = Vec::new();
        for (volume, files) in self.trees(&readable) {
            let mounted = self.root.as_ref().is_some_and(|root| {
                root.mounts.values().any(|index| self.volumes.get(*index).is_some_and(|one| one.start == volume.start))
            });
            if !mounted || loader::is_esp(volume) {
                loader::command_lines(&files, &mut command_lines);
            }
            unread.extend(files.unread());
        }
        self.unread.extend(unread);
        self.boot = loader::boot(&self.head, &self.volumes, uefi, command_lines);
        Ok(())
    }

    fn trees(&self, readable: &[Readable]) -> Vec<(&Volume, Files)> {
        let tree = |one: &Readable| {
            let (_, _, tree) = one.trees.first()?;
            Some((self.volumes.get(one.volume)?, Files::of(tree.clone(), "")))
        };
        readable.iter().filter_map(tree).collect()
    }

    pub fn files(&self) -> Option<&Files> {
        self.root.as_ref().map(|root| &root.files)
    }

    pub fn root_volume(&self) -> Option<&Volume> {
        self.volumes.get(self.root.as_ref()?.volume?)
    }

    /// Command-line words of the boot loaders and of their templates.
    pub fn all_words(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.boot.command_lines.iter().chain(&self.templates);
        lines.flat_map(|line| line.words.split_whitespace().map(move |word| (line.from.as_str(), word)))
    }

    pub fn report(&self) -> Report {
        let mounts = |index: usize| -> Vec<String> {
            let all = self.root.iter().flat_map(|root| &root.mounts);
            all.filter(|(_, volume)| **volume == index).map(|(at, _)| at.clone()).collect()
        };
        let volumes = self.volumes.iter().enumerate().map(|(index, volume)| VolumeReport {
            number: volume.number,
            name: volume.name.clone(),
            type_name: volume.type_name.clone(),
            start: volume.start,
            size: volume.size,
            filesystem: volume.filesystem.map(str::to_owned),
            uuid: volume.uuid.clone(),
            label: volume.label.clone(),
            mounts: mounts(index),
        });
        let kind = match self.head.table {
            TableKind::None => "none",
            TableKind::Gpt => "gpt",
            TableKind::Mbr => "mbr",
        };
        let mut not_looked_at = self.unread.clone();
        not_looked_at.sort();
        not_looked_at.dedup();
        Report {
            version: VERSION.to_owned(),
            image: self.image.clone(),
            table: TableFacts { kind: kind.to_owned(), sector_size: self.head.sector_size, volumes: volumes.collect() },
            boot: self.boot.clone(),
            system: self.system(),
            findings: Vec::new(),
            order: None,
            not_looked_at,
        }
    }

    fn system(&self) -> Option<SystemFacts> {
        let root = self.root.as_ref()?;
        let mut consoles: Vec<String> = Vec::new();
        for line in &self.boot.command_lines {
            for console in line.words.split_whitespace().filter_map(|word| word.strip_prefix("console=")) {
                if !consoles.iter().any(|known| known == console) {
                    consoles.push(console.to_owned());
                }
            }
        }
        Some(SystemFacts {
            root: root.called.clone(),
            filesystem: self.root_volume().and_then(|volume| volume.filesystem).unwrap_or("tar").to_owned(),
            name: system::name(&root.files),
            kernels: self.kernels.iter().map(|found| found.kernel.clone()).collect(),
            cloud_init: self.cloud_init.clone(),
            consoles,
        })
    }
}
