//! The reference controller as a process, killed with SIGKILL while many agents talk to it.

use crate::support::program::Child;
use crate::support::*;
use burin::dialect::native::Session;
use burin::report::{CONTROLLER, Emitter, SpoolLimits};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start(directory: &Path, listen: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_controller"));
        command.args(["--listen", listen, "--state"]).arg(directory).stdout(Stdio::piped());
        let mut child = Child::spawn(&mut command);
        let mut lines = BufReader::new(child.stdout()).lines();
        let first = lines.next().unwrap().unwrap();
        let url = first.strip_prefix("listening on ").unwrap().to_owned();
        // Keep reading, or the controller would block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url }
    }

    fn kill(self) {
        self.child.kill();
    }
}

/// Every `curl` in docs/protocol.md, verbatim, against a fresh controller.
#[test]
fn the_documented_calls_work() {
    if Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        burin_skip::skip!("no curl");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("orders")).unwrap();
    std::fs::write(directory.path().join("orders/default.json"), order("web-17")).unwrap();
    let process = Process::start(directory.path(), "127.0.0.1:0");
    let story = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/protocol.md")).unwrap();
    let (mut token, mut calls) = (String::new(), Vec::new());
    for block in story.split("\n    curl ").skip(1) {
        let command = block.split("\n\n").next().unwrap();
        if !command.contains("http://controller") {
            continue;
        }
        let command = format!("curl -sS -f {command}")
            .replace("http://controller", &process.url)
            .replace("q3qm12", "4c4c4544-0051-3310-8051-b4c04f4d3132")
            .replace("3f0c...", &token)
            .replace("wait=30", "wait=1");
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        let reply = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command}\n{reply}\n{}", String::from_utf8_lossy(&output.stderr));
        if let Ok(hello) = serde_json::from_str::<serde_json::Value>(&reply)
            && let Some(new) = hello["token"].as_str()
        {
            token = new.to_owned();
        }
        calls.push(reply);
    }
    assert_eq!(calls.len(), 6, "{calls:?}");
    assert!(calls[1].contains("web-17") && calls[2].contains("granted"), "{calls:?}");
    assert!(calls[3].contains(r#""acked":1"#) && calls[5].contains("acknowledged"), "{calls:?}");
    process.kill();
}

#[test]
fn sigkill_loses_nothing_that_was_acknowledged() {
    const AGENTS: usize = 8;
    const RESULTS: u64 = 300;
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path(), "127.0.0.1:0");
    let url = process.url.clone();
    let agents: Vec<(Emitter, Session)> = (0..AGENTS)
        .map(|number| {
            let state = directory.path().join(format!("agent-{number}"));
            let mut hello = hello_of("boot-1");
            hello.identity.system_uuid = Some(format!("machine-{number}"));
            hello.identity.serial = Some(format!("S{number}"));
            hello.identity.macs = vec![format!("52:54:00:00:01:{number:02x}")];
            let emitter = Emitter::open(Some(&state), "boot-1", "/", &[CONTROLLER], SpoolLimits::default()).unwrap();
            let mut options = options(&url, trust(directory.path()), &state);
            options.notify = std::sync::Arc::new(|_| std::ops::ControlFlow::Continue(()));
            let session = Session::connect(options, hello, &emitter).unwrap();
            (emitter, session)
        })
        .collect();
    let mut process = Some(process);
    for round in 0..3 {
        for _ in 0..RESULTS / 3 {
            agents.iter().for_each(|(emitter, _)| emitter.emit(finished("write")));
        }
        if round == 0 {
            // Some of it is acknowledged before the first kill, some is in flight.
            assert!(agents[0].0.flush(PATIENCE));
        }
        process.take().unwrap().kill();
        process = Some(Process::start(directory.path(), url.strip_prefix("http://").unwrap()));
    }
    for (emitter, _) in &agents {
        assert!(emitter.flush(PATIENCE));
    }
    for (_, session) in &agents {
        let url = format!("{url}/v1/machines/{}", session.machine());
        let text = ureq::get(&url).call().unwrap().body_mut().read_to_string().unwrap();
        let view: serde_json::Value = serde_json::from_str(&text).unwrap();
        let events = view["events"].as_array().unwrap();
        let ids: Vec<&str> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
        let expected: Vec<String> = (1..=RESULTS).map(|sequence| format!("boot-1/{sequence}")).collect();
        assert_eq!(ids, expected);
        assert!(events.iter().all(|event| event["type"] == "dev.burin.stage.finished"));
    }
    drop(agents);
    process.take().unwrap().kill();
}
