//! The agent's own API over real TLS, with a mock engine.

use crate::support::*;
use burin::api::{ApiOptions, ApiWork, Door, LogRing, Server};
use burin::control::ControlFlag;
use burin::http;
use burin::http::{Ca, Clock, Timeouts, Trust, TrustFiles};
use burin::protocol::event::StageStarted;
use burin::protocol::{Control, Kind, Phase, Plan, Power, Problem, Secret, Status};
use burin::report::{Emitter, SpoolLimits};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub(super) const TOKEN: &str = "t0ps3cret-0123456";

pub(super) struct Bed {
    pub server: Server,
    pub door: Door,
    pub emitter: Emitter,
    control: ControlFlag,
    log: LogRing,
    agent: ureq::Agent,
    pub directory: tempfile::TempDir,
}

fn plan_for(order: &str) -> Plan {
    let trace = json!({"attributes": [], "layouts": [], "sets": []});
    serde_json::from_value(json!({
        "version": "plan/v1", "order": order, "order_digest": "sha256:00", "digest": format!("sha256:{order}"),
        "layout": "only-disk", "disks": [], "steps": [], "finish": "reboot", "trace": trace,
    }))
    .unwrap()
}

pub(super) fn bed() -> Bed {
    let directory = tempfile::tempdir().unwrap();
    let emitter = Emitter::open(None, "boot-1", "/", &[], SpoolLimits::default()).unwrap();
    let (control, log) = (ControlFlag::default(), LogRing::new(1000));
    let planner = Arc::new(|order: &burin::protocol::Order| match order.id.as_str() {
        "impossible" => {
            Err(Problem { code: "plan.none".into(), message: "no disk".into(), causes: vec![], hint: None })
        }
        id => Ok(plan_for(id)),
    });
    let door = Door::new(hello_of("boot-1"), control.clone(), &emitter, log.clone(), planner);
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let options = ApiOptions { listen: (local, 0).into(), addresses: vec![local], callers: None };
    let server = Server::start(&options, door.clone()).unwrap();
    let ca: Ca = server.endpoint().fingerprint.parse().unwrap();
    let trust = Trust::controller(Some(&ca), &TrustFiles::below(directory.path()), Clock::trusted()).unwrap();
    let agent = http::agent(&trust, &Timeouts { read: Duration::from_secs(60), ..Timeouts::DOWNLOADS });
    Bed { server, door, emitter, control, log, agent, directory }
}

impl Bed {
    /// With a token and an inventory, as after hello.
    pub fn ready() -> Self {
        let bed = bed();
        bed.door.set_token(Secret::new(TOKEN));
        bed.door.set_inventory(json!({"version": "inventory/v1"}));
        bed
    }

    pub fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> ureq::http::Response<ureq::Body> {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.server.endpoint().url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match method {
            "GET" => self.agent.run(request.body(()).unwrap()).unwrap(),
            _ => self.agent.run(request.body(body).unwrap()).unwrap(),
        }
    }

    pub fn call(&self, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
        let token = format!("Bearer {TOKEN}");
        let mut response = self.raw(method, path, &[("Authorization", &token)], body);
        let text = response.body_mut().read_to_vec().unwrap();
        (response.status().as_u16(), serde_json::from_slice(&text).unwrap_or(Value::Null))
    }

    fn code(&self, method: &str, path: &str, body: &[u8]) -> (u16, String) {
        let (status, body) = self.call(method, path, body);
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    }

    pub fn status(&self) -> Status {
        serde_json::from_value(self.call("GET", "/v1/status", b"").1).unwrap()
    }

    pub fn text(&self, path: &str) -> String {
        let token = format!("Bearer {TOKEN}");
        self.raw("GET", path, &[("Authorization", &token)], b"").body_mut().read_to_string().unwrap()
    }
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn nothing_opens_without_the_token_of_this_boot() {
    let bed = bed();
    let paths = ["/v1/status", "/v1/inventory", "/v1/order", "/v1/events", "/v1/log", "/metrics", "/nowhere"];
    for path in paths {
        assert_eq!(bed.raw("GET", path, &[("Authorization", "Bearer ")], b"").status(), 401, "{path} before hello");
    }
    bed.door.set_token(Secret::new(TOKEN));
    for header in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer t0ps3cret-012345",
        "Bearer t0ps3cret-0123456 ",
        "bearer t0ps3cret-0123456",
        "Basic dDo=",
    ] {
        for path in paths {
            let status = bed.raw("GET", path, &[("Authorization", header)], b"").status();
            // Spaces around a header's value are not part of it (RFC 9110 section 5.5).
            let right = header.trim_end() == "Bearer t0ps3cret-0123456";
            assert_eq!(status != 401, right, "{header:?} {path}: {status}");
            if right {
                break;
            }
        }
    }
    assert_eq!(bed.raw("GET", "/healthz", &[], b"").status(), 200);
}

#[test]
fn from_order_to_receipt() {
    let bed = Bed::ready();
    assert_eq!(bed.status().phase, Phase::Idle);
    assert_eq!(bed.code("GET", "/v1/order", b""), refused(404, "api.nothing"));
    assert_eq!(bed.code("POST", "/v1/plan", b""), refused(409, "api.no_order"));
    assert_eq!(bed.call("PUT", "/v1/order", order("o1").as_bytes()).0, 200);
    assert_eq!(bed.text("/v1/order"), order("o1"));
    let apply = json!({"plan_digest": "sha256:o1"}).to_string();
    assert_eq!(bed.code("POST", "/v1/apply", apply.as_bytes()), refused(409, "api.no_plan"));
    let (status, plan) = bed.call("POST", "/v1/plan", b"");
    assert_eq!((status, plan["digest"].as_str()), (200, Some("sha256:o1")));
    assert_eq!(bed.call("GET", "/v1/plan", b"").1, plan);
    assert_eq!(bed.status().phase, Phase::Planned);
    let other = json!({"plan_digest": "sha256:other"}).to_string();
    assert_eq!(bed.code("POST", "/v1/apply", other.as_bytes()), refused(409, "api.plan_digest"));
    assert_eq!(bed.code("POST", "/v1/apply", b"{"), refused(400, "api.body"));
    assert_eq!(bed.door.next_work(Duration::ZERO), None, "nothing was started by what was refused");
    assert_eq!(bed.call("POST", "/v1/apply", apply.as_bytes()).0, 202);
    let Some(ApiWork::Apply { order: taken, plan_digest }) = bed.door.next_work(PATIENCE) else { panic!() };
    assert_eq!((taken.id.as_str(), plan_digest.as_str()), ("o1", "sha256:o1"));
    bed.door.begin(&taken, order("o1").as_bytes());
    bed.door.set_plan(&plan_for("o1"));
    bed.door.set_stage(Some("write"));
    let status = bed.status();
    assert_eq!(
        (status.phase, status.stage.as_deref(), status.order.as_deref()),
        (Phase::Applying, Some("write"), Some("o1"))
    );
    // Only one order at a time.
    let (code, busy) = bed.call("PUT", "/v1/order", order("o2").as_bytes());
    assert!(code == 409 && busy["message"].as_str().unwrap().contains("o1"), "{busy}");
    assert_eq!(bed.code("POST", "/v1/apply", apply.as_bytes()), refused(409, "api.busy"));
    assert_eq!(bed.code("POST", "/v1/plan", b""), refused(409, "api.busy"));
    assert_eq!(bed.code("POST", "/v1/power", br#"{"action":"reboot"}"#), refused(409, "api.busy"));
    bed.door.finish(&receipt_for("o1", 1, "boot-1"));
    assert_eq!(bed.status().phase, Phase::Done);
    assert_eq!(bed.call("GET", "/v1/receipt", b"").1["order"], "o1");
    assert_eq!(bed.code("POST", "/v1/power", br#"{"action":"kexec"}"#), refused(501, "api.no_kexec"));
    let counted = AtomicU32::new(0);
    bed.door.set_kexec(Arc::new(move |plan| {
        assert_eq!(plan.order, "o1");
        let problem = Problem { code: "kexec.no_kernel".into(), message: "m".into(), causes: vec![], hint: None };
        if counted.fetch_add(1, Ordering::Relaxed) == 0 { Err(problem) } else { Ok(()) }
    }));
    assert_eq!(bed.code("POST", "/v1/power", br#"{"action":"kexec"}"#), refused(422, "kexec.no_kernel"));
    assert_eq!(bed.door.next_work(Duration::ZERO), None, "what could not be loaded is not started");
    assert_eq!(bed.call("POST", "/v1/power", br#"{"action":"kexec"}"#).0, 202);
    assert_eq!(bed.door.next_work(PATIENCE), Some(ApiWork::Power(Power::Kexec)));
    assert_eq!(bed.call("POST", "/v1/power", br#"{"action":"reboot"}"#).0, 202);
    // Neither a caller's work nor its requests are lost when an order arrives meanwhile.
    let other: burin::protocol::Order = serde_json::from_str(&order("o3")).unwrap();
    assert!(!bed.door.begin(&other, b"{}"));
    assert_eq!(bed.door.next_work(PATIENCE), Some(ApiWork::Power(Power::Reboot)));
    assert_eq!(bed.status().order.as_deref(), Some("o1"));
    assert_eq!(bed.call("PUT", "/v1/order", order("o2").as_bytes()).0, 200);
}

#[test]
fn the_same_key_starts_once() {
    let bed = Bed::ready();
    bed.call("PUT", "/v1/order", order("o1").as_bytes());
    bed.call("POST", "/v1/plan", b"");
    let apply = |digest: &str| {
        let headers = [("Authorization", "Bearer t0ps3cret-0123456"), ("Idempotency-Key", "k1")];
        bed.raw("POST", "/v1/apply", &headers, json!({"plan_digest": digest}).to_string().as_bytes()).status().as_u16()
    };
    assert_eq!([apply("sha256:o1"), apply("sha256:o1"), apply("sha256:other")], [202, 202, 422]);
    assert!(bed.door.next_work(Duration::ZERO).is_some());
    assert_eq!(bed.door.next_work(Duration::ZERO), None);
}

#[test]
fn bad_input_is_refused_with_a_code() {
    let bed = Bed::ready();
    assert_eq!(bed.code("PUT", "/v1/order", b"\xff"), refused(422, "order.not_json"));
    assert_eq!(bed.code("PUT", "/v1/order", br#"{"version":"order/v2"}"#), refused(422, "order.version"));
    assert_eq!(bed.code("PUT", "/v1/order", br#"{"version":"order/v1","x":1}"#), refused(422, "order.unknown_key"));
    assert_eq!(bed.code("POST", "/v1/power", br#"{"action":"explode"}"#), refused(400, "api.body"));
    assert_eq!(bed.code("POST", "/v1/power", br#"{"action":"kexec"}"#), refused(409, "api.nothing_installed"));
    assert_eq!(bed.code("POST", "/v1/cancel", b""), refused(409, "api.idle"));
    assert_eq!(bed.code("GET", "/v1/log?offset=-1", b""), refused(400, "api.query"));
    assert_eq!(bed.code("GET", "/v1/log?offset=9223372036854775808", b""), refused(400, "api.query"));
    assert_eq!(bed.code("GET", "/v1/nowhere", b""), refused(404, "api.unknown"));
    assert_eq!(bed.code("POST", "/v1/status", b""), refused(405, "api.method"));
    bed.call("PUT", "/v1/order", order("impossible").as_bytes());
    assert_eq!(bed.code("POST", "/v1/plan", b""), refused(422, "plan.none"));
    assert_eq!(bed.code("PUT", "/v1/order", &vec![b' '; (4 << 20) + 1]), refused(413, "api.too_large"));
    assert_eq!(bed.status().phase, Phase::Ordered);
}

#[test]
fn planning_waits_for_the_inventory() {
    let bed = bed();
    bed.door.set_token(Secret::new(TOKEN));
    assert_eq!(bed.status().phase, Phase::Starting);
    assert_eq!(bed.code("GET", "/v1/inventory", b""), refused(404, "api.nothing"));
    assert_eq!(bed.call("PUT", "/v1/order", order("o1").as_bytes()).0, 200);
    assert_eq!(bed.code("POST", "/v1/plan", b""), refused(409, "api.starting"));
    bed.door.set_inventory(json!({"disks": []}));
    assert_eq!(bed.call("POST", "/v1/plan", b"").0, 200);
}

#[test]
fn cancel_says_where_and_lasts_until_other_work_begins() {
    let bed = Bed::ready();
    let work: burin::protocol::Order = serde_json::from_str(&order("o1")).unwrap();
    bed.door.begin(&work, b"{}");
    bed.door.set_stage(Some("verify"));
    let (status, body) = bed.call("POST", "/v1/cancel", b"");
    assert!(status == 202 && body["safe_point"].as_str().unwrap().contains("verify"), "{body}");
    bed.control.set(Control::Continue);
    assert!(bed.control.is_cancelled(), "the controller does not undo it");
    assert_eq!(bed.status().control, Control::Cancel);
    bed.door.begin(&work, b"{}");
    assert_eq!(bed.control.get(), Control::Continue);
}

#[test]
fn events_are_followed_and_resumed() {
    let bed = Bed::ready();
    let emit = |stage: &str| bed.emitter.emit(Kind::StageStarted(StageStarted { stage: stage.into() }));
    emit("one");
    emit("two");
    let follow = |last: &str| {
        let headers = [("Authorization", "Bearer t0ps3cret-0123456"), ("Last-Event-ID", last)];
        let response = bed.raw("GET", "/v1/events", &headers, b"");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        BufReader::new(response.into_body().into_reader())
    };
    let next = |stream: &mut BufReader<ureq::BodyReader<'static>>| {
        let mut lines = stream.lines().map(Result::unwrap);
        let id = lines.find_map(|line| line.strip_prefix("id: ").map(str::to_owned)).unwrap();
        let data = lines.find_map(|line| line.strip_prefix("data: ").map(str::to_owned)).unwrap();
        let event: burin::protocol::Event = serde_json::from_str(&data).unwrap();
        assert_eq!(event.id.sequence.to_string(), id);
        match event.kind() {
            Some(Kind::StageStarted(started)) => started.stage,
            other => panic!("{other:?}"),
        }
    };
    let mut stream = follow("");
    assert_eq!([next(&mut stream), next(&mut stream)], ["one", "two"]);
    emit("three");
    assert_eq!(next(&mut stream), "three");
    drop(stream);
    emit("four");
    let mut stream = follow("2");
    assert_eq!([next(&mut stream), next(&mut stream)], ["three", "four"]);
    eventually("the status knows", || bed.status().last_event == 4);
}

#[test]
fn log_and_metrics() {
    let mut bed = Bed::ready();
    bed.log.write_all(b"hello\nworld\n").unwrap();
    assert_eq!(bed.text("/v1/log?offset=6"), "world\n");
    bed.emitter.emit(progress(4096));
    eventually("progress", || bed.text("/metrics").contains("burin_bytes{what=\"read\"} 4096\n"));
    let text = bed.text("/metrics");
    assert!(text.contains("# TYPE burin_phase gauge\nburin_phase{phase=\"idle\"} 1\n"), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn a_dropped_server_is_gone() {
    let bed = bed();
    let address = bed.server.address();
    drop(bed);
    eventually("the port is closed", || TcpStream::connect(address).is_err());
}
