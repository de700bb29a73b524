//! The project's own files as text, for tests that compare source and documents.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of the project.
pub fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All Rust files below a folder that are not tests, as paths from the root, with their text: without comments, and
/// without what follows `#[cfg(test)]`.
pub fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(&root().join(folder), &["tests", "benches", "examples", "fuzz"], &mut found);
    found.retain(|(path, _)| !path.ends_with("tests.rs"));
    for (_, text) in &mut found {
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let lines: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        *text = lines.join("\n");
    }
    found
}

/// All Rust files of the project, tests too, as paths from the root, with their whole text.
pub fn every_source() -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(&root(), &[], &mut found);
    found
}

/// Sorted by path. Folders of builds, and hidden ones, hold nothing of ours.
fn collect(folder: &Path, without: &[&str], found: &mut Vec<(String, String)>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') && !without.contains(&name.as_str()) {
                collect(&path, without, found);
            }
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
            found.push((name, text));
        }
    }
}

/// The cells of each row of a Markdown table whose first cell is code, below a heading and up to the next one of its rank.
pub fn rows(document: &str, heading: &str) -> Vec<Vec<String>> {
    let rank = heading.split(' ').next().unwrap_or_default();
    let lines = document.lines().skip_while(|line| *line != heading).skip(1);
    let section = lines.take_while(|line| !line.starts_with(&format!("{rank} ")));
    let row = |line: &str| -> Vec<String> {
        // A bar within code is escaped.
        let line = line.replace("\\|", "\u{0}");
        line.trim_matches('|').split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
    };
    section.filter(|line| line.starts_with("| `")).map(row).collect()
}

/// What stands between backticks.
pub fn code(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// String literals of some Rust text, without escapes undone.
pub fn literals(text: &str) -> Vec<String> {
    text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}
