//! Events that have not been acknowledged yet: bounded, in order, without gaps. No I/O.
//!
//! If there are too many, the oldest progress is dropped first, then the oldest log, then other notices. Anomalies, and
//! after them results, are dropped only if they alone exceed twice the limit. A `dev.burin.dropped` event covers the
//! sequences of dropped events, so that the controller's contiguous acknowledgement can pass, and it knows what it
//! missed.

use crate::protocol::event::Dropped;
use crate::protocol::{Event, Kind};
use std::collections::VecDeque;

/// No boot emits this many events; a higher number is invalid. JSON readers keep integers exact up to here.
pub(super) const LAST_SEQUENCE: u64 = 1 << 53;

/// Limits beyond which events are dropped; for anomalies and results, twice as much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolLimits {
    pub events: usize,
    pub bytes: usize,
}

impl Default for SpoolLimits {
    fn default() -> Self {
        Self { events: 4096, bytes: 4 << 20 }
    }
}

/// In the order in which they are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Progress,
    Log,
    Notice,
    Anomaly,
    /// Results of steps and plans, and refused orders.
    Result,
    /// Stands for dropped events.
    StandIn,
}

fn class(event: &Event) -> Class {
    match event.kind.as_str() {
        "dev.burin.progress" => Class::Progress,
        "dev.burin.log" => Class::Log,
        "dev.burin.stage.finished" | "dev.burin.stage.failed" | "dev.burin.plan" => Class::Result,
        "dev.burin.order.refused" => Class::Result,
        "dev.burin.anomaly" => Class::Anomaly,
        "dev.burin.dropped" => Class::StandIn,
        _ => Class::Notice,
    }
}

#[derive(Debug)]
struct Entry {
    /// First sequence that this entry stands for; the last is its event's own.
    from: u64,
    event: Event,
    class: Class,
    size: usize,
}

impl Entry {
    fn new(event: Event) -> Self {
        let from = match event.kind() {
            Some(Kind::Dropped(dropped)) => dropped.from.min(event.id.sequence),
            _ => event.id.sequence,
        };
        let size = serde_json::to_string(&event).map_or(0, |json| json.len());
        Self { from, class: class(&event), event, size }
    }

    fn last(&self) -> u64 {
        self.event.id.sequence
    }

    fn is_stand_in(&self) -> bool {
        self.event.kind == "dev.burin.dropped"
    }
}

/// The stand-in for sequences from `from` to that of `last`, with its time.
fn stand_in(from: u64, last: &Event) -> Entry {
    let kind = Kind::Dropped(Dropped { from, count: last.id.sequence - from + 1 });
    let time = std::time::SystemTime::UNIX_EPOCH;
    let mut event = Event::new(last.id.clone(), &last.source, time, last.subject.as_deref(), &kind);
    event.time = last.time.clone();
    Entry::new(event)
}

#[derive(Debug)]
pub(super) struct Spool {
    entries: VecDeque<Entry>,
    bytes: usize,
    limits: SpoolLimits,
    acked: u64,
    /// Highest sequence ever pushed or acknowledged.
    last: u64,
}

impl Spool {
    pub fn new(limits: SpoolLimits) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, limits, acked: 0, last: 0 }
    }

    /// Sequences must increase; a gap becomes a stand-in.
    pub fn push(&mut self, event: Event) {
        if event.id.sequence <= self.last || event.id.sequence > LAST_SEQUENCE {
            return;
        }
        let mut entries = vec![Entry::new(event)];
        if let [Entry { from, event, .. }] = entries.as_slice()
            && *from > self.last + 1
        {
            let mut end = event.clone();
            end.id.sequence = from - 1;
            entries.insert(0, stand_in(self.last + 1, &end));
        }
        for entry in entries {
            self.last = entry.last();
            self.bytes += entry.size;
            self.entries.push_back(entry);
        }
        while self.exceeds(1) && self.drop_one(Class::Notice) {}
        while self.exceeds(2) && self.drop_one(Class::Result) {}
    }

    fn exceeds(&self, times: usize) -> bool {
        let SpoolLimits { events, bytes } = self.limits;
        self.entries.len() > events.saturating_mul(times) || self.bytes > bytes.saturating_mul(times)
    }

    /// Drops the oldest event of the lowest class, up to this class; false if there is none.
    fn drop_one(&mut self, most: Class) -> bool {
        let droppable = self.entries.iter().enumerate().filter(|(_, entry)| entry.class <= most);
        let Some((at, _)) = droppable.min_by_key(|(at, entry)| (entry.class, *at)) else { return false };
        self.give_up(at);
        true
    }

    /// Replaces an entry by a stand-in, merged with neighbouring ones.
    fn give_up(&mut self, at: usize) {
        let Some(entry) = self.take(at) else { return };
        let (mut at, mut from, mut last) = (at, entry.from, entry.event);
        if self.entries.get(at).is_some_and(Entry::is_stand_in)
            && let Some(next) = self.take(at)
        {
            last = next.event;
        }
        if at > 0 && self.entries.get(at - 1).is_some_and(Entry::is_stand_in) {
            at -= 1;
            if let Some(previous) = self.take(at) {
                from = previous.from;
            }
        }
        let entry = stand_in(from, &last);
        self.bytes += entry.size;
        self.entries.insert(at, entry);
    }

    fn take(&mut self, at: usize) -> Option<Entry> {
        let entry = self.entries.remove(at)?;
        self.bytes -= entry.size;
        Some(entry)
    }

    /// The controller has everything up to `sequence`. Outdated and impossible acknowledgements change nothing.
    pub fn ack(&mut self, sequence: u64) -> bool {
        if sequence <= self.acked || sequence > self.last {
            return false;
        }
        self.acked = sequence;
        while self.entries.front().is_some_and(|entry| entry.last() <= sequence) {
            self.take(0);
        }
        true
    }

    /// What a controller reported at hello. It may know more than this process (whose journal was lost), or less.
    pub fn rebase(&mut self, acked: u64) {
        let acked = acked.min(LAST_SEQUENCE);
        self.last = self.last.max(acked);
        self.ack(acked);
    }

    /// The oldest events, up to a count and a size, at least one. `known` is what the controller is known to have: a
    /// gap between that and the oldest event (a controller that lost state) is filled with a stand-in.
    pub fn batch(&self, known: u64, most: usize, bytes: usize) -> Vec<Event> {
        let mut size = 0;
        let fits = |entry: &&Entry| {
            size += entry.size;
            size <= bytes || size == entry.size
        };
        let mut events: Vec<Event> =
            self.entries.iter().take(most).take_while(fits).map(|entry| entry.event.clone()).collect();
        if let Some(first) = self.entries.front()
            && first.from > known.saturating_add(1)
        {
            let mut end = first.event.clone();
            end.id.sequence = first.from - 1;
            events.insert(0, stand_in(known + 1, &end).event);
        }
        events
    }

    /// The controller will never accept this event, so it is dropped like others.
    pub fn reject(&mut self, sequence: u64) {
        if let Some(at) = self.entries.iter().position(|entry| entry.last() == sequence && !entry.is_stand_in()) {
            self.give_up(at);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn acked(&self) -> u64 {
        self.acked
    }

    pub fn last(&self) -> u64 {
        self.last
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.entries.iter().map(|entry| &entry.event)
    }
}

#[cfg(test)]
#[path = "spool_tests.rs"]
mod tests;
