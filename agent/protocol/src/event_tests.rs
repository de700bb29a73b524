use super::*;
use serde_json::json;

fn id(sequence: u64) -> EventId {
    EventId { boot_id: "b00t".into(), sequence }
}

#[test]
fn an_event_is_a_cloudevent() {
    let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_700_000_000_250);
    let kind = Kind::StageFinished(StageFinished { stage: "write".into(), duration_ms: 41 });
    let event = Event::new(id(7), "urn:uuid:x", time, Some("order-1"), &kind);
    assert_eq!(
        serde_json::to_value(&event).unwrap(),
        json!({
            "specversion": "1.0", "id": "b00t/7", "source": "urn:uuid:x", "type": "dev.burin.stage.finished",
            "time": "2023-11-14T22:13:20.250Z", "subject": "order-1", "datacontenttype": "application/json",
            "data": {"stage": "write", "duration_ms": 41}
        })
    );
    assert_eq!(event.kind(), Some(kind));
}

#[test]
fn unknown_kinds_and_attributes_survive() {
    let wire = json!({
        "specversion": "1.0", "id": "b00t/8", "source": "/mac/x", "type": "dev.burin.teapot",
        "data": {"spout": [1, 2.5, null]}, "traceparent": "00-ab", "sampled": 1
    });
    let event: Event = serde_json::from_value(wire.clone()).unwrap();
    assert_eq!(event.kind(), None);
    assert_eq!(serde_json::to_value(&event).unwrap(), wire);
    let known = json!({
        "specversion": "1.0", "id": "b00t/9", "source": "/mac/x", "type": "dev.burin.stage.started",
        "data": {"stage": "plan", "new_field": true}
    });
    let event: Event = serde_json::from_value(known.clone()).unwrap();
    assert_eq!(event.kind(), Some(Kind::StageStarted(StageStarted { stage: "plan".into() })));
    assert_eq!(serde_json::to_value(&event).unwrap(), known);
}

#[test]
fn ids_have_one_spelling() {
    assert_eq!("a/b/12".parse(), Ok(EventId { boot_id: "a/b".into(), sequence: 12 }));
    for bad in ["", "/1", "a/", "a/01", "a/+1", "a/-1", "a/1x", "a/99999999999999999999", "a"] {
        assert!(bad.parse::<EventId>().is_err(), "{bad}");
    }
}

#[test]
fn a_broken_clock_gives_no_time_and_no_panic() {
    let kind = Kind::StageStarted(StageStarted { stage: "x".into() });
    let far = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(300_000_000_000);
    assert_eq!(Event::new(id(1), "s", far, None, &kind).time, None);
    let before = SystemTime::UNIX_EPOCH - std::time::Duration::from_secs(1);
    assert_eq!(Event::new(id(1), "s", before, None, &kind).time, None);
}

#[test]
fn an_unknown_control_word_holds() {
    assert_eq!(serde_json::from_str::<Ack>(r#"{"acked":1,"control":"dance"}"#).unwrap().control, Control::Hold);
    assert_eq!(serde_json::from_str::<Ack>(r#"{"acked":1,"control":"cancel"}"#).unwrap().control, Control::Cancel);
    assert_eq!(serde_json::from_str::<Ack>(r#"{"acked":1,"new":[]}"#).unwrap().control, Control::Continue);
    assert_eq!(serde_json::to_string(&Control::Hold).unwrap(), r#""hold""#);
}
