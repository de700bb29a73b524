//! Loads drivers for present and newly appearing devices, and detects when no more devices appear.

use super::modules::{
    ALWAYS, FIRST, Kernel, LATE, ModuleIndex, ModuleLoader, ModuleOptions, UeventListener, UeventMessage, Urgency,
    listen, modaliases,
};
use super::mounts;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

const FILE: &str = "run/burin/devices.json";
/// Reading thousands of variables from slow flash takes a second.
const FIRMWARE: Duration = Duration::from_secs(10);

/// `/run/burin/devices.json`, written by PID 1: the state of device setup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceState {
    /// Every device that was present at the start has been handled.
    pub coldplugged: bool,
    /// Modules currently being loaded for devices, including their synchronous probing.
    pub loading: usize,
}

/// Starts all threads for modules and returns at once; they live as long as PID 1.
pub fn start(root: &Path, release: &str, cmdline: &str) {
    let state = Arc::new(Publisher::new(root));
    state.publish(|_| {});
    let directory = root.join("lib/modules").join(release);
    let index = match ModuleIndex::load(&directory) {
        Ok(index) => index,
        Err(error) => {
            // A kernel with everything built in is a valid configuration.
            log::warn!("no kernel modules: {}: {error}", directory.join("modules.dep").display());
            efivars(root.to_owned(), || {});
            state.publish(|state| state.coldplugged = true);
            return;
        }
    };
    log::info!("{} kernel modules, {} aliases", index.len(), index.alias_count());
    let progress = Arc::clone(&state);
    let options = ModuleOptions::parse(cmdline);
    let wanted = options.wanted().to_vec();
    let loader = ModuleLoader::new(
        index,
        options,
        Kernel,
        Box::new(move |unfinished| progress.publish(|state| state.loading = unfinished)),
    );
    // Probing mostly waits, but a small machine must not unpack too many modules at once.
    let workers = thread::available_parallelism().map_or(4, |count| count.get().clamp(4, 8));
    if let Err(error) = loader.spawn(workers) {
        log::error!("cannot start module workers: {error}");
    }
    let (root, devices) = (root.to_owned(), root.join("sys/devices"));
    let rescan = Arc::new(AtomicBool::new(false));
    // Before coldplug, so that no device falls between the two.
    match listen() {
        Ok(listener) => {
            let (loader, rescan) = (Arc::clone(&loader), Arc::clone(&rescan));
            spawn("hotplug", move || hotplug(&listener, &loader, &rescan));
        }
        Err(error) => log::warn!("devices that appear later will have no drivers: {error}"),
    }
    spawn("coldplug", move || {
        let began = Instant::now();
        FIRST.iter().for_each(|name| loader.request(name, Urgency::Network));
        let mut seen = BTreeSet::new();
        request_new(&devices, &loader, &mut seen);
        ALWAYS.iter().for_each(|name| loader.request(name, Urgency::ByName));
        wanted.iter().for_each(|name| loader.request(name, Urgency::ByName));
        look_until_quiet(&devices, &loader, &mut seen);
        log::info!("{} kinds of devices looked at in {:.1} s", seen.len(), began.elapsed().as_secs_f32());
        // The inventory is taken as soon as this is published, and it should include the firmware's variables.
        let first = Arc::clone(&loader);
        efivars(root, move || _ = first.load_now("efivarfs"));
        state.publish(|state| state.coldplugged = true);
        // File systems: nothing waits for them, and mount(2) would load them anyway.
        LATE.iter().for_each(|name| loader.request(name, Urgency::ByName));
        loop {
            // A safety net: every bus sends uevents, but they can be lost.
            thread::park_timeout(Duration::from_secs(2));
            if rescan.swap(false, Ordering::Relaxed) {
                log::debug!("uevents were lost: looking at all devices again");
                look_until_quiet(&devices, &loader, &mut seen);
            }
        }
    });
}

/// Mounts efivarfs once `load` has finished. Reading the variables runs firmware code, which may hang, so the machine
/// does not wait for it.
fn efivars(root: PathBuf, load: impl FnOnce() + Send + 'static) {
    let (done, mounted) = mpsc::channel();
    spawn("efivars", move || {
        load();
        if let Err(error) = mounts::mount_efivars(&root) {
            log::warn!("{error}: {}; boot entries cannot be set", error.source);
        }
        let _ = done.send(());
    });
    if mounted.recv_timeout(FIRMWARE).is_err() {
        log::warn!(
            "the firmware's variables are not available after {} s: continuing without them",
            FIRMWARE.as_secs()
        );
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(work) {
        log::error!("cannot start the {name} thread: {error}");
    }
}

/// Requests drivers for new devices; true if there were any.
fn request_new(devices: &Path, loader: &ModuleLoader, seen: &mut BTreeSet<String>) -> bool {
    let mut new = false;
    for alias in modaliases(devices) {
        if !seen.contains(&alias) {
            request(loader, &alias);
            seen.insert(alias);
            new = true;
        }
    }
    new
}

fn request(loader: &ModuleLoader, alias: &str) {
    if let Some(urgency) = Urgency::of(alias) {
        loader.request(alias, urgency);
    }
}

/// Scans all devices until nothing new appears: a bus driver adds devices, which need drivers.
fn look_until_quiet(devices: &Path, loader: &ModuleLoader, seen: &mut BTreeSet<String>) {
    loop {
        loader.wait_for_devices();
        if !request_new(devices, loader, seen) {
            return;
        }
    }
}

fn hotplug(listener: &UeventListener, loader: &ModuleLoader, rescan: &AtomicBool) {
    loop {
        match listener.next() {
            Ok(UeventMessage::Event(event)) => {
                if let (Some(alias), "add" | "change" | "bind") = (&event.modalias, event.action.as_str()) {
                    request(loader, alias);
                }
            }
            Ok(UeventMessage::Overrun) => rescan.store(true, Ordering::Relaxed),
            Err(error) => {
                log::warn!("uevents: {error}");
                thread::sleep(Duration::from_secs(1));
            }
        }
    }
}

struct Publisher {
    path: PathBuf,
    state: Mutex<DeviceState>,
}

impl Publisher {
    fn new(root: &Path) -> Self {
        Self { path: root.join(FILE), state: Mutex::default() }
    }

    fn publish(&self, change: impl FnOnce(&mut DeviceState)) {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut state);
        let part = self.path.with_extension("part");
        let written = serde_json::to_vec(&*state)
            .map_err(std::io::Error::from)
            .and_then(|json| std::fs::write(&part, json))
            .and_then(|()| std::fs::rename(&part, &self.path));
        if let Err(error) = written {
            log::debug!("{}: {error}", self.path.display());
        }
    }
}

/// The result of waiting for quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Nothing was loaded, and no device appeared or disappeared, during the whole quiet period.
    Quiet,
    /// Still busy when the limit was reached.
    Busy,
}

/// True in the ramdisk, where PID 1 is burin and devices appear while the agent runs.
pub fn is_ours(root: &Path) -> bool {
    root.join(FILE).exists()
}

/// True when PID 1 is not loading anything. Always true outside of the ramdisk (no state file).
pub fn idle(root: &Path) -> bool {
    let Ok(text) = std::fs::read(root.join(FILE)) else { return true };
    serde_json::from_slice::<DeviceState>(&text).is_ok_and(|state| state.coldplugged && state.loading == 0)
}

/// Waits until devices have been quiet for `quiet`, at most `limit`: PID 1 loads nothing and the kernel's uevent
/// counter does not change. Disks found by asynchronous probing (SATA links, SAS expanders, USB) send uevents as they
/// appear, so a quiet period of a second or two covers them. Nothing can cover a disk that stays silent for longer.
pub fn settle(root: &Path, quiet: Duration, limit: Duration) -> Settled {
    let began = Instant::now();
    let mut last = (None, Instant::now());
    loop {
        let now = Instant::now();
        let count = idle(root).then(|| std::fs::read(root.join("sys/kernel/uevent_seqnum")).unwrap_or_default());
        if count.is_none() || count != last.0 {
            last = (count, now);
        } else if now.duration_since(last.1) >= quiet {
            return Settled::Quiet;
        }
        if now.duration_since(began) >= limit {
            return Settled::Busy;
        }
        thread::sleep(Duration::from_millis(50).min(quiet));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_means_coldplugged_idle_and_no_uevents() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("run/burin")).unwrap();
        std::fs::create_dir_all(root.path().join("sys/kernel")).unwrap();
        std::fs::write(root.path().join("sys/kernel/uevent_seqnum"), "7\n").unwrap();
        let zero = Duration::ZERO;
        let settled = |quiet| settle(root.path(), quiet, Duration::from_millis(300));
        assert_eq!(settled(zero), Settled::Quiet, "no PID 1 of ours: nothing to wait for");
        let publisher = Publisher::new(root.path());
        publisher.publish(|_| {});
        assert_eq!(settled(zero), Settled::Busy, "not coldplugged yet");
        publisher.publish(|state| (state.coldplugged, state.loading) = (true, 2));
        assert_eq!(settled(zero), Settled::Busy);
        publisher.publish(|state| state.loading = 0);
        assert_eq!(settled(zero), Settled::Quiet);
        assert_eq!(settled(Duration::from_secs(3600)), Settled::Busy, "quiet, but not for long enough");
    }

    #[test]
    fn coldplug_goes_on_until_nothing_new_appears() {
        use super::super::modules::{IndexTexts, Insert, Insertion};
        // Inserting the bus makes the device appear.
        struct Bus(PathBuf);
        impl Insertion for Bus {
            fn insert(&self, path: &Path, _: &str) -> std::io::Result<Insert> {
                if path.ends_with("bus.ko") {
                    std::fs::create_dir_all(self.0.join("bus/device"))?;
                    std::fs::write(self.0.join("bus/device/modalias"), "new:thing")?;
                } else {
                    std::fs::write(self.0.join("loaded"), "")?;
                }
                Ok(Insert::Loaded)
            }
        }
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("bus")).unwrap();
        std::fs::write(root.path().join("bus/modalias"), "pci:bus").unwrap();
        let texts = IndexTexts {
            dep: "bus.ko:\nthing.ko:\n",
            alias: "alias pci:* bus\nalias new:* thing\n",
            ..IndexTexts::default()
        };
        let loader = ModuleLoader::new(
            ModuleIndex::parse(Path::new("/m"), texts),
            ModuleOptions::default(),
            Bus(root.path().to_owned()),
            Box::new(|_| {}),
        );
        loader.spawn(2).unwrap();
        look_until_quiet(root.path(), &loader, &mut BTreeSet::new());
        loader.stop();
        assert!(root.path().join("loaded").exists());
    }
}
