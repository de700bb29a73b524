//! One write from beginning to end: the source opened and checked, the pipeline run, receipts completed. A second attempt
//! where an index was found to be of another image.

use super::fan::Left;
use super::opened::Opened;
use super::pipeline::{Disk, Ended, Run};
use super::progress::{Phase, Stages};
use super::report::{Report, tell_notes};
use super::{Cancel, Destination, ImageError, Stop, WriteRequest};
use burin_disk::Counters;
use burin_protocol::image::DeltaReceipt;
use std::sync::Arc;
use std::time::Instant;

pub fn write(request: WriteRequest, destinations: &[Destination<'_>], cancel: &Cancel) -> Ended {
    // An index that turns out to be of another image has to be noticed only once: then the image is written whole.
    let again = request.delta.as_ref().filter(|delta| !delta.always).and_then(|_| request.without_delta());
    let mut ended = attempt(request, destinations, cancel);
    if let (Some(request), Some(Err(error))) = (again, ended.as_ref().ok().and_then(|ended| ended.first()))
        && let ImageError::NotIndexed { .. } = error.cause()
    {
        let why = error.cause().to_string();
        for destination in destinations {
            destination.progress.note(&format!("{why}; writing it whole"));
        }
        ended = attempt(request, destinations, cancel);
        for receipt in ended.iter_mut().flatten().flatten() {
            receipt.delta = Some(DeltaReceipt { why: Some(why.clone()), ..DeltaReceipt::default() });
        }
    }
    ended
}

fn attempt(request: WriteRequest, destinations: &[Destination<'_>], cancel: &Cancel) -> Ended {
    let began = Instant::now();
    let stop = Arc::new(Stop::new(cancel));
    let stages = Arc::new(Stages::default());
    let room = destinations.iter().map(|destination| destination.target.size()).max().unwrap_or(0);
    let only = match destinations {
        [only] => Some(only.target),
        _ => None,
    };
    let opened = Opened::new(request, room, only, &stop, &stages);
    if let Some(first) = destinations.first() {
        tell_notes(&stop, first.progress);
    }
    let Opened { facts, first, stream, wire_digest, parts, decided } = opened?;
    let disks = destinations.iter().map(|&Destination { target, progress }| Disk {
        report: Report { target, progress, counters: Counters::default() },
        left: Left::default(),
    });
    let disks: Vec<Disk<'_>> = disks.collect();
    let run = Run { opened: &facts, disks: &disks, stop, stages, began };
    let mut ended = run.write(first, stream, parts)?;
    run.tell(Phase::Finishing);
    for receipt in ended.iter_mut().flatten() {
        if receipt.digest.wire.is_none() {
            receipt.digest.wire.clone_from(&wire_digest);
        }
        receipt.delta = decided.clone().map(|decided| match decided.used {
            true => DeltaReceipt { reused_bytes: receipt.skipped_bytes, fetched_bytes: receipt.wire_bytes, ..decided },
            false => decided,
        });
    }
    Ok(ended)
}
