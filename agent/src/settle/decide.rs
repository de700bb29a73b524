//! Decides whether to wait for devices: a pure function of what was observed.

use super::sought::Sought;
use std::time::Duration;

/// Uevents of one device may be some time apart.
const QUIET: Duration = Duration::from_millis(500);
/// Hello does not wait for ever: a machine without its last disk is more useful to the controller than silence.
const HELLO_LIMIT: Duration = Duration::from_secs(30);
/// A RAID controller's driver may need three minutes for its firmware (megaraid_sas waits for 180 s).
const DRIVER_LIMIT: Duration = Duration::from_secs(190);

/// The purpose for which disks are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// To describe the machine. Waits for devices that are starting, but not for silent ones.
    Hello,
    /// To choose disks that will be overwritten, no earlier than this long after the first look (`burin.settle=`).
    Plan { least: Duration },
}

/// The observations.
#[derive(Debug)]
pub struct Situation<'a> {
    /// Devices that have not shown their disks, and for how long that has been known.
    pub sought: &'a [(Sought, Duration)],
    /// PID 1 is loading drivers.
    pub loading: bool,
    /// Time since the last uevent.
    pub quiet: Duration,
    /// Time since this wait began.
    pub waited: Duration,
    /// Time since the agent first looked.
    pub age: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitVerdict {
    Wait,
    /// As far as can be known, all disks are there.
    Settled,
    /// The time is over, and something is still starting.
    TimeOver,
}

/// The devices worth waiting for.
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
        // A driver that hangs delays a machine only this long.
        Moment::Plan { .. } if situation.loading && situation.waited >= DRIVER_LIMIT => WaitVerdict::TimeOver,
        Moment::Plan { .. } if at_work => WaitVerdict::Wait,
        // A device that has just appeared may bring more. If there was no wait, the inventory itself has taken long
        // enough.
        Moment::Plan { .. } if !situation.waited.is_zero() && situation.quiet < QUIET => WaitVerdict::Wait,
        Moment::Plan { .. } => WaitVerdict::Settled,
    }
}
