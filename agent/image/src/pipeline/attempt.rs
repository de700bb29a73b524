//! One write from beginning to end: opens and checks the source, runs the pipeline, completes the receipts. Retries
//! once if the index turns out to belong to another image.

use crate::error::ImageError;
use crate::flow::progress::Cancel;
use crate::flow::progress::{Phase, Stages};
use crate::flow::stop::Stop;
use crate::pipeline::fan_out::DeviceFault;
use crate::pipeline::open::{OpenImage, Opening};
use crate::pipeline::report::{WriteReport, tell_notes};
use crate::pipeline::run::{DeviceWrite, Ended, Run};
use crate::pipeline::threads::{Device, Shared};
use crate::request::Destination;
use crate::request::{WriteRequest, Written};
use burin_disk::Counters;
use burin_protocol::image::DeltaReceipt;
use std::sync::Arc;
use std::time::Instant;

pub fn write(request: WriteRequest, destinations: &[Destination<'_>], cancel: &Cancel) -> Ended {
    // If the index turns out to belong to another image, one retry is enough: it writes the whole image.
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
        for Written { receipt, .. } in ended.iter_mut().flatten().flatten() {
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
    let opened = Opening { room, only, devices: destinations.len(), stop: &stop, stages: &stages }.open(request);
    if let Some(first) = destinations.first() {
        tell_notes(&stop, first.progress);
    }
    let OpenImage { info, fetched, wire, decided } = opened?;
    let disks = destinations.iter().map(|&Destination { target, progress }| DeviceWrite {
        report: WriteReport { target, progress, counters: Counters::default() },
        fault: DeviceFault::default(),
    });
    let disks: Vec<DeviceWrite<'_>> = disks.collect();
    let devices = disks.iter().map(|disk| Device {
        target: disk.report.target,
        counters: &disk.report.counters,
        fault: &disk.fault,
    });
    let shared = Shared { info: &info, stop, stages, devices: devices.collect() };
    let run = Run { shared: &shared, disks: &disks, began };
    let mut ended = run.write(fetched)?;
    run.tell(Phase::Finishing);
    for Written { receipt, .. } in ended.iter_mut().flatten() {
        receipt.digest.wire = receipt.digest.wire.take().or_else(|| wire.asked.clone());
        receipt.wire_sha256 = receipt.wire_sha256.take().or_else(|| wire.sha256.clone());
        receipt.delta = decided.clone().map(|decided| match decided.used {
            true => DeltaReceipt { reused_bytes: receipt.skipped_bytes, fetched_bytes: receipt.wire_bytes, ..decided },
            false => decided,
        });
    }
    Ok(ended)
}
