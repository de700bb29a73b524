//! Checks whether an order is meant for this machine, and finds images that nothing verifies.

use super::attributes::Attributes;
use super::eval;
use super::machine::Machine;
use super::refusal::Reason;
use burin_protocol::Plan;
use burin_protocol::image::{ImageSpec, is_pinned_reference};
use burin_protocol::order::Order;
use burin_protocol::plan::steps::{UnpackTree, WriteImage, WritePartition};
use burin_protocol::plan::{Step, Truth, Warning};
use std::collections::BTreeSet;

/// Checks `valid.machines` and `valid.when`; times and keys are checked by the agent, which has a clock and a key.
pub fn check(order: &Order, machine: &Machine<'_>, attributes: &Attributes) -> Result<(), Reason> {
    let Some(valid) = &order.valid else { return Ok(()) };
    let names = names(machine);
    let named = valid.machines.iter().any(|wanted| names.contains(&folded(wanted)));
    if !valid.machines.is_empty() && !named {
        return Err(Reason::OtherMachine { wanted: valid.machines.join(", ") });
    }
    if let Some(when) = &valid.when {
        let (truth, checks) = eval::predicate(when, machine.view(attributes));
        if truth != Truth::True {
            let failed = checks.into_iter().find(|check| check.truth != Truth::True);
            let wanted = failed.map(|check| check.wanted).unwrap_or_default();
            return Err(Reason::OtherMachine { wanted });
        }
    }
    Ok(())
}

/// Normalises UUIDs, serial numbers and MAC addresses.
fn folded(name: &str) -> String {
    name.trim().to_ascii_lowercase()
}

fn names(machine: &Machine<'_>) -> BTreeSet<String> {
    let system = &machine.inventory.system.data;
    let nics = &machine.inventory.nics.data;
    // A MAC address that software gave to a NIC does not identify the machine.
    let macs = nics.iter().filter_map(|nic| nic.permanent_mac.as_deref().or(nic.mac.as_deref()));
    let board = [system.uuid.as_deref(), system.serial_number.as_deref()];
    board.into_iter().flatten().chain(macs).map(folded).collect()
}

/// Images that come over plain http without digest or signature.
pub fn unproven(order: &Order, plan: &Plan) -> Vec<Warning> {
    let used: BTreeSet<&str> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::WriteImage(WriteImage { image, .. })
            | Step::WritePartition(WritePartition { image, .. })
            | Step::UnpackTree(UnpackTree { image, .. }) => Some(image.as_str()),
            _ => None,
        })
        .collect();
    let found = order.images.iter().filter(|(name, image)| used.contains(name.as_str()) && !is_proven(image));
    let warning = |(name, _)| {
        let message = format!(
            "nothing proves the image `{name}`: it has neither digest nor signature, and comes over plain http"
        );
        Warning { code: "plan.unproven_image".to_owned(), message }
    };
    found.map(warning).collect()
}

fn is_proven(image: &ImageSpec) -> bool {
    // Registries use TLS unless the scheme says otherwise, and a reference may contain a digest.
    let by_tls = |url: &str| ["https://", "oci://"].iter().any(|scheme| has_scheme(url, scheme));
    // A manifest has digests of everything, so all depends on how the manifest itself is fetched.
    if let Some(manifest) = &image.manifest {
        return image.signature.is_some() || by_tls(manifest);
    }
    let by_reference = image.urls.iter().all(|url| is_pinned_reference(url));
    let by_sums = image.sums.as_ref().is_some_and(|sums| sums.signature.is_some() || by_tls(&sums.url));
    let pinned = image.digest.wire.is_some() || image.digest.content.is_some();
    pinned || by_reference || image.signature.is_some() || by_sums || image.urls.iter().all(|url| by_tls(url))
}

fn has_scheme(url: &str, scheme: &str) -> bool {
    url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_manifest_is_as_proven_as_the_way_that_it_comes() {
        let proven = |image| is_proven(&serde_json::from_value(image).unwrap());
        assert!(!proven(json!({ "manifest": "http://x/m.json" })));
        assert!(proven(json!({ "manifest": "https://x/m.json" })));
        assert!(proven(json!({ "manifest": "http://x/m.json", "name": "x", "signature": { "key": "k" } })));
        assert!(!proven(json!({ "urls": ["http://x/y"] })) && proven(json!({ "urls": ["https://x/y"] })));
    }
}
