//! `burin plan`: what an order would do to a machine whose inventory is in a file. Touches no disk.

use crate::error::Coded;
use crate::plan;
use crate::protocol::{Problem, order};
use clap::Args;
use hwinventory::Inventory;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Show what an order would do to a machine, and why, without doing it.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The order, JSON.
    #[arg(long, value_name = "FILE")]
    pub order: PathBuf,
    /// The machine's inventory, as `burin inventory` prints it.
    #[arg(long, value_name = "FILE")]
    pub inventory: PathBuf,
    /// An attribute as from the kernel command line (burin.attr.NAME=VALUE).
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

/// Exit status 0 with a plan, 1 with a typed refusal, 2 when a file cannot be read.
pub fn run(args: PlanArgs) -> ExitCode {
    let (text, inventory) = match (read(&args.order), inventory(&args.inventory)) {
        (Ok(text), Ok(inventory)) => (text, inventory),
        (Err(message), _) | (_, Err(message)) => {
            eprintln!("burin plan: {message}");
            return ExitCode::from(2);
        }
    };
    let order = match order::parse(&text) {
        Ok(order) => order,
        Err(error) => return refuse(&error.problem(), None, args.json),
    };
    let attributes: BTreeMap<String, String> = args.attributes.into_iter().collect();
    match plan::plan(&inventory, &order, &attributes) {
        Ok(plan) if args.json => print_json(&plan),
        Ok(plan) => {
            print!("{}", plan::explain(&plan));
            ExitCode::SUCCESS
        }
        Err(refusal) if args.json => {
            let trace = serde_json::to_value(&refusal.trace).ok();
            refuse(&refusal.problem(), trace, true)
        }
        Err(refusal) => {
            print!("{}", plan::explain_trace(&refusal.trace));
            refuse(&refusal.problem(), None, false)
        }
    }
}

pub(super) fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

pub(super) fn inventory(path: &Path) -> Result<Inventory, String> {
    serde_json::from_str(&read(path)?).map_err(|error| format!("{} is not an inventory: {error}", path.display()))
}

pub(super) fn print_json<T: serde::Serialize>(value: &T) -> ExitCode {
    match serde_json::to_string_pretty(value) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("burin: cannot print: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a refusal: people read standard error, programs standard output.
pub(super) fn refuse(problem: &Problem, trace: Option<serde_json::Value>, json: bool) -> ExitCode {
    if json {
        let _ = print_json(&serde_json::json!({ "problem": problem, "trace": trace }));
    } else {
        eprintln!("no plan ({}): {}", problem.code, problem.message);
        for cause in &problem.causes {
            eprintln!("  {cause}");
        }
        if let Some(hint) = &problem.hint {
            eprintln!("  hint: {hint}");
        }
    }
    ExitCode::FAILURE
}
