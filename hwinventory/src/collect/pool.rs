//! Many devices, each read in a thread of its own, but only so many at a time.

use super::isolate::{Message, Outcome, Progress, spawn};
use crate::model::{Problem, Status};
use crate::source::{Reader, Source};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How many devices are read at once. As many again may have been given up and still hang.
const AT_ONCE: usize = 128;

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
    let (sender, receiver) = channel();
    let names: Vec<String> = jobs.iter().map(|(name, _)| name.clone()).collect();
    let mut pool = Pool {
        slots: names.iter().map(|_| Slot { value: None, failure: None, state: State::Waiting }).collect(),
        waiting: jobs.into_iter().map(|(_, job)| job).enumerate().collect(),
        running: VecDeque::new(),
        left_behind: 0,
        limits,
        end: Instant::now() + limits.all,
        source: source.clone(),
        work: Arc::new(work),
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

struct Slot<T> {
    value: Option<Read<T>>,
    failure: Option<(Status, String)>,
    state: State,
}

struct Pool<'a, J, T, W> {
    slots: Vec<Slot<T>>,
    waiting: VecDeque<(usize, J)>,
    /// In the order in which they started, which is the order of their deadlines.
    running: VecDeque<(usize, Instant)>,
    left_behind: usize,
    limits: &'a Limits,
    end: Instant,
    source: Arc<dyn Source>,
    work: Arc<W>,
    sender: Sender<(usize, Message<Read<T>>)>,
}

impl<J, T, W> Pool<'_, J, T, W>
where
    J: Send + 'static,
    T: Clone + Send + 'static,
    W: Fn(&Reader, J, &dyn Fn(&T)) + Send + Sync + 'static,
{
    fn run(&mut self, receiver: &Receiver<(usize, Message<Read<T>>)>) {
        loop {
            self.start();
            self.forget_ended();
            let Some(&(_, deadline)) = self.running.front() else { return };
            let left = deadline.min(self.end).saturating_duration_since(Instant::now());
            match receiver.recv_timeout(left) {
                Ok((at, message)) => self.take(at, message),
                Err(RecvTimeoutError::Timeout) => self.give_up(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Starts what there is room for. Those that hang count too, up to as many again.
    fn start(&mut self) {
        while self.running.len() < self.limits.at_once
            && self.left_behind < self.limits.at_once
            && Instant::now() < self.end
        {
            let Some((at, job)) = self.waiting.pop_front() else { return };
            let (source, work) = (self.source.clone(), self.work.clone());
            let progress = Progress::of(at, &self.sender);
            let spawned = spawn(progress, move |progress| {
                let reader = Reader::new(source);
                work(&reader, job, &|value: &T| progress.send((value.clone(), reader.problems())));
            });
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

    fn take(&mut self, at: usize, message: Message<Read<T>>) {
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

    fn outcomes(self, names: Vec<String>) -> Vec<Outcome<Read<T>>> {
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
