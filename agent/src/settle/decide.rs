//! Decides whether to wait for devices: a pure function of what was observed.

use super::sought::Sought;
use std::time::Duration;

/// Uevents of one device may come some time apart.
const QUIET: Duration = Duration::from_millis(500);
/// Hello does not wait for ever: the controller learns more from a machine without its last disk than from silence.
const HELLO_LIMIT: Duration = Duration::from_secs(30);
/// A RAID controller's firmware may take three minutes until its driver is through (megaraid_sas waits for 180 s).
const DRIVER_LIMIT: Duration = Duration::from_secs(190);

/// What the disks are wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// To say what the machine is. What is at work is waited for, what is only silent is not.
    Hello,
    /// To choose disks that will be overwritten, at the earliest so long after the agent first looked (`burin.settle=`).
    Plan { least: Duration },
}

/// What was seen.
#[derive(Debug)]
pub struct Situation<'a> {
    /// Devices that have not shown their disks, and for how long that has been known.
    pub sought: &'a [(Sought, Duration)],
    /// PID 1 loads drivers.
    pub loading: bool,
    /// Since the last uevent.
    pub quiet: Duration,
    /// Since this wait began.
    pub waited: Duration,
    /// Since the agent first looked.
    pub age: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitVerdict {
    Wait,
    /// As far as anybody can know, all disks are there.
    Settled,
    /// The time is over, and something is still at work.
    TimeOver,
}

/// What is worth waiting for.
pub(super) fn waited_for<'a>(moment: Moment, situation: &Situation<'a>) -> impl Iterator<Item = &'a Sought> {
    let counts = move |(sought, age): &&'a (Sought, Duration)| {
        *age < sought.seeking.patience() && (sought.seeking.is_at_work() || moment != Moment::Hello)
    };
    situation.sought.iter().filter(counts).map(|(sought, _)| sought)
}

pub fn verdict(moment: Moment, situation: &Situation<'_>) -> WaitVerdict {
    let at_work = situation.loading || waited_for(moment, situation).next().is_some();
    match moment {
        Moment::Hello if !at_work && situation.quiet >= QUIET => WaitVerdict::Settled,
        Moment::Hello if situation.waited >= HELLO_LIMIT => WaitVerdict::TimeOver,
        Moment::Hello => WaitVerdict::Wait,
        Moment::Plan { least } if situation.age < least => WaitVerdict::Wait,
        // A driver that hangs holds up a machine for so long and no longer.
        Moment::Plan { .. } if situation.loading && situation.waited >= DRIVER_LIMIT => WaitVerdict::TimeOver,
        Moment::Plan { .. } if at_work => WaitVerdict::Wait,
        // What came a moment ago may bring more. Where nothing was waited for, the inventory's own wait was just that.
        Moment::Plan { .. } if !situation.waited.is_zero() && situation.quiet < QUIET => WaitVerdict::Wait,
        Moment::Plan { .. } => WaitVerdict::Settled,
    }
}
