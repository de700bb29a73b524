//! One order without a controller: from the ramdisk or a URL, once.

use super::{Agent, FLUSH_PATIENCE, Ready};
use crate::config::OrderSource;
use crate::controller::{Timeouts, fetch_order, http, parse_order};
use crate::exit::Exit;
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
        let attempt = Attempt {
            agent: self,
            order: &order,
            number: 1,
            inventory: &ready.inventory,
            download: http::agent(&ready.downloads, &Timeouts::DOWNLOADS),
            control: None,
            boot_id: &ready.boot_id,
        };
        // Nobody grants: the order's own `on_existing` is what keeps a second boot from destroying the first's work.
        let receipt = attempt.run(stages, |_| Ok::<_, Infallible>(()));
        stages.emitter().flush(FLUSH_PATIENCE);
        match receipt.problem {
            None => Ok(self.config.finish.unwrap_or(order.policies.finish).into()),
            Some(_) => Ok(Exit::Failed),
        }
    }
}
