//! Failing disks: a loop device over a file of our own FUSE filesystem, which mishandles one request, or all from a
//! given one on.

use super::Loop;
use super::tape::{Event, Tape};
use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, WriteFlags,
};
use nix::mount::{MntFlags, umount2};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// What is done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageFault {
    ReadError,
    /// Nothing is written, and that is said.
    WriteError,
    /// Half of it is written, and an error is told.
    WriteTorn,
    /// Half of it is written, and only so much is said to be. The loop driver may take that for all of it.
    WriteShort,
    /// A lie: half of it is written, all of it is said to be.
    WriteCut,
    /// A lie: nothing is written, all of it is said to be.
    WriteLost,
    FlushError,
    /// No write is answered until somebody lets it go on.
    Hang,
    /// The same of reads.
    ReadHang,
    /// An error for everything.
    Gone,
}

impl StorageFault {
    pub const ALL: [Self; 7] = [
        Self::ReadError,
        Self::WriteError,
        Self::WriteTorn,
        Self::WriteShort,
        Self::WriteCut,
        Self::WriteLost,
        Self::FlushError,
    ];

    /// Nobody need be told of it.
    pub fn is_silent(self) -> bool {
        matches!(self, Self::WriteShort | Self::WriteCut | Self::WriteLost)
    }
}

/// A fault, and when it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultPlan {
    pub fault: StorageFault,
    /// Requests of its kind that go well before.
    pub after: u64,
    /// All that follow too.
    pub lasting: bool,
}

/// Requests so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    pub reads: u64,
    pub writes: u64,
    pub flushes: u64,
}

impl Requests {
    /// Those that a fault is about.
    pub fn of(self, fault: StorageFault) -> u64 {
        match fault {
            StorageFault::ReadError | StorageFault::ReadHang => self.reads,
            StorageFault::FlushError => self.flushes,
            StorageFault::Gone => 0,
            _ => self.writes,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    requests: Requests,
    plan: Option<FaultPlan>,
    /// What was done wrong: offset and length of each request.
    done: Vec<(u64, usize)>,
}

impl State {
    /// The fault for this request, if it gets one.
    fn next(&mut self, kinds: &[StorageFault], offset: u64, length: usize) -> Option<StorageFault> {
        let count = match kinds {
            [StorageFault::ReadError, ..] => &mut self.requests.reads,
            [StorageFault::FlushError, ..] => &mut self.requests.flushes,
            _ => &mut self.requests.writes,
        };
        let number = *count;
        *count += 1;
        let plan = self.plan.filter(|plan| kinds.contains(&plan.fault))?;
        let due = number == plan.after || plan.lasting && number > plan.after;
        due.then(|| self.done.push((offset, length)))?;
        Some(plan.fault)
    }
}

/// The filesystem: one file.
struct OneFile {
    backing: File,
    size: u64,
    state: Arc<Mutex<State>>,
    /// Where everything is recorded, and which disk this is there.
    tape: Option<(Arc<Tape>, usize)>,
}

const FILE: INodeNo = INodeNo(2);
const NAME: &str = "disk";
const FOREVER: Duration = Duration::from_secs(3600);
const READS: [StorageFault; 3] = [StorageFault::ReadError, StorageFault::Gone, StorageFault::ReadHang];
const FLUSHES: [StorageFault; 2] = [StorageFault::FlushError, StorageFault::Gone];
const WRITES: [StorageFault; 7] = [
    StorageFault::WriteError,
    StorageFault::WriteTorn,
    StorageFault::WriteShort,
    StorageFault::WriteCut,
    StorageFault::WriteLost,
    StorageFault::Hang,
    StorageFault::Gone,
];

impl OneFile {
    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let (kind, perm, size) = match inode {
            FILE => (FileType::RegularFile, 0o600, self.size),
            _ => (FileType::Directory, 0o700, 0),
        };
        FileAttr {
            ino: inode,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    fn next(&self, kinds: &[StorageFault], offset: u64, length: usize) -> Option<StorageFault> {
        lock(&self.state).next(kinds, offset, length)
    }
}

impl Filesystem for OneFile {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == NAME {
            reply.entry(&FOREVER, &self.attributes(FILE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOREVER, &self.attributes(inode));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // A cache here would be one more that believes what is not so.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut bytes = vec![0; size as usize];
        let fault = self.next(&READS, offset, bytes.len());
        while fault == Some(StorageFault::ReadHang) && lock(&self.state).plan.is_some() {
            std::thread::sleep(Duration::from_millis(20));
        }
        match self.backing.read_at(&mut bytes, offset) {
            Ok(count) if matches!(fault, None | Some(StorageFault::ReadHang)) => reply.data(&bytes[..count]),
            _ => reply.error(Errno::EIO),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        bytes: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let fault = self.next(&WRITES, offset, bytes.len());
        while fault == Some(StorageFault::Hang) && lock(&self.state).plan.is_some() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let half = bytes.len() / 2 / 512 * 512;
        let (kept, told) = match fault {
            None | Some(StorageFault::Hang) => (bytes.len(), Some(bytes.len())),
            Some(StorageFault::WriteTorn) => (half, None),
            Some(StorageFault::WriteShort) => (half, Some(half)),
            Some(StorageFault::WriteCut) => (half, Some(bytes.len())),
            Some(StorageFault::WriteLost) => (0, Some(bytes.len())),
            Some(_) => (0, None),
        };
        let written = self.backing.write_all_at(&bytes[..kept], offset);
        if let Some((tape, disk)) = &self.tape {
            tape.add(Event::Write { disk: *disk, offset, bytes: bytes[..kept].to_vec() });
        }
        match (written, told) {
            (Ok(()), Some(told)) => reply.written(told as u32),
            _ => reply.error(Errno::EIO),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        if let Some((tape, disk)) = &self.tape {
            tape.add(Event::Flush { disk: *disk });
        }
        match self.next(&FLUSHES, 0, 0) {
            None => reply.ok(),
            Some(_) => reply.error(Errno::EIO),
        }
    }
}

/// A disk that is about to fail. Its contents are in the backing file, and outlive it.
pub struct FailingDisk {
    /// None once it is taken away.
    disk: Option<Loop>,
    session: Option<BackgroundSession>,
    state: Arc<Mutex<State>>,
    // Goes last: the filesystem is mounted in it.
    directory: tempfile::TempDir,
}

impl FailingDisk {
    pub fn over(backing: &Path, plan: Option<FaultPlan>) -> io::Result<Self> {
        Self::start(backing, plan, None)
    }

    /// One that does nothing wrong, and whose writes and flushes are recorded.
    pub fn recorded(backing: &Path, tape: &Arc<Tape>, number: usize) -> io::Result<Self> {
        Self::start(backing, None, Some((tape.clone(), number)))
    }

    fn start(backing: &Path, plan: Option<FaultPlan>, tape: Option<(Arc<Tape>, usize)>) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let state = Arc::new(Mutex::new(State::default()));
        let file = File::options().read(true).write(true).open(backing)?;
        let size = file.metadata()?.len();
        let served = OneFile { backing: file, size, state: Arc::clone(&state), tape };
        let session = fuser::spawn_mount(served, directory.path(), &Config::default())?;
        let disk = Loop::over(&directory.path().join(NAME), tempfile::tempdir()?, 512);
        // What attaching it takes does not count.
        *lock(&state) = State { plan, ..State::default() };
        Ok(Self { disk: Some(disk), session: Some(session), state, directory })
    }

    pub fn disk(&self) -> &Loop {
        self.disk.as_ref().expect("it is there")
    }

    /// Every request of the kind from here on.
    pub fn fail_from_now(&self, fault: StorageFault) {
        let mut state = lock(&self.state);
        state.plan = Some(FaultPlan { fault, after: state.requests.of(fault), lasting: true });
    }

    /// Everything goes well from here on, and what hung goes on.
    pub fn let_go(&self) {
        lock(&self.state).plan = None;
    }

    /// The same after a while, from another thread.
    pub fn let_go_after(&self, pause: Duration) -> std::thread::JoinHandle<()> {
        let state = self.state.clone();
        std::thread::spawn(move || {
            std::thread::sleep(pause);
            lock(&state).plan = None;
        })
    }

    pub fn requests(&self) -> Requests {
        lock(&self.state).requests
    }

    /// What was done wrong so far: offsets and lengths.
    pub fn done(&self) -> Vec<(u64, usize)> {
        lock(&self.state).done.clone()
    }
}

impl Drop for FailingDisk {
    fn drop(&mut self) {
        lock(&self.state).plan = None;
        let Some(disk) = self.disk.take() else { return };
        let attached = Path::new("/sys/block").join(disk.node.file_name().unwrap_or_default()).join("loop");
        drop(disk);
        // Whoever looks at new devices may have it open for a moment.
        let deadline = Instant::now() + Duration::from_secs(30);
        while attached.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        // The driver lets go of the file a little later.
        while umount2(self.directory.path(), MntFlags::empty()) == Err(nix::Error::EBUSY) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        if let Some(session) = self.session.take() {
            let _ = session.umount_and_join();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
