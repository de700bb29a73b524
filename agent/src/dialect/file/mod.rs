//! The front for a single order without a controller: placed in the ramdisk, or fetched from a URL.

mod order;

pub use order::fetch_order;

use super::{Ending, Front, Ground, Job, Leave, Wish};
use crate::bell::Bell;
use crate::calls::ControllerError;
use crate::config::OrderSource;
use crate::error::Coded;
use crate::exit::Exit;
use crate::http::{Retry, Trust};
use crate::policy::{Rules, admit};
use crate::protocol::Receipt;
use crate::protocol::order::Finish;
use crate::report::stage::{Failure, Stages};
use crate::report::{Emitter, Memory};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

/// How long an event receiver other than a controller may take for the last events.
const FLUSH_PATIENCE: Duration = Duration::from_secs(30);
/// An order during which the agent process died this often is not started again.
const MOST_ATTEMPTS: u32 = 3;

pub fn front(ground: &Ground<'_>) -> Option<Box<dyn Front>> {
    let place = match ground.config.order.as_ref()? {
        OrderSource::Url(url) => url.as_str().to_owned(),
        OrderSource::Path(path) => path.display().to_string(),
    };
    Some(Box::new(Placed {
        place,
        trust: ground.downloads.clone(),
        rules: ground.config.policy.clone(),
        told: ground.config.finish,
        memory: Memory::new(ground.state),
        emitter: ground.emitter.clone(),
        bell: ground.bell.clone(),
        retry: Retry::default(),
        bytes: None,
        done: None,
    }))
}

struct Placed {
    place: String,
    trust: Trust,
    /// The requirements on the order.
    rules: Option<Rules>,
    /// `burin.finish=`.
    told: Option<Finish>,
    memory: Memory,
    emitter: Emitter,
    bell: Bell,
    retry: Retry,
    bytes: Option<Receiver<Result<Vec<u8>, ControllerError>>>,
    done: Option<Instant>,
}

impl Front for Placed {
    fn greet(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn next(&mut self, stages: &mut Stages) -> Result<Wish, Failure> {
        if self.done.is_some() {
            return Ok(Wish::Nothing);
        }
        if self.bytes.is_none() {
            self.bytes = Some(stages.run("order", || self.fetch())?);
        }
        let bytes = match self.bytes.as_ref().map(Receiver::try_recv) {
            Some(Ok(bytes)) => bytes,
            None | Some(Err(TryRecvError::Empty)) => return Ok(Wish::Nothing),
            Some(Err(TryRecvError::Disconnected)) => {
                let source = std::io::Error::other("the thread that fetches the order has ended");
                Err(ControllerError::Thread { source })
            }
        };
        let raw = stages.quiet("order", || bytes)?;
        let order = stages.quiet("order", || admit(self.rules.as_ref(), &raw))?.order;
        let attempt = stages.quiet("order", || self.count(&order.id))?;
        let finish = ending(self.told, order.policies.finish);
        // Nobody grants it: `on_existing` and how it ends are all that keeps a second boot from wiping the work of the
        // first.
        let ending = Ending { finish, without_kernel: Exit::PowerOff, last: true };
        self.done = Some(Instant::now());
        Ok(Wish::Job(Box::new(Job { order, raw, attempt, leave: Leave::Unneeded, ending })))
    }

    fn done(&mut self, _: &Job, _: &Receipt) {
        self.done = Some(Instant::now());
    }

    fn deliver(&mut self) -> bool {
        let patience_is_over = self.done.is_none_or(|done| done.elapsed() >= FLUSH_PATIENCE);
        patience_is_over || self.emitter.flush(Duration::ZERO)
    }
}

impl Placed {
    /// On a separate thread. A server is asked until it answers; a file either exists or not.
    fn fetch(&self) -> Result<Receiver<Result<Vec<u8>, ControllerError>>, ControllerError> {
        let (place, trust, bell) = (self.place.clone(), self.trust.clone(), self.bell.clone());
        let (retry, (sender, receiver)) = (self.retry.clone(), channel());
        let fetch = move || {
            let bytes = order::fetch_patiently(&place, &trust, &retry);
            // Nobody waits for it any more if the agent is ending.
            let _ = sender.send(bytes);
            bell.ring();
        };
        let thread = std::thread::Builder::new().name("order".to_owned());
        thread.spawn(fetch).map_err(|source| ControllerError::Thread { source })?;
        Ok(receiver)
    }

    /// Counted before anything is done: an agent that dies during an order leaves no other trace.
    fn count(&self, order: &str) -> Result<u32, AttemptsError> {
        let attempt = match self.memory.count_attempt(order) {
            Ok(attempt) => attempt,
            Err(error) => {
                log::warn!("the start of this order cannot be recorded for the next agent: {error}");
                1
            }
        };
        if attempt > MOST_ATTEMPTS {
            return Err(AttemptsError { order: order.to_owned(), attempts: attempt - 1 });
        }
        Ok(attempt)
    }
}

/// An order that was started and never finished.
#[derive(Debug, thiserror::Error)]
#[error(
    "order {order} was started {attempts} times in this boot, and each time the agent ended before the order was done"
)]
struct AttemptsError {
    order: String,
    attempts: u32,
}

impl Coded for AttemptsError {
    fn code(&self) -> &'static str {
        "order.attempts_used_up"
    }

    fn hint(&self) -> Option<String> {
        Some("report the log above, which shows how the last agent ended; reboot to start over".to_owned())
    }
}

/// The kernel command line takes precedence. The order alone does not cause a reboot: firmware that tries the network
/// first would start this agent again, with the same order and nobody to refuse a second grant.
fn ending(told: Option<Finish>, order: Finish) -> Finish {
    match (told, order) {
        (Some(told), _) => told,
        (None, Finish::Reboot) => {
            log::warn!("powering off instead of rebooting: without a controller, a netboot would repeat this order");
            log::warn!("  what to do: burin.finish=reboot on the kernel command line reboots");
            Finish::Poweroff
        }
        (None, order) => order,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Clock, TrustFiles};
    use std::io::{Read, Write};

    #[test]
    fn without_a_controller_only_the_command_line_reboots() {
        assert_eq!(ending(None, Finish::Reboot), Finish::Poweroff);
        assert_eq!(ending(None, Finish::Hold), Finish::Hold);
        assert_eq!(ending(None, Finish::Poweroff), Finish::Poweroff);
        assert_eq!(ending(Some(Finish::Reboot), Finish::Hold), Finish::Reboot);
        assert_eq!(ending(Some(Finish::Hold), Finish::Reboot), Finish::Hold);
    }

    const ORDER: &str = r#"{"version": "order/v1", "id": "o", "images": {"i": {"urls": ["http://h/i"]}},
        "layouts": [{"name": "l", "disks": {"d": {"image": "i"}}}], "policies": {"finish": "hold"}}"#;

    fn placed(place: String, state: &std::path::Path) -> Placed {
        let trust = Trust::downloads(None, &TrustFiles::below(state), Clock::trusted()).unwrap();
        let (memory, emitter, bell) = (Memory::new(state), Emitter::disconnected(), Bell::default());
        let retry = Retry { first: Duration::from_millis(1), most: Duration::from_millis(5) };
        Placed { place, trust, rules: None, told: None, memory, emitter, bell, retry, bytes: None, done: None }
    }

    fn wish(front: &mut Placed, stages: &mut Stages) -> Result<Wish, Failure> {
        loop {
            match front.next(stages)? {
                Wish::Nothing => front.bell.wait(Duration::from_secs(60)),
                wish => return Ok(wish),
            }
        }
    }

    #[test]
    fn an_order_that_kills_the_agent_is_begun_three_times() {
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("order.json");
        std::fs::write(&file, ORDER).unwrap();
        let mut stages = Stages::new(Emitter::disconnected());
        for attempt in 1..=MOST_ATTEMPTS {
            // Each agent process knows only what is in the state directory.
            let mut front = placed(file.display().to_string(), state.path());
            let Wish::Job(job) = wish(&mut front, &mut stages).unwrap() else { panic!("no job") };
            assert_eq!((job.attempt, job.ending.last), (attempt, true));
            assert!(matches!(front.next(&mut stages), Ok(Wish::Nothing)), "once");
        }
        let failure = wish(&mut placed(file.display().to_string(), state.path()), &mut stages).unwrap_err();
        assert_eq!(failure.problem.code, "order.attempts_used_up");
    }

    #[test]
    fn an_order_by_url_is_waited_for() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/order.json", server.local_addr().unwrap());
        std::thread::spawn(move || {
            for answer in ["HTTP/1.1 503 Not yet\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(), {
                let length = ORDER.len();
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{ORDER}"
                )
            }] {
                let (mut stream, _) = server.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]);
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let state = tempfile::tempdir().unwrap();
        let mut front = placed(url, state.path());
        let Wish::Job(job) = wish(&mut front, &mut Stages::new(Emitter::disconnected())).unwrap() else {
            panic!("no job")
        };
        assert_eq!(job.order.id, "o");
    }
}
