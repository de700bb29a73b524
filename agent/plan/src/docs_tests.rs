//! docs/layouts.md: every example is planned for the machines that it names.

use super::testing::machine;
use super::*;
use burin_protocol::error::Coded;
use burin_protocol::order;
use serde_json::Value;
use std::collections::BTreeMap;

const DOCUMENT: &str = include_str!("../../../docs/layouts.md");

/// Fenced blocks: the words after ```json, and the content.
fn blocks() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in DOCUMENT.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => open = Some((info.to_owned(), String::new())),
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    found
}

fn names(plan: &Plan) -> Vec<String> {
    let word = |step: &Step| serde_json::to_value(step).unwrap()["step"].as_str().unwrap().to_owned();
    plan.steps.iter().map(word).collect()
}

fn verify(order: &Order, expected: &Value, inventory: &Inventory) {
    let on = format!("order {} on {}", order.id, expected["on"]);
    let result = plan(inventory, order, &BTreeMap::new());
    if let Some(code) = expected.get("refuses") {
        let refusal = result.map(|plan| explain(&plan)).expect_err(&on);
        assert_eq!(refusal.code(), code, "{on}: {refusal}");
        if let Some(says) = expected["says"].as_str() {
            assert!(refusal.to_string().contains(says), "{on}: {refusal}");
        }
        return;
    }
    let plan = result.unwrap_or_else(|refusal| panic!("{on}: {}", explain_refusal(&refusal)));
    for key in expected.as_object().unwrap().keys() {
        let known = ["on", "layout", "disks", "steps", "warns", "roles"].contains(&key.as_str());
        assert!(known, "{on}: nobody checks `{key}`");
    }
    if let Some(layout) = expected.get("layout") {
        assert_eq!(plan.layout, *layout, "{on}");
    }
    if let Some(disks) = expected.get("disks") {
        let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        plan.disks.iter().for_each(|disk| found.entry(&disk.set).or_default().push(&disk.identity.value));
        assert_eq!(serde_json::to_value(found).unwrap(), *disks, "{on}");
    }
    if let Some(steps) = expected.get("steps") {
        assert_eq!(serde_json::to_value(names(&plan)).unwrap(), *steps, "{on}");
    }
    if let Some(code) = expected.get("warns") {
        assert!(plan.warnings.iter().any(|warning| warning.code == *code), "{on}: {:?}", plan.warnings);
    }
    for (role, count) in expected["roles"].as_object().into_iter().flatten() {
        let trace = plan.trace.roles.iter().find(|trace| trace.set == *role).unwrap();
        let chosen = trace.candidates.iter().filter(|c| c.verdict == burin_protocol::plan::Verdict::Chosen).count();
        assert_eq!(chosen, count.as_u64().unwrap() as usize, "{on}, role {role}");
    }
}

#[test]
fn every_example_gives_what_the_document_says() {
    let mut machines = BTreeMap::new();
    let mut order: Option<Order> = None;
    let (mut orders, mut results) = (0, 0);
    for (info, text) in blocks() {
        if let Some(name) = info.strip_prefix("json machine ") {
            machines.insert(name.to_owned(), machine(&serde_json::from_str(&text).unwrap()));
        } else if info == "json order" {
            let parsed = order::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert!(order.replace(parsed).is_none(), "an example without what it gives");
            orders += 1;
        } else if info == "json gives" {
            let order = order.take().expect("what an order gives follows the order");
            let expected: Vec<Value> = serde_json::from_str(&text).unwrap();
            assert!(!expected.is_empty());
            for expected in &expected {
                verify(&order, expected, &machines[expected["on"].as_str().unwrap()]);
                results += 1;
            }
        } else {
            panic!("a block `{info}` that nobody checks");
        }
    }
    assert!(order.is_none() && orders >= 12 && results >= orders, "{orders} examples, {results} results");
}

/// The orders in the document.
pub(super) fn examples() -> Vec<Value> {
    let orders = blocks().into_iter().filter(|(info, _)| info == "json order");
    orders.map(|(_, text)| serde_json::from_str(&text).unwrap()).collect()
}

/// Every example on every captured machine: a plan or a typed refusal, never a panic, and never a disk in use.
#[test]
fn every_example_on_every_captured_machine_is_a_plan_or_a_refusal() {
    let folder = std::env::var_os("BURIN_FIXTURES").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
        std::path::PathBuf::from,
    );
    let Ok(entries) = std::fs::read_dir(folder.join("ghw")) else {
        burin_skip::skip!("no captured machines in {}", folder.display());
        return;
    };
    let mut machines = 0;
    for path in entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "gz")) {
        let root = tempfile::tempdir().unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
        // Some captures have entries that cannot exist twice in a directory; whatever could be unpacked is a machine
        // too.
        let _ = archive.unpack(root.path());
        let source = hwinventory::source::FsSource::directory(root.path()).unwrap();
        let options = hwinventory::Options { source: std::sync::Arc::new(source), ..hwinventory::Options::default() };
        let inventory = hwinventory::collect(&options);
        // Goes through JSON, because that is how inventories are stored and sent.
        let inventory: Inventory = serde_json::from_str(&serde_json::to_string(&inventory).unwrap()).unwrap();
        machines += 1;
        for order in examples() {
            let order = order::parse_value(&order).unwrap();
            match plan(&inventory, &order, &BTreeMap::new()) {
                Ok(plan) => {
                    let text = explain(&plan);
                    assert!(text.contains(&plan.digest));
                    let written = plan.steps.iter().flat_map(Step::disks);
                    for disk in written.map(|index| &plan.disks[index]) {
                        let found = inventory.disks.data.iter().find(|other| other.path == disk.device).unwrap();
                        assert!(found.mounts.as_ref().is_some_and(Vec::is_empty), "{}", disk.device);
                    }
                }
                Err(refusal) => assert!(explain_refusal(&refusal).contains(refusal.code())),
            }
        }
    }
    assert!(machines > 0, "{} holds no captures", folder.display());
}

/// The tables list every gate and code.
#[test]
fn every_gate_and_code_is_in_the_tables() {
    let sources = [include_str!("gates.rs"), include_str!("refusal.rs")];
    let quoted = |source: &'static str| source.split('"').skip(1).step_by(2);
    let gates =
        sources[0].lines().filter_map(|line| line.trim().strip_prefix("gate(\"")).filter_map(|l| l.split('"').next());
    let codes = quoted(sources[1]).filter(|text| text.starts_with("plan.") && !text.contains(' '));
    let mut seen = 0;
    for word in gates.chain(codes) {
        assert!(DOCUMENT.contains(&format!("`{word}`")), "{word} is not in docs/layouts.md");
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
}
