//! The protocol without faults, and what each side refuses.

use crate::support::*;
use burin::calls::ControllerError;
use burin::dialect::native::{Next, Offer, Session};
use burin::error::Coded;
use burin::protocol::event::OrderRefused;
use burin::protocol::{Control, Kind, LastState, Secret};
use burin::report::SINK;
use burin_tests::controller::{Call, Fault, Observation};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn offer(next: Next) -> Offer {
    match next {
        Next::Order(offer) => *offer,
        other => panic!("{other:?}"),
    }
}

fn code(result: Result<(), ControllerError>) -> String {
    match result.unwrap_err() {
        ControllerError::Refused { problem, .. } => problem.unwrap().code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn from_hello_to_the_acknowledged_receipt() {
    let bench = Bench::new(|_| {});
    let seen = bench.controller().subscribe();
    let agent = bench.agent("boot-1");
    agent.emitter.emit(started("network"));
    let session = agent.connect();
    assert_eq!(session.machine(), MACHINE);
    assert!(agent.emitter.flush(PATIENCE), "what happened before the hello comes after it");
    assert_eq!(session.next_order(Duration::ZERO).unwrap(), Next::None);
    bench.controller().put_order(MAC, order("o1")).unwrap();
    let offer = offer(session.next_order(PATIENCE).unwrap());
    assert_eq!((offer.order.id.as_str(), offer.attempt), ("o1", 1));
    assert_eq!(offer.raw, order("o1").into_bytes());
    agent.emitter.set_subject(Some("o1"));
    session.grant("o1", 1, "sha256:00").unwrap();
    agent.emitter.emit(finished("write"));
    session.post_receipt(&receipt_for("o1", 1, "boot-1"), PATIENCE).unwrap();
    // Events before the receipt have arrived when it is acknowledged.
    assert_eq!(bench.stages(), ["write"]);
    assert_eq!(bench.view().receipts, [receipt_for("o1", 1, "boot-1")]);
    assert_eq!(session.memory().receipt(), None);
    // The order is done and not offered again.
    assert_eq!(session.next_order(Duration::ZERO).unwrap(), Next::None);
    let seen: Vec<String> = seen.try_iter().map(|observation| format!("{observation:?}")).collect();
    let names: Vec<&str> = seen.iter().filter_map(|text| text.split([' ', '{']).next()).collect();
    assert_eq!(names, ["Hello", "Event", "OrderSent", "Grant", "Event", "Receipt"]);
}

#[test]
fn a_long_poll_is_answered_when_the_order_comes() {
    let bench = Bench::new(|_| {});
    let agent = bench.agent("boot-1");
    let session = agent.connect();
    std::thread::scope(|scope| {
        let polling = scope.spawn(|| session.next_order(PATIENCE).unwrap());
        std::thread::sleep(Duration::from_millis(300));
        bench.controller().put_order("default", order("late")).unwrap();
        assert_eq!(offer(polling.join().unwrap()).order.id, "late");
    });
    assert_eq!(agent.failures(), 0);
}

#[test]
fn what_is_not_an_order_is_refused_once_and_reported() {
    let bench = Bench::new(|_| {});
    let agent = bench.agent("boot-1");
    let session = agent.connect();
    let bodies: [(&[u8], &str); 5] = [
        (b"not json", "order.not_json"),
        (b"{\"id\": \"\xff\"}", "order.not_json"),
        (br#"{"version":"order/v2","id":"x","new":1}"#, "order.version"),
        (br#"{"version":"order/v1","id":"x","images":{},"layouts":[],"surprise":1}"#, "order.unknown_key"),
        (b"[]", "order.invalid"),
    ];
    for (body, code) in bodies {
        bench.controller().put_order("default", body).unwrap();
        let Next::Refused(refused) = session.next_order(PATIENCE).unwrap() else { panic!("{code}") };
        assert_eq!((refused.problem.code.as_str(), refused.raw.as_slice()), (code, body));
        // The same bytes are not offered again.
        assert_eq!(session.next_order(Duration::ZERO).unwrap(), Next::None);
        assert!(agent.emitter.flush(PATIENCE));
        let last = bench.view().events().last().unwrap().kind();
        assert!(
            matches!(&last, Some(Kind::OrderRefused(OrderRefused { problem, .. })) if problem.code == code),
            "{last:?}"
        );
    }
    // A correct one is accepted afterwards.
    bench.controller().put_order("default", order("right")).unwrap();
    assert_eq!(offer(session.next_order(PATIENCE).unwrap()).order.id, "right");
}

/// Connects, and returns the pause after each failed attempt, with its code.
fn waits_of(mut agent: crate::support::Agent, most: usize) -> Vec<(&'static str, Duration)> {
    let waits = Arc::new(Mutex::new(Vec::new()));
    let told = waits.clone();
    agent.options.notify = Arc::new(move |waiting| {
        let mut told = told.lock().unwrap();
        told.push((waiting.error.code(), waiting.next));
        if told.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let _ = Session::connect(agent.options.clone(), agent.hello.clone(), &agent.emitter);
    let waits = waits.lock().unwrap();
    waits.clone()
}

#[test]
fn another_version_is_asked_again_at_the_longest_back_off() {
    let bench = Bench::new(|_| {});
    let longest = bench.agent("boot-1").options.retry.most / 2;
    let mut agent = bench.agent("boot-1");
    agent.hello.version = "hello/v9".into();
    let waits = waits_of(agent, 2);
    assert_eq!(waits.len(), 2);
    assert!(waits.iter().all(|wait| wait.1 >= longest), "{waits:?}");

    // The controller was updated meanwhile: the agent continues by itself.
    let body = br#"{"version":"hello/v7","moved":true}"#;
    bench.controller().faults().set(Call::Hello, Fault::Body(body.to_vec()), 2);
    let waits = waits_of(bench.agent("boot-1"), 9);
    assert_eq!(waits.len(), 2);
    assert!(waits.iter().all(|wait| wait.0 == "controller.version" && wait.1 >= longest), "{waits:?}");
}

#[test]
fn unknown_fields_of_replies_are_ignored() {
    let bench = Bench::new(|_| {});
    let body = br#"{"version":"hello/v1","machine":"4c4c4544-0001","token":"t","acked":0,"weather":{"rain":true}}"#;
    bench.controller().faults().set(Call::Hello, Fault::Body(body.to_vec()), 1);
    let session = bench.agent("boot-1").connect();
    assert_eq!(session.machine(), MACHINE);
}

#[test]
fn a_retired_machine_stops_asking() {
    let bench = Bench::new(|_| {});
    bench.controller().put_order(MAC, "").unwrap();
    let session = bench.agent("boot-1").connect();
    assert_eq!(session.next_order(PATIENCE).unwrap(), Next::Gone);
}

#[test]
fn a_machine_in_a_reboot_loop_gets_one_grant() {
    let bench = Bench::new(|_| {});
    bench.controller().put_order("default", order("o1")).unwrap();
    let agent = bench.agent("boot-1");
    let session = agent.connect();
    assert_eq!(offer(session.next_order(PATIENCE).unwrap()).attempt, 1);
    session.grant("o1", 1, "sha256:00").unwrap();
    // The reply was lost: the same request gets the same answer.
    session.grant("o1", 1, "sha256:00").unwrap();
    // Another plan is another request.
    assert_eq!(code(session.grant("o1", 1, "sha256:11")), "grant.attempt");
    // The same boot with another agent process, which does not inherit the grant.
    let second = bench.agent("boot-1");
    assert_eq!(code(second.connect().grant("o1", 1, "sha256:00")), "grant.attempt");
    // The next boot is offered attempt 2, which is refused.
    let third = Agent::new(&bench.controller().url(), &bench.directory.path().join("run2"), "boot-2").connect();
    let next = offer(third.next_order(PATIENCE).unwrap());
    assert_eq!(next.attempt, 2);
    assert_eq!(code(third.grant("o1", next.attempt, "sha256:00")), "grant.exhausted");
    assert_eq!(code(third.grant("another", 1, "sha256:00")), "grant.order");
}

#[test]
fn a_failed_attempt_is_offered_again_where_policy_allows() {
    let bench = Bench::new(|options| options.max_attempts = 2);
    bench.controller().put_order("default", order("o1")).unwrap();
    let agent = bench.agent("boot-1");
    let session = agent.connect();
    for attempt in 1..=2 {
        assert_eq!(offer(session.next_order(PATIENCE).unwrap()).attempt, attempt);
        session.grant("o1", attempt, "sha256:00").unwrap();
        let mut receipt = receipt_for("o1", attempt, "boot-1");
        let code = "image.truncated".to_owned();
        receipt.problem = Some(burin::protocol::Problem { code, message: "m".into(), causes: vec![], hint: None });
        session.post_receipt(&receipt, PATIENCE).unwrap();
    }
    assert_eq!(session.next_order(Duration::ZERO).unwrap(), Next::None);
}

#[test]
fn control_words_reach_a_silent_agent() {
    let bench = Bench::new(|options| options.heartbeat_seconds = Some(1));
    let session = bench.agent("boot-1").connect();
    let control = session.control();
    assert_eq!(control.get(), Control::Continue);
    bench.controller().control(MACHINE, Control::Hold);
    eventually("hold", || control.get() == Control::Hold);
    bench.controller().control(MACHINE, Control::Cancel);
    assert_eq!(control.wait_while_held(PATIENCE), Control::Cancel);
    assert!(control.is_cancelled());
}

#[test]
fn the_next_agent_process_continues_where_the_last_one_was() {
    let bench = Bench::new(|_| {});
    let first = bench.agent("boot-1");
    let session = first.connect();
    first.emitter.emit(finished("network"));
    assert!(first.emitter.flush(PATIENCE));
    bench.controller().faults().refuse_all();
    first.emitter.emit(finished("inventory"));
    let state = LastState {
        order: "o1".into(),
        attempt: 1,
        stage: Some("write".into()),
        plan_digest: None,
        receipt_pending: false,
    };
    session.memory().remember(Some(&state)).unwrap();
    drop((session, first));
    bench.controller().faults().heal();
    let mut second = bench.agent("boot-1");
    second.hello.last_state = second.memory().last_state();
    let _session = second.connect();
    second.emitter.emit(finished("plan"));
    assert!(second.emitter.flush(PATIENCE));
    assert_eq!(bench.stages(), ["network", "inventory", "plan"]);
    let view = bench.view();
    assert_eq!(view.hello.unwrap().last_state, Some(state));
    assert_eq!(view.boots["boot-1"].acked, 3);
}

#[test]
fn a_lost_journal_does_not_make_new_events_look_old() {
    let bench = Bench::new(|_| {});
    let first = bench.agent("boot-1");
    let session = first.connect();
    (0..5).for_each(|_| first.emitter.emit(finished("old")));
    assert!(first.emitter.flush(PATIENCE));
    drop((session, first));
    std::fs::remove_dir_all(bench.state()).unwrap();
    let second = bench.agent("boot-1");
    let _session = second.connect();
    second.emitter.emit(finished("new"));
    assert!(second.emitter.flush(PATIENCE));
    assert_eq!(bench.stages().last().map(String::as_str), Some("new"));
}

#[test]
fn a_join_token_is_asked_for_and_shown() {
    let bench = Bench::new(|options| options.join_token = Some(Secret::new("let-me-in")));
    let stranger = bench.agent("boot-1").impatient();
    let error =
        burin::dialect::native::Session::connect(stranger.options.clone(), stranger.hello.clone(), &stranger.emitter);
    let ControllerError::GaveUp { source, .. } = error.unwrap_err() else { panic!() };
    assert_eq!(source.code(), "controller.token");
    let mut agent = bench.agent("boot-1");
    agent.options.join_token = Some(Secret::new("let-me-in"));
    agent.connect();
    let journal = std::fs::read_to_string(bench.options.state.join("journal.jsonl")).unwrap();
    assert!(!journal.contains("let-me-in"));
}

#[test]
fn ipxe_scripts_lead_to_the_agent_while_an_order_waits() {
    let bench = Bench::new(|options| options.cmdline = "console=ttyS0".into());
    let script = |query: &str| {
        let url = format!("{}/ipxe?{query}", bench.controller().url());
        ureq::get(&url).call().unwrap().body_mut().read_to_string().unwrap()
    };
    let of_machine = format!("mac={}&uuid=", MAC.replace(':', "-"));
    assert!(script(&of_machine).contains("exit"));
    bench.controller().put_order(MAC, order("o1")).unwrap();
    let text = script(&of_machine);
    let url = bench.controller().url();
    assert!(text.starts_with("#!ipxe\n") && text.contains(&format!("kernel {url}/boot/vmlinuz")), "{text}");
    assert!(text.contains(&format!("burin.controller={url} ")) && text.contains("console=ttyS0"), "{text}");
    assert!(script("mac=52-54-00-00-00-99").contains("exit"));
    assert!(!text.contains("site.img"), "there is nothing to hide");
    let agent = bench.agent("boot-1");
    let session = agent.connect();
    offer(session.next_order(PATIENCE).unwrap());
    assert!(script(&of_machine).contains("kernel "), "a reset in the middle comes back to the agent");
    session.grant("o1", 1, "sha256:00").unwrap();
    session.post_receipt(&receipt_for("o1", 1, "boot-1"), PATIENCE).unwrap();
    assert!(script(&of_machine).contains("exit") && !script(&of_machine).contains("kernel "));
    bench.controller().put_order(MAC, order("o2")).unwrap();
    assert!(script(&of_machine).contains("kernel "));
}

#[test]
fn a_join_token_goes_beside_the_kernel_command_line() {
    let bench = Bench::new(|options| options.join_token = Some(Secret::new("let-me-in")));
    bench.controller().put_order(MAC, order("o1")).unwrap();
    let url = bench.controller().url();
    let get = |path: &str| ureq::get(&format!("{url}{path}")).call().unwrap().body_mut().read_to_vec().unwrap();
    let script = String::from_utf8(get(&format!("/ipxe?mac={}", MAC.replace(':', "-")))).unwrap();
    assert!(!script.contains("let-me-in") && script.contains("initrd=initramfs.cpio.zst initrd=site.img "), "{script}");
    let archive = zstd::decode_all(get("/ipxe/site.img").as_slice()).unwrap();
    let text = String::from_utf8_lossy(&archive);
    assert!(text.starts_with("070701") && text.contains("etc/burin/cmdline\0"), "{text}");
    assert!(text.contains("burin.token=let-me-in\n"), "{text}");
}

#[test]
fn without_a_controller_events_go_to_any_url_and_orders_come_from_anywhere() {
    let bench = Bench::new(|options| options.images = Some(options.state.join("../images")));
    let directory = bench.options.images.clone().unwrap();
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("order.json"), order("alone")).unwrap();
    let trust = trust(bench.directory.path());
    for place in
        [format!("{}/images/order.json", bench.controller().url()), directory.join("order.json").display().to_string()]
    {
        let body = burin::dialect::file::fetch_order(&place, &trust).unwrap();
        assert_eq!(burin::protocol::order::parse_bytes(&body).unwrap().id, "alone");
    }
    let missing = format!("{}/images/none.json", bench.controller().url());
    assert_eq!(burin::dialect::file::fetch_order(&missing, &trust).unwrap_err().code(), "controller.status");
    assert_eq!(burin::dialect::file::fetch_order("/none.json", &trust).unwrap_err().code(), "controller.order_file");

    // The reference controller is not such a sink, but its faults make it answer the path with 2xx and 4xx.
    let sink = super::sink::Sink::new();
    let limits = burin::report::SpoolLimits::default();
    let emitter = burin::report::Emitter::open(None, "b", "/", &[SINK], limits).unwrap();
    let retry = options("http://x", trust.clone(), bench.directory.path()).retry;
    let _sink = burin::report::Sink::start(&sink.url(), &trust, &retry, &emitter).unwrap();
    emitter.emit(started("write"));
    emitter.emit(finished("write"));
    assert!(emitter.flush(PATIENCE));
    let kinds: Vec<String> = sink.received().iter().map(|event| event.kind.clone()).collect();
    assert_eq!(kinds, ["dev.burin.stage.started", "dev.burin.stage.finished"]);
    sink.no_batches();
    emitter.emit(started("verify"));
    emitter.emit(finished("verify"));
    assert!(emitter.flush(PATIENCE));
    assert_eq!(sink.received().len(), 4);
}

#[test]
fn observations_name_the_files_served() {
    let bench = Bench::new(|options| options.images = Some(options.state.join("../images")));
    let directory = bench.options.images.clone().unwrap();
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("disk.raw"), b"0123456789").unwrap();
    let seen = bench.controller().subscribe();
    let url = format!("{}/images/disk.raw", bench.controller().url());
    let mut response = ureq::get(&url).header("Range", "bytes=2-4").call().unwrap();
    assert_eq!(response.status(), 206);
    assert!(response.headers().contains_key("etag"));
    assert_eq!(response.body_mut().read_to_vec().unwrap(), b"234");
    let Observation::File { path, status, range } = seen.recv_timeout(PATIENCE).unwrap() else { panic!() };
    assert_eq!((path.as_str(), status, range.as_deref()), ("/images/disk.raw", 206, Some("bytes=2-4")));
}

/// With the usual backlog of 128, some of a thousand machines that are powered on together are reset in the middle of
/// hello.
#[test]
fn a_thousand_machines_may_knock_at_once() {
    let bench = Bench::new(|_| {});
    let port = bench.controller().address().port();
    let output = std::process::Command::new("ss").args(["-Hltn", &format!("sport = :{port}")]).output();
    let Ok(output) = output else { return burin_skip::skip!("no ss (iproute2)") };
    let line = String::from_utf8(output.stdout).unwrap();
    // State, Recv-Q, Send-Q: for a listening socket, the last one is the backlog.
    let places: u32 = line.split_whitespace().nth(2).unwrap().parse().unwrap();
    let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap().trim().parse().unwrap();
    assert!(places >= 1000.min(most), "{line}");
}
