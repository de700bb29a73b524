//! Work that may hang or panic runs in a thread of its own and is waited for only so long.

use crate::model::{Problem, Section, Status};
use crate::source::{Reader, Source};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Collectors keep little on the stack; dozens of them run at once.
const STACK: usize = 512 << 10;

pub(super) enum Message<T> {
    /// What is known so far.
    Progress(T),
    Done,
    Panicked(String),
    Failed(String),
}

/// Lets a collector hand over what it has before it asks something that may never answer.
pub(crate) struct Progress<T> {
    /// Which of the works that share the channel this is.
    number: usize,
    sender: Sender<(usize, Message<T>)>,
}

impl<T> Progress<T> {
    pub(super) fn of(number: usize, sender: &Sender<(usize, Message<T>)>) -> Progress<T> {
        Progress { number, sender: sender.clone() }
    }

    pub fn send(&self, value: T) {
        self.message(Message::Progress(value));
    }

    fn message(&self, message: Message<T>) {
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
pub(crate) struct Task<T> {
    what: String,
    receiver: Receiver<(usize, Message<T>)>,
    deadline: Instant,
    started: Instant,
}

/// Starts `work` in a thread. The thread is left behind if it never returns.
pub(crate) fn start<T: Send + 'static>(
    what: &str,
    limit: Duration,
    work: impl FnOnce(&Progress<T>) + Send + 'static,
) -> Task<T> {
    let (sender, receiver) = channel();
    let started = Instant::now();
    if let Err(error) = spawn(Progress::of(0, &sender), work) {
        Progress::of(0, &sender).message(Message::Failed(format!("no thread: {error}")));
    }
    Task { what: what.to_owned(), receiver, deadline: started + limit, started }
}

/// A thread that says how it ended, whatever becomes of `work`.
pub(super) fn spawn<T: Send + 'static>(
    progress: Progress<T>,
    work: impl FnOnce(&Progress<T>) + Send + 'static,
) -> std::io::Result<()> {
    let thread = std::thread::Builder::new().name("inventory".into()).stack_size(STACK);
    let spawned = thread.spawn(move || {
        let last = match catch_unwind(AssertUnwindSafe(|| work(&progress))) {
            Ok(()) => Message::Done,
            Err(payload) => Message::Panicked(panic_text(payload.as_ref())),
        };
        progress.message(last);
    });
    spawned.map(drop)
}

impl<T> Task<T> {
    pub fn wait(self) -> Outcome<T> {
        let mut value = None;
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match self.receiver.recv_timeout(left) {
                Ok((_, Message::Progress(newer))) => value = Some(newer),
                Ok((_, Message::Done)) => return Outcome { value, failure: None },
                Ok((_, Message::Panicked(text))) => {
                    return self.failed(value, Status::Error, format!("collector stopped unexpectedly: {text}"));
                }
                Ok((_, Message::Failed(text))) => return self.failed(value, Status::Error, text),
                Err(RecvTimeoutError::Timeout) => {
                    let text = format!("no answer within {} ms", (self.deadline - self.started).as_millis());
                    return self.failed(value, Status::Timeout, text);
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return self.failed(value, Status::Error, "collector went away".to_owned());
                }
            }
        }
    }

    fn failed(&self, value: Option<T>, status: Status, message: String) -> Outcome<T> {
        Outcome { value, failure: Some(Problem { what: self.what.clone(), status, message }) }
    }
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
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
pub(crate) struct SectionTask<T: Default> {
    source_name: &'static str,
    started: Instant,
    task: Task<(Option<T>, Vec<Problem>, u64)>,
}

/// Collects a whole section in a thread of its own. `work` returns `None` when the machine has no such thing.
pub(crate) fn section<T: Default + Send + 'static>(
    name: &str,
    source_name: &'static str,
    source: &Arc<dyn Source>,
    limit: Duration,
    work: impl FnOnce(&Reader) -> Option<T> + Send + 'static,
) -> SectionTask<T> {
    let source = source.clone();
    let started = Instant::now();
    let task = start(name, limit, move |progress| {
        let reader = Reader::new(source);
        let data = work(&reader);
        progress.send((data, reader.problems(), started.elapsed().as_millis() as u64));
    });
    SectionTask { source_name, started, task }
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
    let started = Instant::now();
    let task = start(name, limit, move |progress| {
        let reader = Reader::new(source);
        let send = |data| progress.send((data, reader.problems(), started.elapsed().as_millis() as u64));
        let data = work(&reader, &|data: T| send(Some(data)));
        send(data);
    });
    SectionTask { source_name, started, task }
}

impl<T: Default> SectionTask<T> {
    pub fn wait(self) -> Section<T> {
        let outcome = self.task.wait();
        let (data, mut problems, milliseconds) =
            outcome.value.unwrap_or_else(|| (None, Vec::new(), self.started.elapsed().as_millis() as u64));
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
        let outcome = start("sda", Duration::from_millis(300), |progress| {
            progress.send(1);
            progress.send(2);
            std::thread::sleep(Duration::from_secs(30));
            progress.send(3);
        })
        .wait();
        assert_eq!(outcome.value, Some(2));
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
        let outcome = start("sda", Duration::from_secs(30), |progress| {
            progress.send(1);
            let empty: [u8; 0] = [];
            assert!(!empty.is_empty(), "bad table");
        })
        .wait();
        assert_eq!(outcome.value, Some(1));
        let failure = outcome.failure.expect("a panic is a failure");
        assert_eq!(failure.status, Status::Error);
        assert!(failure.message.contains("bad table"), "{}", failure.message);
    }
}
