//! Volumes in an image that cloud-init would use as a seed. If a machine has two of them, cloud-init reads whichever it
//! finds first, so a second one is refused.

use super::bound::BoundDisk;
use super::work::Work;
use super::{ApplyError, system, table};
use crate::plan::seed_labels;
use crate::protocol::order::SeedFormat;

/// A seed volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedVolume {
    pub number: u32,
    /// The label of its filesystem, or its partition's name.
    pub label: String,
}

/// All partitions that are seeds by the label of their filesystem or by their name.
pub fn find(work: &Work, disk: &BoundDisk) -> Result<Vec<SeedVolume>, ApplyError> {
    // Held open while they are examined.
    let (candidates, _open) = table::candidates(work, disk)?;
    let contents = system::contents(work, disk, &candidates)?;
    let volumes = candidates.into_iter().zip(contents).filter_map(|(candidate, content)| {
        let mut names = [content.and_then(|content| content.label), candidate.name].into_iter().flatten();
        let label = names.find(|name| seed_labels().any(|label| name.eq_ignore_ascii_case(label)))?;
        Some(SeedVolume { number: candidate.number, label })
    });
    Ok(volumes.collect())
}

/// The volume for a seed of this format, if there is one; an error if another would be read besides it.
pub fn of_format<'a>(
    disk: &BoundDisk,
    volumes: &'a [SeedVolume],
    format: SeedFormat,
) -> Result<Option<&'a SeedVolume>, ApplyError> {
    let own = |volume: &SeedVolume| format.volume_label().is_some_and(|label| volume.label.eq_ignore_ascii_case(label));
    match volumes {
        [] => Ok(None),
        [only] if own(only) => Ok(Some(only)),
        [.., last] => {
            let other = volumes.iter().find(|volume| !own(volume)).unwrap_or(last);
            let (number, label) = (other.number, other.label.clone());
            Err(ApplyError::SecondSeed { device: disk.name().to_owned(), number, label })
        }
    }
}
