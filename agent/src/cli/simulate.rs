//! `burin simulate`: what an order, or a change to one, would do to a fleet, given stored inventories.

use super::plan::{CommandOutput, inventory, json, read};
use crate::error::Coded;
use crate::plan::{self, Outcome};
use crate::protocol::order::{self, Order};
use clap::Args;
use hwinventory::model::harmless;
use serde_json::Value;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Try an order on many stored inventories, and show what another order would change.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// Folder of inventories, one *.json file per machine.
    #[arg(long, value_name = "DIR")]
    pub inventories: PathBuf,
    /// The order, JSON.
    #[arg(long, value_name = "FILE")]
    pub order: PathBuf,
    /// A changed order: only machines for which it makes a difference are shown.
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// Print rows and overlapping layouts as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Exit status 0 if it could be tried, whatever the result; 1 if an order is invalid; 2 if a file cannot be read.
pub fn run(args: SimulateArgs) -> ExitCode {
    answer(&args).print(args.json)
}

fn answer(args: &SimulateArgs) -> CommandOutput {
    let loaded = load(&args.order).and_then(|a| Ok((a, args.against.as_deref().map(load).transpose()?)));
    let (a, b) = match loaded {
        Ok(orders) => orders,
        Err(answer) => return *answer,
    };
    let machines = match machines(&args.inventories) {
        Ok(machines) => machines,
        Err(message) => return CommandOutput::Usage(format!("burin simulate: {message}")),
    };
    let rows = plan::simulate(&machines, &a, b.as_ref());
    let overlaps = plan::overlaps(b.as_ref().unwrap_or(&a));
    let mut text = String::new();
    for overlap in &overlaps {
        let [one, other] = &overlap.layouts;
        let line = format!("layouts {one} and {other} can both apply at priority {}", overlap.priority);
        let _ = writeln!(text, "{}", harmless::line(&line));
    }
    for row in &rows {
        let (machine, now) = (harmless::line(&row.machine), words(&row.now));
        let _ = match (&b, &row.then) {
            (None, _) => writeln!(text, "{machine}: {now}"),
            (Some(_), Some(then)) => writeln!(text, "{machine}:\n  now  {now}\n  then {}", words(then)),
            (Some(_), None) => Ok(()),
        };
    }
    if b.is_some() {
        let changed = rows.iter().filter(|row| row.then.is_some()).count();
        let _ = writeln!(text, "{changed} of {} machines change", rows.len());
    }
    CommandOutput::Done { text, json: serde_json::json!({ "machines": json(&rows), "overlaps": json(&overlaps) }) }
}

fn words(outcome: &Outcome) -> String {
    let words = match outcome {
        Outcome::Plan { layout, disks, steps } => {
            format!("layout {layout}, {} steps, overwrites {}", steps.len(), disks.join(", "))
        }
        Outcome::Refused { code, message } => format!("no plan ({code}): {message}"),
    };
    harmless::line(&words).into_owned()
}

fn load(path: &Path) -> Result<Order, Box<CommandOutput>> {
    let text = read(path).map_err(|message| Box::new(CommandOutput::Usage(format!("burin simulate: {message}"))))?;
    let parsed = order::parse(&text).and_then(|order| plan::check(&order).map(|()| order));
    parsed.map_err(|error| {
        let text = format!("{}:\n", path.display());
        Box::new(CommandOutput::Refused { problem: error.problem(), text, json: Value::Null })
    })
}

/// Sorted by file name.
fn machines(folder: &Path) -> Result<Vec<(String, hwinventory::Inventory)>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    if paths.is_empty() {
        return Err(format!("{} holds no *.json inventories", folder.display()));
    }
    paths
        .iter()
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Ok((name, inventory(path)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_is_shown_machine_by_machine() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path
        };
        let order = |set: &str| {
            format!(
                r#"{{"version": "order/v1", "id": "x", "images": {{"i": {{"urls": ["http://x/y"]}}}},
                "layouts": [{{"name": "l", "disks": {{"root": {set}}}}}]}}"#
            )
        };
        let a = file("a.order", &order(r#"{"image": "i"}"#));
        let b = file("b.order", &order(r#"{"image": "i", "match": {"class": "nvme"}}"#));
        let inventory = r#"{"disks": {"status": "ok", "data": [{"path": "/dev/sda", "status": "ok", "size": 1000000,
            "class": "ssd", "logical_block_size": 512, "mounts": [], "signatures": [], "samples": {"looked_at_bytes": 2228224, "blank": true}, "by_path": "pci-1"}]}}"#;
        file("fleet/one.json", inventory);
        let ask = |against: Option<PathBuf>| {
            answer(&SimulateArgs { inventories: folder.path().join("fleet"), order: a.clone(), against, json: false })
        };
        assert!(matches!(ask(None), CommandOutput::Done { text, .. } if text.contains("one: layout l")));
        assert!(
            matches!(ask(Some(a.clone())), CommandOutput::Done { text, .. } if text.contains("0 of 1 machines change"))
        );
        let CommandOutput::Done { text, .. } = ask(Some(b)) else { panic!() };
        assert!(text.contains("plan.no_match") && text.contains("1 of 1 machines change"), "{text}");
        assert_eq!(ask(Some(folder.path().join("none"))).status(), 2);
        assert_eq!(ask(Some(file("c.order", "{}"))).status(), 1);
    }
}
