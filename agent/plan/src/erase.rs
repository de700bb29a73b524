//! Disks that are erased before anything is put on them, and whether they can be.

use super::machine::DiskFacts;
use super::refusal::Reason;
use super::steps::Context;
use burin_protocol::order::Erase;
use burin_protocol::plan::Step;
use burin_protocol::plan::steps::EraseDisk;

pub fn steps(context: Context<'_>) -> Result<Vec<Step>, Reason> {
    let mut steps = Vec::new();
    for (disk, planned) in context.disks.iter().enumerate() {
        let how = context.layout.disks.get(&planned.set).map_or(Erase::default(), |set| set.erase);
        match (how, planned.keep.first()) {
            (Erase::Signatures, _) => continue,
            (Erase::SecureErase, Some(kept)) => {
                let what = format!("a secure erase would also take {}", kept.words());
                return Err(Reason::Keep { set: planned.set.clone(), disk: planned.device.clone(), what });
            }
            (Erase::Zeros | Erase::SecureErase, _) => {}
        }
        steps.push(EraseDisk { disk, how, verify: context.order.policies.verify }.into());
    }
    Ok(steps)
}

/// Whether a disk has what a level takes. Zeros can be written to all of them.
pub fn possible(set: &str, facts: &DiskFacts<'_>, how: Erase) -> Result<(), Reason> {
    let formats = facts.disk.erase.as_ref().and_then(|erase| erase.nvme_format) == Some(true);
    if how < Erase::SecureErase || formats {
        return Ok(());
    }
    Err(Reason::NoErase { set: set.to_owned(), disk: facts.name() })
}
