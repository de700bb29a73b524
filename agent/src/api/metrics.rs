//! `GET /metrics`, in the text format of Prometheus (exposition format 0.0.4).

use super::door::Door;
use crate::protocol::Kind;
use std::fmt::Write;

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

pub(super) fn text(door: &Door) -> String {
    let status = door.status();
    let mut out = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, samples: &[(String, String)]| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(out, "{name}{labels} {value}");
        }
    };
    let one = |labels: String| vec![(labels, "1".to_owned())];
    metric("burin_info", "gauge", "The agent.", &one(format!("{{version=\"{}\"}}", label(&status.agent_version))));
    let phase = serde_json::to_value(status.phase).unwrap_or_default();
    let phase = phase.as_str().unwrap_or_default();
    metric("burin_phase", "gauge", "Where the machine stands.", &one(format!("{{phase=\"{phase}\"}}")));
    if let Some(stage) = &status.stage {
        metric("burin_stage", "gauge", "The stage under way.", &one(format!("{{stage=\"{}\"}}", label(stage))));
    }
    let last = [(String::new(), status.last_event.to_string())];
    metric("burin_events_total", "counter", "Events emitted in this boot.", &last);
    let wrong = [(String::new(), door.wrong_tokens().to_string())];
    metric("burin_api_wrong_tokens_total", "counter", "Calls with a wrong token in this boot.", &wrong);
    let events = door.history().after(0);
    if let Some(Kind::Progress(progress)) =
        events.iter().rev().filter(|event| event.kind == "dev.burin.progress").find_map(|event| event.kind())
    {
        let counts = [
            ("read", progress.read_bytes),
            ("written", progress.written_bytes),
            ("zeroed", progress.zeroed_bytes),
            ("verified", progress.verified_bytes),
        ];
        let samples = counts.map(|(what, bytes)| (format!("{{what=\"{what}\"}}"), bytes.to_string()));
        metric("burin_bytes", "gauge", "Bytes of the order in hand, by what was done.", &samples);
        let rate = [(String::new(), progress.bytes_per_second.to_string())];
        metric("burin_bytes_per_second", "gauge", "Rate of the order in hand.", &rate);
    }
    if let Some(receipt) = door.receipt() {
        let seconds = |ms: u64| format!("{}.{:03}", ms / 1000, ms % 1000);
        let samples: Vec<(String, String)> = receipt
            .stages
            .iter()
            .map(|stage| (format!("{{stage=\"{}\"}}", label(&stage.stage)), seconds(stage.duration_ms)))
            .collect();
        metric("burin_stage_seconds", "gauge", "Time of each stage of the last order.", &samples);
    }
    out
}

/// A label's value: backslash, quote and line feed are escaped.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
