//! docs/openapi.yaml is a valid OpenAPI 3.1 document, and the agent's API and the reference controller conform to it
//! whatever they are sent: schemathesis generates requests from the document and checks every response against it.

use crate::support::program::Child;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TOKEN: &str = "t0ps3cret-0123456";

/// A program of the Python environment made by `scripts/test`, or `None` with a message.
fn tool(name: &str) -> Option<PathBuf> {
    let tools = std::env::var_os("BURIN_PYTHON_TOOLS");
    if tools.is_none() {
        burin_skip::skip!("BURIN_PYTHON_TOOLS is not set; scripts/test sets it");
    }
    tools.map(|directory| Path::new(&directory).join(name))
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs")
}

/// Succeeds, or shows all of its output.
fn succeeds(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(output.status.success(), "{command:?}: {}\n{said}\n{complained}", output.status);
}

#[test]
fn the_document_is_openapi_3_1() {
    let Some(validator) = tool("openapi-spec-validator") else { return };
    succeeds(Command::new(validator).args(["--schema", "3.1"]).arg(docs().join("openapi.yaml")));
}

#[test]
fn the_agents_api_answers_as_the_document_says() {
    let Some(schemathesis) = tool("schemathesis") else { return };
    let mut agent = Command::new(env!("CARGO_BIN_EXE_agent-api"));
    let (_agent, url) = listening(agent.args(["--token", TOKEN]));
    // It writes files into its working directory.
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(schemathesis);
    command.current_dir(directory.path());
    command.arg("--config-file").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/schemathesis.toml"));
    command.arg("run").arg(docs().join("openapi.yaml")).args(["--url", &url, "--tls-verify", "false"]);
    command.args(["--header", &format!("Authorization: Bearer {TOKEN}"), "--include-tag", "agent"]);
    // The event stream never ends, so a client for single responses would wait for ever.
    command.args(["--exclude-operation-id", "follow", "--max-time", "30"]);
    succeeds(&mut command);
}

/// Starts a server that first prints `listening on URL`.
fn listening(command: &mut Command) -> (Child, String) {
    let mut child = Child::spawn(command.stdout(Stdio::piped()));
    let mut lines = BufReader::new(child.stdout()).lines();
    let first = lines.next().unwrap().unwrap();
    let url = first.strip_prefix("listening on ").and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
    // Keep reading, or the server would block on a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    (child, url)
}
