//! The front for callers of the agent's own API: their requests are processed like every other order.

use super::{Ending, Front, Ground, Job, Leave, Wish};
use crate::api::{ApiWork, Door};
use crate::exit::Exit;
use crate::protocol::{Power, Receipt};
use crate::report::stage::{Failure, Stages};
use std::time::Duration;

/// `None` if the API is off. Without a controller, the token on the command line opens it.
pub fn front(ground: &Ground<'_>) -> Option<Box<dyn Front>> {
    let door = ground.door?.clone();
    door.set_bell(ground.bell.clone());
    Some(Box::new(Callers(door)))
}

struct Callers(Door);

impl Front for Callers {
    fn greet(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn next(&mut self, _: &mut Stages) -> Result<Wish, Failure> {
        Ok(match self.0.next_work(Duration::ZERO) {
            None => Wish::Nothing,
            // The call is the permission: it named the plan. Whatever the order says, the caller fetches the receipt
            // and decides what happens next.
            Some(ApiWork::Apply { order, plan_digest }) => Wish::Job(Box::new(Job {
                order: *order,
                raw: self.0.order().unwrap_or_default(),
                attempt: 1,
                leave: Leave::Given(plan_digest),
                ending: Ending::STAY,
            })),
            Some(ApiWork::Power(action)) => {
                log::info!("a caller wants: {action:?}");
                Wish::Exit(match action {
                    Power::Reboot => Exit::Reboot,
                    Power::Poweroff => Exit::PowerOff,
                    // The door has loaded the kernel before it accepted the request.
                    Power::Kexec => Exit::Kexec,
                })
            }
        })
    }

    /// The door shows the result of every job, and callers fetch it.
    fn done(&mut self, _: &Job, _: &Receipt) {}

    fn deliver(&mut self) -> bool {
        true
    }
}
