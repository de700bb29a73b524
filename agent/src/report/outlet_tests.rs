use super::*;
use crate::protocol::event::{Progress, StageFinished};
use crate::protocol::{EventId, Kind};

fn event(boot: &str, sequence: u64) -> Event {
    let kind = Kind::StageFinished(StageFinished { stage: "s".into(), duration_ms: sequence });
    Event::new(EventId { boot_id: boot.into(), sequence }, "/", std::time::SystemTime::UNIX_EPOCH, None, &kind)
}

fn open(directory: &Path) -> Outlet {
    Outlet::open(Some(directory), CONTROLLER, "b", SpoolLimits::default()).unwrap()
}

fn waiting(outlet: &Outlet) -> Vec<u64> {
    outlet.wait_batch(outlet.acked(), 1000, 1 << 30, Duration::ZERO).iter().map(|event| event.id.sequence).collect()
}

#[test]
fn the_next_process_finds_what_was_not_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let outlet = open(directory.path());
    (1..=5).for_each(|sequence| outlet.push(&event("b", sequence)));
    outlet.ack(2);
    drop(outlet);
    let outlet = open(directory.path());
    assert_eq!((waiting(&outlet), outlet.last(), outlet.acked()), (vec![3, 4, 5], 5, 2));
    outlet.ack(5);
    drop(outlet);
    let outlet = open(directory.path());
    assert_eq!((waiting(&outlet), outlet.last()), (vec![], 5), "a sequence is not used twice");
}

#[test]
fn a_torn_line_and_another_boot_do_not_count() {
    let directory = tempfile::tempdir().unwrap();
    let outlet = open(directory.path());
    (1..=3).for_each(|sequence| outlet.push(&event("b", sequence)));
    drop(outlet);
    let path = directory.path().join("events-controller.jsonl");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 10]).unwrap();
    let outlet = open(directory.path());
    assert_eq!((waiting(&outlet), outlet.last()), (vec![1, 2], 2));
    drop(outlet);
    let outlet = Outlet::open(Some(directory.path()), CONTROLLER, "another", SpoolLimits::default()).unwrap();
    assert_eq!((waiting(&outlet), outlet.last()), (vec![], 0));
}

#[test]
fn the_journal_stays_small() {
    let directory = tempfile::tempdir().unwrap();
    let limits = SpoolLimits { events: 50, bytes: 20_000 };
    let outlet = Outlet::open(Some(directory.path()), CONTROLLER, "b", limits.clone()).unwrap();
    let progress = Kind::Progress(Progress { stage: "x".repeat(300), ..Progress::default() });
    for sequence in 1..=5000 {
        let id = EventId { boot_id: "b".into(), sequence };
        outlet.push(&Event::new(id, "/", std::time::SystemTime::UNIX_EPOCH, None, &progress));
    }
    let size = std::fs::metadata(directory.path().join("events-controller.jsonl")).unwrap().len();
    assert!(size < 400_000, "{size}");
    drop(outlet);
    let outlet = Outlet::open(Some(directory.path()), CONTROLLER, "b", limits).unwrap();
    assert_eq!(outlet.last(), 5000);
    assert!(waiting(&outlet).len() <= 51);
}

#[test]
fn an_unusable_directory_is_an_error_with_a_code() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "").unwrap();
    let error = Outlet::open(Some(&directory.path().join("file")), SINK, "b", SpoolLimits::default()).unwrap_err();
    assert_eq!(error.code(), "controller.spool");
}
