//! `burin simulate`: what an order, or an edit of one, means for a fleet of stored inventories.

use super::plan::{inventory, print_json, read, refuse};
use crate::error::Coded;
use crate::plan::{self, Outcome, Row};
use crate::protocol::order::{self, Order};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Try an order on many stored inventories, and show what another order would change.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// Inventories, one machine a *.json file.
    #[arg(long, value_name = "DIR")]
    pub inventories: PathBuf,
    /// The order, JSON.
    #[arg(long, value_name = "FILE")]
    pub order: PathBuf,
    /// The order as it would be: only machines that it changes are shown.
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// Print rows and overlapping layouts as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Exit status 0 when it could be tried, whatever came of it; 1 when an order is not valid; 2 when a file cannot be
/// read.
pub fn run(args: SimulateArgs) -> ExitCode {
    let loaded = load(&args.order).and_then(|a| Ok((a, args.against.as_deref().map(load).transpose()?)));
    let (a, b) = match loaded {
        Ok(orders) => orders,
        Err(Failed::Usage(message)) => {
            eprintln!("burin simulate: {message}");
            return ExitCode::from(2);
        }
        Err(Failed::Order(path, error)) => {
            if !args.json {
                eprintln!("{}:", path.display());
            }
            return refuse(&error.problem(), None, args.json);
        }
    };
    let machines = match machines(&args.inventories) {
        Ok(machines) => machines,
        Err(message) => {
            eprintln!("burin simulate: {message}");
            return ExitCode::from(2);
        }
    };
    let rows = plan::simulate(&machines, &a, b.as_ref());
    let overlaps = plan::overlaps(b.as_ref().unwrap_or(&a));
    if args.json {
        return print_json(&serde_json::json!({ "machines": rows, "overlaps": overlaps }));
    }
    for overlap in &overlaps {
        let [one, other] = &overlap.layouts;
        println!("layouts {one} and {other} can both apply at priority {}", overlap.priority);
    }
    match b {
        None => rows.iter().for_each(|row| println!("{}: {}", row.machine, words(&row.now))),
        Some(_) => changes(&rows),
    }
    ExitCode::SUCCESS
}

fn changes(rows: &[Row]) {
    let mut changed = 0;
    for row in rows {
        if let Some(then) = &row.then {
            changed += 1;
            println!("{}:\n  now  {}\n  then {}", row.machine, words(&row.now), words(then));
        }
    }
    println!("{changed} of {} machines change", rows.len());
}

fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Plan { layout, disks, steps } => {
            format!("layout {layout}, {} steps, overwrites {}", steps.len(), disks.join(", "))
        }
        Outcome::Refused { code, message } => format!("no plan ({code}): {message}"),
    }
}

enum Failed {
    Usage(String),
    Order(PathBuf, order::OrderError),
}

fn load(path: &Path) -> Result<Order, Failed> {
    let text = read(path).map_err(Failed::Usage)?;
    let parsed = order::parse(&text).and_then(|order| plan::check(&order).map(|()| order));
    parsed.map_err(|error| Failed::Order(path.to_owned(), error))
}

/// By file name, sorted.
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
