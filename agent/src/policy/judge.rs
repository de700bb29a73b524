//! Decides whether an admitted order may be carried out, on this machine and at this time.

use super::{RefusedByPolicy, Rules, admit};
use crate::protocol::image::{ImageSignature, ImageSpec, is_pinned_reference};
use crate::protocol::order::{Order, time};
use crate::protocol::policy::{BootPolicy, ImagePolicy, ImageProof};
use burin_http::{Clock, Validity};
use burin_sign::PublicKey;
use hwinventory::Inventory;
use std::time::SystemTime;

/// Facts that only this machine knows.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    pub inventory: &'a Inventory,
    /// The machine's key of this boot.
    pub key: Option<PublicKey>,
    pub clock: &'a Clock,
    pub now: SystemTime,
    /// Whether an order with this id has succeeded in this boot.
    pub done: bool,
}

/// Whether there are any requirements to check.
pub fn needs_judgement(rules: Option<&Rules>, order: &Order) -> bool {
    rules.is_some() || order.valid.is_some()
}

/// `raw` is the order as received: whatever a front made of it, only what was signed is done.
pub fn judge(
    rules: Option<&Rules>,
    order: &Order,
    raw: &[u8],
    here: Circumstances<'_>,
) -> Result<Vec<PublicKey>, RefusedByPolicy> {
    let mut signers = Vec::new();
    if let Some(rules) = rules {
        if rules.requires_signed_orders() {
            let admitted = admit(Some(rules), raw)?;
            if admitted.order != *order {
                return Err(RefusedByPolicy::NotTheSame);
            }
            signers = admitted.signers;
            if here.done {
                return Err(RefusedByPolicy::Replayed);
            }
        }
        bound(rules, order)?;
        fetched(rules, order)?;
        erased(rules, order)?;
        booted(rules, here.inventory)?;
    }
    this_boot(order, here.key)?;
    in_time(order, here, rules.is_some_and(Rules::requires_signed_orders))?;
    Ok(signers)
}

/// What a signed order must state.
fn bound(rules: &Rules, order: &Order) -> Result<(), RefusedByPolicy> {
    let Some(policy) = &rules.policy.orders else { return Ok(()) };
    let valid = order.valid.as_ref().filter(|valid| valid.names_a_machine() && valid.not_after.is_some());
    let valid = valid.ok_or(RefusedByPolicy::Unbound)?;
    if policy.this_boot && valid.key.is_none() {
        return Err(RefusedByPolicy::AnyBoot);
    }
    let Some(least) = &policy.least_not_before else { return Ok(()) };
    let begins = valid.not_before.as_deref().and_then(time);
    let recent = begins.zip(time(least)).is_some_and(|(begins, least)| begins >= least);
    if recent { Ok(()) } else { Err(RefusedByPolicy::Withdrawn { least: least.clone() }) }
}

fn this_boot(order: &Order, key: Option<PublicKey>) -> Result<(), RefusedByPolicy> {
    let Some(wanted) = order.valid.as_ref().and_then(|valid| valid.key.as_ref()) else { return Ok(()) };
    let same = wanted.parse::<PublicKey>().is_ok_and(|wanted| Some(wanted) == key);
    if same { Ok(()) } else { Err(RefusedByPolicy::OtherBoot) }
}

/// Checked by every clock that may be right. `strict`: an untrusted clock is not enough.
fn in_time(order: &Order, here: Circumstances<'_>, strict: bool) -> Result<(), RefusedByPolicy> {
    let Some(valid) = &order.valid else { return Ok(()) };
    let (begins, ends) = (valid.not_before.as_deref(), valid.not_after.as_deref());
    if begins.is_none() && ends.is_none() {
        return Ok(());
    }
    let (times, known) = match here.clock.validity(here.now) {
        Validity::At(time) => (vec![time], true),
        Validity::AtBoth(one, other) => (vec![one, other], true),
        Validity::NotEndedAt(time) => (vec![time], false),
    };
    for now in times {
        let shown = || humantime::format_rfc3339_seconds(now).to_string();
        // A text that is not a valid time was refused with the order; here it never passes.
        if let Some(not_after) = ends.filter(|text| time(text).is_none_or(|end| now > end)) {
            return Err(RefusedByPolicy::TooLate { not_after: not_after.to_owned(), now: shown() });
        }
        let early = begins.filter(|text| known && time(text).is_none_or(|begin| now < begin));
        if let Some(not_before) = early {
            return Err(RefusedByPolicy::TooEarly { not_before: not_before.to_owned(), now: shown() });
        }
    }
    if known || !strict { Ok(()) } else { Err(RefusedByPolicy::NoTime) }
}

fn booted(rules: &Rules, inventory: &Inventory) -> Result<(), RefusedByPolicy> {
    let lockdown = inventory.kernel.data.lockdown.as_deref();
    let refused = |wanted, found: Option<String>| {
        let found = found.unwrap_or_else(|| "not known".to_owned());
        Err(RefusedByPolicy::Boot { wanted, found })
    };
    match rules.policy.boot {
        Some(BootPolicy::SecureBoot) if inventory.firmware.data.secure_boot != Some(true) => {
            let found = inventory.firmware.data.secure_boot.map(|_| "off".to_owned());
            refused("Secure Boot", found)
        }
        Some(BootPolicy::Lockdown) if !matches!(lockdown, Some("integrity" | "confidentiality")) => {
            refused("a kernel that is locked down", lockdown.map(str::to_owned))
        }
        _ => Ok(()),
    }
}

fn fetched(rules: &Rules, order: &Order) -> Result<(), RefusedByPolicy> {
    let plain = |what: String, urls: Vec<&str>| match urls.into_iter().find(|url| !is_https(url)) {
        Some(url) if rules.policy.require_https => Err(RefusedByPolicy::Https { what, url: url.to_owned() }),
        _ => Ok(()),
    };
    for file in &order.files {
        plain(format!("the file `{}`", file.path), file.url.as_deref().into_iter().collect())?;
    }
    for (name, image) in &order.images {
        plain(format!("the image `{name}`"), urls(image))?;
        if let Some(why) = rules.policy.images.as_ref().and_then(|policy| unproven(policy, image)) {
            return Err(RefusedByPolicy::Image { image: name.clone(), why });
        }
    }
    Ok(())
}

/// Every layout of the order counts, as it does not say which one will apply.
fn erased(rules: &Rules, order: &Order) -> Result<(), RefusedByPolicy> {
    let Some(least) = rules.policy.least_erase else { return Ok(()) };
    for layout in &order.layouts {
        let less = layout.disks.iter().find(|(_, set)| !set.is_preserved() && set.erase < least);
        if let Some((name, set)) = less {
            let (layout, set, found) = (layout.name.clone(), name.clone(), set.erase);
            return Err(RefusedByPolicy::Erase { layout, set, found, least });
        }
    }
    Ok(())
}

fn is_https(url: &str) -> bool {
    // Registries use TLS unless the scheme says otherwise.
    ["https://", "oci://"]
        .iter()
        .any(|scheme| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
}

/// Everything that is fetched for an image. Each field is named, so that a new one cannot be forgotten here.
fn urls(image: &ImageSpec) -> Vec<&str> {
    let ImageSpec {
        urls,
        manifest,
        sums,
        signature,
        delta,
        name: _,
        least_version: _,
        format: _,
        sector_size: _,
        digest: _,
        transfer: _,
    } = image;
    let signatures = [
        signature.as_ref(),
        sums.as_ref().and_then(|sums| sums.signature.as_ref()),
        delta.as_ref().and_then(|index| index.signature.as_ref()),
    ];
    let mut found: Vec<&str> = urls.iter().chain(manifest).map(String::as_str).collect();
    found.extend(signatures.into_iter().flatten().filter_map(|signature| signature.url.as_deref()));
    found.extend(sums.as_ref().map(|sums| sums.url.as_str()));
    found.extend(delta.as_ref().map(|index| index.url.as_str()));
    found
}

/// What an image lacks.
fn unproven(policy: &ImagePolicy, image: &ImageSpec) -> Option<&'static str> {
    if !policy.least_versions.is_empty() && image.manifest.is_none() {
        return Some("does not come by a manifest, which alone tells its version");
    }
    let known = |signature: &ImageSignature| {
        let key = ImageSignature::bare_key(&signature.key);
        policy.keys.is_empty()
            || (!key.is_empty() && policy.keys.iter().any(|allowed| ImageSignature::bare_key(allowed) == key))
    };
    let by_sums = image.sums.as_ref().and_then(|sums| sums.signature.as_ref());
    let signed = image.signature.as_ref().or(by_sums);
    let by_reference = !image.urls.is_empty() && image.urls.iter().all(|url| is_pinned_reference(url));
    let pinned = image.digest.wire.is_some() || image.digest.content.is_some() || by_reference;
    match (policy.require, signed) {
        (_, Some(signature)) if known(signature) => None,
        (ImageProof::Digest, _) if pinned => None,
        (_, Some(_)) => Some("is signed by a key that this ramdisk does not know"),
        (ImageProof::Signature, None) => Some("is not signed"),
        (ImageProof::Digest, None) => Some("has neither a digest nor a signature"),
    }
}
