//! The client of burin's own protocol: hello, order, grant, events, receipt, with retries and spool; described in
//! docs/protocol.md.
//!
//! [`Session`] is the protocol, one call after the other; [`front`] puts it on a thread of its own.

mod link;
mod session;
mod worker;

pub use session::{Next, Notify, Offer, RefusedOrder, RetryNotice, Session, SessionOptions};

use super::{Ending, Front, Ground, Job, Leave, Wish};
use crate::api::Door;
use crate::boot;
use crate::calls::ControllerError;
use crate::exit::Exit;
use crate::protocol::order::Finish;
use crate::protocol::{LastState, Receipt};
use crate::report::Memory;
use crate::report::stage::{Failure, Stages, tell};
use std::path::PathBuf;
use std::sync::Arc;
use worker::{Worker, WorkerMessage};

/// `None` if no controller is configured, or if an order takes precedence.
pub fn front(ground: &Ground<'_>) -> Option<Box<dyn Front>> {
    let config = ground.config;
    let url = config.controller.as_ref().filter(|_| config.order.is_none())?;
    let mut options = SessionOptions::new(url.as_str(), ground.trust.clone(), ground.state.to_owned());
    options.join_token = config.token.clone();
    options.key = ground.key.cloned();
    options.chip = Some(ground.chip.clone());
    options.rules = config.policy.clone();
    options.control = ground.control.clone();
    let worker = Worker::new(options, ground.hello.clone(), ground.emitter.clone(), ground.bell.clone());
    Some(Box::new(Controller {
        worker,
        session: None,
        memory: Memory::new(ground.state),
        root: ground.root.to_owned(),
        door: ground.door.cloned(),
        told: config.finish,
        asked: false,
        in_hand: false,
        etag: None,
        undelivered: 0,
    }))
}

struct Controller {
    worker: Worker,
    /// Present once hello was answered.
    session: Option<Arc<Session>>,
    memory: Memory,
    root: PathBuf,
    /// Callers of the API need the token from hello.
    door: Option<Door>,
    /// `burin.finish=`.
    told: Option<Finish>,
    /// A request for an order is pending.
    asked: bool,
    /// A job was given and is not finished.
    in_hand: bool,
    /// Of that job.
    etag: Option<String>,
    /// Receipts that have not been acknowledged yet.
    undelivered: u32,
}

impl Front for Controller {
    fn greet(&mut self) -> Result<(), Failure> {
        let mut stages = Stages::new(self.worker.emitter().clone());
        stages.quiet("hello", || self.worker.start())
    }

    fn next(&mut self, stages: &mut Stages) -> Result<Wish, Failure> {
        self.share_token();
        let Some(news) = self.worker.news() else {
            self.ask();
            return Ok(Wish::Nothing);
        };
        match news {
            WorkerMessage::Failed(failure) => return Err(failure),
            WorkerMessage::Hello(session) => self.greeted(session),
            WorkerMessage::Acknowledged => {
                self.undelivered = self.undelivered.saturating_sub(1);
                if self.undelivered == 0 {
                    self.keep(None);
                    log::info!("waiting for another order");
                }
            }
            WorkerMessage::Order(answer) => {
                self.asked = false;
                return self.answered(stages.quiet("order", || answer)?);
            }
        }
        Ok(Wish::Nothing)
    }

    fn leave(&mut self, job: &Job, plan_digest: &str) -> Result<(), ControllerError> {
        if let Some(session) = &self.session {
            session.grant(&job.order.id, job.attempt, plan_digest)?;
        }
        self.keep(Some(&LastState {
            order: job.order.id.clone(),
            attempt: job.attempt,
            stage: Some("apply".to_owned()),
            plan_digest: Some(plan_digest.to_owned()),
            receipt_pending: false,
        }));
        Ok(())
    }

    fn done(&mut self, _: &Job, receipt: &Receipt) {
        // Stored at once, because this process may not live to send it.
        if let Err(error) = self.memory.keep_receipt(Some(receipt)) {
            log::warn!("the receipt cannot be kept for the next agent: {error}");
        }
        self.in_hand = false;
        self.undelivered += 1;
        self.worker.post(receipt.clone());
        if let Some(session) = &self.session {
            session.done_with(self.etag.take().as_deref());
        }
    }

    fn deliver(&mut self) -> bool {
        self.undelivered == 0
    }
}

impl Controller {
    fn greeted(&mut self, session: Arc<Session>) {
        boot::forget_last_crash(&self.root);
        log::info!("known to the controller as {}", session.machine());
        if let Some(receipt) = self.memory.receipt() {
            log::info!("an earlier agent's receipt for {} is not acknowledged yet", receipt.order);
            self.undelivered += 1;
            self.worker.post(receipt);
        }
        log::info!("waiting for an order");
        self.session = Some(session);
        self.share_token();
    }

    /// Another hello may have brought another token.
    fn share_token(&self) {
        if let (Some(session), Some(door)) = (&self.session, &self.door)
            && let Some(token) = session.token()
        {
            door.set_token(token);
        }
    }

    fn ask(&mut self) {
        if self.session.is_some() && !self.asked && !self.in_hand && self.undelivered == 0 {
            self.asked = true;
            self.worker.ask();
        }
    }

    fn answered(&mut self, answer: Next) -> Result<Wish, Failure> {
        match answer {
            Next::None => Ok(Wish::Nothing),
            Next::Refused(refused) => {
                tell("order", &refused.problem);
                Ok(Wish::Nothing)
            }
            Next::Gone => {
                log::info!("the controller has no order for this machine and will have none");
                Ok(Wish::Exit(self.told.map_or(Exit::Stop, Exit::from)))
            }
            Next::Order(offer) => {
                let Offer { order, etag, attempt, raw } = *offer;
                (self.in_hand, self.etag) = (true, etag);
                let finish = self.told.unwrap_or(order.policies.finish);
                let ending = Ending { finish, without_kernel: Exit::Reboot, last: false };
                Ok(Wish::Job(Box::new(Job { order, raw, attempt, leave: Leave::Asked, ending })))
            }
        }
    }

    fn keep(&self, state: Option<&LastState>) {
        if let Err(error) = self.memory.remember(state) {
            log::warn!("the current work cannot be recorded for the next agent: {error}");
        }
    }
}
