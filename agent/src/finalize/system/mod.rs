//! Mounts the system of a written image as it will be when it runs: its root, and the filesystems below.
//!
//! Files are thus written where the system will find them. If a location is unknown (a volume group, a device by its
//! kernel name, another disk), an empty read-only filesystem is mounted there, so that nothing can be written.

pub mod fstab;
pub mod ostree;

use super::filesystem::{self, Content};
use super::mount::{Access, MountError, Mounted};
use super::root::Root;
use super::rootfs::{Candidate, RootFilesystem};
use crate::error::Coded;
use fstab::{Name, Row};
use std::io;
use std::path::{Path, PathBuf};
use uuid::{Uuid, uuid};

/// Partition types with a location (Discoverable Partitions Specification). A system may mount them without an fstab
/// row, under conditions that do not depend on the image alone: /var only if its GUID matches the machine id.
const TYPED: [(Uuid, &str); 4] = [
    (uuid!("4d21b016-b534-45c2-a9fb-5c16e091fd2d"), "/var"),
    (uuid!("7ec6f557-3bc5-4aca-b293-16ef5df639d1"), "/var/tmp"),
    (uuid!("933ac7e1-2eb4-4f13-b844-0e14e2aef915"), "/home"),
    (uuid!("3b8f8425-20e0-4f3b-907f-1a25a76f98e8"), "/srv"),
];

/// Emptied at every boot.
const VOLATILE: [&str; 4] = ["/run", "/proc", "/sys", "/dev"];

#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error("{path}: the system cannot be opened")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: no file can be written there: {at} {why}")]
    NoPlace { path: String, at: String, why: String },
}

impl Coded for SystemError {
    fn code(&self) -> &'static str {
        match self {
            Self::Mount(error) => error.code(),
            Self::Io { .. } => "finalize.system_io",
            Self::NoPlace { .. } => "finalize.no_place",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Mount(error) => error.hint(),
            Self::NoPlace { .. } => Some(
                "give the seed a partition of its own (`\"format\": \"cidata\"`), and put files into the seed"
                    .to_owned(),
            ),
            Self::Io { .. } => None,
        }
    }
}

/// A location where nothing can be written, and why.
#[derive(Debug)]
struct Guard {
    at: String,
    path: PathBuf,
    why: String,
}

/// Mounted until [`System::close`].
#[derive(Debug)]
pub struct System {
    root: Root,
    /// The innermost last.
    mounts: Vec<Mounted>,
    guards: Vec<Guard>,
    access: Access,
    /// For an ostree deployment: whether its /etc is the one that will be booted.
    deployed: Option<bool>,
}

impl System {
    /// Mounts everything below or above the directories in `wanted`; everything if that is empty.
    pub fn open(
        partitions: &[(Candidate, Option<Content>)],
        found: &RootFilesystem,
        access: Access,
        base: &Path,
        wanted: &[&str],
    ) -> Result<Self, SystemError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| SystemError::Io { path, source }
        };
        let mounted = Mounted::mount(&found.node, found.kind.name(), access, base)?;
        let top = mounted.path().to_owned();
        let sysroot = Root::open(&top).and_then(|root| root.below(&found.prefix)).map_err(io(&top))?;
        let root = match &found.deployment {
            None => sysroot,
            Some(deployment) => sysroot.below(&deployment.root).map_err(io(&top))?,
        };
        let deployed = found.deployment.as_ref().map(|deployment| deployment.single);
        let mut system = Self { root, mounts: vec![mounted], guards: Vec::new(), access, deployed };
        let near = |at: &str| wanted.is_empty() || wanted.iter().any(|one| is_below(one, at) || is_below(at, one));
        let rows: Vec<Row> =
            fstab::rows(&system.root).into_iter().filter(|row| row.at != "/" && near(&row.at)).collect();
        if let Some(deployment) = &found.deployment
            && rows.iter().all(|row| row.at != "/var")
        {
            system.bind(&top.join(&found.prefix), &deployment.var, "/var", &found.node)?;
        }
        for row in &rows {
            system.attach(row, partitions, found)?;
        }
        for (type_guid, at) in TYPED.iter().filter(|(_, at)| near(at) && rows.iter().all(|row| row.at != *at)) {
            if partitions.iter().any(|(one, _)| one.type_guid == Some(*type_guid) && one.number != found.number) {
                let why =
                    "has a partition of its own by its type, and the system decides when it starts whether to use it";
                system.guard(at, why.to_owned())?;
            }
        }
        for at in VOLATILE.into_iter().filter(|at| near(at)) {
            if !system.root.has(at.trim_start_matches('/')).map_err(io(&top))? {
                continue;
            }
            system.guard(at, "is empty whenever the system starts".to_owned())?;
        }
        Ok(system)
    }

    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Flushes everything written to stable storage, and unmounts.
    pub fn close(self) -> Result<(), MountError> {
        let Self { root, mut mounts, .. } = self;
        // It is held open, and would keep the mounts below busy.
        drop(root);
        let mut first = Ok(());
        while let Some(mounted) = mounts.pop() {
            first = first.and(mounted.unmount());
        }
        first
    }

    /// The device node that contains a path, or would.
    pub fn holding(&self, path: &str) -> Option<&Path> {
        let (real, _) = self.root.nearest(Path::new(path)).ok()?;
        let above = self.mounts.iter().filter(|mounted| real.starts_with(mounted.path()));
        above.max_by_key(|mounted| mounted.path().as_os_str().len()).map(Mounted::device)
    }

    /// An error if a path, with links followed, is in a location where nothing can be written.
    pub fn check(&self, path: &str) -> Result<(), SystemError> {
        let io = |source| SystemError::Io { path: self.root.path().join(path), source };
        let (real, _) = self.root.nearest(Path::new(path)).map_err(io)?;
        let refuse = |at: &str, why: &str| {
            Err(SystemError::NoPlace { path: path.to_owned(), at: at.to_owned(), why: why.to_owned() })
        };
        if let Some(guard) = self.guards.iter().rfind(|guard| real.starts_with(&guard.path)) {
            return refuse(&guard.at, &guard.why);
        }
        // Only these directories belong to a deployment: the rest belongs to the repository, and is read-only for the
        // system.
        let top = self.root.real(Path::new("")).map_err(io)?;
        let inside = real.strip_prefix(&top).unwrap_or(&real);
        match self.deployed {
            Some(true) if inside.starts_with("etc") => Ok(()),
            Some(_) if inside.starts_with("var") => Ok(()),
            Some(false) if inside.starts_with("etc") => refuse("/etc", "is of one of several deployments"),
            Some(_) => refuse("/", "is an ostree deployment, of which only /etc and /var can be written to"),
            None => Ok(()),
        }
    }

    fn attach(
        &mut self,
        row: &Row,
        partitions: &[(Candidate, Option<Content>)],
        found: &RootFilesystem,
    ) -> Result<(), SystemError> {
        let what = &row.what;
        let name = row.name();
        let partition = match &name {
            Name::None => return self.guard(&row.at, format!("is mounted from {what}, which is no partition")),
            Name::Unstable(device) => {
                return self.guard(&row.at, format!("is mounted from {device}, which says not which partition it is"));
            }
            name => named(partitions, name),
        };
        let Some((partition, kind)) = partition else {
            return self.guard(&row.at, format!("is mounted from {what}, which is no partition of the image"));
        };
        let Some(kind) = kind else {
            return self.guard(&row.at, format!("is mounted from {what}, whose filesystem cannot be written to here"));
        };
        let Some(path) = self.point(&row.at)? else { return Ok(()) };
        // The mount table has one mode for a whole filesystem, so both use this one.
        let options = row.subvolume().filter(|_| kind == filesystem::Kind::Btrfs).unwrap_or_default();
        match Mounted::mount_with(&partition.node, kind.name(), self.access, &path, options) {
            Ok(mounted) => {
                self.mounts.push(mounted);
                Ok(())
            }
            Err(error) if partition.number != found.number => {
                self.guard(&row.at, format!("cannot be mounted ({error})"))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn bind(&mut self, sysroot: &Path, from: &Path, at: &str, device: &Path) -> Result<(), SystemError> {
        let io = |source| SystemError::Io { path: sysroot.join(from), source };
        let there = Root::open(sysroot).and_then(|root| root.real(from));
        let there = match there {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.guard(at, "is not there: the deployment has none".to_owned());
            }
            Err(error) => return Err(io(error)),
        };
        let Some(path) = self.point(at)? else {
            return self.guard(at, "has no place in the deployment".to_owned());
        };
        self.mounts.push(Mounted::bind(&there, &path, device)?);
        Ok(())
    }

    /// The mount point; created if it is missing and that is possible.
    fn point(&self, at: &str) -> Result<Option<PathBuf>, SystemError> {
        let relative = Path::new(at.trim_start_matches('/'));
        match self.root.real(relative) {
            Ok(path) => Ok(Some(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.access == Access::ReadOnly || self.root.make_directories(relative).is_err() {
                    return Ok(None);
                }
                Ok(self.root.real(relative).ok())
            }
            Err(source) => Err(SystemError::Io { path: self.root.path().join(relative), source }),
        }
    }

    fn guard(&mut self, at: &str, why: String) -> Result<(), SystemError> {
        let Some(path) = self.point(at)? else { return Ok(()) };
        self.mounts.push(Mounted::empty(&path)?);
        self.guards.push(Guard { at: at.to_owned(), path, why });
        Ok(())
    }
}

/// The only partition with this name, and its filesystem if it can be mounted here.
fn named<'a>(
    partitions: &'a [(Candidate, Option<Content>)],
    name: &Name,
) -> Option<(&'a Candidate, Option<filesystem::Kind>)> {
    let is =
        |value: &Option<String>, wanted: &str| value.as_deref().is_some_and(|value| value.eq_ignore_ascii_case(wanted));
    let fits = |candidate: &Candidate, content: &Content| match name {
        Name::FilesystemUuid(uuid) => is(&content.uuid, uuid),
        Name::FilesystemLabel(label) => content.label.as_deref() == Some(label),
        Name::PartitionGuid(guid) => is(&candidate.guid, guid),
        Name::PartitionName(name) => candidate.name.as_deref() == Some(name),
        Name::Unstable(_) | Name::None => false,
    };
    let known = partitions.iter().filter_map(|(candidate, content)| Some((candidate, content.as_ref()?)));
    let mut found = known.filter(|(candidate, content)| fits(candidate, content));
    let first = found.next().map(|(candidate, content)| (candidate, content.filesystem()));
    first.filter(|_| found.next().is_none())
}

fn is_below(path: &str, of: &str) -> bool {
    Path::new(path).starts_with(of)
}
