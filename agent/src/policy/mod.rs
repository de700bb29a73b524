//! The ramdisk's policy: requirements that an order must meet.
//!
//! The policy is a file in the ramdisk. Without one there are no requirements, but an order's own restrictions
//! (`valid`) still apply.

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

/// Its path in the ramdisk.
pub const PLACE: &str = "etc/burin/policy.json";

/// A usable policy, with its keys parsed.
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

    /// `None` if the ramdisk has no policy. One that cannot be read is an error, never `None`.
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

    /// A one-line description for the log.
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
