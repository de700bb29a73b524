//! One attempt at an order on this machine: plan, grant, apply. The result is a receipt in any case.

use super::{Agent, late};
use crate::api::Door;
use crate::apply::{self, Applied, ApplyError, Bound, Context, Patience};
use crate::attest::{self, Opened};
use crate::control::ControlFlag;
use crate::error::Coded;
use crate::image::Cancel;
use crate::kexec;
use crate::plan::{self, SeedFiles};
use crate::policy::RefusedByPolicy;
use crate::protocol::Plan;
use crate::protocol::event::OrderAccepted;
use crate::protocol::order::{Finish, Order};
use crate::protocol::plan::Trace;
use crate::protocol::{Control, Kind, Receipt, receipt};
use crate::stage::{Failure, Stages};
use burin_sign::PublicKey;
use hwinventory::Inventory;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// If a controller says hold, it is asked at this interval whether it still does.
const HOLD_PATIENCE: Duration = Duration::from_secs(60);

pub struct Attempt<'a> {
    pub agent: &'a Agent,
    pub order: &'a Order,
    pub number: u32,
    pub inventory: &'a Inventory,
    /// For images.
    pub download: ureq::Agent,
    pub control: ControlFlag,
    pub boot_id: &'a str,
    /// Shows the work to callers.
    pub door: Option<&'a Door>,
    /// What follows; kexec needs a loaded kernel.
    pub finish: Finish,
    /// Decides whether the order may be carried out here and now; `None` if there are no requirements.
    pub judge: Option<&'a Judge<'a>>,
}

/// Returns who signed the order.
pub type Judge<'a> = dyn Fn(&Inventory) -> Result<Vec<PublicKey>, RefusedByPolicy> + 'a;

/// The result of an attempt.
pub struct AttemptOutcome {
    pub receipt: Receipt,
    /// The installed kernel is loaded: PID 1 can start it.
    pub kernel: bool,
}

/// A plan, and the contents of its seed step.
pub(super) struct Planned {
    plan: Plan,
    seed: Option<SeedFiles>,
}

/// What was done up to that point.
#[derive(Default)]
struct Done {
    applied: Applied,
    plan_digest: Option<String>,
    order_digest: Option<String>,
    disks: Vec<receipt::OpenedDisk>,
    signers: Vec<PublicKey>,
}

impl Attempt<'_> {
    /// `grant` is called with the plan's digest, before the first byte of a disk changes.
    pub fn run<E: Coded>(&self, stages: &mut Stages, grant: impl FnOnce(&str) -> Result<(), E>) -> AttemptOutcome {
        let order = &self.order.id;
        stages.restart();
        stages.emitter().set_subject(Some(order));
        log::info!("order {order}, attempt {}", self.number);
        stages.emitter().emit(Kind::OrderAccepted(OrderAccepted { order: order.clone(), attempt: self.number }));

        let mut done = Done::default();
        let worked = self.work(stages, grant, &mut done);
        let kernel = worked.as_ref().is_ok_and(|disks| self.finish == Finish::Kexec && self.load_kernel(stages, disks));
        let problem = worked.err().map(|failure| failure.problem);
        match &problem {
            None => log::info!("order {order}: done and verified"),
            Some(problem) => log::error!("order {order}: FAILED [{}]", problem.code),
        }
        let receipt = Receipt {
            version: receipt::VERSION.to_owned(),
            order: order.clone(),
            attempt: self.number,
            boot_id: self.boot_id.to_owned(),
            plan_digest: done.plan_digest,
            order_digest: done.order_digest,
            order_signers: done.signers.iter().map(PublicKey::to_string).collect(),
            disks: done.disks,
            problem,
            images: done.applied.images,
            changes: done.applied.changes,
            stages: stages.times(),
            evidence: None,
        };
        AttemptOutcome { receipt, kernel }
    }

    /// The disk's contents are correct, whether or not its kernel can be started without the firmware.
    fn load_kernel(&self, stages: &mut Stages, disks: &Bound) -> bool {
        let loaded = stages.run("kexec", || kexec::load(disks, &self.agent.paths));
        if loaded.is_err() {
            log::warn!("the firmware will start the installed system instead");
        }
        loaded.is_ok()
    }

    fn work<E: Coded>(
        &self,
        stages: &mut Stages,
        grant: impl FnOnce(&str) -> Result<(), E>,
        done: &mut Done,
    ) -> Result<Bound, Failure> {
        if let Some(judge) = self.judge {
            done.signers = stages.run("policy", || judge(self.inventory))?;
        }
        // Sealed strings are opened only after the order as received has passed.
        match stages.quiet("unseal", || attest::open(&self.agent.chip, self.order, !done.signers.is_empty()))? {
            Opened::AsItWas(_) => self.carry_out(stages, grant, done),
            Opened::Now(order) => {
                let (download, control) = (self.download.clone(), self.control.clone());
                Attempt { order: &order, download, control, ..*self }.carry_out(stages, grant, done)
            }
        }
    }

    fn carry_out<E: Coded>(
        &self,
        stages: &mut Stages,
        grant: impl FnOnce(&str) -> Result<(), E>,
        done: &mut Done,
    ) -> Result<Bound, Failure> {
        let (looked, planned) = stages.run("plan", || late::plan(self))?;
        done.order_digest = Some(planned.plan.order_digest.clone());
        let agreed = done.plan_digest.insert(planned.plan.digest.clone()).clone();
        if let Some(door) = self.door {
            door.set_plan(&planned.plan);
        }
        stages.emitter().emit(Kind::Plan(Box::new(planned.plan.clone())));
        for line in plan::explain(&planned.plan).lines() {
            log::info!("{line}");
        }
        stages.run("check", || apply::check(&planned.plan, &self.agent.paths))?;
        stages.run("grant", || grant(&agreed))?;
        // Permission may have come late, after the order has expired.
        if let Some(judge) = self.judge {
            stages.quiet("policy", || judge(&looked))?;
        }
        // Takes the inventory again: somebody may have removed a disk while the grant was pending.
        let emitter = stages.emitter().clone();
        let (inventory, fresh, disks) = stages.run("probe", || {
            let inventory = self.agent.look.inventory();
            late::tell(&emitter, &looked, &inventory);
            let fresh = self.plan(&inventory).map_err(ProbeError::Refused)?;
            apply::pin(&fresh.plan, &agreed).map_err(ProbeError::Changed)?;
            let disks = Bound::new(&fresh.plan, &inventory, &self.agent.paths).map_err(ProbeError::Changed)?;
            Ok::<_, ProbeError>((inventory, fresh, disks))
        })?;
        let applied = self.apply(stages, inventory, fresh, disks.clone(), &mut done.applied);
        done.disks = disks.all().iter().map(|disk| disk.opened()).collect();
        applied.map(|()| disks)
    }

    /// A refusal is reported with everything that was considered; its event contains the same.
    pub(super) fn plan(&self, inventory: &Inventory) -> Result<Planned, plan::Refusal> {
        self.planned(inventory).inspect_err(|refusal| {
            for line in plan::explain_refusal(refusal).lines() {
                log::warn!("{line}");
            }
        })
    }

    pub(super) fn planned(&self, inventory: &Inventory) -> Result<Planned, plan::Refusal> {
        let words = &self.agent.config.attributes;
        let plan = plan::plan(inventory, self.order, words)?;
        let seed = plan::seed(inventory, self.order, words)?;
        Ok(Planned { plan, seed })
    }

    fn apply(
        &self,
        stages: &mut Stages,
        inventory: Inventory,
        planned: Planned,
        disks: Bound,
        done: &mut Applied,
    ) -> Result<(), Failure> {
        let cancel = Cancel::default();
        let safe_point = || self.safe_point();
        let context = Context {
            order: Arc::new(self.order.clone()),
            plan: Arc::new(planned.plan),
            inventory: Arc::new(plan::one_disk_each(&inventory).into_owned()),
            seed: planned.seed.map(Arc::new),
            download: self.download.clone(),
            cancel: cancel.clone(),
            safe_point: &safe_point,
            paths: self.agent.paths.clone(),
            disks,
            patience: Patience::default(),
        };
        let over = Arc::new(AtomicBool::new(false));
        let (control, ended) = (self.control.clone(), over.clone());
        let watch = thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                if control.is_cancelled() {
                    return cancel.cancel();
                }
                thread::sleep(Duration::from_millis(100));
            }
        });
        let result = apply::apply(&context, stages, done);
        over.store(true, Ordering::Relaxed);
        let _ = watch.join();
        result
    }

    fn safe_point(&self) -> Control {
        if self.control.get() == Control::Hold {
            log::info!("held by the controller");
        }
        loop {
            crate::alive::beat();
            match self.control.wait_while_held(HOLD_PATIENCE) {
                Control::Hold => {}
                word => return word,
            }
        }
    }
}

/// Why the plan no longer applies.
#[derive(Debug, thiserror::Error)]
enum ProbeError {
    #[error(transparent)]
    Refused(plan::Refusal),
    #[error(transparent)]
    Changed(ApplyError),
}

impl Coded for ProbeError {
    fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Changed(error) => error.code(),
        }
    }

    fn trace(&self) -> Option<&Trace> {
        match self {
            Self::Refused(refusal) => refusal.trace(),
            Self::Changed(_) => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => refusal.hint(),
            Self::Changed(error) => error.hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attest::Chip;
    use crate::config::Config;
    use crate::http;
    use crate::http::{Clock, Timeouts, Trust, TrustFiles};
    use crate::protocol::order::parse_bytes;
    use crate::report::Emitter;
    use crate::run::Look;

    #[test]
    fn a_refused_plan_says_why_in_its_event_and_asks_for_no_grant() {
        let root = tempfile::tempdir().unwrap();
        let (config, log) = (Config::default(), crate::api::LogRing::new(1000));
        let (look, chip) = (Look::default(), Chip::below(root.path()));
        let (paths, records) = (apply::Paths::default(), std::sync::Arc::default());
        let agent = Agent { root: root.path().into(), config, paths, log, look, records, chip };
        let layouts = serde_json::json!([{"name": "only-disk", "disks": {"root": {"image": "debian"}}}]);
        let images = serde_json::json!({"debian": {"urls": ["http://boot.lan/debian.raw"]}});
        let order = serde_json::json!({"version": "order/v1", "id": "o", "images": images, "layouts": layouts});
        let order = parse_bytes(order.to_string().as_bytes()).unwrap();
        let trust = Trust::downloads(None, &TrustFiles::below(root.path()), Clock::trusted()).unwrap();
        let emitter = Emitter::disconnected();
        let events = emitter.listen(100);
        let attempt = Attempt {
            agent: &agent,
            order: &order,
            number: 1,
            // No disks at all.
            inventory: &Inventory::default(),
            download: http::agent(&trust, &Timeouts::DOWNLOADS),
            control: ControlFlag::default(),
            boot_id: "boot-1",
            door: None,
            finish: Finish::Kexec,
            judge: None,
        };
        let outcome = attempt.run(&mut Stages::new(emitter), |_| -> Result<(), ApplyError> { panic!("asked") });
        assert!(!outcome.kernel);
        let receipt = outcome.receipt;
        let problem = receipt.problem.unwrap();
        let failed = events.try_iter().find_map(|event| match event.kind() {
            Some(Kind::StageFailed(failed)) => Some(failed),
            _ => None,
        });
        let failed = failed.unwrap();
        assert_eq!((failed.stage.as_str(), failed.problem.code), ("plan", problem.code));
        assert!(failed.trace.is_some());
    }
}
