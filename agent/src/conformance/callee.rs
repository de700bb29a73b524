//! The rules for an agent's own API, checked by playing an orchestrator.
//!
//! Nothing here can change a disk: the only order that is placed asks for a disk with a random serial number, no apply
//! names an existing plan, and power is asked only for impossible actions.

use super::Point;
use super::sheet::Sheet;
use super::voice::{Heard, RawReply, Voice};
use crate::protocol::{Event, Phase, Secret, Status, api, order};
use serde_json::{Value, json};
use std::cell::Cell;
use ureq::http::header;
use ureq::http::{HeaderName, Method};

/// Prefix of the ids of orders that this kit placed, now or in an earlier run.
const MARK: &str = "conformance-";
/// Larger than any order may be; docs/protocol.md, "Limits".
const TOO_LARGE: usize = (4 << 20) + 1;

pub fn play(voice: &Voice, token: &Secret) -> Vec<Point> {
    let mut sheet = Sheet::default();
    let caller = Caller { voice, token, said: Cell::new(false) };
    door(&mut sheet, &caller);
    if let Some(status) = status(&mut sheet, &caller) {
        looks(&mut sheet, &caller);
        events(&mut sheet, &caller, &status);
        bodies(&mut sheet, &caller);
        orders(&mut sheet, &caller, &status);
        let quiet = if caller.said.get() { Err("an answer has it".to_owned()) } else { Ok(()) };
        sheet.judge("token.unsaid", "no answer says the token", quiet);
    }
    sheet.0
}

/// The caller, and whether a response has revealed the token.
struct Caller<'a> {
    voice: &'a Voice,
    token: &'a Secret,
    said: Cell<bool>,
}

impl Caller<'_> {
    fn send(&self, method: Method, path: &str, headers: &[(HeaderName, &str)], body: Vec<u8>) -> Heard<RawReply> {
        self.listen(self.voice.send(method, path, Some(self.token), headers, body)?)
    }

    fn get(&self, path: &str) -> Heard<RawReply> {
        self.send(Method::GET, path, &[], Vec::new())
    }

    fn json(&self, method: Method, path: &str, body: &str) -> Heard<RawReply> {
        self.send(method, path, &[(header::CONTENT_TYPE, "application/json")], body.as_bytes().to_vec())
    }

    fn status(&self) -> Heard<Status> {
        let status: Status = self.get("/v1/status")?.document()?;
        let known = status.version == api::VERSION;
        if known { Ok(status) } else { Err(format!("the version is {:?}", status.version)) }
    }

    fn listen(&self, answer: RawReply) -> Heard<RawReply> {
        let token = self.token.reveal().as_bytes();
        if answer.body.windows(token.len().max(1)).any(|part| part == token) {
            self.said.set(true);
        }
        Ok(answer)
    }
}

fn door(sheet: &mut Sheet, caller: &Caller<'_>) {
    let health = caller.voice.send(Method::GET, "/healthz", None, &[], Vec::new());
    sheet.judge("health", "/healthz is 200 without a token", health.and_then(|answer| answer.wants(200)));
    let other = Secret::new("not the token");
    let calls = [
        (Method::GET, "/v1/status"),
        (Method::GET, "/v1/inventory"),
        (Method::GET, "/v1/order"),
        (Method::PUT, "/v1/order"),
        (Method::GET, "/v1/plan"),
        (Method::POST, "/v1/plan"),
        (Method::POST, "/v1/apply"),
        (Method::GET, "/v1/receipt"),
        (Method::GET, "/v1/events"),
        (Method::POST, "/v1/cancel"),
        (Method::POST, "/v1/power"),
        (Method::GET, "/v1/log"),
        (Method::GET, "/metrics"),
    ];
    let shut = |token: Option<&Secret>| {
        calls.iter().try_for_each(|(method, path)| {
            // A meaningless body, so that accepting it does no harm.
            let answer = caller.voice.send(method.clone(), path, token, &[], b"{}".to_vec());
            answer.and_then(|answer| answer.refused(401, None)).map_err(|why| format!("{method} {path}: {why}"))
        })
    };
    sheet.judge("token.missing", "every other call without the token is 401", shut(None));
    sheet.judge("token.wrong", "every other call with another token is 401", shut(Some(&other)));
    let unknown = caller.get("/v1/conformance-no-such-call").and_then(|answer| answer.refused(404, None));
    sheet.judge("call.unknown", "a call that is not known is 404", unknown);
    let method = caller.json(Method::POST, "/v1/status", "{}").and_then(|answer| answer.refused(405, None));
    sheet.judge("call.method", "a method that a call does not have is 405", method);
}

fn status(sheet: &mut Sheet, caller: &Caller<'_>) -> Option<Status> {
    sheet.judge("status", "the status is as documented", caller.status())
}

fn looks(sheet: &mut Sheet, caller: &Caller<'_>) {
    let inventory = caller.get("/v1/inventory").and_then(|answer| match answer.status {
        404 => answer.refused(404, Some("api.nothing")),
        _ => answer.wants(200)?.json()?.as_object().map(|_| ()).ok_or_else(|| "it is not an object".to_owned()),
    });
    sheet.judge("inventory", "the inventory is an object, or 404 api.nothing before there is one", inventory);
    let log = |offset: &str| caller.get(&format!("/v1/log?offset={offset}"));
    let offset = |answer: &RawReply| {
        let offset = answer.header("burin-offset").and_then(|offset| offset.parse::<u64>().ok());
        offset.ok_or_else(|| "there is no number in Burin-Offset".to_owned())
    };
    let whole = log("0").and_then(|answer| answer.wants(200)).and_then(|answer| Ok((offset(&answer)?, answer.body)));
    let start = whole.as_ref().map(|(start, bytes)| (*start, bytes.len() as u64)).ok();
    sheet.judge("log", "the log comes with the offset of its first byte", whole.map(drop));
    let rule = "asked for from an offset on, it starts there";
    match start {
        Some((start, length)) if length > 1 => {
            let asked = start + length / 2;
            let heard = log(&asked.to_string()).and_then(|answer| offset(&answer.wants(200)?));
            // Old log may have been dropped meanwhile, but never more than that.
            let right = heard.and_then(|got| if got >= asked { Ok(()) } else { Err(format!("{got}, not {asked}")) });
            sheet.judge("log.offset", rule, right);
        }
        _ => sheet.untried("log.offset", rule, "there is no log yet"),
    }
    let bad = log("-1").and_then(|answer| answer.refused(400, None));
    sheet.judge("log.query", "an offset that is no number is 400", bad);
    sheet.judge("metrics", "metrics are Prometheus' text format", caller.get("/metrics").and_then(prometheus));
}

/// Text format 0.0.4: comments, and lines that end in a number.
fn prometheus(answer: RawReply) -> Heard<()> {
    let answer = answer.wants(200)?;
    let kind = answer.header("content-type").unwrap_or_default();
    if !kind.starts_with("text/plain") {
        return Err(format!("the content type is {kind:?}"));
    }
    let text = String::from_utf8(answer.body).map_err(|_| "it is not UTF-8".to_owned())?;
    let wrong = |line: &&str| line.rsplit_once(' ').is_none_or(|(_, value)| value.parse::<f64>().is_err());
    let mut samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).peekable();
    if samples.peek().is_none() {
        return Err("there is no sample".to_owned());
    }
    samples.find(wrong).map_or(Ok(()), |line| Err(format!("no sample: {line:?}")))
}

fn events(sheet: &mut Sheet, caller: &Caller<'_>, status: &Status) {
    let follow = |last: &str| {
        let header = [(HeaderName::from_static("last-event-id"), last)];
        let heard = caller.voice.lines("/v1/events", caller.token, &header, |line| line.starts_with("data:"))?;
        first_event(caller.listen(heard)?)
    };
    let rules = [
        ("events", "events are a stream of CloudEvents whose id is their sequence"),
        ("events.resume", "Last-Event-ID resumes behind that event"),
    ];
    let [(name, rule), (resume, resume_rule)] = rules;
    if status.last_event == 0 {
        rules.iter().for_each(|(name, rule)| sheet.untried(name, rule, "there was no event yet"));
        return;
    }
    let Some(first) = sheet.judge(name, rule, follow("0")) else {
        return sheet.untried(resume, resume_rule, "there are no events to be followed");
    };
    if first >= status.last_event {
        return sheet.untried(resume, resume_rule, "there was one event so far");
    }
    let next = follow(&first.to_string()).and_then(|next| match next > first {
        true => Ok(()),
        false => Err(format!("event {next} came again")),
    });
    sheet.judge(resume, resume_rule, next);
}

fn first_event(answer: RawReply) -> Heard<u64> {
    let answer = answer.wants(200)?;
    let kind = answer.header("content-type").unwrap_or_default();
    if !kind.starts_with("text/event-stream") {
        return Err(format!("the content type is {kind:?}, not text/event-stream"));
    }
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name).map(str::trim)).map(str::to_owned);
    let data = field("data:").ok_or("no data came")?;
    let event: Event = serde_json::from_str(&data).map_err(|error| format!("the data is no event: {error}"))?;
    match field("id:").as_deref() == Some(event.id.sequence.to_string().as_str()) {
        true => Ok(event.id.sequence),
        false => Err(format!("the id is {:?}, the event's {}", field("id:"), event.id)),
    }
}

/// Bodies that are neither an order nor a request, in any state of the agent.
fn bodies(sheet: &mut Sheet, caller: &Caller<'_>) {
    let mut put = |name, rule, body: &str, code| {
        let answer = caller.json(Method::PUT, "/v1/order", body);
        sheet.judge(name, rule, answer.and_then(|answer| answer.refused(422, Some(code))));
    };
    put("order.not-json", "what is not JSON is 422 order.not_json", "{", "order.not_json");
    let other = json!({"version": "order/v99", "id": "x"}).to_string();
    put("order.version", "an order of another version is 422 order.version", &other, "order.version");
    let mut strange = impossible(&format!("{MARK}strange"));
    strange["surprise"] = json!(1);
    let rule = "an order with a key that is not known is 422 order.unknown_key";
    put("order.unknown-key", rule, &strange.to_string(), "order.unknown_key");
    let large = caller.json(Method::PUT, "/v1/order", &" ".repeat(TOO_LARGE));
    sheet.judge("order.limit", "more than 4 MiB are 413", large.and_then(|answer| answer.refused(413, None)));
    let apply = caller.json(Method::POST, "/v1/apply", "[]").and_then(|answer| answer.refused(400, None));
    sheet.judge("apply.body", "an apply that names no plan is 400", apply);
    let power = caller.json(Method::POST, "/v1/power", r#"{"action":"conformance"}"#);
    let power = power.and_then(|answer| answer.refused(400, None));
    sheet.judge("power.body", "a power action that is not known is 400", power);
}

/// A valid order that fits no machine.
fn impossible(id: &str) -> Value {
    let serial = uuid::Uuid::new_v4().to_string();
    json!({
        "version": order::VERSION, "id": id,
        "images": {"none": {"urls": ["http://conformance.invalid/none.raw"]}},
        "layouts": [{"name": "none", "disks": {"root": {"match": {"serial": serial}, "image": "none"}}}],
    })
}

fn orders(sheet: &mut Sheet, caller: &Caller<'_>, status: &Status) {
    let rules = [
        ("order.put", "an order that is placed shows in the status"),
        ("order.again", "the same bytes again change nothing"),
        ("order.get", "it is given back byte by byte"),
        ("plan.refused", "an order that no disk fits is 422 with a problem"),
        ("plan.none", "and leaves no plan: 404 api.nothing"),
        ("apply.no-plan", "without a plan nothing is applied: 409 api.no_plan"),
        ("apply.key", "an Idempotency-Key of more than 256 characters is 400"),
        ("cancel.idle", "where nothing is applied nothing is cancelled: 409 api.idle"),
    ];
    let ours = status.order.as_deref().is_some_and(|order| order.starts_with(MARK));
    let free = status.phase == Phase::Idle || (ours && status.phase == Phase::Ordered);
    if !free {
        let why = "the agent has an order, which this one would replace: try a fresh agent";
        rules.iter().for_each(|(name, rule)| sheet.untried(name, rule, why));
        return;
    }
    let id = format!("{MARK}{}", uuid::Uuid::new_v4().simple());
    let order = impossible(&id).to_string();
    let put = || -> Heard<()> {
        let status: Status = caller.json(Method::PUT, "/v1/order", &order)?.document()?;
        let placed = status.order.as_deref() == Some(id.as_str()) && status.phase == Phase::Ordered;
        if placed { Ok(()) } else { Err(format!("phase {:?}, order {:?}", status.phase, status.order)) }
    };
    let get = || -> Heard<()> {
        let answer = caller.get("/v1/order")?.wants(200)?;
        if answer.body == order.as_bytes() { Ok(()) } else { Err("other bytes came back".to_owned()) }
    };
    let plan = || -> Heard<()> {
        let answer = caller.json(Method::POST, "/v1/plan", "")?;
        answer.refused(422, None)
    };
    let apply = |key: &str| {
        let headers = [(header::CONTENT_TYPE, "application/json"), (HeaderName::from_static("idempotency-key"), key)];
        // The digest of an impossible plan.
        let body = json!({"plan_digest": format!("sha256:{}", "0".repeat(64))}).to_string();
        caller.send(Method::POST, "/v1/apply", &headers, body.into_bytes())
    };
    let heard: [Heard<()>; 8] = [
        put(),
        put(),
        get(),
        plan(),
        caller.get("/v1/plan").and_then(|answer| answer.refused(404, Some("api.nothing"))),
        apply(&id).and_then(|answer| answer.refused(409, Some("api.no_plan"))),
        apply(&"k".repeat(257)).and_then(|answer| answer.refused(400, None)),
        caller.json(Method::POST, "/v1/cancel", "").and_then(|answer| answer.refused(409, Some("api.idle"))),
    ];
    for ((name, rule), heard) in rules.into_iter().zip(heard) {
        sheet.judge(name, rule, heard);
    }
}
