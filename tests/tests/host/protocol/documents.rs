//! The documents in docs/ match the code. `BURIN_BLESS=1` regenerates the schemas.

use burin::protocol as p;
use schemars::{JsonSchema, schema_for};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn schema<T: JsonSchema>() -> String {
    serde_json::to_string_pretty(&schema_for!(T)).unwrap() + "\n"
}

#[test]
fn the_schemas_are_those_of_the_types() {
    let schemas = [
        ("hello", schema::<p::Hello>()),
        ("hello-reply", schema::<p::HelloReply>()),
        ("attest-request", schema::<p::AttestRequest>()),
        ("attest-reply", schema::<p::AttestReply>()),
        ("order", schema::<p::Order>()),
        ("plan", schema::<p::Plan>()),
        ("policy", schema::<p::Policy>()),
        ("grant-request", schema::<p::GrantRequest>()),
        ("grant-reply", schema::<p::GrantReply>()),
        ("event", schema::<p::Event>()),
        ("event-kinds", schema::<p::Kind>()),
        ("ack", schema::<p::Ack>()),
        ("receipt", schema::<p::Receipt>()),
        ("receipt-reply", schema::<p::ReceiptReply>()),
        ("problem", schema::<p::Problem>()),
        ("status", schema::<p::Status>()),
        ("apply-request", schema::<p::ApplyRequest>()),
        ("apply-reply", schema::<p::ApplyReply>()),
        ("power-request", schema::<p::PowerRequest>()),
        ("image-manifest", schema::<p::ImageManifest>()),
        ("image-report", schema::<burin_inspect::Report>()),
    ];
    let directory = repository().join("docs/schemas");
    let bless = std::env::var_os("BURIN_BLESS").is_some();
    let mut stale = Vec::new();
    for (name, schema) in &schemas {
        let path = directory.join(format!("{name}.json"));
        if bless {
            std::fs::write(&path, schema).unwrap();
        }
        if std::fs::read_to_string(&path).unwrap_or_default() != *schema {
            stale.push(path);
        }
    }
    assert!(stale.is_empty(), "BURIN_BLESS=1 cargo test -p burin-tests documents renews {stale:?}");
    for entry in std::fs::read_dir(&directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(schemas.iter().any(|(known, _)| name == format!("{known}.json")), "{name} is nobody's schema");
    }
}

#[test]
fn openapi_names_schemas_that_exist_and_the_schemas_are_named() {
    let openapi = std::fs::read_to_string(repository().join("docs/openapi.yaml")).unwrap();
    let mut named: Vec<&str> =
        openapi.split("$ref: schemas/").skip(1).filter_map(|rest| rest.split('}').next()).collect();
    named.sort_unstable();
    named.dedup();
    assert_eq!(named.len(), 17, "{named:?}");
    for name in named {
        assert!(repository().join("docs/schemas").join(name).exists(), "{name}");
    }
}

/// All files below a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// The codes in a source file, without those only in its tests.
fn codes(path: &Path) -> Vec<String> {
    let source = std::fs::read_to_string(path).unwrap();
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let bodies =
        source.split("fn code(&self) -> &'static str {").skip(1).filter_map(|rest| rest.split("\n    }").next());
    bodies.flat_map(|body| body.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The codes of a file's refusals that have no error type.
fn refusals(path: &Path, room: &str, call: &str) -> Vec<String> {
    let source = std::fs::read_to_string(path).unwrap();
    let said = source.split(call).skip(1).filter_map(|refusal| refusal.split('"').nth(1));
    said.filter(|code| code.contains('.') && !code.contains(' ') && code.starts_with(room)).map(str::to_owned).collect()
}

#[test]
fn the_table_of_codes_has_those_of_the_sources_and_no_others() {
    let table = std::fs::read_to_string(repository().join("docs/errors.md")).unwrap();
    let rows: BTreeSet<&str> =
        table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |").map(|(code, _)| code)).collect();
    let mut found = BTreeSet::new();
    let crates = std::fs::read_dir(repository().join("agent")).unwrap();
    let crates = crates.map(|entry| entry.unwrap().path()).filter(|path| path.join("Cargo.toml").is_file());
    for folder in
        crates.map(|path| path.join("src")).filter(|folder| folder.is_dir()).chain([repository().join("agent/src")])
    {
        sources(&folder).iter().for_each(|path| found.extend(codes(path)));
    }
    for path in sources(&repository().join("agent/src/api")) {
        found.extend(refusals(&path, "api.", "refusal("));
    }
    for path in sources(&repository().join("agent/src/dialect/ironic")) {
        found.extend(refusals(&path, "ironic.", "CommandError::new("));
    }
    found.extend(burin_inspect::faults::all().map(|fault| fault.code.to_owned()));
    assert!(found.len() >= 100, "{}", found.len());
    let missing: Vec<_> = found.iter().filter(|code| !rows.contains(code.as_str())).collect();
    assert!(missing.is_empty(), "not in docs/errors.md: {missing:?}");
    // Codes of the reference controller are in a separate section.
    let (agent, reference) = table.split_once("## Answers of the reference controller").unwrap();
    for path in sources(&repository().join("tests/src/controller")) {
        for code in refusals(&path, "", "refusal(") {
            assert!(reference.contains(&format!("| `{code}` |")), "{code} of {}", path.display());
        }
    }
    let said = |code: &str| found.contains(code) || !agent.contains(&format!("| `{code}` |"));
    let unknown: Vec<_> = rows.iter().filter(|code| !said(code)).collect();
    assert!(unknown.is_empty(), "in docs/errors.md, but nothing says them: {unknown:?}");
}

#[test]
fn every_kind_of_event_is_told_in_the_protocol() {
    let story = std::fs::read_to_string(repository().join("docs/protocol.md")).unwrap();
    let kinds = schema::<p::Kind>();
    let names: Vec<&str> = kinds.split('"').filter(|text| text.starts_with("dev.burin.")).collect();
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        assert!(story.contains(&format!("| `{name}` |")), "{name}");
    }
}
