//! The agent's own API, joined to the engine: what callers want done goes the way that a controller's orders go.

use super::attempt::Attempt;
use super::{Agent, Ready, facts};
use crate::api::{self, Door, Planner, Server, Work};
use crate::apply::ApplyError;
use crate::apply::Bound;
use crate::config::ApiDoor;
use crate::controller::{Memory, Timeouts, http};
use crate::error::Coded;
use crate::exit::Exit;
use crate::kexec;
use crate::plan;
use crate::protocol::hello::ApiEndpoint;
use crate::protocol::order::{Finish, Order};
use crate::protocol::{Hello, Power};
use crate::stage::{Failure, Stages};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Where the ramdisk says whose certificates callers have to show.
const CALLERS_CA: &str = "etc/burin/callers.pem";
/// How long the last events may take before a caller's wish ends the machine.
const POWER_PATIENCE: Duration = Duration::from_secs(5);
/// How long the answer to a caller's wish may take.
const ANSWER_PATIENCE: Duration = Duration::from_millis(500);
/// Without a controller there is nothing to do but to wait for a caller.
const PATIENCE: Duration = Duration::from_secs(60);

/// An open door, until dropped.
pub struct Callers {
    pub door: Door,
    server: Server,
}

impl Callers {
    /// For hello.
    pub fn endpoint(&self) -> ApiEndpoint {
        self.server.endpoint().clone()
    }
}

impl Agent {
    /// None where it is switched off. A port that is taken costs the API, not the machine.
    pub(super) fn open_door(&self, stages: &mut Stages, ready: &Ready, hello: &Hello) -> Option<Callers> {
        let ApiDoor::Port(port) = self.config.api else { return None };
        let (words, look) = (self.config.attributes.clone(), self.look.clone());
        // On the machine as it is at that moment.
        let planner: Planner = Arc::new(move |order: &Order| {
            plan::plan(&look.inventory(), order, &words).map_err(|refusal| refusal.problem())
        });
        let door = Door::new(hello.clone(), ready.control.clone(), stages.emitter(), self.log.clone(), planner);
        let (paths, look) = (self.paths.clone(), self.look.clone());
        // The disks of the order that was done, as they are at that moment.
        door.set_kexec(Arc::new(move |plan| {
            let disks = Bound::new(plan, &look.inventory(), &paths).map_err(|error| error.problem())?;
            kexec::load(&disks, &paths).map(drop).map_err(|error| error.problem())
        }));
        door.set_inventory(hello.inventory.clone());
        let callers = Some(self.root.join(CALLERS_CA)).filter(|path| path.exists());
        let (listen, addresses) = ((ready.listen, port).into(), ready.addresses.clone());
        let options = api::Options { listen, addresses, callers };
        let server = stages.run("api", || Server::start(&options, door.clone())).ok()?;
        let endpoint = server.endpoint();
        log::info!("callers are heard at {}, certificate {}", endpoint.url, endpoint.fingerprint);
        Some(Callers { door, server })
    }

    /// No controller and no order, but a token: callers are all there is.
    pub(super) fn orchestrated(&self, stages: &mut Stages, ready: &Ready) -> Result<Exit, Failure> {
        let hello = self.hello(ready, &Memory::new(&self.state()));
        let (Some(callers), Some(token)) = (self.open_door(stages, ready, &hello), &self.config.token) else {
            return stages.run("start", || Err(super::StartError::NothingToDo));
        };
        callers.door.set_token(token.clone());
        log::info!("waiting for somebody to call");
        loop {
            if let Some(work) = callers.door.next_work(PATIENCE)
                && let Some(exit) = self.called(stages, ready, &callers.door, work)?
            {
                return Ok(exit);
            }
        }
    }

    /// Does what a caller wants. None: stay for what comes next.
    pub(super) fn called(
        &self,
        stages: &mut Stages,
        ready: &Ready,
        door: &Door,
        work: Work,
    ) -> Result<Option<Exit>, Failure> {
        let (order, agreed) = match work {
            Work::Apply { order, plan_digest } => (order, plan_digest),
            Work::Power(action) => {
                log::info!("a caller wants: {action:?}");
                // The server goes away with this process, and its answer has to be out by then.
                thread::sleep(ANSWER_PATIENCE);
                ready.logs.send();
                stages.emitter().flush(POWER_PATIENCE);
                return Ok(Some(exit(action)));
            }
        };
        let inventory = facts::inventory(stages, self)?;
        let attempt = Attempt {
            agent: self,
            order: &order,
            number: 1,
            inventory: &inventory,
            download: http::agent(&ready.downloads, &Timeouts::DOWNLOADS),
            control: Some(ready.control.clone()),
            boot_id: &ready.boot_id,
            door: Some(door),
            // Whatever the order says: the caller fetches the receipt and says what next.
            finish: Finish::Hold,
        };
        // The call is the leave: it named the plan.
        let outcome = attempt.run(stages, |now| match now == agreed {
            true => Ok(()),
            false => Err(ApplyError::Changed { agreed, now: now.to_owned() }),
        });
        door.finish(&outcome.receipt);
        stages.emitter().set_subject(None);
        Ok(None)
    }
}

fn exit(action: Power) -> Exit {
    match action {
        Power::Reboot => Exit::Reboot,
        Power::Poweroff => Exit::PowerOff,
        // The door has loaded the kernel before it said yes.
        Power::Kexec => Exit::Kexec,
    }
}
