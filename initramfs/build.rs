//! Finds the crates that are linked into the agent, with their licence texts, for the notice in the ramdisk.
//!
//! cargo is asked when the builder is compiled, because agent and builder share a lock file. Writes OUT_DIR/crates.txt
//! (empty, with a warning, if cargo cannot list them offline) and OUT_DIR/libraries.txt.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    for path in ["build.rs", "../Cargo.lock", "../agent/Cargo.toml", "../hwinventory/Cargo.toml"] {
        println!("cargo:rerun-if-changed={path}");
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let crates = crate_text().unwrap_or_else(|error| {
        println!("cargo:warning=no crate list for the notice: {error}");
        String::new()
    });
    fs::write(out.join("crates.txt"), crates)?;
    let format = "-f${Package} ${Version} ${source:Package} ${source:Version}\n";
    let libraries = Command::new("dpkg-query").args(["-W", format, "libblkid-dev", "libc6-dev"]).output();
    fs::write(out.join("libraries.txt"), libraries.map(|o| o.stdout).unwrap_or_default())?;
    Ok(())
}

fn crate_text() -> Result<String, Box<dyn Error>> {
    // On a fresh machine cargo downloads only what this build needs, and some of the agent's crates may be missing.
    // Then try again with the network.
    let metadata = cargo_metadata("--frozen").or_else(|_| cargo_metadata("--locked"))?;
    let packages: BTreeMap<&str, &Value> = list(&metadata["packages"]).map(|p| (text(&p["id"]), p)).collect();
    let nodes: BTreeMap<&str, &Value> = list(&metadata["resolve"]["nodes"]).map(|n| (text(&n["id"]), n)).collect();
    let agent = packages.iter().find(|(_, p)| p["name"] == "burin").ok_or("no package burin")?;

    // Only what is linked: normal dependencies, not those that run only inside the compiler.
    let mut linked = BTreeSet::new();
    let mut queue = vec![*agent.0];
    while let Some(id) = queue.pop() {
        let macro_only =
            packages.get(id).is_some_and(|p| list(&p["targets"]).any(|t| list(&t["kind"]).any(|k| k == "proc-macro")));
        if macro_only || !linked.insert(id) {
            continue;
        }
        for dependency in nodes.get(id).into_iter().flat_map(|n| list(&n["deps"])) {
            if list(&dependency["dep_kinds"]).any(|k| k["kind"].is_null()) {
                queue.push(text(&dependency["pkg"]));
            }
        }
    }
    // Workspace members have no source.
    let mut foreign: Vec<&Value> =
        linked.iter().filter_map(|id| packages.get(id).copied()).filter(|p| !p["source"].is_null()).collect();
    foreign.sort_by_key(|p| (text(&p["name"]), text(&p["version"])));

    let mut out = String::from("The Rust standard library: MIT OR Apache-2.0, https://github.com/rust-lang/rust\n");
    let mut licences: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
    for package in &foreign {
        let name = format!("{} {}", text(&package["name"]), text(&package["version"]));
        let licence = package["license"].as_str().unwrap_or("see its licence file");
        writeln!(out, "{name}: {licence}, {}", package["repository"].as_str().unwrap_or("https://crates.io"))?;
        let dir = Path::new(text(&package["manifest_path"])).parent().ok_or("no parent")?;
        for content in licence_files(dir)? {
            // The same text occurs with different line breaks and indents.
            let key = content.split_whitespace().collect::<Vec<_>>().join(" ");
            licences.entry(key).or_insert_with(|| (content, Vec::new())).1.push(name.clone());
        }
    }
    let mut texts: Vec<(String, Vec<String>)> = licences.into_values().collect();
    texts.sort_by(|a, b| a.1.cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
    for (content, mut names) in texts {
        names.dedup();
        write!(out, "\n\n---- Licence text of {} ----\n\n{}\n", names.join(", "), content.trim())?;
    }
    Ok(out)
}

fn cargo_metadata(network: &str) -> Result<Value, Box<dyn Error>> {
    let output = Command::new(env::var("CARGO")?)
        .args(["metadata", "--format-version=1", network, "--filter-platform", &env::var("TARGET")?])
        .args(["--manifest-path", "../Cargo.toml"])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The texts of licence files beside the crate's manifest.
fn licence_files(dir: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir)?.filter_map(Result::ok).map(|e| e.path()).filter(|p| p.is_file()).collect();
    files.retain(|path| {
        let name = path.file_name().map(|n| n.to_string_lossy().to_uppercase()).unwrap_or_default();
        ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"]
            .iter()
            .any(|start| name.starts_with(start))
    });
    files.sort();
    Ok(files.iter().filter_map(|f| fs::read_to_string(f).ok()).collect())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
