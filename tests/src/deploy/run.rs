//! A running machine: everything that its console and its controller see, in one stream, until the end.

use super::{DeployError, Proof, Scene, order, proof};
use crate::controller::Observation;
use crate::vm::{Line, Machine};
use burin::protocol::{Kind, Problem};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Longer than the silence of any step, even if two cores emulate two others.
const SILENCE: Duration = Duration::from_secs(300);

/// Something happened.
#[derive(Debug, Clone)]
pub enum News {
    /// A line on the serial console.
    Console(Line),
    Controller(Box<Observation>),
    /// The installed system's login prompt.
    Login(Instant),
}

#[derive(Debug)]
pub struct Deployment<'a> {
    scene: &'a Scene,
    machine: Machine,
    news: Receiver<News>,
}

impl<'a> Deployment<'a> {
    pub(super) fn start(scene: &'a Scene) -> Result<Self, DeployError> {
        let (sender, news) = channel();
        forward(scene.controller.subscribe(), sender.clone(), |seen| News::Controller(Box::new(seen)));
        let machine = scene.spec.start()?;
        forward(machine.console().lines(), sender.clone(), News::Console);
        let (console, prompt) = (machine.console().clone(), format!("{} login:", scene.hostname));
        std::thread::spawn(move || {
            // Hours, because a deployment ends when all senders are silent.
            if console.wait_for(&prompt, Duration::from_secs(4 * 3600)).is_ok() {
                let _ = sender.send(News::Login(Instant::now()));
            }
        });
        Ok(Self { scene, machine, news })
    }

    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Follows the machine until the installed system has reported, then switches it off and examines the disks.
    pub fn finish(mut self, mut tell: impl FnMut(&News)) -> Result<Proof, DeployError> {
        let mut during = "the firmware starts".to_owned();
        let mut login = false;
        let mut reported = false;
        // cloud-init prints it after it has run the report.
        let mut keyed = false;
        let fingerprint = proof::fingerprint(order::SSH_KEY);
        let mut last = Instant::now();
        while !(login && reported && keyed) {
            let news = match self.news.recv_timeout(Duration::from_secs(1)) {
                Ok(news) => news,
                Err(RecvTimeoutError::Timeout) if !self.machine.is_running() => {
                    return Err(DeployError::Ended { during });
                }
                Err(RecvTimeoutError::Timeout) if last.elapsed() < SILENCE => continue,
                Err(_) => return Err(DeployError::Silence { seconds: SILENCE.as_secs(), during }),
            };
            last = Instant::now();
            tell(&news);
            match &news {
                News::Login(_) => login = true,
                News::Console(line) if line.text.contains(proof::MARK) => reported = true,
                News::Console(line) if line.text.contains(&fingerprint) => keyed = true,
                News::Console(line) if line.text.contains("Kernel panic - not syncing") => {
                    return Err(DeployError::NotProven(line.text.clone()));
                }
                News::Console(line) if line.text.contains("Run /init as init process") => {
                    during = "the agent starts".to_owned();
                }
                News::Console(_) => {}
                News::Controller(seen) => {
                    if let Some(problem) = failure(seen) {
                        return Err(DeployError::Agent(Box::new(problem)));
                    }
                    during = doing(seen).unwrap_or(during);
                }
            }
        }
        let text = self.machine.console().text();
        self.machine.cut_power();
        Proof::gather(self.scene, &text)
    }

    /// The end of the console's text, for people who look for the cause of a failure.
    pub fn console_tail(&self) -> String {
        self.machine.console().tail(25)
    }
}

fn forward<T: Send + 'static>(from: Receiver<T>, to: Sender<News>, wrap: impl Fn(T) -> News + Send + 'static) {
    std::thread::spawn(move || {
        for item in from {
            if to.send(wrap(item)).is_err() {
                break;
            }
        }
    });
}

/// The refusal or failed attempt that ends the job.
fn failure(seen: &Observation) -> Option<Problem> {
    match seen {
        Observation::Receipt { receipt, .. } => receipt.problem.clone(),
        Observation::Event { event, .. } => match event.kind()? {
            Kind::OrderRefused(refused) => Some(refused.problem),
            _ => None,
        },
        _ => None,
    }
}

fn doing(seen: &Observation) -> Option<String> {
    match seen {
        Observation::BootScript { agent: true, .. } => Some("iPXE loads kernel and ramdisk".to_owned()),
        Observation::BootScript { agent: false, .. } => Some("the installed system starts".to_owned()),
        Observation::Hello { .. } => Some("the agent waits for its order".to_owned()),
        Observation::Receipt { .. } => Some("the machine reboots".to_owned()),
        Observation::Event { event, .. } => match event.kind()? {
            Kind::StageStarted(stage) => Some(format!("the agent is at stage {}", stage.stage)),
            _ => None,
        },
        _ => None,
    }
}
