//! The front for OpenStack Ironic, which sees burin as an ironic-python-agent: lookup, heartbeat, an HTTPS API for the
//! conductor, inspection, cleaning, deployment. docs/ironic.md is for operators.
//!
//! A step that changes disks becomes an order, and is processed like every other order: plan, gates, trace, read-back,
//! receipt.

mod body;
mod client;
mod commands;
mod disks;
mod drive;
mod error;
mod hints;
mod inspect;
mod logs;
pub mod media;
mod order;
mod partition;
mod service;
mod state;
mod steps;
mod worker;

use super::{Ending, Front, Ground, Job, Leave, Wish};
use crate::bell::Bell;
use crate::calls::{Call, Client as Caller};
use crate::http::{Timeouts, Trust};
use crate::protocol::order::Order;
use crate::protocol::{Receipt, Secret};
use crate::report::stage::{Failure, Stages};
use commands::{CommandWork, Commands, StepPhase};
use disks::Several;
use error::CommandError;
use hwinventory::Inventory;
use hwinventory::model::BootMode;
use serde_json::{Value, json};
use service::Service;
use state::{Installed, IronicState};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use worker::{Beat, Worker};

/// `None` if no `ipa-` word on the kernel command line says where Ironic is.
pub fn front(ground: &Ground<'_>) -> Option<Box<dyn Front>> {
    let config = ground.config.ironic.clone().filter(|_| ground.config.order.is_none())?;
    let several = if config.hints_first { Several::First } else { Several::Refuse };
    let uefi = ground.inventory.firmware.data.boot_mode == BootMode::Uefi;
    let started = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    let service = Service {
        commands: Commands::default(),
        token: Secret::new(uuid::Uuid::new_v4().to_string()),
        bell: ground.bell.clone(),
        beat: Beat::default(),
        log: ground.log.clone(),
        installed: Arc::default(),
        uefi,
        started: Arc::new(started),
    };
    let failed = Arc::new(Mutex::new(None));
    let worker = Worker {
        config,
        trust: ground.trust.clone(),
        directory: ground.state.to_owned(),
        boot_id: ground.hello.boot_id.clone(),
        macs: ground.hello.identity.macs.clone(),
        inventory: ground.inventory.clone(),
        listen: ground.listen,
        emitter: ground.emitter.clone(),
        bell: ground.bell.clone(),
        service: service.clone(),
        failed: failed.clone(),
    };
    Some(Box::new(Ironic {
        worker: Some(worker),
        service,
        several,
        look: ground.look.clone(),
        downloads: ground.downloads.clone(),
        bell: ground.bell.clone(),
        directory: ground.state.to_owned(),
        boot_id: ground.hello.boot_id.clone(),
        failed,
        making: None,
        running: None,
    }))
}

struct Ironic {
    worker: Option<Worker>,
    service: Service,
    several: Several,
    look: Arc<dyn Fn() -> Inventory + Send + Sync>,
    downloads: Trust,
    bell: Bell,
    directory: PathBuf,
    boot_id: String,
    /// Why the conversation ended.
    failed: Arc<Mutex<Option<Failure>>>,
    /// An order that is being made from a step.
    making: Option<(Running, Receiver<Result<Order, CommandError>>)>,
    /// The step whose job is running.
    running: Option<Running>,
}

#[derive(Debug, Clone)]
struct Running {
    /// Id of the command.
    id: String,
    phase: StepPhase,
    step: Value,
}

impl Front for Ironic {
    fn greet(&mut self) -> Result<(), Failure> {
        let Some(worker) = self.worker.take() else { return Ok(()) };
        let mut stages = Stages::new(worker.emitter.clone());
        stages.quiet("ironic", || worker.start())
    }

    fn next(&mut self, _: &mut Stages) -> Result<Wish, Failure> {
        if let Some(failure) = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(failure);
        }
        if let Some((running, order)) = &self.making {
            let Ok(order) = order.try_recv() else { return Ok(Wish::Nothing) };
            let running = running.clone();
            self.making = None;
            return Ok(match order {
                Ok(order) => self.job(running, order),
                Err(fault) => {
                    log::error!("{}: {}", running.step["step"], fault.details);
                    self.end(&running.id, Err(fault));
                    Wish::Nothing
                }
            });
        }
        match self.service.commands.take() {
            None => {}
            Some((_, CommandWork::Exit(exit))) => {
                self.service.beat.stop();
                return Ok(Wish::Exit(exit));
            }
            Some((id, CommandWork::Step { phase, step, node })) => self.make(Running { id, phase, step }, node),
        }
        Ok(Wish::Nothing)
    }

    fn done(&mut self, _: &Job, receipt: &Receipt) {
        let Some(running) = self.running.take() else { return };
        let outcome = match &receipt.problem {
            Some(problem) => Err(CommandError::of(problem)),
            None => Ok(running.phase.result(&running.step, self.told(&running, receipt))),
        };
        self.end(&running.id, outcome);
    }

    /// A conductor polls for results.
    fn deliver(&mut self) -> bool {
        true
    }
}

impl Ironic {
    fn end(&self, id: &str, outcome: Result<Value, CommandError>) {
        self.service.commands.end(id, outcome);
        self.service.beat.now();
    }

    /// On a separate thread, because the machine is inventoried and a config drive may have to be fetched.
    fn make(&mut self, running: Running, node: Value) {
        let (look, downloads, several) = (self.look.clone(), self.downloads.clone(), self.several);
        let (bell, step, (sender, receiver)) = (self.bell.clone(), running.step.clone(), channel());
        let id = format!("ironic-{}", running.id);
        let make = move || {
            let inventory = look();
            let order = match step["step"].as_str() {
                Some("write_image") => {
                    order::deploy(&id, &inventory, &node, &step["args"], several, |url| fetch(url, &downloads))
                }
                Some("delete_configuration") => order::no_raid(&id, &inventory, &node),
                _ => order::metadata(&id, &inventory, &node),
            };
            let _ = sender.send(order);
            bell.ring();
        };
        match std::thread::Builder::new().name("ironic-step".to_owned()).spawn(make) {
            Ok(_) => self.making = Some((running, receiver)),
            Err(error) => self.end(&running.id, Err(CommandError::new("ironic.thread", error.to_string()))),
        }
    }

    fn job(&mut self, running: Running, order: Order) -> Wish {
        // Observers of the API need not see the config drive.
        let shown = Order { seed: None, ..order.clone() };
        let raw = serde_json::to_vec(&shown).unwrap_or_default();
        self.running = Some(running);
        // The conductor's command is the permission.
        Wish::Job(Box::new(Job { order, raw, attempt: 1, leave: Leave::Unneeded, ending: Ending::STAY }))
    }

    /// The result of a finished step; the receipt is the proof.
    fn told(&self, running: &Running, receipt: &Receipt) -> Value {
        let Some(image) = receipt.images.first() else { return json!({ "receipt": receipt }) };
        let made = |step: &str, kind: Option<&str>| {
            let mut made = receipt.changes.iter().filter(|change| change.step == step);
            let found = made.find(|change| kind.is_none_or(|kind| change.detail["kind"] == kind))?;
            found.detail["uuid"].as_str().map(str::to_owned)
        };
        // For a partition image the filesystem's, for a whole-disk image the disk's.
        let filesystem = made("write-partition", None);
        let esp_uuid = filesystem.as_ref().and_then(|_| made("make-filesystem", Some("vfat")));
        let root_uuid = filesystem.or_else(|| disk_id(Path::new(&image.device))).unwrap_or_default();
        let (device, boot_entry) = (image.device.clone(), self.service.uefi);
        let installed = Installed { device, root_uuid: root_uuid.clone(), esp_uuid, boot_entry };
        if let Some(mut state) = IronicState::load(&self.directory, &self.boot_id) {
            state.installed = Some(installed.clone());
            if let Err(error) = state.save(&self.directory) {
                log::warn!("what was written cannot be recorded for the next agent: {error}");
            }
        }
        *self.service.installed.lock().unwrap_or_else(PoisonError::into_inner) = Some(installed);
        let id = running.step["args"]["image_info"]["id"].as_str().unwrap_or("image");
        let device = &image.device;
        let result = format!("prepare_image: image ({id}) written to device {device} root_uuid={root_uuid}");
        json!({ "result": result, "receipt": receipt })
    }
}

fn fetch(url: &str, trust: &Trust) -> Result<Vec<u8>, CommandError> {
    let failed = |error: &dyn std::error::Error| {
        CommandError::new("ironic.config_drive", format!("the config drive cannot be fetched: {error}"))
    };
    let caller = Caller::new(url, trust, &Timeouts::DOWNLOADS).map_err(|error| failed(&error))?;
    let reply = caller.call(Call { limit: drive::MOST_TEXT, ..Call::default() });
    reply.map(|reply| reply.body).map_err(|error| failed(&error))
}

/// A disk's identifier: its MBR's disk signature, or its GPT's GUID (UEFI 2.10 section 5.3.2).
fn disk_id(device: &Path) -> Option<String> {
    let file = File::open(device).ok()?;
    let mut head = [0; 3 * 4096];
    file.read_exact_at(&mut head, 0).ok()?;
    for sector in [512, 4096] {
        let header = head.get(sector..sector + 92)?;
        if header.starts_with(b"EFI PART") {
            let guid: [u8; 16] = header.get(56..72)?.try_into().ok()?;
            return Some(uuid::Uuid::from_bytes_le(guid).to_string());
        }
    }
    let id: [u8; 4] = head.get(440..444)?.try_into().ok()?;
    Some(format!("0x{:08x}", u32::from_le_bytes(id)))
}
