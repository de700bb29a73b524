//! Loads modules in dependency order, several in parallel: a driver that probes for seconds delays only those that
//! depend on it.

use super::{ASIDE, Insert, Insertion, ModuleId, ModuleIndex, ModuleOptions, Urgency};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

/// Called after each change with the number of unfinished device requests. Requests by name, and for devices other than
/// disks and NICs ([`ASIDE`]), are not counted.
pub type Progress = Box<dyn Fn(usize) + Send + Sync>;

pub struct ModuleLoader {
    index: ModuleIndex,
    options: ModuleOptions,
    kernel: Box<dyn Insertion>,
    progress: Progress,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Most urgent first, then in order of request.
    queue: BTreeSet<(Urgency, u64, ModuleId)>,
    requests: u64,
    /// All modules ever requested: each is tried once.
    asked: HashSet<ModuleId>,
    unfinished: usize,
    /// Those among them that may bring a disk or a NIC.
    awaited: usize,
    for_devices: usize,
    modules: HashMap<ModuleId, Phase>,
    stopped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Inserting,
    Over,
}

impl std::fmt::Debug for ModuleLoader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader").field("modules", &self.index.len()).field("state", &*self.lock()).finish()
    }
}

impl ModuleLoader {
    pub fn new(
        index: ModuleIndex,
        options: ModuleOptions,
        kernel: impl Insertion + 'static,
        progress: Progress,
    ) -> Arc<Self> {
        Arc::new(Self {
            index,
            options,
            kernel: Box::new(kernel),
            progress,
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Starts `count` workers; they live as long as the process.
    pub fn spawn(self: &Arc<Self>, count: usize) -> std::io::Result<()> {
        for number in 0..count {
            let loader = Arc::clone(self);
            thread::Builder::new().name(format!("modules-{number}")).spawn(move || loader.work())?;
        }
        Ok(())
    }

    #[cfg(test)]
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Queues the modules for a name, an alias or a modalias. Returns at once.
    pub fn request(&self, name: &str, urgency: Urgency) {
        let ids = self.index.resolve(name);
        let mut state = self.lock();
        let before = state.unfinished;
        for id in ids {
            if self.options.refuses(self.index.name(id)) {
                log::debug!("module {}: refused by modprobe.blacklist", self.index.name(id));
            } else if state.asked.insert(id) {
                state.requests += 1;
                let place = (urgency, state.requests, id);
                state.queue.insert(place);
                state.unfinished += 1;
                let awaited = self.is_awaited(id);
                state.awaited += usize::from(awaited);
                state.for_devices += usize::from(awaited && urgency != Urgency::ByName);
            }
        }
        let (changed, for_devices) = (state.unfinished != before, state.for_devices);
        drop(state);
        if changed {
            (self.progress)(for_devices);
            self.changed.notify_all();
        }
    }

    /// Waits until every request is finished.
    #[cfg(test)]
    pub fn wait(&self) {
        let mut state = self.lock();
        while state.unfinished > 0 && !state.stopped {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until every driver that may bring a disk or a NIC has finished, but not for others, such as a BMC's that
    /// never answers.
    pub fn wait_for_devices(&self) {
        let mut state = self.lock();
        while state.awaited > 0 && !state.stopped {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn is_awaited(&self, id: ModuleId) -> bool {
        let path = self.index.relative(id);
        !ASIDE.iter().any(|folder| path.starts_with(folder))
    }

    /// Loads `name` and its dependencies in this thread; true if it is present afterwards.
    pub fn load_now(&self, name: &str) -> bool {
        let ids = self.index.resolve(name);
        let mut any = self.index.is_builtin(name);
        for id in ids {
            any |= self.load(id);
        }
        any
    }

    fn work(&self) {
        loop {
            let (urgency, id) = {
                let mut state = self.lock();
                loop {
                    if state.stopped {
                        return;
                    }
                    if let Some((urgency, _, id)) = state.queue.pop_first() {
                        break (urgency, id);
                    }
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            };
            self.load(id);
            let for_devices = {
                let mut state = self.lock();
                state.unfinished = state.unfinished.saturating_sub(1);
                let awaited = self.is_awaited(id);
                state.awaited = state.awaited.saturating_sub(usize::from(awaited));
                let counted = usize::from(awaited && urgency != Urgency::ByName);
                state.for_devices = state.for_devices.saturating_sub(counted);
                state.for_devices
            };
            (self.progress)(for_devices);
            self.changed.notify_all();
        }
    }

    /// Inserts the plan of `id` step by step. A module is claimed only during its own insertion, so two threads can
    /// wait for each other's modules but never in a cycle.
    fn load(&self, id: ModuleId) -> bool {
        let mut loaded = false;
        for step in self.index.plan(id) {
            let ok = !self.claim(step) || {
                let ok = self.insert(step);
                self.lock().modules.insert(step, Phase::Over);
                self.changed.notify_all();
                ok
            };
            if step == id {
                loaded = ok;
            }
        }
        loaded
    }

    /// True if the caller must insert it; false if that is already done.
    fn claim(&self, id: ModuleId) -> bool {
        let mut state = self.lock();
        loop {
            match state.modules.get(&id) {
                None => {
                    state.modules.insert(id, Phase::Inserting);
                    return true;
                }
                Some(Phase::Over) => return false,
                Some(Phase::Inserting) => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn insert(&self, id: ModuleId) -> bool {
        let name = self.index.name(id);
        let began = Instant::now();
        match self.kernel.insert(&self.index.path(id), self.options.parameters(name)) {
            Ok(Insert::Loaded) => {
                log::debug!("module {name}: {} ms", began.elapsed().as_millis());
                true
            }
            Ok(Insert::Present) => true,
            // The driver found no hardware: not worth a line on the console.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => {
                log::debug!("module {name}: {error}");
                false
            }
            Err(error) => {
                log::warn!("module {name} ({}): {error}", self.index.path(id).display());
                false
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // After a panic elsewhere, counters are at worst stale; the machine must continue.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
