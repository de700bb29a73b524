//! One order without a controller: from the ramdisk or a URL, once.

use super::{Agent, FLUSH_PATIENCE, Ready};
use crate::config::OrderSource;
use crate::controller::{Memory, Timeouts, fetch_order, http, parse_order};
use crate::exit::Exit;
use crate::protocol::order::Finish;
use crate::run::attempt::Attempt;
use crate::stage::{Failure, Stages};
use std::convert::Infallible;

impl Agent {
    pub(super) fn local(&self, stages: &mut Stages, ready: &Ready, source: &OrderSource) -> Result<Exit, Failure> {
        let place = match source {
            OrderSource::Url(url) => url.as_str().to_owned(),
            OrderSource::Path(path) => path.display().to_string(),
        };
        let body = stages.run("order", || fetch_order(&place, &ready.downloads))?;
        let order = stages.run("order", || parse_order(&body))?;
        let memory = Memory::new(&self.state());
        let callers = self.config.token.clone().and_then(|token| {
            let callers = self.open_door(stages, ready, &self.hello(ready, &memory))?;
            // Only now: nobody can put another order in between.
            callers.door.begin(&order, &body);
            callers.door.set_token(token);
            Some(callers)
        });
        let door = callers.as_ref().map(|callers| &callers.door);
        let attempt = Attempt {
            agent: self,
            order: &order,
            number: 1,
            inventory: &ready.inventory,
            download: http::agent(&ready.downloads, &Timeouts::DOWNLOADS),
            control: door.map(|_| ready.control.clone()),
            boot_id: &ready.boot_id,
            door,
            finish: ending(self.config.finish, order.policies.finish),
        };
        // Nobody grants: `on_existing` and the way it ends are all that keeps a second boot from wiping the first's work.
        let outcome = attempt.run(stages, |_| Ok::<_, Infallible>(()));
        let receipt = &outcome.receipt;
        if let Some(door) = door {
            door.finish(receipt);
        }
        ready.logs.send();
        stages.emitter().flush(FLUSH_PATIENCE);
        match receipt.problem {
            None if attempt.finish == Finish::Kexec && !outcome.kernel => Ok(ending(None, Finish::Reboot).into()),
            None => Ok(attempt.finish.into()),
            Some(_) => Ok(Exit::Failed),
        }
    }
}

/// The kernel command line has the last word. An order alone does not reboot: firmware that tries the network first
/// would start this agent again, with the same order and nobody to refuse a second grant.
fn ending(told: Option<Finish>, order: Finish) -> Finish {
    match (told, order) {
        (Some(told), _) => told,
        (None, Finish::Reboot) => {
            log::warn!("powering off instead of rebooting: without a controller, a netboot would run this order again");
            log::warn!("  what to do: burin.finish=reboot on the kernel command line reboots");
            Finish::Poweroff
        }
        (None, order) => order,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_controller_only_the_command_line_reboots() {
        assert_eq!(ending(None, Finish::Reboot), Finish::Poweroff);
        assert_eq!(ending(None, Finish::Hold), Finish::Hold);
        assert_eq!(ending(None, Finish::Poweroff), Finish::Poweroff);
        assert_eq!(ending(Some(Finish::Reboot), Finish::Hold), Finish::Reboot);
        assert_eq!(ending(Some(Finish::Hold), Finish::Reboot), Finish::Hold);
    }
}
