//! The ramdisk's policy: requirements that an order must meet.
//!
//! The policy is a file of the ramdisk. Without one, everything works as it comes; what an order says of itself
//! (`valid`) counts all the same.

mod admit;
mod error;
mod judge;

pub use admit::{Admitted, admit};
pub use error::{RefusedByPolicy, RulesError};
pub use judge::{Circumstances, judge, needs_judgement};

use crate::protocol::Policy;
use crate::protocol::policy::ImageProof;
use burin_sign::PublicKey;
use std::path::Path;

/// Where the ramdisk has it.
pub const PLACE: &str = "etc/burin/policy.json";

/// A policy that can be used: its keys were read.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    policy: Policy,
    order_keys: Vec<PublicKey>,
}

impl Rules {
    pub fn parse(bytes: &[u8]) -> Result<Self, RulesError> {
        let policy = Policy::parse(bytes)?;
        let keys = policy.orders.iter().flat_map(|orders| &orders.keys);
        let order_keys = keys.map(|key| key.parse()).collect::<Result<_, _>>()?;
        Ok(Self { policy, order_keys })
    }

    /// None where the ramdisk has no policy. One that cannot be read is an error, and never none.
    pub fn load(root: &Path) -> Result<Option<Self>, RulesError> {
        let path = root.join(PLACE);
        match std::fs::read(&path) {
            Ok(bytes) => Self::parse(&bytes).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(RulesError::Read { path, source }),
        }
    }

    pub fn requires_https(&self) -> bool {
        self.policy.require_https
    }

    pub fn requires_signed_orders(&self) -> bool {
        self.policy.orders.is_some()
    }

    pub fn closes_api(&self) -> bool {
        self.policy.no_api
    }

    /// One line for the log.
    pub fn words(&self) -> String {
        let policy = &self.policy;
        let demands = [
            policy.require_https.then_some("https"),
            policy
                .orders
                .as_ref()
                .map(|orders| if orders.this_boot { "orders signed for this boot" } else { "signed orders" }),
            policy.images.as_ref().map(|images| match images.require {
                ImageProof::Signature => "signed images",
                ImageProof::Digest => "signed or pinned images",
            }),
            policy.least_erase.map(|_| "disks erased as it says"),
            policy.boot.map(|_| "a trusted boot"),
            policy.no_api.then_some("no API from outside"),
        ];
        let demands: Vec<&str> = demands.into_iter().flatten().collect();
        if demands.is_empty() { "nothing".to_owned() } else { demands.join(", ") }
    }
}

#[cfg(test)]
mod tests;
