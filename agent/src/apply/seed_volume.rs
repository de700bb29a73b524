//! Volumes in an image that cloud-init would use as a seed. If a machine has two of them, cloud-init reads whichever it
//! finds first, so a second one is refused.

use super::bound::BoundDisk;
use super::work::Work;
use super::{ApplyError, system, table};
use crate::plan::seed_labels;
use crate::protocol::order::SeedFormat;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedVolume {
    pub number: u32,
    /// Of its filesystem, or its partition's name.
    pub label: String,
}

/// All partitions that are a seed by the label of their filesystem or by their name.
pub fn find(work: &Work, disk: &BoundDisk) -> Result<Vec<SeedVolume>, ApplyError> {
    // Held open while they are looked at.
    let (candidates, _open) = table::candidates(work, disk)?;
    let contents = system::contents(work, disk, &candidates)?;
    let volumes = candidates.into_iter().zip(contents).filter_map(|(candidate, content)| {
        let mut names = [content.and_then(|content| content.label), candidate.name].into_iter().flatten();
        let label = names.find(|name| seed_labels().any(|label| name.eq_ignore_ascii_case(label)))?;
        Some(SeedVolume { number: candidate.number, label })
    });
    Ok(volumes.collect())
}

/// The one that a seed of this format goes to, if there is one; an error where another would be read beside it.
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
