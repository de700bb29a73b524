//! Writes the image of a filesystem into partitions of a new table.

use super::report::Teller;
use super::{ApplyError, Perform, Ramdisk, Work, WritePartition};
use crate::apply::bound::{Access, BoundDisk};
use crate::apply::{fetch, resolve, system};
use crate::disk::Target;
use crate::image::{self, Destination, Inspect, Refusal, WriteRequest};
use crate::plan;
use crate::protocol::image::ImageSpec;
use crate::protocol::plan::Device;
use burin_table::head::Head;
use serde::Serialize;

/// The contents that an image brought into a partition, as found there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionReceipt {
    pub device: String,
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl Perform for WritePartition {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    /// With a single download.
    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let name = &self.image;
        let spec = work.order.images.get(name).ok_or_else(|| ApplyError::NoImage { name: name.clone() })?;
        let targets = self.on.iter().map(|on| target(work, on)).collect::<Result<Vec<_>, _>>()?;
        write(self, work, spec, &targets)?;
        drop(targets);
        for on in &self.on {
            let proven = resolve::open(work, on, Access::Read)?;
            let found = system::content(work, disk(work, on)?, &proven)?;
            let receipt = PartitionReceipt {
                device: proven.device(),
                kind: found.kind.unwrap_or_default(),
                uuid: found.uuid,
                label: found.label,
            };
            work.note("write-partition", &receipt.device, &receipt);
        }
        Ok(())
    }
}

fn target(work: &Work, on: &Device) -> Result<Target, ApplyError> {
    disk(work, on)?.partition_target(resolve::number(work, on)?)
}

fn disk<'a>(work: &'a Work, on: &Device) -> Result<&'a BoundDisk, ApplyError> {
    let unsupported = || ApplyError::Unsupported { step: "write-partition onto anything but a partition".to_owned() };
    Ok(work.disks.disk(on.disk().ok_or_else(unsupported)?)?)
}

/// One failure fails the step: unlike with separate disks, a set's other partitions are of no use.
fn write(step: &WritePartition, work: &Work, spec: &ImageSpec, targets: &[Target]) -> Result<(), ApplyError> {
    let tellers: Vec<Teller<'_>> = targets.iter().map(|target| Teller::new(target.path(), &work.emitter)).collect();
    let destinations: Vec<Destination<'_>> =
        targets.iter().zip(&tellers).map(|(target, progress)| Destination { target, progress }).collect();
    let fetched = fetch::prepare(work, spec)?;
    let (source, digest) = fetched.disk(&work.cancel)?;
    let mut request = WriteRequest::new(source);
    request.format = fetched.spec.format;
    request.verify = step.verify;
    request.digest = digest;
    request.signature = fetched.signature;
    let devices: Vec<String> = targets.iter().map(|target| target.path().display().to_string()).collect();
    request.inspect = Some(Inspect::new(move |head| {
        let head = Head::parse(head.bytes.to_vec());
        devices
            .iter()
            .try_for_each(|device| plan::check_partition_head(device, &head).map_err(|error| Refusal(Box::new(error))))
    }));
    for written in image::write_all(request, &destinations, &work.cancel)? {
        let mut receipt = written?.receipt;
        receipt.published.clone_from(&fetched.published);
        work.add_image(receipt);
    }
    Ok(())
}
