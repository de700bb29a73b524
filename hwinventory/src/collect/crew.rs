//! The threads in which sections are collected.
//!
//! Most sections take about a millisecond, less than a thread costs, so a few threads do them one after the other. Some
//! take seconds, and some never end: as soon as work has waited for [`STEP`], more threads are started.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many threads there are as long as nothing takes long.
const FEW: usize = 4;
/// How long work waits for a thread before more are started.
pub(super) const STEP: Duration = Duration::from_millis(10);
/// Collectors keep little on the stack.
const STACK: usize = 512 << 10;

pub(super) type Work = Box<dyn FnOnce() + Send>;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(u64);

pub(super) struct Crew(Mutex<State>);

struct State {
    next: u64,
    waiting: VecDeque<(Number, Work)>,
    /// What is being done and somebody waits for.
    running: BTreeSet<Number>,
}

/// The one that collects.
pub(super) static CREW: Crew = Crew::new();

impl Crew {
    const fn new() -> Crew {
        Crew(Mutex::new(State { next: 0, waiting: VecDeque::new(), running: BTreeSet::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` now, or when one of the threads is free. `work` must not panic.
    pub fn start(&'static self, work: Work) -> io::Result<Number> {
        let mut state = self.state();
        let number = Number(state.next);
        state.next += 1;
        if state.running.len() < FEW {
            self.hire(&mut state, number, work)?;
        } else {
            state.waiting.push_back((number, work));
        }
        Ok(number)
    }

    /// To be called whenever somebody has waited for [`STEP`]: twice as many threads, as long as work waits for one.
    pub fn help(&'static self) {
        let mut state = self.state();
        for _ in 0..state.running.len().max(1) {
            let Some((number, work)) = state.waiting.pop_front() else { return };
            // Without a thread the work is dropped, which whoever waits for it will see.
            let _ = self.hire(&mut state, number, work);
        }
    }

    /// Nobody waits for this work any more. If it is being done, its thread does no other.
    pub fn forget(&self, number: Number) {
        let mut state = self.state();
        state.running.remove(&number);
        state.waiting.retain(|(waiting, _)| *waiting != number);
    }

    fn hire(&'static self, state: &mut State, number: Number, work: Work) -> io::Result<()> {
        thread(Box::new(move || self.work(number, work)))?;
        state.running.insert(number);
        Ok(())
    }

    fn work(&self, mut number: Number, mut work: Work) {
        loop {
            work();
            let mut state = self.state();
            if !state.running.remove(&number) {
                // Others have taken this thread's place.
                return;
            }
            let Some(next) = state.waiting.pop_front() else { return };
            (number, work) = next;
            state.running.insert(number);
        }
    }
}

/// A thread of its own for `work`.
pub(super) fn thread(work: Work) -> io::Result<()> {
    std::thread::Builder::new().name("inventory".into()).stack_size(STACK).spawn(work).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    fn hang(crew: &'static Crew) -> Number {
        crew.start(Box::new(|| std::thread::sleep(Duration::from_secs(60)))).expect("threads can be had")
    }

    #[test]
    fn what_hangs_keeps_nothing_else_waiting() {
        static CREW: Crew = Crew::new();
        for _ in 0..4 * FEW {
            hang(&CREW);
        }
        let (sender, receiver) = channel();
        CREW.start(Box::new(move || sender.send(7).unwrap_or_default())).expect("threads can be had");
        let answer = (0..10_000).find_map(|_| {
            CREW.help();
            receiver.recv_timeout(STEP).ok()
        });
        assert_eq!(answer, Some(7));
    }

    #[test]
    fn a_few_threads_do_everything_that_is_quick() {
        static CREW: Crew = Crew::new();
        let (sender, receiver) = channel();
        for _ in 0..100 {
            let sender = sender.clone();
            let work = move || sender.send(std::thread::current().id()).unwrap_or_default();
            CREW.start(Box::new(work)).expect("threads can be had");
            assert!(CREW.state().running.len() <= FEW);
        }
        assert_eq!(receiver.iter().take(100).count(), 100, "nobody had to help");
    }

    #[test]
    fn what_nobody_waits_for_is_not_begun() {
        static CREW: Crew = Crew::new();
        let hung: Vec<Number> = (0..FEW).map(|_| hang(&CREW)).collect();
        let (sender, receiver) = channel();
        let unwanted = CREW.start(Box::new(move || sender.send(7).unwrap_or_default())).expect("threads can be had");
        CREW.forget(unwanted);
        hung.into_iter().for_each(|number| CREW.forget(number));
        CREW.help();
        assert!(receiver.recv().is_err(), "its sender is gone, and nothing was sent");
    }
}
