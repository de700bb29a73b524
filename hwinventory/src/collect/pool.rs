//! Many devices, each read in a thread of its own, but only so many at a time.

use super::crew::thread;
use super::isolate::{Message, Outcome, Progress, Value, contained, typed};
use crate::model::{Problem, Status};
use crate::source::{Reader, Source};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How many devices are read at once. As many again may have been given up and still hang.
const AT_ONCE: usize = 128;
/// How many at first: where all answer from the kernel's memory, more threads only cost.
const AT_FIRST: usize = 4;
/// How long until there are twice as many, and twice as many again.
const STEP: Duration = Duration::from_millis(5);

/// A section that reads many devices waits this much longer than they may take, to tell what was read of them.
pub(crate) const SPARE: Duration = Duration::from_secs(5);

/// What a device's thread hands over: what it has read, and what it could not read.
type Read<T> = (T, Vec<Problem>);

pub(crate) struct Limits {
    pub at_once: usize,
    /// From the start of a device on.
    pub each: Duration,
    /// For all of them together.
    pub all: Duration,
}

impl Limits {
    pub fn new(each: Duration, all: Duration) -> Limits {
        Limits { at_once: AT_ONCE, each, all }
    }
}

/// Reads each of `jobs`, by name, and gives how each ended, in their order. `work` publishes what it has before it asks
/// something that may hang.
pub(crate) fn devices<J, T>(
    jobs: Vec<(String, J)>,
    limits: &Limits,
    source: &Arc<dyn Source>,
    work: impl Fn(&Reader, J, &dyn Fn(&T)) + Send + Sync + 'static,
) -> Vec<Outcome<Read<T>>>
where
    J: Send + 'static,
    T: Clone + Send + 'static,
{
    let names: Vec<String> = jobs.iter().map(|(name, _)| name.clone()).collect();
    let (source, work) = (source.clone(), Arc::new(work));
    let jobs = jobs.into_iter().map(|(_, job)| {
        let (source, work) = (source.clone(), work.clone());
        let job: Job = Box::new(move |progress| {
            let reader = Reader::new(source);
            work(&reader, job, &|value: &T| {
                let read: Read<T> = (value.clone(), reader.problems());
                progress.send(read);
            });
        });
        job
    });
    let outcomes = untyped(names, &mut jobs.enumerate(), limits);
    outcomes.into_iter().map(|outcome| Outcome { value: typed(outcome.value), failure: outcome.failure }).collect()
}

type Job = Box<dyn FnOnce(&Progress) + Send>;

fn untyped(names: Vec<String>, jobs: &mut dyn Iterator<Item = (usize, Job)>, limits: &Limits) -> Vec<Outcome<Value>> {
    let (sender, receiver) = channel();
    let started = Instant::now();
    let mut pool = Pool {
        slots: names.iter().map(|_| Slot { value: None, failure: None, state: State::Waiting }).collect(),
        waiting: jobs,
        running: VecDeque::new(),
        left_behind: 0,
        limits,
        started,
        end: started + limits.all,
        sender,
    };
    pool.run(&receiver);
    pool.outcomes(names)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Ended,
    /// Given up; its thread is still there.
    Hung,
}

struct Slot {
    value: Option<Value>,
    failure: Option<(Status, String)>,
    state: State,
}

struct Pool<'a> {
    slots: Vec<Slot>,
    waiting: &'a mut dyn Iterator<Item = (usize, Job)>,
    /// In the order in which they started, which is the order of their deadlines.
    running: VecDeque<(usize, Instant)>,
    left_behind: usize,
    limits: &'a Limits,
    started: Instant,
    end: Instant,
    sender: Sender<(usize, Message)>,
}

impl Pool<'_> {
    fn run(&mut self, receiver: &Receiver<(usize, Message)>) {
        loop {
            self.start();
            self.forget_ended();
            let Some(&(_, deadline)) = self.running.front() else { return };
            let now = Instant::now();
            let left = deadline.min(self.end).saturating_duration_since(now);
            // While more are allowed with every step, the next step must not be missed.
            let step = if self.allowed(now) < self.limits.at_once { STEP } else { left };
            match receiver.recv_timeout(left.min(step)) {
                Ok((at, message)) => self.take(at, message),
                Err(RecvTimeoutError::Timeout) => self.give_up(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// How many may be read at once by now.
    fn allowed(&self, now: Instant) -> usize {
        let steps = now.saturating_duration_since(self.started).as_millis() / STEP.as_millis();
        let allowed = AT_FIRST.checked_shl(u32::try_from(steps.min(16)).unwrap_or(16)).unwrap_or(usize::MAX);
        allowed.min(self.limits.at_once)
    }

    /// Starts what there is room for. Those that hang count too, up to as many again.
    fn start(&mut self) {
        let now = Instant::now();
        let allowed = self.allowed(now);
        while self.running.len() < allowed && self.left_behind < self.limits.at_once && now < self.end {
            let Some((at, job)) = self.waiting.next() else { return };
            let spawned = thread(contained(Progress::of(at, &self.sender), job));
            let Some(slot) = self.slots.get_mut(at) else { return };
            match spawned {
                Ok(()) => {
                    slot.state = State::Running;
                    self.running.push_back((at, Instant::now() + self.limits.each));
                }
                Err(error) => {
                    slot.state = State::Ended;
                    slot.failure = Some((Status::Error, format!("no thread: {error}")));
                }
            }
        }
    }

    fn forget_ended(&mut self) {
        let slots = &self.slots;
        self.running.retain(|(at, _)| slots.get(*at).is_some_and(|slot| slot.state == State::Running));
    }

    fn take(&mut self, at: usize, message: Message) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        let failure = match message {
            Message::Progress(value) => {
                if slot.state == State::Running {
                    slot.value = Some(value);
                }
                return;
            }
            Message::Done => None,
            Message::Panicked(text) => Some((Status::Error, format!("collector stopped unexpectedly: {text}"))),
            Message::Failed(text) => Some((Status::Error, text)),
        };
        if slot.state == State::Hung {
            // Too late, but its thread is gone.
            self.left_behind = self.left_behind.saturating_sub(1);
        } else {
            slot.failure = failure;
        }
        slot.state = State::Ended;
    }

    fn give_up(&mut self) {
        let now = Instant::now();
        for (at, deadline) in &self.running {
            if let Some(slot) = self.slots.get_mut(*at).filter(|_| *deadline <= now || self.end <= now) {
                slot.state = State::Hung;
                let text = format!("no answer within {} ms", self.limits.each.as_millis());
                slot.failure = Some((Status::Timeout, text));
                self.left_behind += 1;
            }
        }
    }

    fn outcomes(self, names: Vec<String>) -> Vec<Outcome<Value>> {
        let unasked = || (Status::Timeout, "not asked: too many devices before it did not answer".to_owned());
        let named = names.into_iter().zip(self.slots);
        named
            .map(|(what, slot)| {
                let failure = slot.failure.or_else(|| (slot.state == State::Waiting).then(unasked));
                let failure = failure.map(|(status, message)| Problem { what, status, message });
                Outcome { value: slot.value, failure }
            })
            .collect()
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
