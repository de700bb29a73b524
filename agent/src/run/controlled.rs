//! Orders from a controller, one after the other, each with its grant and its acknowledged receipt.

use super::asker::Asker;
use super::callers::Callers;
use super::{Agent, FLUSH_PATIENCE, Ready, facts};
use crate::api::Door;
use crate::apply;
use crate::boot;
use crate::config::HttpUrl;
use crate::controller::{ControllerError, Memory, Next, Offer, Options, Session, Timeouts, http};
use crate::exit::Exit;
use crate::protocol::order::Finish;
use crate::protocol::{Hello, LastState, hello};
use crate::run::attempt::Attempt;
use crate::stage::{Failure, Stages, tell};
use std::sync::Arc;
use std::time::Duration;

/// How long callers wait while nothing else goes on.
const TURN: Duration = Duration::from_millis(250);
/// How long a receipt may stay unacknowledged. After that the machine stays up and asks for orders again.
const RECEIPT_DEADLINE: Duration = Duration::from_secs(24 * 3600);

impl Agent {
    pub(super) fn controlled(&self, stages: &mut Stages, mut ready: Ready, url: &HttpUrl) -> Result<Exit, Failure> {
        let mut options = Options::new(url.as_str(), ready.trust.clone(), self.state());
        options.join_token = self.config.token.clone();
        options.control = ready.control.clone();
        let memory = Memory::new(&self.state());
        let mut hello = self.hello(&ready, &memory);
        let callers = self.open_door(stages, &ready, &hello);
        hello.api = callers.as_ref().map(Callers::endpoint);
        let door = callers.as_ref().map(|callers| &callers.door);
        let emitter = stages.emitter().clone();
        let session = Arc::new(stages.run("hello", || Session::connect(options, hello, &emitter))?);
        boot::forget_last_crash(&self.root);
        log::info!("known to the controller as {}", session.machine());

        if let Some(receipt) = memory.receipt() {
            log::info!("an earlier agent's receipt for {} is not acknowledged yet", receipt.order);
            stages.run("receipt", || session.post_receipt(&receipt, RECEIPT_DEADLINE))?;
        }
        log::info!("waiting for an order");
        let mut asker = stages.quiet("order", || Asker::start(session.clone()))?;
        loop {
            if let Some(door) = door {
                // Another hello may have brought another token.
                if let Some(token) = session.token() {
                    door.set_token(token);
                }
                if let Some(exit) = self.callers_first(stages, &ready, door)? {
                    return Ok(exit);
                }
            }
            let Some(answer) = asker.next(TURN) else { continue };
            match stages.quiet("order", || answer)? {
                Next::None => {}
                Next::Refused(refused) => tell("order", &refused.problem),
                Next::Gone => {
                    log::info!("the controller has no order for this machine and will have none");
                    emitter.flush(FLUSH_PATIENCE);
                    return Ok(self.config.finish.map_or(Exit::Stop, Exit::from));
                }
                Next::Order(offer) => {
                    // What an order is planned on is what the machine is now.
                    ready.inventory = facts::inventory(stages, self)?;
                    while let Some(door) = door
                        && !door.begin(&offer.order, &offer.raw)
                    {
                        if let Some(exit) = self.callers_first(stages, &ready, door)? {
                            return Ok(exit);
                        }
                    }
                    if let Some(exit) = self.serve(stages, &ready, &session, &memory, *offer, door)? {
                        return Ok(exit);
                    }
                    log::info!("waiting for another order");
                }
            }
        }
    }

    /// What callers want, as long as they want something.
    fn callers_first(&self, stages: &mut Stages, ready: &Ready, door: &Door) -> Result<Option<Exit>, Failure> {
        while let Some(work) = door.next_work(Duration::ZERO) {
            if let Some(exit) = self.called(stages, ready, door, work)? {
                return Ok(Some(exit));
            }
        }
        Ok(None)
    }

    /// One order, from grant to acknowledged receipt. None: stay for the next one.
    fn serve(
        &self,
        stages: &mut Stages,
        ready: &Ready,
        session: &Session,
        memory: &Memory,
        offer: Offer,
        door: Option<&Door>,
    ) -> Result<Option<Exit>, Failure> {
        let Offer { order, etag, attempt: number, .. } = offer;
        let state = LastState {
            order: order.id.clone(),
            attempt: number,
            stage: Some("apply".to_owned()),
            plan_digest: None,
            receipt_pending: false,
        };
        let attempt = Attempt {
            agent: self,
            order: &order,
            number,
            inventory: &ready.inventory,
            download: http::agent(&ready.downloads, &Timeouts::DOWNLOADS),
            control: Some(session.control()),
            boot_id: &ready.boot_id,
            door,
            finish: self.config.finish.unwrap_or(order.policies.finish),
        };
        let outcome = attempt.run(stages, |digest| {
            session.grant(&order.id, number, digest)?;
            keep(memory, Some(&LastState { plan_digest: Some(digest.to_owned()), ..state.clone() }));
            Ok::<_, ControllerError>(())
        });
        let receipt = &outcome.receipt;
        if let Some(door) = door {
            door.finish(receipt);
        }
        ready.logs.send();
        let posted = stages.run("receipt", || session.post_receipt(receipt, RECEIPT_DEADLINE));
        session.done_with(etag.as_deref());
        stages.emitter().set_subject(None);
        posted?;
        keep(memory, None);
        if receipt.problem.is_some() {
            return Ok(None);
        }
        match attempt.finish {
            Finish::Hold => Ok(None),
            Finish::Kexec if !outcome.kernel => Ok(Some(Exit::Reboot)),
            finish => Ok(Some(finish.into())),
        }
    }

    pub(super) fn hello(&self, ready: &Ready, memory: &Memory) -> Hello {
        Hello {
            version: hello::VERSION.to_owned(),
            identity: ready.identity.clone(),
            boot_id: ready.boot_id.clone(),
            instance: uuid::Uuid::new_v4().to_string(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: CAPABILITIES.iter().map(|&word| word.to_owned()).chain(apply::capabilities()).collect(),
            inventory: serde_json::to_value(&ready.inventory).unwrap_or_default(),
            last_crash: boot::last_crash(&self.root).and_then(|report| serde_json::to_value(report).ok()),
            last_state: memory.last_state(),
            api: None,
        }
    }
}

/// What an order may ask of this agent.
const CAPABILITIES: [&str; 10] = [
    "order/v1",
    "format.raw",
    "format.qcow2",
    "format.tar",
    "compression.gzip",
    "compression.xz",
    "compression.zstd",
    "compression.lz4",
    "compression.bzip2",
    "verify.readback",
];

fn keep(memory: &Memory, state: Option<&LastState>) {
    if let Err(error) = memory.remember(state) {
        log::warn!("an agent after this one will not know of the work in hand: {error}");
    }
}
