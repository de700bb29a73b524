//! `burin plan`: what an order would do to a machine, given its inventory in a file. Touches no disk.

use crate::error::Coded;
use crate::plan;
use crate::protocol::{Problem, order};
use clap::Args;
use hwinventory::Inventory;
use hwinventory::model::harmless;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Show what an order would do to a machine, and why, without doing it.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The order, JSON.
    #[arg(long, value_name = "FILE")]
    pub order: PathBuf,
    /// The machine's inventory, as printed by `burin inventory`.
    #[arg(long, value_name = "FILE")]
    pub inventory: PathBuf,
    /// An attribute, as on the kernel command line (burin.attr.NAME=VALUE).
    #[arg(long = "attr", value_name = "NAME=VALUE", value_parser = attribute)]
    pub attributes: Vec<(String, String)>,
    /// Print the plan, or the refusal with its trace, as JSON.
    #[arg(long)]
    pub json: bool,
}

fn attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// Exit status 0 with a plan, 1 with a typed refusal, 2 if a file cannot be read.
pub fn run(args: PlanArgs) -> ExitCode {
    answer(&args).print(args.json)
}

fn answer(args: &PlanArgs) -> CommandOutput {
    let (text, inventory) = match (read(&args.order), inventory(&args.inventory)) {
        (Ok(text), Ok(inventory)) => (text, inventory),
        (Err(message), _) | (_, Err(message)) => return CommandOutput::Usage(format!("burin plan: {message}")),
    };
    let order = match order::parse(&text) {
        Ok(order) => order,
        Err(error) => {
            return CommandOutput::Refused { problem: error.problem(), text: String::new(), json: Value::Null };
        }
    };
    let attributes: BTreeMap<String, String> = args.attributes.iter().cloned().collect();
    match plan::plan(&inventory, &order, &attributes) {
        Ok(plan) => CommandOutput::Done { text: plan::explain(&plan), json: json(&plan) },
        Err(refusal) => CommandOutput::Refused {
            problem: refusal.problem(),
            text: plan::explain_trace(&refusal.trace),
            json: json(&refusal.trace),
        },
    }
}

/// The output of a command, for people and for programs.
#[derive(Debug)]
pub(super) enum CommandOutput {
    Done { text: String, json: Value },
    Refused { problem: Problem, text: String, json: Value },
    Usage(String),
}

impl CommandOutput {
    /// The exit status.
    pub(super) fn status(&self) -> u8 {
        match self {
            CommandOutput::Done { .. } => 0,
            CommandOutput::Refused { .. } => 1,
            CommandOutput::Usage(_) => 2,
        }
    }

    /// Errors go to standard error for people; programs get everything on standard output.
    pub(super) fn print(&self, as_json: bool) -> ExitCode {
        match self {
            CommandOutput::Done { json, .. } if as_json => println!("{}", harmless::json(&format!("{json:#}"))),
            CommandOutput::Done { text, .. } => print!("{text}"),
            CommandOutput::Refused { problem, json, .. } if as_json => {
                let all = format!("{:#}", serde_json::json!({ "problem": problem, "trace": json }));
                println!("{}", harmless::json(&all));
            }
            CommandOutput::Refused { problem, text, .. } => {
                print!("{text}");
                super::say(&format!("no plan ({}): {}", problem.code, problem.message), problem);
            }
            CommandOutput::Usage(message) => eprintln!("{}", harmless::line(message)),
        }
        ExitCode::from(self.status())
    }
}

pub(super) fn json<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

pub(super) fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

pub(super) fn inventory(path: &Path) -> Result<Inventory, String> {
    serde_json::from_str(&read(path)?).map_err(|error| format!("{} is not an inventory: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(order: &str, inventory: Option<&Value>) -> CommandOutput {
        let folder = tempfile::tempdir().unwrap();
        let (order_file, inventory_file) = (folder.path().join("order.json"), folder.path().join("inventory.json"));
        std::fs::write(&order_file, order).unwrap();
        if let Some(inventory) = inventory {
            std::fs::write(&inventory_file, inventory.to_string()).unwrap();
        }
        answer(&PlanArgs { order: order_file, inventory: inventory_file, attributes: Vec::new(), json: false })
    }

    #[test]
    fn the_exit_status_tells_a_plan_from_a_refusal_from_wrong_usage() {
        let order = r#"{"version": "order/v1", "id": "x", "images": {"i": {"urls": ["http://x/y"]}},
            "layouts": [{"name": "l", "disks": {"root": {"image": "i"}}}]}"#;
        let disk = serde_json::json!({
            "path": "/dev/sda", "status": "ok", "size": 1u64 << 40, "logical_block_size": 512, "mounts": [],
            "signatures": [], "samples": { "looked_at_bytes": 2_228_224, "blank": true }, "by_path": "pci-0000:00:04.0"
        });
        let with = |disks: Value| serde_json::json!({ "disks": { "status": "ok", "data": disks } });
        let planned = ask(order, Some(&with(serde_json::json!([disk]))));
        assert_eq!(planned.status(), 0, "{planned:?}");
        assert!(matches!(&planned, CommandOutput::Done { text, .. } if text.contains("/dev/sda")));

        let refused = ask(order, Some(&with(serde_json::json!([]))));
        assert_eq!(refused.status(), 1);
        assert!(matches!(&refused, CommandOutput::Refused { problem, .. } if problem.code == "plan.no_match"));
        let broken = ask("{}", Some(&with(serde_json::json!([]))));
        assert!(matches!(&broken, CommandOutput::Refused { problem, .. } if problem.code == "order.invalid"));
        assert_eq!(ask(order, None).status(), 2);
        assert_eq!(ask(order, Some(&Value::Null)).status(), 2);
    }

    /// Text from a disk cannot start a line of a plan or a refusal, or control the terminal.
    #[test]
    fn nothing_that_a_disk_says_forges_a_line() {
        const FORGED: &str = "will be LOST: nothing";
        let evil = format!("disk\u{1b}[2J\u{9b}H\u{202e}\n{FORGED}\n");
        let disk = serde_json::json!({
            "path": "/dev/sda", "status": "ok", "size": 1u64 << 40, "logical_block_size": 512, "mounts": [],
            "model": evil, "serial": evil, "vendor": evil, "by_path": "pci-0000:00:04.0",
            "signatures": [{ "kind": "ext4", "label": evil, "uuid": evil }], "partition_table": "gpt",
            "partitions": [{ "number": 1, "start": 1 << 20, "size": 1 << 30, "name": evil, "label": evil, "kind": "ext4" }],
            "samples": { "looked_at_bytes": 2_228_224, "blank": false }
        });
        let inventory = serde_json::json!({ "disks": { "status": "ok", "data": [disk] } });
        for on_existing in ["destroy", "refuse"] {
            let order = serde_json::json!({
                "version": "order/v1", "id": "x", "images": { "i": { "urls": ["http://x/y"] } },
                "layouts": [{ "name": "l", "disks": { "root": { "image": "i", "on_existing": on_existing } } }]
            });
            let answer = ask(&order.to_string(), Some(&inventory));
            let (CommandOutput::Done { text, json } | CommandOutput::Refused { text, json, .. }) = &answer else {
                panic!("{answer:?}")
            };
            assert!(text.contains("disk\\u{1b}[2J"), "it is shown:\n{text}");
            assert!(text.lines().all(|line| line.trim() != FORGED && !line.contains(char::is_control)), "{text}");
            let json = format!("{json:#}");
            let harmless = harmless::json(&json);
            assert!(harmless.lines().all(|line| !line.contains(char::is_control)), "{harmless}");
        }
    }
}
