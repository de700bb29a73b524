//! Asking the controller for orders on a thread of its own, so that callers are heard meanwhile.

use crate::controller::{ControllerError, Next, Session};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// How long one question for an order waits at the controller.
const ORDER_WAIT: Duration = Duration::from_secs(30);

/// One question at a time is out; its answer is kept until somebody looks.
pub struct Asker {
    questions: Sender<()>,
    answers: Receiver<Result<Next, ControllerError>>,
    asked: bool,
}

impl Asker {
    pub fn start(session: Arc<Session>) -> Result<Self, ControllerError> {
        let (questions, asked) = channel();
        let (reply, answers) = channel();
        let ask = move || {
            while asked.recv().is_ok() {
                if reply.send(session.next_order(ORDER_WAIT)).is_err() {
                    return;
                }
            }
        };
        let named = thread::Builder::new().name("orders".to_owned());
        named.spawn(ask).map_err(|source| ControllerError::Thread { source })?;
        Ok(Self { questions, answers, asked: false })
    }

    /// The controller's answer, if it comes within `patience`.
    pub fn next(&mut self, patience: Duration) -> Option<Result<Next, ControllerError>> {
        if !self.asked {
            // A thread that is gone shows below.
            let _ = self.questions.send(());
            self.asked = true;
        }
        match self.answers.recv_timeout(patience) {
            Ok(answer) => {
                self.asked = false;
                Some(answer)
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                let source = std::io::Error::other("the thread that asks for orders has ended");
                Some(Err(ControllerError::Thread { source }))
            }
        }
    }
}
