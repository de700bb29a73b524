//! docs/ says what the code does. `BURIN_BLESS=1` writes the schemas anew.

use burin::protocol as p;
use schemars::{JsonSchema, schema_for};
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
        ("order", schema::<p::Order>()),
        ("plan", schema::<p::Plan>()),
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
    assert!(stale.is_empty(), "BURIN_BLESS=1 cargo test -p burin-tests --test protocol_documents renews {stale:?}");
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
    assert_eq!(named.len(), 15, "{named:?}");
    for name in named {
        assert!(repository().join("docs/schemas").join(name).exists(), "{name}");
    }
}

/// Rooms whose codes the table has to have.
const ROOMS: [&str; 3] = ["api", "controller", "protocol"];

#[test]
fn every_code_is_in_the_table() {
    let table = std::fs::read_to_string(repository().join("docs/errors.md")).unwrap();
    let mut found = 0;
    for room in ROOMS {
        for entry in std::fs::read_dir(repository().join("agent/src").join(room)).unwrap() {
            let path = entry.unwrap().path();
            let source = std::fs::read_to_string(&path).unwrap();
            for function in source.split("fn code(&self) -> &'static str {").skip(1) {
                let body = function.split("\n    }").next().unwrap();
                let said = body.split('"').skip(1).step_by(2);
                for code in said {
                    found += 1;
                    assert!(
                        table.contains(&format!("| `{code}` |")),
                        "{code} of {} is not in docs/errors.md",
                        path.display()
                    );
                }
            }
        }
    }
    assert!(found >= 20, "{found}");
    // What is refused on the spot has no error type.
    for (path, word) in [("agent/src/api", "api."), ("tests/src/controller", "")] {
        for entry in std::fs::read_dir(repository().join(path)).unwrap() {
            let source = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            for refusal in source.split("refusal(").skip(1) {
                let code = refusal.split('"').nth(1).unwrap_or_default();
                let is_code = code.contains('.') && !code.contains(' ') && code.starts_with(word);
                assert!(!is_code || table.contains(&format!("| `{code}` |")), "{code} is not in docs/errors.md");
            }
        }
    }
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
