//! The fault matrix: whatever fails in between, both sides end in the same, correct state.

use crate::support::wire::Wire;
use crate::support::*;
use burin::calls::ControllerError;
use burin::dialect::native::{Next, Session};
use burin::error::Coded;
use burin::http::Timeouts;
use burin::protocol::{Decision, Kind};
use burin_tests::controller::{Call, Fault};
use std::time::Duration;

const CALLS: [Call; 5] = [Call::Hello, Call::Order, Call::Events, Call::Grant, Call::Receipt];

/// One order from hello to acknowledgement.
fn story(agent: &Agent, order: &str) {
    let session = agent.connect();
    let Next::Order(offer) = session.next_order(PATIENCE).unwrap() else { panic!() };
    assert_eq!(offer.order.id, order);
    agent.emitter.emit(finished("plan"));
    session.grant(order, offer.attempt, "sha256:00").unwrap();
    agent.emitter.emit(progress(1));
    agent.emitter.emit(finished("write"));
    session.post_receipt(&receipt_for(order, offer.attempt, "boot-1"), PATIENCE).unwrap();
    assert!(agent.emitter.flush(PATIENCE));
}

fn ended_well(bench: &Bench, name: &str) {
    assert_eq!(bench.stages(), ["plan", "write"], "{name}: no result lost, none twice");
    let view = bench.view();
    let granted = view.grants.iter().filter(|(_, reply)| reply.decision == Decision::Granted).count();
    assert_eq!((granted, view.receipts.len()), (1, 1), "{name}");
    assert_eq!(view.boots["boot-1"].acked, 3, "{name}");
}

fn survives(name: &str, calls: &[Call], fault: &Fault) {
    for call in calls {
        let name = format!("{name} at {call:?}");
        let bench = Bench::new(|_| {});
        bench.controller().put_order("default", order("o1")).unwrap();
        bench.controller().faults().set(*call, fault.clone(), 2);
        let agent = bench.agent("boot-1");
        story(&agent, "o1");
        assert_eq!(bench.controller().faults().left(*call), 0, "{name}: the fault struck");
        ended_well(&bench, &name);
    }
}

#[test]
fn status_500() {
    survives("500", &CALLS, &Fault::Status(500));
}

#[test]
fn status_404_and_502() {
    survives("404", &CALLS, &Fault::Status(404));
    survives("502", &CALLS, &Fault::Status(502));
}

#[test]
fn too_many_requests_with_retry_after() {
    survives("429", &CALLS, &Fault::RetryAfter { status: 429, seconds: 1 });
}

#[test]
fn connection_reset_before_the_request_is_looked_at() {
    survives("drop", &CALLS, &Fault::Drop);
}

#[test]
fn connection_reset_after_the_request_was_carried_out() {
    survives("lost reply", &CALLS, &Fault::LoseReply);
}

#[test]
fn connection_reset_in_mid_body() {
    survives("cut reply", &CALLS, &Fault::CutReply);
}

#[test]
fn wrong_content_type() {
    survives("html", &CALLS, &Fault::ContentType("text/html".into()));
}

#[test]
fn a_body_without_end() {
    survives("endless", &CALLS, &Fault::Endless(1 << 30));
}

#[test]
fn invalid_utf8_and_half_json() {
    let calls = [Call::Hello, Call::Events, Call::Grant, Call::Receipt];
    survives("utf-8", &calls, &Fault::Body(b"{\"version\":\"\xff\xfe\"}".to_vec()));
    survives("half", &calls, &Fault::Body(b"{\"version\":".to_vec()));
    survives("array", &calls, &Fault::Body(b"[]".to_vec()));
}

#[test]
fn stalls() {
    for call in CALLS {
        let bench = Bench::new(|_| {});
        bench.controller().put_order("default", order("o1")).unwrap();
        bench.controller().faults().set(call, Fault::Stall(Duration::from_secs(300)), 1);
        let mut agent = bench.agent("boot-1");
        agent.options.timeouts = Timeouts { response: Duration::from_secs(2), ..agent.options.timeouts };
        story_without_long_poll(&agent);
        assert_eq!(bench.controller().faults().left(call), 0);
        ended_well(&bench, &format!("stall at {call:?}"));
    }
}

/// Like [`story`], but without long polling, which would lengthen the time limit.
fn story_without_long_poll(agent: &Agent) {
    let session = agent.connect();
    let Next::Order(offer) = session.next_order(Duration::ZERO).unwrap() else { panic!() };
    agent.emitter.emit(finished("plan"));
    session.grant("o1", offer.attempt, "sha256:00").unwrap();
    agent.emitter.emit(progress(1));
    agent.emitter.emit(finished("write"));
    session.post_receipt(&receipt_for("o1", offer.attempt, "boot-1"), PATIENCE).unwrap();
    assert!(agent.emitter.flush(PATIENCE));
}

#[test]
fn half_open_sockets() {
    let bench = Bench::new(|_| {});
    bench.controller().put_order("default", order("o1")).unwrap();
    let wire = Wire::to(bench.controller().address());
    let mut agent = Agent::new(&wire.url(), &bench.state(), "boot-1");
    agent.options.timeouts = Timeouts { response: Duration::from_secs(2), ..agent.options.timeouts };
    let session = agent.connect();
    let Next::Order(offer) = session.next_order(Duration::ZERO).unwrap() else { panic!() };
    agent.emitter.emit(finished("plan"));
    session.grant("o1", offer.attempt, "sha256:00").unwrap();
    // Connections stay open: existing and new ones wait for an answer for ever.
    wire.die();
    agent.emitter.emit(progress(1));
    agent.emitter.emit(finished("write"));
    let receipt = receipt_for("o1", offer.attempt, "boot-1");
    std::thread::scope(|scope| {
        let machine = scope.spawn(|| session.post_receipt(&receipt, PATIENCE));
        eventually("new connections met the dead wire too", || wire.swallowed() >= 2);
        wire.heal();
        machine.join().unwrap().unwrap();
    });
    assert!(agent.emitter.flush(PATIENCE));
    ended_well(&bench, "half-open");
}

#[test]
fn acknowledgements_that_repeat_go_back_or_promise_too_much() {
    for acked in [0_u64, 1, 2, 1_000_000, u64::MAX] {
        let body = format!(r#"{{"acked":{acked},"control":"continue"}}"#).into_bytes();
        let bench = Bench::new(|_| {});
        bench.controller().put_order("default", order("o1")).unwrap();
        let agent = bench.agent("boot-1");
        let session = agent.connect();
        agent.emitter.emit(finished("plan"));
        assert!(agent.emitter.flush(PATIENCE));
        bench.controller().faults().set(Call::Events, Fault::Body(body), 2);
        agent.emitter.emit(progress(1));
        agent.emitter.emit(finished("write"));
        eventually("the lies are told", || bench.controller().faults().left(Call::Events) == 0);
        eventually("the truth is out", || bench.view().boots["boot-1"].acked >= 3);
        drop(session);
        assert_eq!(bench.stages(), ["plan", "write"], "acked {acked}");
    }
}

#[test]
fn controller_away_at_the_start() {
    let mut bench = Bench::new(|_| {});
    bench.controller().put_order("default", order("o1")).unwrap();
    let agent = bench.agent("boot-1");
    bench.stop();
    std::thread::scope(|scope| {
        let machine = scope.spawn(|| story(&agent, "o1"));
        eventually("the agent noticed", || agent.failures() >= 3);
        bench.start();
        machine.join().unwrap();
    });
    ended_well(&bench, "away at start");
}

#[test]
fn controller_away_in_the_middle_keeps_every_result() {
    let mut bench = Bench::new(|_| {});
    let agent = bench.agent("boot-1");
    let _session = agent.connect();
    bench.stop();
    // Far more than the spool holds: progress is dropped, results stay.
    for stage in 0..20 {
        (0..1000).for_each(|at| agent.emitter.emit(progress(at)));
        agent.emitter.emit(finished(&format!("stage-{stage}")));
    }
    bench.start();
    assert!(agent.emitter.flush(PATIENCE));
    let expected: Vec<String> = (0..20).map(|stage| format!("stage-{stage}")).collect();
    assert_eq!(bench.stages(), expected);
    let view = bench.view();
    let boot = &view.boots["boot-1"];
    assert_eq!(boot.acked, 20 * 1001);
    let told: u64 = boot
        .events
        .values()
        .filter_map(|event| match event.kind() {
            Some(Kind::Dropped(dropped)) => Some(dropped.count),
            _ => None,
        })
        .sum();
    let there = boot.events.values().filter(|event| event.kind != "dev.burin.dropped").count() as u64;
    assert_eq!(told + there, 20 * 1001, "every sequence is either there or reported as dropped");
}

#[test]
fn controller_restarted_between_receipt_and_acknowledgement() {
    let mut bench = Bench::new(|options| options.hold_receipts = true);
    let agent = bench.agent("boot-1");
    let session = agent.connect();
    agent.emitter.emit(finished("write"));
    let receipt = receipt_for("o1", 1, "boot-1");
    std::thread::scope(|scope| {
        let machine = scope.spawn(|| session.post_receipt(&receipt, PATIENCE));
        bench.controller().wait_receipt("o1", PATIENCE).unwrap();
        assert_eq!(session.memory().receipt(), Some(receipt.clone()), "posted is not acknowledged");
        bench.stop();
        bench.options.hold_receipts = false;
        bench.start();
        machine.join().unwrap().unwrap();
    });
    assert_eq!(bench.view().receipts, [receipt]);
    assert_eq!(session.memory().receipt(), None);
}

#[test]
fn a_receipt_that_nobody_acknowledges_ends_at_its_deadline() {
    let bench = Bench::new(|options| options.hold_receipts = true);
    let agent = bench.agent("boot-1");
    let session = agent.connect();
    let receipt = receipt_for("o1", 1, "boot-1");
    let error = session.post_receipt(&receipt, Duration::from_secs(1)).unwrap_err();
    assert_eq!(error.code(), "controller.unacknowledged");
    assert_eq!(session.memory().receipt(), Some(receipt.clone()), "kept for the next process");
    bench.controller().faults().refuse_all();
    let error = session.post_receipt(&receipt, Duration::from_secs(1)).unwrap_err();
    assert_eq!(error.code(), "controller.unacknowledged");
    bench.controller().faults().heal();
    bench.controller().acknowledge();
    let next = bench.agent("boot-1");
    let left = next.memory().receipt().unwrap();
    next.connect().post_receipt(&left, PATIENCE).unwrap();
    assert_eq!(bench.view().receipts, [receipt]);
}

#[test]
fn a_killed_controller_knows_everything_it_acknowledged() {
    let mut bench = Bench::new(|_| {});
    bench.controller().put_order("default", order("o1")).unwrap();
    let agent = bench.agent("boot-1");
    story(&agent, "o1");
    let before = bench.view();
    bench.stop();
    // As if it had been killed in the middle of a write.
    let path = bench.options.state.join("journal.jsonl");
    let mut journal = std::fs::read(&path).unwrap();
    journal.extend_from_slice(br#"{"grant":{"machine":"4c4c4544-0001","requ"#);
    std::fs::write(&path, journal).unwrap();
    bench.start();
    let after = bench.view();
    assert_eq!(format!("{:?}", after.boots), format!("{:?}", before.boots));
    assert_eq!((after.grants, after.receipts), (before.grants, before.receipts));
    // Tokens too: no new hello is needed.
    agent.emitter.emit(finished("late"));
    ended_well_until_late(&bench, &agent);
}

fn ended_well_until_late(bench: &Bench, agent: &Agent) {
    let session = agent.connect();
    assert!(agent.emitter.flush(PATIENCE));
    assert_eq!(bench.stages(), ["plan", "write", "late"]);
    assert_eq!(session.next_order(Duration::ZERO).unwrap(), Next::None, "a finished order is not offered again");
}

#[test]
fn a_controller_that_lost_everything_is_told_the_rest() {
    let mut bench = Bench::new(|_| {});
    let agent = bench.agent("boot-1");
    let _session = agent.connect();
    agent.emitter.emit(finished("before"));
    assert!(agent.emitter.flush(PATIENCE));
    bench.stop();
    std::fs::remove_file(bench.options.state.join("journal.jsonl")).unwrap();
    bench.start();
    agent.emitter.emit(finished("after"));
    assert!(agent.emitter.flush(PATIENCE));
    assert_eq!(bench.stages(), ["after"]);
    assert_eq!(bench.view().boots["boot-1"].acked, 2);
}

#[test]
fn an_event_that_the_controller_will_not_have_does_not_stop_the_others() {
    let bench = Bench::new(|_| {});
    let agent = bench.agent("boot-1");
    let _session = agent.connect();
    agent.emitter.emit(finished("first"));
    assert!(agent.emitter.flush(PATIENCE));
    // Refused again and again until it is sent alone, and then once more.
    bench.controller().faults().set(Call::Events, Fault::Status(422), 1);
    agent.emitter.emit(finished("unwanted"));
    eventually("it was refused", || bench.controller().faults().left(Call::Events) == 0);
    agent.emitter.emit(finished("last"));
    assert!(agent.emitter.flush(PATIENCE));
    assert_eq!(bench.stages(), ["first", "last"]);
    assert_eq!(bench.view().boots["boot-1"].acked, 3);
}

#[test]
fn connection_refused() {
    let mut bench = Bench::new(|_| {});
    bench.controller().put_order("default", order("o1")).unwrap();
    let url = bench.controller().url();
    bench.stop();
    // An error from the kernel, not from a server that closes the connection.
    let ControllerError::Unreachable { source, .. } = first_failure(&url, None) else { panic!() };
    let ureq::Error::Io(error) = *source else { panic!("{source:?}") };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    let agent = Agent::new(&url, &bench.state(), "boot-1");
    std::thread::scope(|scope| {
        let machine = scope.spawn(|| story(&agent, "o1"));
        eventually("it was refused a few times", || agent.failures() >= 3);
        bench.start();
        machine.join().unwrap();
    });
    ended_well(&bench, "refused");
}

fn first_failure(url: &str, timeouts: Option<Timeouts>) -> ControllerError {
    let directory = tempfile::tempdir().unwrap();
    let mut agent = Agent::new(url, directory.path(), "boot-1").impatient();
    agent.options.timeouts = timeouts.unwrap_or(agent.options.timeouts);
    match Session::connect(agent.options, agent.hello, &agent.emitter).unwrap_err() {
        ControllerError::GaveUp { source, .. } => *source,
        other => other,
    }
}

#[test]
fn each_way_to_fail_has_its_code() {
    assert_eq!(first_failure("ftp://x", None).code(), "controller.url");
    assert_eq!(first_failure("http://", None).code(), "controller.url");
    assert_eq!(first_failure("http://host.invalid/", None).code(), "controller.dns");
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = unused.local_addr().unwrap();
    let short = Timeouts { response: Duration::from_secs(1), ..Timeouts::CALLS };
    // Half-open: the kernel accepts, but nobody answers.
    assert_eq!(first_failure(&format!("http://{address}"), Some(short)).code(), "controller.timeout");
    drop(unused);
    assert_eq!(first_failure(&format!("http://{address}"), None).code(), "controller.unreachable");
    // A password in the URL is not shown.
    let error = first_failure(&format!("http://me:secret@{address}/"), None);
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
}

#[test]
fn tokens_stay_out_of_what_the_agent_leaves_behind() {
    let bench = Bench::new(|_| {});
    bench.controller().put_order("default", order("o1")).unwrap();
    let body = br#"{"version":"hello/v1","machine":"4c4c4544-0001","token":"t0ps3cret-0123456"}"#;
    bench.controller().faults().set(Call::Hello, Fault::Body(body.to_vec()), 1);
    let agent = bench.agent("boot-1");
    let session = agent.connect();
    assert!(!format!("{session:?} {agent:?}", agent = agent.options).contains("t0ps3cret-0123456"));
    agent.emitter.emit(finished("x"));
    assert!(agent.emitter.flush(PATIENCE));
    for file in std::fs::read_dir(bench.state()).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains("t0ps3cret-0123456"), "{text}");
    }
}
