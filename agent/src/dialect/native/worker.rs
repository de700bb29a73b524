//! Runs the session on a thread of its own, so that a silent controller does not block other fronts.

use super::session::{Next, Session, SessionOptions};
use crate::bell::Bell;
use crate::calls::ControllerError;
use crate::error::Coded;
use crate::protocol::{Hello, Receipt};
use crate::report::Emitter;
use crate::report::stage::{Failure, Stages};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::Duration;

/// How long a request for an order waits at the controller.
const ORDER_WAIT: Duration = Duration::from_secs(30);
/// A receipt is posted again after this time, for ever: nothing else may be sent before it.
const RECEIPT_ROUND: Duration = Duration::from_secs(3600);

const RECEIPT_PAUSE: Duration = Duration::from_secs(30);

/// Messages from the thread.
pub enum WorkerMessage {
    Hello(Arc<Session>),
    Order(Result<Next, ControllerError>),
    Acknowledged,
    /// There will be no more messages.
    Failed(Failure),
}

/// Tasks for the thread, done in sequence.
enum Task {
    Ask,
    Post(Box<Receipt>),
}

pub struct Worker {
    emitter: Emitter,
    setup: Option<(SessionOptions, Hello, Bell)>,
    tasks: Option<Sender<Task>>,
    news: Option<Receiver<WorkerMessage>>,
}

impl Worker {
    pub fn new(options: SessionOptions, hello: Hello, emitter: Emitter, bell: Bell) -> Self {
        Self { emitter, setup: Some((options, hello, bell)), tasks: None, news: None }
    }

    pub fn emitter(&self) -> &Emitter {
        &self.emitter
    }

    /// Says hello until it is answered, then carries out tasks.
    pub fn start(&mut self) -> Result<(), ControllerError> {
        let Some((options, hello, bell)) = self.setup.take() else { return Ok(()) };
        let (tasks, todo) = channel();
        let (teller, news) = channel();
        let emitter = self.emitter.clone();
        let work = move || {
            let tell = |news| {
                let heard = teller.send(news).is_ok();
                bell.ring();
                heard
            };
            let mut stages = Stages::new(emitter.clone());
            match stages.run("hello", || Session::connect(options, hello, &emitter)) {
                Err(failure) => drop(tell(WorkerMessage::Failed(failure))),
                Ok(session) => serve(&Arc::new(session), &mut stages, &todo, &tell),
            }
        };
        let thread = std::thread::Builder::new().name("controller".to_owned());
        thread.spawn(work).map_err(|source| ControllerError::Thread { source })?;
        (self.tasks, self.news) = (Some(tasks), Some(news));
        Ok(())
    }

    /// Asks for an order.
    pub fn ask(&self) {
        self.give(Task::Ask);
    }

    /// Delivers a receipt; finished once it is acknowledged.
    pub fn post(&self, receipt: Receipt) {
        self.give(Task::Post(Box::new(receipt)));
    }

    fn give(&self, task: Task) {
        if let Some(tasks) = &self.tasks {
            // If the thread has ended, its messages show that.
            let _ = tasks.send(task);
        }
    }

    /// Does not block.
    pub fn news(&self) -> Option<WorkerMessage> {
        match self.news.as_ref()?.try_recv() {
            Ok(news) => Some(news),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                let source = std::io::Error::other("the thread that speaks with the controller has ended");
                let problem = ControllerError::Thread { source }.problem();
                Some(WorkerMessage::Failed(Failure { stage: "order".to_owned(), problem }))
            }
        }
    }
}

fn serve(session: &Arc<Session>, stages: &mut Stages, todo: &Receiver<Task>, tell: &impl Fn(WorkerMessage) -> bool) {
    let mut heard = tell(WorkerMessage::Hello(session.clone()));
    while heard {
        let Ok(task) = todo.recv() else { return };
        heard = match task {
            Task::Ask => tell(WorkerMessage::Order(session.next_order(ORDER_WAIT))),
            Task::Post(receipt) => {
                let posted = stages.run("receipt", || post(session, &receipt));
                tell(posted.map_or_else(WorkerMessage::Failed, |()| WorkerMessage::Acknowledged))
            }
        };
    }
}

/// However long it takes. Meanwhile the machine can be watched through its own API.
fn post(session: &Session, receipt: &Receipt) -> Result<(), ControllerError> {
    loop {
        match session.post_receipt(receipt, RECEIPT_ROUND) {
            Err(error @ ControllerError::Unacknowledged { .. }) => {
                log::warn!("{error}; it will be posted again");
                std::thread::sleep(RECEIPT_PAUSE);
            }
            result => return result,
        }
    }
}
