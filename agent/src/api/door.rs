//! The shared state of the engine and the agent's API: one state, one order at a time.

use super::error::DoorAnomaly;
use super::history::History;
use super::lock::{Lock, TokenVerdict};
use super::log_ring::LogRing;
use super::work::{Admission, ApiRefusal, ApiWork, Kexec, Planner, refusal};
use crate::bell::Bell;
use crate::control::ControlFlag;
use crate::error::Coded;
use crate::protocol::event::Anomaly;
use crate::protocol::order::parse_bytes;
use crate::protocol::{
    ApplyReply, ApplyRequest, Event, Hello, Kind, Order, Phase, Plan, Power, Receipt, Secret, Status, api,
};
use crate::report::Emitter;
use serde_json::Value;
use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Cheap to clone.
#[derive(Clone)]
pub struct Door(Arc<Inner>);

struct Inner {
    hello: Hello,
    control: ControlFlag,
    planner: Planner,
    kexec: OnceLock<Kexec>,
    admission: OnceLock<Admission>,
    bell: OnceLock<Bell>,
    emitter: Emitter,
    lock: Mutex<Lock>,
    log: LogRing,
    history: History,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    stage: Option<String>,
    inventory: Value,
    order: Option<Placed>,
    plan: Option<Plan>,
    receipt: Option<Receipt>,
    applied: Option<(String, ApplyReply)>,
    work: VecDeque<ApiWork>,
}

#[derive(Debug)]
struct Placed {
    order: Order,
    raw: Vec<u8>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Door {{ phase: {:?} }}", self.lock().phase)
    }
}

/// Used by the engine.
impl Door {
    /// Shows `emitter`'s events from now on; `control` is shared with the session.
    pub fn new(hello: Hello, control: ControlFlag, emitter: &Emitter, log: LogRing, planner: Planner) -> Self {
        let (history, state, changed) = (History::default(), Mutex::default(), Condvar::new());
        let (kexec, bell, admission) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let (events, emitter, lock) = (emitter.listen(4096), emitter.clone(), Mutex::default());
        let inner =
            Inner { hello, control, planner, kexec, admission, bell, emitter, lock, log, history, state, changed };
        let door = Self(Arc::new(inner));
        let weak = Arc::downgrade(&door.0);
        // Ends together with the emitter or the door.
        let pump = move || {
            for event in events {
                match weak.upgrade() {
                    Some(inner) => inner.see(event),
                    None => return,
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("api-events".into()).spawn(pump) {
            log::warn!("the agent's API will show no events: {error}");
        }
        door
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets how an installed kernel is loaded; until then, kexec is refused.
    pub fn set_kexec(&self, kexec: Kexec) {
        // Only the first one counts.
        let _ = self.0.kexec.set(kexec);
    }

    /// Sets how callers' orders are admitted; until then, they are parsed as unsigned orders.
    pub fn set_admission(&self, admission: Admission) {
        // Only the first one counts.
        let _ = self.0.admission.set(admission);
    }

    /// Rung whenever there is work.
    pub fn set_bell(&self, bell: Bell) {
        // Only the first one counts.
        let _ = self.0.bell.set(bell);
    }

    fn wake(&self) {
        self.0.changed.notify_all();
        if let Some(bell) = self.0.bell.get() {
            bell.ring();
        }
    }

    /// From now on this token opens the API. Until then none does, and one that is too short never does.
    pub fn set_token(&self, token: Secret) {
        if !self.0.lock.lock().unwrap_or_else(PoisonError::into_inner).set(token) {
            self.tell(&DoorAnomaly::WeakToken);
        }
    }

    fn tell(&self, anomaly: &DoorAnomaly) {
        log::warn!("the agent's API: {anomaly}");
        self.0.emitter.emit(Kind::Anomaly(Anomaly { device: None, problem: anomaly.problem() }));
    }

    pub fn set_inventory(&self, inventory: Value) {
        let mut state = self.lock();
        state.inventory = inventory;
        if state.phase == Phase::Starting {
            state.phase = Phase::Idle;
        }
    }

    pub fn set_stage(&self, stage: Option<&str>) {
        self.lock().stage = stage.map(str::to_owned);
    }

    /// Work on an order begins, wherever it came from. A cancellation of earlier work does not apply to it.
    ///
    /// Returns false, without any change, if a caller's work is waiting: that comes first, see [`Door::next_work`].
    pub fn begin(&self, order: &Order, raw: &[u8]) -> bool {
        let mut state = self.lock();
        if !state.work.is_empty() {
            return false;
        }
        self.0.control.renew();
        state.order = Some(Placed { order: order.clone(), raw: raw.to_owned() });
        (state.phase, state.plan, state.receipt) = (Phase::Applying, None, None);
        true
    }

    pub fn set_plan(&self, plan: &Plan) {
        self.lock().plan = Some(plan.clone());
    }

    /// The current work is over.
    pub fn finish(&self, receipt: &Receipt) {
        let mut state = self.lock();
        state.phase = if receipt.problem.is_none() { Phase::Done } else { Phase::Failed };
        (state.receipt, state.stage) = (Some(receipt.clone()), None);
    }

    /// The next request of a caller, waiting for it at most `patience`.
    pub fn next_work(&self, patience: Duration) -> Option<ApiWork> {
        let waited = self.0.changed.wait_timeout_while(self.lock(), patience, |state| state.work.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.work.pop_front()
    }
}

/// Used for callers.
impl Door {
    /// Whether this token opens the API. Wrong ones are counted, and reported now and then.
    pub(super) fn check(&self, given: Option<&str>, peer: IpAddr) -> TokenVerdict {
        let verdict = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner).check(given, Instant::now());
        if let TokenVerdict::Wrong(wrong) = &verdict
            && wrong.notable
        {
            self.tell(&DoorAnomaly::WrongToken { count: wrong.count, peer });
        }
        verdict
    }

    /// Wrong tokens in this boot.
    pub(super) fn wrong_tokens(&self) -> u64 {
        self.0.lock.lock().unwrap_or_else(PoisonError::into_inner).wrong()
    }

    pub(super) fn history(&self) -> &History {
        &self.0.history
    }

    pub(super) fn log(&self) -> &LogRing {
        &self.0.log
    }

    pub(super) fn status(&self) -> Status {
        let state = self.lock();
        Status {
            version: api::VERSION.to_owned(),
            identity: self.0.hello.identity.clone(),
            boot_id: self.0.hello.boot_id.clone(),
            agent_version: self.0.hello.agent_version.clone(),
            phase: state.phase,
            stage: state.stage.clone(),
            order: state.order.as_ref().map(|placed| placed.order.id.clone()),
            plan_digest: state.plan.as_ref().map(|plan| plan.digest.clone()),
            control: self.0.control.get(),
            problem: state.receipt.as_ref().and_then(|receipt| receipt.problem.clone()),
            last_event: self.0.history.last(),
        }
    }

    pub(super) fn inventory(&self) -> Option<Value> {
        Some(self.lock().inventory.clone()).filter(|inventory| !inventory.is_null())
    }

    /// The order as it was placed.
    pub fn order(&self) -> Option<Vec<u8>> {
        self.lock().order.as_ref().map(|placed| placed.raw.clone())
    }

    pub(super) fn plan(&self) -> Option<Plan> {
        self.lock().plan.clone()
    }

    pub(super) fn receipt(&self) -> Option<Receipt> {
        self.lock().receipt.clone()
    }

    /// Places an order. Placing the same bytes again changes nothing.
    pub(super) fn put_order(&self, raw: &[u8]) -> Result<(), ApiRefusal> {
        let order = match self.0.admission.get() {
            Some(admission) => admission(raw),
            None => parse_bytes(raw).map_err(|error| error.problem()),
        };
        let order = order.map_err(|problem| ApiRefusal { status: 422, problem })?;
        let mut state = self.lock();
        if state.order.as_ref().is_some_and(|placed| placed.raw == raw) {
            return Ok(());
        }
        state.not_busy()?;
        state.order = Some(Placed { order, raw: raw.to_owned() });
        (state.phase, state.plan, state.receipt, state.applied) = (Phase::Ordered, None, None, None);
        Ok(())
    }

    /// Plans the current order.
    pub(super) fn make_plan(&self) -> Result<Plan, ApiRefusal> {
        let order = {
            let state = self.lock();
            state.not_busy()?;
            state.ready()?;
            state.placed()?.order.clone()
        };
        // Outside the lock: planning may take a while, and status requests must be answered.
        let plan = (self.0.planner)(&order).map_err(|problem| ApiRefusal { status: 422, problem })?;
        let mut state = self.lock();
        state.not_busy()?;
        if state.placed()?.order != order {
            return Err(refusal(409, "api.order_changed", "the order was replaced while it was planned"));
        }
        (state.plan, state.phase) = (Some(plan.clone()), Phase::Planned);
        Ok(plan)
    }

    /// Starts to carry out the plan. The same key gets the same answer again, without a second start.
    pub(super) fn apply(&self, request: &ApplyRequest, key: Option<&str>) -> Result<ApplyReply, ApiRefusal> {
        let mut state = self.lock();
        if let (Some(key), Some((known, reply))) = (key, &state.applied)
            && key == known
        {
            return match reply.plan_digest == request.plan_digest {
                true => Ok(reply.clone()),
                false => Err(refusal(422, "api.idempotency_key", "this key was used for another plan")),
            };
        }
        state.not_busy()?;
        let order = state.placed()?.order.clone();
        let Some(plan) = state.plan.as_ref().filter(|_| state.phase == Phase::Planned) else {
            return Err(refusal(409, "api.no_plan", "there is no plan to apply: POST /v1/plan first"));
        };
        if plan.digest != request.plan_digest {
            let message = format!("the plan is {}, not {}", plan.digest, request.plan_digest);
            return Err(refusal(409, "api.plan_digest", message));
        }
        // A cancellation of earlier work does not apply; one from now on does.
        self.0.control.renew();
        let reply = ApplyReply { order: order.id.clone(), plan_digest: plan.digest.clone() };
        state.applied = key.map(|key| (key.to_owned(), reply.clone()));
        state.phase = Phase::Applying;
        state.work.push_back(ApiWork::Apply { order: Box::new(order), plan_digest: reply.plan_digest.clone() });
        self.wake();
        Ok(reply)
    }

    /// Cancels the current work; returns at which safe point it will end.
    pub(super) fn cancel(&self) -> Result<String, ApiRefusal> {
        let state = self.lock();
        if state.phase != Phase::Applying {
            return Err(refusal(409, "api.idle", "there is nothing to cancel"));
        }
        self.0.control.cancel();
        Ok(match &state.stage {
            Some(stage) => format!("within stage {stage}, between two chunks or at its end"),
            None => "before the next stage".to_owned(),
        })
    }

    /// For kexec the kernel is loaded first, which takes a while, so that a positive answer can be relied on.
    pub(super) fn power(&self, action: Power) -> Result<(), ApiRefusal> {
        if action == Power::Kexec {
            let plan = {
                let state = self.lock();
                state.not_busy()?;
                let installed = state.plan.clone().filter(|_| state.phase == Phase::Done);
                let nothing = || refusal(409, "api.nothing_installed", "there is no installed system to start");
                installed.ok_or_else(nothing)?
            };
            let none = || refusal(501, "api.no_kexec", "this agent cannot start a kernel past the firmware");
            let kexec = self.0.kexec.get().ok_or_else(none)?;
            kexec(&plan).map_err(|problem| ApiRefusal { status: 422, problem })?;
        }
        let mut state = self.lock();
        state.not_busy()?;
        state.work.push_back(ApiWork::Power(action));
        self.wake();
        Ok(())
    }
}

impl Inner {
    /// The current stage, according to the events.
    fn see(&self, event: Arc<Event>) {
        let stage = match event.kind() {
            Some(Kind::StageStarted(started)) => Some(Some(started.stage)),
            Some(Kind::StageFinished(_) | Kind::StageFailed(_)) => Some(None),
            _ => None,
        };
        if let Some(stage) = stage {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).stage = stage;
        }
        self.history.push(event);
    }
}

impl State {
    fn not_busy(&self) -> Result<(), ApiRefusal> {
        match (&self.order, self.phase) {
            (Some(placed), Phase::Applying) => {
                Err(refusal(409, "api.busy", format!("order {} is being carried out", placed.order.id)))
            }
            _ => Ok(()),
        }
    }

    fn ready(&self) -> Result<(), ApiRefusal> {
        match self.phase {
            Phase::Starting => Err(refusal(409, "api.starting", "there is no inventory yet")),
            _ if self.inventory.is_null() => Err(refusal(409, "api.starting", "there is no inventory yet")),
            _ => Ok(()),
        }
    }

    fn placed(&self) -> Result<&Placed, ApiRefusal> {
        self.order.as_ref().ok_or_else(|| refusal(409, "api.no_order", "there is no order: PUT /v1/order first"))
    }
}

#[cfg(test)]
#[path = "door_tests.rs"]
mod tests;
