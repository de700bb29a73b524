//! Connects the agent's own API to the engine.

use super::{Agent, Ready};
use crate::api::{self, Door, Planner, Server};
use crate::apply::Bound;
use crate::config::ApiDoor;
use crate::error::Coded;
use crate::kexec;
use crate::net;
use crate::plan;
use crate::policy::admit;
use crate::protocol::Hello;
use crate::protocol::hello::ApiEndpoint;
use crate::protocol::order::Order;
use crate::stage::Stages;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The ramdisk's CAs for callers' certificates.
const CALLERS_CA: &str = "etc/burin/callers.pem";

/// The open API, until dropped.
pub struct OpenDoor {
    pub door: Door,
    server: Server,
}

impl OpenDoor {
    /// For hello.
    pub fn endpoint(&self) -> ApiEndpoint {
        self.server.endpoint().clone()
    }
}

impl Agent {
    /// Where the API listens, and this machine's addresses for its certificate, the first of them for hello. The API is
    /// not offered on networks without the controller; if there is no controller, it is unknown where callers are.
    fn api_place(&self, ready: &Ready) -> Option<(SocketAddr, Vec<IpAddr>)> {
        let controller = self.config.controller.as_ref().filter(|_| self.is_controlled());
        let mut addresses = ready.addresses.clone();
        if let Some(towards) = controller.and_then(|url| net::address_towards(url.as_str())) {
            addresses.insert(0, towards);
        }
        let listen = match self.config.api {
            ApiDoor::Off => return None,
            ApiDoor::At(address) => address,
            ApiDoor::Port(port) => {
                let towards = controller.and(addresses.first().copied());
                SocketAddr::new(towards.unwrap_or(ready.listen), port)
            }
        };
        if !listen.ip().is_unspecified() {
            addresses.insert(0, listen.ip());
        }
        let mut seen = BTreeSet::new();
        addresses.retain(|address| seen.insert(*address));
        Some((listen, addresses))
    }

    /// `None` if it is switched off, or if nobody could ever have its token. If its port is in use, the API is
    /// unavailable, but the agent continues.
    pub(super) fn open_door(&self, stages: &mut Stages, ready: &Ready, hello: &Hello) -> Option<OpenDoor> {
        let (listen, addresses) = self.api_place(ready)?;
        // A controller's hello reply brings a token; without a controller, there is only the one on the command line.
        let own_token = self.config.token.clone().filter(|_| !self.is_controlled());
        if own_token.is_none() && !self.is_controlled() {
            return None;
        }
        let (words, look) = (self.config.attributes.clone(), self.look.clone());
        // Plans on a fresh inventory.
        let planner: Planner = Arc::new(move |order: &Order| {
            plan::plan(&look.inventory(), order, &words).map_err(|refusal| refusal.problem())
        });
        let door = Door::new(hello.clone(), ready.control.clone(), stages.emitter(), self.log.clone(), planner);
        let (paths, look) = (self.paths.clone(), self.look.clone());
        // The disks of the finished order, read again at that moment.
        door.set_kexec(Arc::new(move |plan| {
            let disks = Bound::new(plan, &look.inventory(), &paths).map_err(|error| error.problem())?;
            kexec::load(&disks, &paths).map(drop).map_err(|error| error.problem())
        }));
        let rules = self.config.policy.clone();
        door.set_admission(Arc::new(move |raw| {
            admit(rules.as_ref(), raw).map(|admitted| admitted.order).map_err(|refused| refused.problem())
        }));
        door.set_inventory(hello.inventory.clone());
        let callers = Some(self.root.join(CALLERS_CA)).filter(|path| path.exists());
        let options = api::ApiOptions { listen, addresses, callers };
        let server = stages.run("api", || Server::start(&options, door.clone())).ok()?;
        let endpoint = server.endpoint();
        log::info!("the agent's API listens at {}, certificate {}", endpoint.url, endpoint.fingerprint);
        if let Some(token) = own_token {
            door.set_token(token);
        }
        Some(OpenDoor { door, server })
    }
}
