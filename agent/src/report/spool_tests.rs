use super::*;
use crate::protocol::event::{LogChunk, Progress, StageFinished, StageStarted};
use crate::protocol::{EventId, Problem};
use proptest::prelude::*;
use std::time::SystemTime;

fn event(sequence: u64, kind: &Kind) -> Event {
    Event::new(EventId { boot_id: "b".into(), sequence }, "/", SystemTime::UNIX_EPOCH, None, kind)
}

fn progress() -> Kind {
    Kind::Progress(Progress { stage: "write".into(), ..Progress::default() })
}

fn finished() -> Kind {
    Kind::StageFinished(StageFinished { stage: "write".into(), duration_ms: 1 })
}

fn kinds(spool: &Spool) -> Vec<(u64, u64, &str)> {
    spool.entries.iter().map(|entry| (entry.from, entry.last(), entry.event.kind.as_str())).collect()
}

#[test]
fn the_oldest_progress_goes_first_and_leaves_a_stand_in() {
    let mut spool = Spool::new(SpoolLimits { events: 4, bytes: 1 << 20 });
    let all = [finished(), progress(), progress(), finished(), progress(), finished()];
    for (at, kind) in all.iter().enumerate() {
        spool.push(event(at as u64 + 1, kind));
    }
    assert_eq!(
        kinds(&spool),
        [
            (1, 1, "dev.burin.stage.finished"),
            (2, 3, "dev.burin.dropped"),
            (4, 4, "dev.burin.stage.finished"),
            (5, 5, "dev.burin.dropped"),
            (6, 6, "dev.burin.stage.finished"),
        ]
    );
    let dropped = spool.batch(0, 10, 1 << 20)[1].kind();
    assert_eq!(dropped, Some(Kind::Dropped(Dropped { from: 2, count: 2 })));
}

#[test]
fn acknowledgements_may_repeat_come_late_or_lie() {
    let mut spool = Spool::new(SpoolLimits::default());
    (1..=5).for_each(|sequence| spool.push(event(sequence, &finished())));
    assert!(spool.ack(3));
    assert!(!spool.ack(3) && !spool.ack(1) && !spool.ack(6) && !spool.ack(u64::MAX));
    assert_eq!(spool.batch(3, 10, 1 << 20).len(), 2);
    assert!(spool.ack(5) && spool.is_empty());
    spool.push(event(5, &finished()));
    assert!(spool.is_empty(), "a sequence is used once");
}

#[test]
fn a_controller_that_forgot_gets_a_stand_in() {
    let mut spool = Spool::new(SpoolLimits::default());
    (1..=5).for_each(|sequence| spool.push(event(sequence, &finished())));
    spool.ack(3);
    spool.rebase(1);
    let batch = spool.batch(1, 10, 1 << 20);
    assert_eq!(batch[0].kind(), Some(Kind::Dropped(Dropped { from: 2, count: 2 })));
    assert_eq!(batch.iter().map(|event| event.id.sequence).collect::<Vec<_>>(), [3, 4, 5]);
}

#[test]
fn a_controller_that_knows_more_moves_the_sequence() {
    let mut spool = Spool::new(SpoolLimits::default());
    spool.rebase(40);
    assert_eq!((spool.last(), spool.acked()), (40, 40));
    spool.push(event(41, &finished()));
    spool.push(event(44, &finished()));
    assert_eq!(
        kinds(&spool).iter().map(|(from, last, _)| (*from, *last)).collect::<Vec<_>>(),
        [(41, 41), (42, 43), (44, 44)]
    );
}

#[test]
fn a_batch_has_at_least_one_event_and_stays_within_its_size() {
    let mut spool = Spool::new(SpoolLimits::default());
    (1..=9).for_each(|sequence| spool.push(event(sequence, &finished())));
    assert_eq!(spool.batch(0, 100, 1).len(), 1);
    assert_eq!(spool.batch(0, 3, 1 << 20).len(), 3);
    let one = spool.entries[0].size;
    assert_eq!(spool.batch(0, 100, one * 4 + one / 2).len(), 4);
}

#[test]
fn a_rejected_event_is_replaced() {
    let mut spool = Spool::new(SpoolLimits::default());
    (1..=3).for_each(|sequence| spool.push(event(sequence, &finished())));
    spool.reject(2);
    spool.reject(9);
    assert_eq!(kinds(&spool)[1], (2, 2, "dev.burin.dropped"));
    spool.reject(2);
    assert_eq!(spool.entries.len(), 3);
}

#[test]
fn a_controller_that_claims_impossible_sequences_breaks_nothing() {
    let mut spool = Spool::new(SpoolLimits::default());
    spool.push(event(1, &finished()));
    assert_eq!(spool.batch(u64::MAX, 10, 1 << 20).len(), 1);
    spool.rebase(u64::MAX);
    spool.push(event(u64::MAX, &finished()));
    assert_eq!((spool.last(), spool.is_empty()), (LAST_SEQUENCE, true));
}

#[test]
fn anomalies_and_then_results_go_where_they_alone_are_too_many() {
    let problem = Problem { code: "x.y".into(), message: "m".into(), causes: vec![], hint: None };
    let anomaly = Kind::Anomaly(crate::protocol::event::Anomaly { device: None, problem });
    let mut spool = Spool::new(SpoolLimits { events: 10, bytes: 1 << 20 });
    for sequence in 1..=20 {
        let kind = if sequence % 2 == 0 { anomaly.clone() } else { finished() };
        spool.push(event(sequence, &kind));
    }
    assert_eq!(spool.entries.len(), 20, "within twice the limit all are kept");
    for sequence in 21..=30 {
        spool.push(event(sequence, &finished()));
    }
    let count = |class| spool.entries.iter().filter(|entry| entry.class == class).count();
    assert!(spool.entries.len() <= 20, "{}", spool.entries.len());
    assert_eq!(count(Class::Anomaly), 0, "anomalies go before any result does");
    assert!(count(Class::Result) > 5);
    // A device that reports errors for ever must not fill the memory.
    for sequence in 31..=5000 {
        spool.push(event(sequence, &anomaly));
    }
    assert!(spool.entries.len() <= 20);
    assert_eq!(spool.last(), 5000);
}

#[derive(Debug, Clone)]
enum Step {
    Emit(Kind),
    Ack(u64),
    Rebase(u64),
    Reject(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let problem = Problem { code: "x.y".into(), message: "m".into(), causes: vec![], hint: None };
    let failed = Kind::StageFailed(crate::protocol::event::StageFailed {
        stage: "s".into(),
        duration_ms: 1,
        problem,
        trace: None,
    });
    let emitted = prop_oneof![
        10 => Just(progress()),
        3 => "[a-z]{0,400}".prop_map(|text| Kind::Log(LogChunk { offset: 0, text })),
        2 => Just(Kind::StageStarted(StageStarted { stage: "s".into() })),
        2 => Just(finished()),
        1 => Just(failed),
    ];
    prop_oneof![
        12 => emitted.prop_map(Step::Emit),
        1 => (0..200_u64).prop_map(Step::Ack),
        1 => (0..200_u64).prop_map(Step::Rebase),
        1 => (0..200_u64).prop_map(Step::Reject),
    ]
}

proptest! {
    #[test]
    fn bounded_without_a_gap_and_never_without_a_result(
        steps in proptest::collection::vec(step(), 0..200),
        events in 1..20_usize,
        bytes in 300..5000_usize,
    ) {
        let mut spool = Spool::new(SpoolLimits { events, bytes });
        let mut results = std::collections::BTreeSet::new();
        let mut known = 0;
        for step in steps {
            match step {
                Step::Emit(kind) => {
                    let sequence = spool.last() + 1;
                    let event = event(sequence, &kind);
                    if class(&event) == Class::Result {
                        results.insert(sequence);
                    }
                    let size = serde_json::to_string(&event).unwrap().len();
                    spool.push(event);
                    // With stand-ins of some 300 bytes each, results may have been dropped.
                    let twice = spool.entries.len() + 2 > 2 * events || spool.bytes() + size + 600 > 2 * bytes;
                    if twice {
                        results.clear();
                    }
                }
                Step::Ack(sequence) => {
                    if spool.ack(sequence) {
                        known = sequence;
                    }
                }
                Step::Rebase(sequence) => {
                    spool.rebase(sequence);
                    known = sequence;
                }
                Step::Reject(sequence) => {
                    spool.reject(sequence);
                    results.remove(&sequence);
                }
            }
            // No gap: each entry follows the previous one, up to the last sequence.
            let mut next = spool.acked() + 1;
            for entry in &spool.entries {
                prop_assert!(entry.from <= next && entry.last() >= next, "{:?}", kinds(&spool));
                next = entry.last() + 1;
            }
            prop_assert!(spool.is_empty() || next == spool.last() + 1);
            // The size counter is correct.
            prop_assert_eq!(spool.bytes(), spool.entries.iter().map(|entry| entry.size).sum::<usize>());
            // Every unacknowledged result is there, unless there were too many results.
            let there: Vec<u64> =
                spool.entries.iter().filter(|entry| !entry.is_stand_in()).map(Entry::last).collect();
            for result in results.range(spool.acked() + 1..) {
                prop_assert!(there.contains(result), "{result} of {:?}", kinds(&spool));
            }
            // Bounded: beyond the limits there are only results and anomalies, beyond twice the limits nothing.
            let over = spool.entries.len() > events || spool.bytes() > bytes;
            prop_assert!(!over || spool.entries.iter().all(|entry| entry.class > Class::Notice));
            let twice = spool.entries.len() > 2 * events || spool.bytes() > 2 * bytes;
            prop_assert!(!twice || spool.entries.iter().all(Entry::is_stand_in));
            // Two stand-ins are never adjacent.
            let stands: Vec<bool> = spool.entries.iter().map(Entry::is_stand_in).collect();
            prop_assert!(!stands.windows(2).any(|pair| pair == [true, true]), "{:?}", kinds(&spool));
            // The batches bring a receiver that has `known` to the end without a gap.
            let mut held = known;
            for event in spool.batch(known, 1000, usize::MAX) {
                let from = match event.kind() {
                    Some(Kind::Dropped(dropped)) => dropped.from,
                    _ => event.id.sequence,
                };
                prop_assert!(from <= held + 1, "hole before {} after {held}: {:?}", event.id, kinds(&spool));
                held = held.max(event.id.sequence);
            }
            prop_assert!(spool.is_empty() || held >= spool.last());
        }
    }
}
