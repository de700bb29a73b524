//! Stages: each is announced and timed, and its failure is reported once, on the console and as an event.

use super::Emitter;
use crate::error::Coded;
use crate::protocol::event::{StageFailed, StageFinished, StageStarted};
use crate::protocol::receipt::StageTime;
use crate::protocol::{Kind, Problem};
use std::time::{Duration, Instant};

/// A stage that failed. The typed error has been converted to its wire form, since nothing beyond this point depends on
/// its type.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    pub stage: String,
    pub problem: Problem,
}

/// Runs stages and records how long they took.
#[derive(Debug)]
pub struct Stages {
    emitter: Emitter,
    times: Vec<StageTime>,
}

impl Stages {
    pub fn new(emitter: Emitter) -> Self {
        Self { emitter, times: Vec::new() }
    }

    pub fn emitter(&self) -> &Emitter {
        &self.emitter
    }

    /// Clears the times, for another order.
    pub fn restart(&mut self) {
        self.times.clear();
    }

    /// Milliseconds per stage so far, in order of execution.
    pub fn times(&self) -> Vec<StageTime> {
        self.times.clone()
    }

    /// Like [`Stages::run`], but for waiting: reports only failures.
    pub fn quiet<T, E: Coded>(&mut self, name: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, Failure> {
        let started = Instant::now();
        work().map_err(|error| self.failed(name, started.elapsed(), &error))
    }

    /// Runs `work` as the stage `name`.
    pub fn run<T, E: Coded>(&mut self, name: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, Failure> {
        log::info!("{name}: started");
        self.emitter.emit(Kind::StageStarted(StageStarted { stage: name.to_owned() }));
        let started = Instant::now();
        let result = work();
        let took = started.elapsed();
        let duration_ms = millis(took);
        self.times.push(StageTime { stage: name.to_owned(), duration_ms });
        match result {
            Ok(value) => {
                log::info!("{name}: done in {}", seconds(took));
                self.emitter.emit(Kind::StageFinished(StageFinished { stage: name.to_owned(), duration_ms }));
                Ok(value)
            }
            Err(error) => Err(self.failed(name, took, &error)),
        }
    }

    fn failed(&self, name: &str, took: Duration, error: &impl Coded) -> Failure {
        let problem = error.problem();
        tell(name, &problem);
        let trace = error.trace().cloned().map(Box::new);
        let failed = StageFailed { stage: name.to_owned(), duration_ms: millis(took), problem: problem.clone(), trace };
        self.emitter.emit(Kind::StageFailed(failed));
        Failure { stage: name.to_owned(), problem }
    }
}

/// Prints a problem on the console: what, why, what to do.
pub fn tell(stage: &str, problem: &Problem) {
    log::error!("{stage}: FAILED [{}] {}", problem.code, problem.message);
    for cause in &problem.causes {
        log::error!("  because: {cause}");
    }
    if let Some(hint) = &problem.hint {
        log::error!("  what to do: {hint}");
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("it broke")]
    struct Broken(#[source] std::fmt::Error);

    impl Coded for Broken {
        fn code(&self) -> &'static str {
            "test.broken"
        }
        fn hint(&self) -> Option<String> {
            Some("mend it".to_owned())
        }
    }

    #[test]
    fn a_failed_stage_is_told_with_its_chain_and_counted() {
        let emitter = Emitter::disconnected();
        let events = emitter.listen(8);
        let mut stages = Stages::new(emitter);
        assert_eq!(stages.run("first", || Ok::<_, Broken>(7)).unwrap(), 7);
        let failure = stages.run("second", || Err::<(), _>(Broken(std::fmt::Error))).unwrap_err();
        assert_eq!(failure.stage, "second");
        assert_eq!(failure.problem.code, "test.broken");
        assert_eq!(failure.problem.causes.len(), 1);
        assert_eq!(failure.problem.hint.as_deref(), Some("mend it"));
        assert_eq!(stages.times().iter().map(|time| time.stage.as_str()).collect::<Vec<_>>(), ["first", "second"]);
        let kinds: Vec<String> = events.try_iter().map(|event| event.kind.clone()).collect();
        let started = "dev.burin.stage.started";
        assert_eq!(kinds, [started, "dev.burin.stage.finished", started, "dev.burin.stage.failed"]);
    }
}
