//! Work that may hang or panic is done in other threads and waited for only so long.
//!
//! What it hands over travels as `dyn Any`: two dozen sections and six kinds of devices share one channel, one queue and
//! one way of starting threads, instead of having the compiler write each of them for each type.

use super::crew::{CREW, Number, STEP, Work};
use crate::model::{Problem, Section, Status};
use crate::source::{Reader, Source};
use std::any::Any;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

pub(super) type Value = Box<dyn Any + Send>;

pub(super) enum Message {
    /// What is known so far.
    Progress(Value),
    Done,
    Panicked(String),
    Failed(String),
}

/// Lets a collector hand over what it has before it asks something that may never answer.
pub(super) struct Progress {
    /// Which of the works that share the channel this is.
    number: usize,
    sender: Sender<(usize, Message)>,
}

impl Progress {
    pub fn of(number: usize, sender: &Sender<(usize, Message)>) -> Progress {
        Progress { number, sender: sender.clone() }
    }

    pub fn send(&self, value: impl Any + Send) {
        self.message(Message::Progress(Box::new(value)));
    }

    fn message(&self, message: Message) {
        // The receiver is gone when the deadline has passed: then nobody wants it.
        let _ = self.sender.send((self.number, message));
    }
}

/// How a piece of isolated work ended, with the last value that it handed over.
#[derive(Debug)]
pub(crate) struct Outcome<T> {
    pub value: Option<T>,
    /// `None` when it finished.
    pub failure: Option<Problem>,
}

/// A running piece of work.
struct Task {
    what: String,
    receiver: Receiver<(usize, Message)>,
    deadline: Instant,
    started: Instant,
    /// `None` where there was no thread for it.
    number: Option<Number>,
}

/// Starts `work` in another thread, which is left behind if it never returns.
fn start(what: &str, limit: Duration, work: Box<dyn FnOnce(&Progress) + Send>) -> Task {
    let (sender, receiver) = channel();
    let started = Instant::now();
    let number = match CREW.start(contained(Progress::of(0, &sender), work)) {
        Ok(number) => Some(number),
        Err(error) => {
            Progress::of(0, &sender).message(Message::Failed(format!("no thread: {error}")));
            None
        }
    };
    Task { what: what.to_owned(), receiver, deadline: started + limit, started, number }
}

/// `work`, which says how it ended, whatever becomes of it.
pub(super) fn contained(progress: Progress, work: Box<dyn FnOnce(&Progress) + Send>) -> Work {
    Box::new(move || {
        let last = match catch_unwind(AssertUnwindSafe(|| work(&progress))) {
            Ok(()) => Message::Done,
            Err(payload) => Message::Panicked(panic_text(payload.as_ref())),
        };
        progress.message(last);
    })
}

impl Task {
    fn wait<T: 'static>(self) -> Outcome<T> {
        let outcome = self.untyped();
        Outcome { value: typed(outcome.value), failure: outcome.failure }
    }

    fn untyped(self) -> Outcome<Value> {
        let mut value = None;
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match self.receiver.recv_timeout(left.min(STEP)) {
                Ok((_, Message::Progress(newer))) => value = Some(newer),
                Ok((_, Message::Done)) => return Outcome { value, failure: None },
                Ok((_, Message::Panicked(text))) => {
                    return self.failed(value, Status::Error, format!("collector stopped unexpectedly: {text}"));
                }
                Ok((_, Message::Failed(text))) => return self.failed(value, Status::Error, text),
                Err(RecvTimeoutError::Timeout) if left > STEP => CREW.help(),
                Err(RecvTimeoutError::Timeout) => {
                    self.number.into_iter().for_each(|number| CREW.forget(number));
                    let text = format!("no answer within {} ms", (self.deadline - self.started).as_millis());
                    return self.failed(value, Status::Timeout, text);
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return self.failed(value, Status::Error, "collector went away".to_owned());
                }
            }
        }
    }

    fn failed(&self, value: Option<Value>, status: Status, message: String) -> Outcome<Value> {
        Outcome { value, failure: Some(Problem { what: self.what.clone(), status, message }) }
    }
}

/// Work hands over values of one type, the one that its starter waits for.
pub(super) fn typed<T: 'static>(value: Option<Value>) -> Option<T> {
    value.and_then(|value| value.downcast().ok()).map(|value| *value)
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "panic".to_owned()
    }
}

impl<T> Outcome<(T, Vec<Problem>)> {
    /// What was read of the device, and how the reading ended.
    pub fn into_device(self) -> (Option<T>, Status, Vec<Problem>) {
        let (value, mut problems) = match self.value {
            Some((value, problems)) => (Some(value), problems),
            None => (None, Vec::new()),
        };
        let status = match &self.failure {
            Some(failure) => failure.status,
            None if problems.is_empty() => Status::Ok,
            None => Status::Partial,
        };
        problems.extend(self.failure);
        (value, status, problems)
    }
}

/// A section that is being collected.
pub(crate) struct SectionTask<T> {
    source_name: &'static str,
    task: Task,
    kind: PhantomData<fn() -> T>,
}

/// What a section hands over: its data, what could not be read, milliseconds.
type Collected<T> = (Option<T>, Vec<Problem>, u64);

/// Collects a whole section in another thread. `work` returns `None` when the machine has no such thing.
pub(crate) fn section<T: Default + Send + 'static>(
    name: &str,
    source_name: &'static str,
    source: &Arc<dyn Source>,
    limit: Duration,
    work: impl FnOnce(&Reader) -> Option<T> + Send + 'static,
) -> SectionTask<T> {
    section_in_steps(name, source_name, source, limit, move |reader, _| work(reader))
}

/// Like [`section`], for devices that may never answer: `work` hands over what it has before each question.
pub(crate) fn section_in_steps<T: Default + Send + 'static>(
    name: &str,
    source_name: &'static str,
    source: &Arc<dyn Source>,
    limit: Duration,
    work: impl FnOnce(&Reader, &dyn Fn(T)) -> Option<T> + Send + 'static,
) -> SectionTask<T> {
    let source = source.clone();
    let work = Box::new(move |progress: &Progress| {
        let started = Instant::now();
        let reader = Reader::new(source);
        let send = |data| {
            let collected: Collected<T> = (data, reader.problems(), started.elapsed().as_millis() as u64);
            progress.send(collected);
        };
        let data = work(&reader, &|data: T| send(Some(data)));
        send(data);
    });
    SectionTask { source_name, task: start(name, limit, work), kind: PhantomData }
}

impl<T: Default + 'static> SectionTask<T> {
    pub fn wait(self) -> Section<T> {
        let started = self.task.started;
        let outcome: Outcome<Collected<T>> = self.task.wait();
        let (data, mut problems, milliseconds) =
            outcome.value.unwrap_or_else(|| (None, Vec::new(), started.elapsed().as_millis() as u64));
        let status = match (&outcome.failure, &data) {
            (Some(failure), _) => failure.status,
            (None, Some(_)) if problems.is_empty() => Status::Ok,
            (None, Some(_)) => Status::Partial,
            (None, None) => problems.iter().map(|p| p.status).max().unwrap_or(Status::Absent),
        };
        problems.extend(outcome.failure);
        Section { status, milliseconds, source: self.source_name.to_owned(), problems, data: data.unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_was_handed_over_before_the_deadline() {
        let work = |progress: &Progress| {
            progress.send(1u8);
            progress.send(2u8);
            std::thread::sleep(Duration::from_secs(30));
            progress.send(3u8);
        };
        let outcome = start("sda", Duration::from_millis(300), Box::new(work)).wait();
        assert_eq!(outcome.value, Some(2u8));
        assert_eq!(outcome.failure.map(|f| f.status), Some(Status::Timeout));
    }

    #[test]
    fn a_section_keeps_its_steps() {
        let source: Arc<dyn Source> = Arc::new(crate::source::FsSource::live());
        let section = section_in_steps("tpm", "test", &source, Duration::from_millis(300), |_, publish| {
            publish(7u64);
            std::thread::sleep(Duration::from_secs(30));
            Some(8)
        })
        .wait();
        assert_eq!((section.status, section.data), (Status::Timeout, 7));
    }

    #[test]
    fn contains_a_panic() {
        let work = |progress: &Progress| {
            progress.send(1u8);
            let empty: [u8; 0] = [];
            assert!(!empty.is_empty(), "bad table");
        };
        let outcome = start("sda", Duration::from_secs(30), Box::new(work)).wait();
        assert_eq!(outcome.value, Some(1u8));
        let failure = outcome.failure.expect("a panic is a failure");
        assert_eq!(failure.status, Status::Error);
        assert!(failure.message.contains("bad table"), "{}", failure.message);
    }
}
