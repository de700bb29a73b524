//! Files of an order, ready to be written. Their contents may be secret: `Debug` shows paths only.

use super::attributes::Attributes;
use super::canonical;
use super::refusal::Reason;
use super::steps::{self, Context};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use burin_protocol::hex;
use burin_protocol::order::{Layout, Order, OrderFile, PartitionPick, PickName};
use burin_protocol::plan::steps::WriteFiles;
use burin_protocol::plan::{PlannedFile, SeedTarget, Step};
use sha2::{Digest, Sha256};
use std::fmt;

/// The contents of a file.
#[derive(Clone, PartialEq, Eq)]
pub enum FileContents {
    Bytes(Vec<u8>),
    /// The downloaded contents must have this digest.
    Url {
        url: String,
        digest: String,
    },
}

/// One file, with attributes resolved.
#[derive(Clone, PartialEq, Eq)]
pub struct PlacedFile {
    pub path: String,
    /// The disk set that the order names.
    pub set: Option<String>,
    pub contents: FileContents,
}

impl fmt::Debug for FileContents {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Url { url, .. } => f.write_str(url),
        }
    }
}

impl fmt::Debug for PlacedFile {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("PlacedFile").field("path", &self.path).field("contents", &self.contents).finish()
    }
}

/// All files of the order.
pub fn files(order: &Order, attributes: &Attributes) -> Result<Vec<PlacedFile>, Reason> {
    order.files.iter().enumerate().map(|(i, file)| placed(file, attributes, &format!("/files/{i}"))).collect()
}

fn placed(file: &OrderFile, attributes: &Attributes, at: &str) -> Result<PlacedFile, Reason> {
    let contents = match (&file.contents, &file.base64, &file.url) {
        (Some(text), _, _) => FileContents::Bytes(attributes.text(text, &format!("{at}/contents"))?.into_bytes()),
        (_, Some(text), _) => {
            let at = format!("{at}/base64");
            let text: String = attributes.text(text, &at)?.split_whitespace().collect();
            let bytes = STANDARD.decode(text);
            FileContents::Bytes(bytes.map_err(|_| Reason::BadValue { at, message: "not base64".to_owned() })?)
        }
        (_, _, url) => FileContents::Url {
            url: url.clone().unwrap_or_default(),
            digest: file.digest.clone().unwrap_or_default().to_ascii_lowercase(),
        },
    };
    if let FileContents::Bytes(bytes) = &contents
        && bytes.len() as u64 > OrderFile::MOST
    {
        return Err(Reason::BadValue { at: at.to_owned(), message: "more than 64 MiB".to_owned() });
    }
    Ok(PlacedFile { path: file.path.clone(), set: file.set.clone(), contents })
}

/// `sha256:HEX` over paths, contents and the order, so that a short secret cannot be guessed from the plan.
fn digest<'a>(order: &Order, files: impl Iterator<Item = &'a PlacedFile>) -> String {
    let mut hash = Sha256::new();
    hash.update(canonical::order_bytes(order));
    for file in files {
        let contents = match &file.contents {
            FileContents::Bytes(bytes) => bytes.as_slice(),
            FileContents::Url { digest, .. } => digest.as_bytes(),
        };
        for part in [file.path.as_bytes(), contents] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    format!("sha256:{}", hex(hash.finalize()))
}

/// The disk set whose system gets a file.
pub fn set_of<'a>(order: &'a Order, layout: &'a Layout, file: &'a OrderFile) -> Option<&'a str> {
    file.set.as_deref().or_else(|| steps::seed_set(order, layout))
}

/// One step for each system that gets files.
pub fn steps(context: Context<'_>, placed: &[PlacedFile], steps: &mut Vec<Step>) {
    let mut all: Vec<(SeedTarget, Vec<(PlannedFile, &PlacedFile)>)> = Vec::new();
    for (file, placed) in context.order.files.iter().zip(placed) {
        for target in targets(context, file) {
            let planned = PlannedFile {
                path: file.path.clone(),
                mode: format!("{:04o}", file.permissions().unwrap_or(0o644)),
                owner: file.owner.clone(),
                group: file.group.clone(),
                url: file.url.clone(),
            };
            match all.iter_mut().find(|(other, _)| *other == target) {
                Some((_, files)) => files.push((planned, placed)),
                None => all.push((target, vec![(planned, placed)])),
            }
        }
    }
    for (target, files) in all {
        let digest = digest(context.order, files.iter().map(|(_, placed)| *placed));
        let files = files.into_iter().map(|(planned, _)| planned).collect();
        steps.push(Step::WriteFiles(WriteFiles { target, files, digest }));
    }
}

/// Every copy of an image, the mirror of all copies, or the tree.
fn targets(context: Context<'_>, file: &OrderFile) -> Vec<SeedTarget> {
    let set = set_of(context.order, context.layout, file);
    let image = |set: &&str| context.layout.disks.get(*set).is_some_and(|set| set.image.is_some());
    match set.filter(image) {
        Some(set) => {
            let partition = file.partition.unwrap_or(PartitionPick::Named(PickName::Root));
            let mirrored = context.layout.disks.get(set).is_some_and(|set| set.mirror);
            let disks = context.of_set(set).into_iter().take(if mirrored { 1 } else { usize::MAX });
            disks.map(|(disk, _)| SeedTarget::ImagePartition { disk, partition }).collect()
        }
        None if context.layout.tree.is_some() => vec![SeedTarget::Tree],
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_contents() {
        let file = PlacedFile {
            path: "/etc/secret".to_owned(),
            set: None,
            contents: FileContents::Bytes(b"hunter2".to_vec()),
        };
        let shown = format!("{file:?}");
        assert!(shown.contains("/etc/secret") && !shown.contains("hunter2"), "{shown}");
    }
}
