//! The main loop: asks every front for jobs, does one job at a time, and delivers its result while all fronts are still
//! served.

use super::api::OpenDoor;
use super::attempt::{Attempt, AttemptOutcome};
use super::{Agent, Ready, StartError, evidence, facts};
use crate::api::Door;
use crate::apply::ApplyError;
use crate::bell::Bell;
use crate::calls::ControllerError;
use crate::dialect::{self, Front, Ground, Job, Leave, Wish};
use crate::error::Coded;
use crate::exit::Exit;
use crate::http::{self, Timeouts};
use crate::policy::{self, Circumstances, needs_judgement};
use crate::report::Memory;
use crate::stage::{Failure, Stages};
use hwinventory::Inventory;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

/// The longest wait between rounds. Fronts wake the loop when there is news; this covers what nothing wakes it for.
const TURN: Duration = Duration::from_secs(1);
/// How long the response to the caller that ends the machine may take: the server stops with this process.
const ANSWER_PATIENCE: Duration = Duration::from_millis(500);
/// How long the last events may take before the machine ends as requested.
const POWER_PATIENCE: Duration = Duration::from_secs(5);
/// The age up to which an inventory is good enough to plan an order.
const FRESH: Duration = Duration::from_secs(10);

/// A front, and what to do once it has delivered its result.
struct Seat {
    front: Box<dyn Front>,
    /// A job that waits because callers came first.
    parked: Option<Box<Job>>,
    then: Option<Exit>,
}

impl Agent {
    pub(super) fn serve(&self, stages: &mut Stages, mut ready: Ready) -> Result<Exit, Failure> {
        let (state, bell, emitter) = (self.state(), Bell::default(), stages.emitter().clone());
        let mut hello = self.hello(&ready, Memory::new(&state).last_state());
        let open = self.open_door(stages, &ready, &hello);
        hello.api = open.as_ref().map(OpenDoor::endpoint);
        let door = open.as_ref().map(|open| &open.door);
        let look = self.look.clone();
        let ground = Ground {
            config: &self.config,
            root: &self.root,
            state: &state,
            hello: &hello,
            key: ready.key.as_ref(),
            chip: &self.chip,
            inventory: &ready.inventory,
            look: Arc::new(move || look.inventory()),
            trust: &ready.trust,
            downloads: &ready.downloads,
            emitter: &emitter,
            control: &ready.control,
            log: &self.log,
            listen: ready.listen,
            door,
            bell: &bell,
        };
        let made = dialect::ALL.iter().filter_map(|make| make(&ground));
        let mut seats: Vec<Seat> = made.map(|front| Seat { front, parked: None, then: None }).collect();
        if seats.is_empty() {
            return stages.run("start", || Err(StartError::NothingToDo));
        }
        for seat in &mut seats {
            seat.front.greet()?;
        }
        self.read_bmc(&ready.inventory, door, &emitter);
        loop {
            crate::alive::beat();
            match self.turn(stages, &mut ready, &mut seats, door)? {
                Turn::End(exit) => return Ok(exit),
                Turn::Busy => {}
                Turn::Idle => bell.wait(TURN),
            }
        }
    }

    /// Asks each front once. After any job the loop starts again with the first front, which serves the callers.
    fn turn(
        &self,
        stages: &mut Stages,
        ready: &mut Ready,
        seats: &mut [Seat],
        door: Option<&Door>,
    ) -> Result<Turn, Failure> {
        for at in 0..seats.len() {
            let Some(seat) = seats.get_mut(at) else { continue };
            if let Some(exit) = seat.then
                && seat.front.deliver()
            {
                return Ok(Turn::End(exit));
            }
            let wish = match seat.parked.take() {
                Some(job) => Wish::Job(job),
                None => seat.front.next(stages)?,
            };
            match wish {
                Wish::Nothing => {}
                Wish::Exit(exit) => {
                    thread::sleep(ANSWER_PATIENCE);
                    ready.logs.send();
                    stages.emitter().flush(POWER_PATIENCE);
                    return Ok(Turn::End(exit));
                }
                Wish::Job(job) => {
                    // A caller's job has already begun at the API.
                    let begun = matches!(job.leave, Leave::Given(_))
                        || door.is_none_or(|door| door.begin(&job.order, &job.raw));
                    if !begun {
                        seat.parked = Some(job);
                        return Ok(Turn::Busy);
                    }
                    let exit = self.serve_job(stages, ready, seat.front.as_mut(), &job, door)?;
                    // The last job decides what follows.
                    seats.iter_mut().for_each(|seat| seat.then = None);
                    if let Some(seat) = seats.get_mut(at) {
                        seat.then = exit;
                    }
                    return Ok(Turn::Busy);
                }
            }
        }
        Ok(Turn::Idle)
    }

    /// Does one job, from its plan to its receipt. Returns what follows.
    fn serve_job(
        &self,
        stages: &mut Stages,
        ready: &mut Ready,
        front: &mut dyn Front,
        job: &Job,
        door: Option<&Door>,
    ) -> Result<Option<Exit>, Failure> {
        if ready.looked.is_none_or(|looked| looked.elapsed() > FRESH) {
            ready.inventory = facts::inventory(stages, self)?;
        }
        let started = SystemTime::now();
        let rules = self.config.policy.as_ref();
        let memory = Memory::new(&self.state());
        let key = ready.key.as_ref().map(|key| key.public());
        let judge = |inventory: &Inventory| {
            let (clock, now, done) = (ready.trust.clock(), SystemTime::now(), memory.was_done(&job.order.id));
            policy::judge(rules, &job.order, &job.raw, Circumstances { inventory, key, clock, now, done })
        };
        let attempt = Attempt {
            agent: self,
            order: &job.order,
            number: job.attempt,
            inventory: &ready.inventory,
            download: http::agent(&ready.downloads, &Timeouts::DOWNLOADS),
            control: ready.control.clone(),
            boot_id: &ready.boot_id,
            door,
            finish: job.ending.finish,
            judge: needs_judgement(rules, &job.order).then_some(&judge),
        };
        let outcome = attempt.run(stages, |digest| leave(front, job, digest));
        let AttemptOutcome { receipt, kernel } = outcome;
        let receipt = evidence::sign(self, ready, job, started, receipt);
        if receipt.problem.is_none()
            && rules.is_some()
            && let Err(error) = memory.was_done_now(&job.order.id)
        {
            log::warn!("the end of this order cannot be recorded for the next agent: {error}");
        }
        // The disks have changed.
        ready.looked = None;
        if let Some(door) = door {
            door.finish(&receipt);
        }
        ready.logs.send();
        front.done(job, &receipt);
        stages.emitter().set_subject(None);
        Ok(job.ending.exit(receipt.problem.is_some(), kernel))
    }
}

/// The result of one round.
enum Turn {
    /// Start the next round at once.
    Busy,
    Idle,
    End(Exit),
}

fn leave(front: &mut dyn Front, job: &Job, now: &str) -> Result<(), LeaveError> {
    match &job.leave {
        Leave::Unneeded => Ok(()),
        Leave::Asked => front.leave(job, now).map_err(LeaveError::Refused),
        Leave::Given(agreed) if agreed == now => Ok(()),
        Leave::Given(agreed) => {
            Err(LeaveError::Changed(ApplyError::Changed { agreed: agreed.clone(), now: now.to_owned() }))
        }
    }
}

/// Why nothing may be written.
#[derive(Debug, thiserror::Error)]
enum LeaveError {
    #[error(transparent)]
    Refused(ControllerError),
    #[error(transparent)]
    Changed(ApplyError),
}

impl Coded for LeaveError {
    fn code(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.code(),
            Self::Changed(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(error) => error.hint(),
            Self::Changed(error) => error.hint(),
        }
    }
}
