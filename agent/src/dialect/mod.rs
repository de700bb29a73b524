//! The sources of orders: one folder for each, all behind the trait [`Front`].
//!
//! A front turns requests in its protocol into a neutral [`Job`], and reports the result. The main loop in
//! [`crate::run`] polls all fronts and does their jobs. To support another controller's protocol, add a folder here, a
//! word in the configuration, and a row of [`ALL`].

pub mod door;
pub mod file;
pub mod ironic;
pub mod native;

use crate::api::{Door, LogRing};
use crate::attest::Chip;
use crate::bell::Bell;
use crate::calls::ControllerError;
use crate::config::Config;
use crate::control::ControlFlag;
use crate::exit::Exit;
use crate::http::Trust;
use crate::protocol::order::{Finish, Order};
use crate::protocol::{Hello, Receipt};
use crate::report::Emitter;
use crate::report::stage::{Failure, Stages};
use burin_sign::SecretKey;
use hwinventory::Inventory;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

/// An order to carry out, from any source.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub order: Order,
    /// As received, for observers.
    pub raw: Vec<u8>,
    /// Counts from 1.
    pub attempt: u32,
    pub leave: Leave,
    pub ending: Ending,
}

/// The permission needed before the first byte of a disk changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leave {
    /// Ask the source of the job, with the plan's digest: [`Front::leave`].
    Asked,
    /// Already given, for the plan with this digest.
    Given(String),
    /// None: there is only the order's own `on_existing`.
    Unneeded,
}

/// What follows a job that is finished and reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    pub finish: Finish,
    /// Used instead of kexec if no kernel could be loaded.
    pub without_kernel: Exit,
    /// There will be no other job: the agent ends after this one, even if it failed.
    pub last: bool,
}

impl Ending {
    /// Whatever the order says, the agent stays for further jobs.
    pub const STAY: Self = Self { finish: Finish::Hold, without_kernel: Exit::Reboot, last: false };

    /// `None`: stay for the next job.
    pub fn exit(&self, failed: bool, kernel: bool) -> Option<Exit> {
        match self.finish {
            _ if failed => self.last.then_some(Exit::Failed),
            Finish::Hold => self.last.then_some(Exit::Stop),
            Finish::Kexec if !kernel => Some(self.without_kernel),
            finish => Some(finish.into()),
        }
    }
}

/// What a front wants of the main loop.
#[derive(Debug)]
pub enum Wish {
    Nothing,
    Job(Box<Job>),
    /// End the agent, and possibly the machine.
    Exit(Exit),
}

/// A source of jobs. Only [`Front::leave`] may block: calls run on separate threads, which ring the [`Bell`] when there
/// is news.
pub trait Front {
    /// Introduces itself, once, before anything else.
    fn greet(&mut self) -> Result<(), Failure>;

    /// What it wants done now. After a job, nothing until that has been delivered.
    fn next(&mut self, stages: &mut Stages) -> Result<Wish, Failure>;

    /// Permission to destroy what the plan names, for a job with [`Leave::Asked`]. Waits as long as the answer takes.
    fn leave(&mut self, _job: &Job, _plan_digest: &str) -> Result<(), ControllerError> {
        Ok(())
    }

    /// The job is over.
    fn done(&mut self, job: &Job, receipt: &Receipt);

    /// Whether all results have been delivered. Polled; other fronts are served meanwhile.
    fn deliver(&mut self) -> bool;
}

/// The environment of fronts.
#[derive(Clone)]
pub struct Ground<'a> {
    pub config: &'a Config,
    pub root: &'a Path,
    /// State for the next agent process of this boot.
    pub state: &'a Path,
    pub hello: &'a Hello,
    /// This machine's key, if one could be made.
    pub key: Option<&'a Arc<SecretKey>>,
    pub chip: &'a Chip,
    pub inventory: &'a Inventory,
    /// Takes a new inventory.
    pub look: Arc<dyn Fn() -> Inventory + Send + Sync>,
    /// For calls to a controller.
    pub trust: &'a Trust,
    /// For orders by URL.
    pub downloads: &'a Trust,
    pub emitter: &'a Emitter,
    pub control: &'a ControlFlag,
    pub log: &'a LogRing,
    /// Where servers of this agent listen.
    pub listen: IpAddr,
    /// The agent's own API, if it is open.
    pub door: Option<&'a Door>,
    pub bell: &'a Bell,
}

impl fmt::Debug for Ground<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ground {{ root: {} }}", self.root.display())
    }
}

/// Makes a front if the configuration asks for it.
type Make = fn(&Ground<'_>) -> Option<Box<dyn Front>>;

/// All fronts. Callers of the API come first.
pub const ALL: [Make; 4] = [door::front, file::front, native::front, ironic::front];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_ends_the_agent_only_where_that_was_said() {
        let ending = |finish, last| Ending { finish, without_kernel: Exit::PowerOff, last };
        assert_eq!(ending(Finish::Reboot, false).exit(false, false), Some(Exit::Reboot));
        assert_eq!(ending(Finish::Reboot, false).exit(true, false), None, "a controller may have another order");
        assert_eq!(ending(Finish::Reboot, true).exit(true, false), Some(Exit::Failed));
        assert_eq!(ending(Finish::Hold, false).exit(false, false), None);
        assert_eq!(ending(Finish::Hold, true).exit(false, false), Some(Exit::Stop));
        assert_eq!(ending(Finish::Kexec, true).exit(false, true), Some(Exit::Kexec));
        assert_eq!(ending(Finish::Kexec, true).exit(false, false), Some(Exit::PowerOff));
        assert_eq!(Ending::STAY.exit(false, true), None);
    }
}
