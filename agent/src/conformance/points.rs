//! The rules for a controller, in the order in which an agent meets them.

use super::sheet::Sheet;
use super::voice::{Heard, RawReply, Standing, Voice};
use super::{Peer, Point};
use crate::protocol::event::BATCH_CONTENT_TYPE;
use crate::protocol::order::parse_bytes;
use crate::protocol::{
    Ack, Decision, GrantReply, HelloReply, ReceiptReply, ReceiptState, Secret, grant, hello, receipt,
};
use serde_json::{Value, json};

const JSON: &str = "application/json";

pub fn play(voice: &Voice, subject: &Peer) -> Vec<Point> {
    let mut points = Sheet::default();
    let boot = uuid::Uuid::new_v4().to_string();
    if let Some(standing) = hellos(&mut points, voice, subject, &boot) {
        tokens(&mut points, voice, &standing);
        let standing = events(&mut points, voice, subject, &boot, standing);
        let offer = orders(&mut points, voice, &standing);
        grants(&mut points, voice, &standing, &boot, offer.as_ref());
        receipts(&mut points, voice, &standing, &boot, offer.as_ref());
    }
    points.0
}

fn introduction(subject: &Peer, boot: &str, instance: &str) -> Value {
    json!({
        "version": hello::VERSION,
        "identity": {"system_uuid": subject.system_uuid, "serial": null, "macs": ["02:00:00:00:00:01"]},
        "boot_id": boot, "instance": instance, "agent_version": env!("CARGO_PKG_VERSION"),
        "capabilities": ["order/v1"], "inventory": null,
    })
}

fn standing(answer: RawReply) -> Heard<(Standing, HelloReply)> {
    let reply: HelloReply = answer.document()?;
    if reply.version != hello::VERSION {
        return Err(format!("the reply's version is {:?}", reply.version));
    }
    if reply.machine.is_empty() || reply.token.reveal().is_empty() {
        return Err("machine and token must not be empty".to_owned());
    }
    Ok((Standing { machine: reply.machine.clone(), token: reply.token.clone() }, reply))
}

fn hellos(points: &mut Sheet, voice: &Voice, subject: &Peer, boot: &str) -> Option<Standing> {
    let introduction = introduction(subject, boot, "first");
    let known = voice.hello(&introduction).and_then(standing).and_then(|(standing, reply)| match reply.acked {
        0 => Ok(standing),
        acked => Err(format!("acked is {acked} for a boot that has sent no event")),
    });
    let known = points.judge("hello", "hello is answered with machine, token and acked 0", known)?;

    let again =
        voice.hello(&introduction).and_then(standing).and_then(|(again, _)| match again.machine == known.machine {
            true => Ok(again),
            false => Err(format!("{:?} was {:?} before", again.machine, known.machine)),
        });
    let again = points.judge("hello.again", "the same hello again gets the same machine", again);

    let mut later = introduction.clone();
    later["a field of the future"] = json!({"x": 1});
    let later = voice.hello(&later).and_then(standing);
    let later = points.judge("hello.unknown-field", "a field that is not known is ignored", later);

    let mut other = introduction;
    other["version"] = json!("hello/v99");
    let other = voice.hello(&other).and_then(|answer| answer.refused(400, Some("protocol.version")));
    points.judge("hello.version", "a version that is not known is refused with 400 protocol.version", other);
    Some(later.map(|(standing, _)| standing).or(again).unwrap_or(known))
}

fn tokens(points: &mut Sheet, voice: &Voice, standing: &Standing) {
    let path = standing.path("events");
    let wrong = Secret::new("not the token");
    let none = voice.post(&path, None, BATCH_CONTENT_TYPE, &json!([]));
    points.judge("token.missing", "a call without the token is 401", none.and_then(|answer| answer.refused(401, None)));
    let other = voice.post(&path, Some(&wrong), BATCH_CONTENT_TYPE, &json!([]));
    points.judge("token.wrong", "a call with another token is 401", other.and_then(|answer| answer.refused(401, None)));
    let order = voice.get(&standing.path("order?wait=0"), Some(&wrong), None);
    points.judge("token.order", "so is asking for an order", order.and_then(|answer| answer.refused(401, None)));
}

fn event(boot: &str, sequence: u64, kind: &str, data: Value) -> Value {
    json!({
        "specversion": "1.0", "id": format!("{boot}/{sequence}"), "source": "/conformance", "type": kind,
        "time": "2026-11-22T09:00:00Z", "datacontenttype": JSON, "data": data,
    })
}

fn events(points: &mut Sheet, voice: &Voice, subject: &Peer, boot: &str, standing: Standing) -> Standing {
    let started = |sequence| event(boot, sequence, "dev.burin.stage.started", json!({"stage": "conformance"}));
    let send = |standing: &Standing, events: Vec<Value>, wanted: u64| -> Heard<()> {
        let (path, token) = (standing.path("events"), Some(&standing.token));
        let ack: Ack = voice.post(&path, token, BATCH_CONTENT_TYPE, &Value::from(events))?.document()?;
        if ack.acked == wanted { Ok(()) } else { Err(format!("acked is {}, not {wanted}", ack.acked)) }
    };
    let batches = [
        ("events", "what is contiguous is acknowledged", vec![started(1), started(2), started(3)], 3),
        ("events.again", "events that come twice are harmless", vec![started(2), started(3)], 3),
        ("events.gap", "nothing behind a gap is acknowledged", vec![started(5)], 3),
        ("events.filled", "a gap that is filled is", vec![started(4)], 5),
        (
            "events.dropped",
            "dev.burin.dropped stands for all of its sequences",
            vec![event(boot, 8, "dev.burin.dropped", json!({"from": 6, "count": 3}))],
            8,
        ),
        (
            "events.unknown-kind",
            "a kind that is not known is kept",
            vec![event(boot, 9, "dev.burin.of.the.future", json!({"x": [1, null]}))],
            9,
        ),
        ("events.heartbeat", "an empty batch is answered too", vec![], 9),
    ];
    for (name, rule, batch, wanted) in batches {
        points.judge(name, rule, send(&standing, batch, wanted));
    }
    let restarted = voice.hello(&introduction(subject, boot, "second")).and_then(self::standing);
    let restarted = restarted.and_then(|(standing, reply)| match reply.acked {
        9 => Ok(standing),
        acked => Err(format!("acked is {acked}, not 9")),
    });
    let rule = "hello of another process of the same boot is told what was acknowledged";
    points.judge("hello.acked", rule, restarted).unwrap_or(standing)
}

/// An order that was handed out.
struct Offer {
    id: String,
    attempt: u32,
}

fn orders(points: &mut Sheet, voice: &Voice, standing: &Standing) -> Option<Offer> {
    let path = standing.path("order?wait=1");
    let ask = |etag: Option<&str>| voice.get(&path, Some(&standing.token), etag);
    let heard = ask(None).and_then(|answer| match answer.status {
        200 => {
            let etag = answer.header("etag").ok_or("there is no ETag")?.to_owned();
            let attempt = answer.header("burin-attempt").ok_or("there is no Burin-Attempt")?;
            let attempt = attempt.parse().ok().filter(|attempt| *attempt > 0);
            let attempt = attempt.ok_or("Burin-Attempt is not a number from 1")?;
            answer.json()?;
            let order = parse_bytes(&answer.body).map_err(|error| format!("it is no order: {error}"))?;
            Ok(Some((etag, Offer { id: order.id, attempt })))
        }
        204 if answer.body.is_empty() => Ok(None),
        204 => Err("204 has no body".to_owned()),
        410 => Ok(None),
        status => Err(format!("status {status}, not 200, 204 or 410")),
    });
    let offered = points.judge("order", "an order comes as 200 with ETag and Burin-Attempt, none as 204 or 410", heard);
    let rule = "the order of If-None-Match is not sent again";
    let Some((etag, offer)) = offered.flatten() else {
        points.untried("order.if-none-match", rule, "there is no order for this machine");
        return None;
    };
    let again = ask(Some(&etag)).and_then(|answer| match (answer.status, answer.header("etag")) {
        (204, _) => Ok(()),
        (200, Some(other)) if other != etag => Ok(()),
        (status, _) => Err(format!("status {status} with the same order")),
    });
    points.judge("order.if-none-match", rule, again);
    Some(offer)
}

fn grants(points: &mut Sheet, voice: &Voice, standing: &Standing, boot: &str, offer: Option<&Offer>) {
    let path = standing.path("grants");
    let ask = |request: &Value| voice.post(&path, Some(&standing.token), JSON, request);
    let decided = |request: &Value| -> Heard<Decision> {
        let reply: GrantReply = ask(request)?.document()?;
        let known = reply.version == grant::VERSION;
        if known { Ok(reply.decision) } else { Err(format!("the reply's version is {:?}", reply.version)) }
    };
    let not_granted = |request: &Value| match decided(request)? {
        Decision::Granted => Err("granted".to_owned()),
        Decision::Refused | Decision::Wait => Ok(()),
    };
    let mut request = json!({
        "version": grant::VERSION, "order": format!("no such order {boot}"), "attempt": 1,
        "plan_digest": "sha256:00", "boot_id": boot, "instance": "second",
    });
    points.judge("grant.unknown", "an order that is not the machine's is not granted", not_granted(&request));
    let mut other = request.clone();
    other["version"] = json!("grant/v99");
    let other = ask(&other).and_then(|answer| answer.refused(400, Some("protocol.version")));
    points.judge("grant.version", "a version that is not known is refused with 400 protocol.version", other);

    let rules = [
        ("grant", "an order that was handed out is granted"),
        ("grant.again", "the same question gets the same answer"),
        ("grant.instance", "a granted attempt is refused to another process"),
        ("grant.plan", "a granted attempt is refused for another plan"),
        ("grant.boot", "a granted attempt is refused to another boot: no machine wipes itself twice"),
    ];
    let why = match offer {
        None => Some("there is no order for this machine"),
        Some(offer) => {
            (request["order"], request["attempt"]) = (json!(offer.id), json!(offer.attempt));
            match decided(&request) {
                Ok(Decision::Wait) => Some("the controller says wait: somebody has to approve"),
                _ => None,
            }
        }
    };
    if let Some(why) = why {
        rules.iter().for_each(|(name, rule)| points.untried(name, rule, why));
        return;
    }
    let granted = |request: &Value| match decided(request)? {
        Decision::Granted => Ok(()),
        other => Err(format!("{other:?}")),
    };
    let changed = |field: &str| {
        let mut request = request.clone();
        request[field] = json!("another");
        request
    };
    // The first request was already made above: a different answer now fails both.
    let answers = [
        granted(&request),
        granted(&request),
        not_granted(&changed("instance")),
        not_granted(&changed("plan_digest")),
        not_granted(&changed("boot_id")),
    ];
    for ((name, rule), heard) in rules.into_iter().zip(answers) {
        points.judge(name, rule, heard);
    }
}

fn receipts(points: &mut Sheet, voice: &Voice, standing: &Standing, boot: &str, offer: Option<&Offer>) {
    let rules = [
        ("receipt", "a receipt is posted or acknowledged"),
        ("receipt.again", "the same receipt again is harmless"),
        ("receipt.acknowledged", "its state can be asked for, and is acknowledged in the end"),
    ];
    let Some(offer) = offer else {
        rules.iter().for_each(|(name, rule)| points.untried(name, rule, "there is no order for this machine"));
        return;
    };
    // A failure: nothing was installed here.
    let problem =
        json!({"code": "conformance", "message": "burin conformance tried the controller; nothing was installed"});
    let body = json!({
        "version": receipt::VERSION, "order": offer.id, "attempt": offer.attempt, "boot_id": boot,
        "plan_digest": "sha256:00", "problem": problem, "images": [], "stages": [],
    });
    let state = |answer: RawReply| -> Heard<ReceiptState> {
        let reply: ReceiptReply = answer.document()?;
        let known = reply.version == receipt::VERSION;
        if known { Ok(reply.state) } else { Err(format!("the reply's version is {:?}", reply.version)) }
    };
    let post = || voice.post(&standing.path("receipts"), Some(&standing.token), JSON, &body).and_then(state);
    let [(name, rule), (again, again_rule), (done, done_rule)] = rules;
    points.judge(name, rule, post());
    points.judge(again, again_rule, post());
    let order = crate::calls::segment(&offer.id);
    let path = standing.path(&format!("receipts/{order}/{}?wait=10", offer.attempt));
    match voice.get(&path, Some(&standing.token), None).and_then(state) {
        Ok(ReceiptState::Posted) => points.untried(done, done_rule, "it was still posted after a long-poll"),
        heard => drop(points.judge(done, done_rule, heard)),
    }
}
