//! The conformance kit from both sides: the reference controller and the agent pass it, and implementations with common
//! mistakes do not.

use crate::support::caller::{Caller, start};
use crate::support::{Bench, eventually, order, trust};
use axum::body::Bytes;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use burin::conformance::{Peer, Point, RuleVerdict, check, check_agent};
use burin::exit::Exit;
use burin::http::{Ca, Clock, Trust, TrustFiles};
use burin::protocol::Secret;
use log::LevelFilter;
use serde_json::{Value, json};

const MACHINE: &str = "c0ffee00-0000-4000-8000-000000000001";

fn against(url: &str, directory: &std::path::Path) -> Vec<Point> {
    let subject = Peer { url: url.to_owned(), join_token: None, system_uuid: MACHINE.to_owned() };
    check(&subject, &trust(directory))
}

fn named(points: &[Point], verdict: RuleVerdict) -> Vec<&'static str> {
    points.iter().filter(|point| point.verdict == verdict).map(|point| point.name).collect()
}

#[test]
fn the_reference_controller_gets_everything_right() {
    let bench = Bench::new(|_| {});
    bench.controller().put_order(MACHINE, order("o1")).unwrap();
    let points = against(&bench.controller().url(), bench.directory.path());
    assert!(points.iter().all(|point| point.verdict == RuleVerdict::Right), "{points:#?}");
    assert!(points.len() >= 25, "{}", points.len());
    let view = bench.controller().machine(MACHINE).unwrap();
    assert_eq!(view.receipts.len(), 1);
    assert!(view.receipts[0].problem.is_some(), "the kit never claims a success");
}

#[test]
fn without_an_order_nothing_is_wrong_but_not_all_is_tried() {
    let bench = Bench::new(|_| {});
    let points = against(&bench.controller().url(), bench.directory.path());
    assert_eq!(named(&points, RuleVerdict::Wrong), Vec::<&str>::new());
    let untried = named(&points, RuleVerdict::Untried);
    assert!(untried.contains(&"grant") && untried.contains(&"receipt"), "{untried:?}");
}

#[test]
fn nobody_there_is_wrong_and_not_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let points = against("http://127.0.0.1:1", directory.path());
    assert_eq!(named(&points, RuleVerdict::Wrong), ["hello"]);
    assert_eq!(points.len(), 1);
}

/// A sloppy controller: it trusts everybody, acknowledges the highest sequence, and grants everything.
async fn hurried(method: Method, path: axum::http::Uri, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let reply = |value: Value| Json(value).into_response();
    match (method, path.path()) {
        (Method::POST, "/v1/hello") => reply(json!({"version": "hello/v1", "machine": "m", "token": "t"})),
        (_, "/v1/machines/m/events") => {
            let sequence = |event: &Value| event["id"].as_str()?.rsplit('/').next()?.parse::<u64>().ok();
            let highest = body.as_array().and_then(|events| events.iter().filter_map(sequence).max());
            reply(json!({"acked": highest.unwrap_or(0)}))
        }
        (_, "/v1/machines/m/order") => {
            ([("content-type", "application/json"), ("etag", "\"1\""), ("burin-attempt", "1")], order("o1"))
                .into_response()
        }
        (_, "/v1/machines/m/grants") => reply(json!({"version": "grant/v1", "decision": "granted"})),
        _ => reply(json!({"version": "receipt/v1", "state": "acknowledged"})),
    }
}

#[test]
fn the_usual_mistakes_are_found() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0))).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(async move { axum::serve(listener, Router::new().fallback(hurried)).await });
    let directory = tempfile::tempdir().unwrap();
    let points = against(&url, directory.path());
    let wrong = [
        "hello.version",
        "token.missing",
        "token.wrong",
        "token.order",
        "events.gap",
        "events.filled",
        "events.heartbeat",
        "hello.acked",
        "order.if-none-match",
        "grant.unknown",
        "grant.version",
        "grant.instance",
        "grant.plan",
        "grant.boot",
    ];
    assert_eq!(named(&points, RuleVerdict::Wrong), wrong, "{points:#?}");
    assert!(points.iter().filter(|point| point.verdict == RuleVerdict::Wrong).all(|point| !point.detail.is_empty()));
}

#[test]
fn the_agents_own_api_gets_everything_right() {
    let bench = Bench::new(|_| {});
    let root = tempfile::tempdir().unwrap();
    let agent =
        start(root.path(), &format!("burin.controller={} burin.api=0", bench.controller().url()), LevelFilter::Info);
    eventually("hello", || !bench.controller().machines().is_empty());
    let machine = bench.controller().machines().remove(0);
    let endpoint = bench.controller().machine(&machine).unwrap().hello.unwrap().api.unwrap();
    let token = bench.controller().token(&machine).unwrap();
    let caller = Caller::new(root.path(), &endpoint, token.reveal());
    eventually("the door opens", || caller.call("GET", "/v1/status", "").0 == 200);
    let ca: Ca = endpoint.fingerprint.parse().unwrap();
    let trust = Trust::controller(Some(&ca), &TrustFiles::below(root.path()), Clock::trusted()).unwrap();
    // Twice: what the first run leaves behind must not affect the next.
    for run in 1..=2 {
        let points = check_agent(&endpoint.url, &token, &trust);
        assert!(points.iter().all(|point| point.verdict == RuleVerdict::Right), "run {run}: {points:#?}");
        assert!(points.len() >= 28, "{}", points.len());
    }
    // If the agent already has somebody's order, that is left alone.
    assert_eq!(caller.call("PUT", "/v1/order", &order("somebodys")).0, 200);
    let points = check_agent(&endpoint.url, &token, &trust);
    assert_eq!(named(&points, RuleVerdict::Wrong), Vec::<&str>::new());
    assert!(named(&points, RuleVerdict::Untried).contains(&"order.put"));
    assert_eq!(caller.text("GET", "/v1/order", "").1, order("somebodys"));
    assert!(bench.controller().machine(&machine).unwrap().grants.is_empty());
    assert_eq!(caller.call("POST", "/v1/power", r#"{"action":"poweroff"}"#).0, 202);
    assert_eq!(agent.join().unwrap(), Exit::PowerOff);
}

/// A sloppy agent API: it trusts everybody, accepts everything, and reveals all it knows.
async fn hurried_agent(method: Method, path: axum::http::Uri) -> Response {
    let status = json!({
        "version": "status/v1", "identity": {"macs": []}, "boot_id": "b", "agent_version": "0", "phase": "idle",
        "control": "continue", "last_event": 2,
    });
    let event = json!({
        "specversion": "1.0", "id": "b/1", "source": "/", "type": "dev.burin.stage.started",
        "time": "2026-11-22T09:00:00Z", "data": {"stage": "network"},
    });
    match (method, path.path()) {
        (Method::GET, "/v1/events") => {
            ([("content-type", "text/event-stream")], format!("id: 1\ndata: {event}\n\n")).into_response()
        }
        (Method::GET, "/v1/log") => "t0ps3cret-0123456 was the token".into_response(),
        (Method::GET, "/metrics") => "burin_phase idle\n".into_response(),
        (Method::GET, "/v1/inventory") => Json(json!([])).into_response(),
        _ => Json(status).into_response(),
    }
}

#[test]
fn the_usual_mistakes_of_an_agent_are_found() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0))).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(async move { axum::serve(listener, Router::new().fallback(hurried_agent)).await });
    let directory = tempfile::tempdir().unwrap();
    let points = check_agent(&url, &Secret::new("t0ps3cret-0123456"), &trust(directory.path()));
    let right = ["health", "status", "events"];
    assert_eq!(named(&points, RuleVerdict::Right), right, "{points:#?}");
    let untried = ["log.offset"];
    assert_eq!(named(&points, RuleVerdict::Untried), untried, "{points:#?}");
    assert!(points.len() >= 28, "{}", points.len());
    assert!(points.iter().filter(|point| point.verdict == RuleVerdict::Wrong).all(|point| !point.detail.is_empty()));
}

#[test]
fn an_agent_that_is_not_there_is_wrong_and_not_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let points = check_agent("http://127.0.0.1:1", &Secret::new("t"), &trust(directory.path()));
    assert!(!named(&points, RuleVerdict::Wrong).is_empty());
    assert!(named(&points, RuleVerdict::Right).is_empty(), "{points:#?}");
}
