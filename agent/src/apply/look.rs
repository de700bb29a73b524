//! Inspects the contents of an image in a child process with a deadline. If it blocks on a disk that does not answer,
//! it is left behind, and the disk is not touched until it ends.

use super::bound::{BoundDisk, Until};
use super::work::Work;
use super::{ApplyError, Paths};
use crate::finalize::mount;
use crate::image::Cancel;
use crate::isolate::{IsolateError, IsolatedQuery, Question};
use std::path::PathBuf;
use std::time::Duration;

/// Time limit for one question. Mounting an intact filesystem takes moments, even on slow disks.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Who asks, and the limits.
#[derive(Debug)]
pub struct Asker<'a> {
    pub paths: &'a Paths,
    pub patience: Duration,
    pub cancel: &'a Cancel,
}

/// Asks during the steps of an order.
pub fn ask<Q: Question>(work: &Work, disk: &BoundDisk, nodes: Vec<PathBuf>, what: &Q) -> Result<Q::Answer, ApplyError> {
    Asker { paths: &work.paths, patience: work.patience.look, cancel: &work.cancel }.ask(disk, nodes, what)
}

impl Asker<'_> {
    /// `nodes` are the devices that the child reads.
    pub fn ask<Q: Question>(&self, disk: &BoundDisk, nodes: Vec<PathBuf>, what: &Q) -> Result<Q::Answer, ApplyError> {
        let query = IsolatedQuery {
            program: &self.paths.program,
            patience: self.patience,
            stop: &|| self.cancel.is_cancelled(),
            answered: &|| disk.requests().map_or(0, |requests| requests.done),
            tidy: &|child| mount::clear_after(&self.paths.mounts, child, &nodes),
        };
        let hung = |seconds, until| {
            disk.keep_off(until);
            ApplyError::Hung { device: disk.name().to_owned(), step: "look", seconds }
        };
        query.ask(what).map_err(|error| match error {
            IsolateError::Stopped => ApplyError::Cancelled,
            IsolateError::Stuck { seconds, ended } => hung(seconds, Until::Ended(ended)),
            IsolateError::Silent { seconds } => hung(seconds, Until::Boot),
            source => ApplyError::Look { device: disk.name().to_owned(), source },
        })
    }
}
