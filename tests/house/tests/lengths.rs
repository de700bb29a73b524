//! A file does one thing and a function fits on a screen: neither is longer than CONTRIBUTING.md says. Tests count too.

use burin_house::{every_source, read};

const FILE: usize = 400;
const FUNCTION: usize = 80;

/// Name and number of lines of each function with a body. rustfmt puts the closing brace where the function's own line
/// begins, so no parser is needed.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let Some((before, after)) = code.split_once("fn ") else { continue };
        let qualifiers = |word: &str| {
            word.starts_with("pub") || matches!(word, "const" | "async" | "unsafe" | "extern" | "\"C\"" | "in")
        };
        if !before.split(' ').filter(|word| !word.is_empty()).all(qualifiers) || code.ends_with(';') {
            continue;
        }
        let name = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let close = format!("{}}}", &line[..line.len() - code.len()]);
        let end = lines[first..].iter().position(|line| *line == close);
        // A body on the line of its name has no closing brace of its own.
        if let Some(end) = end.filter(|_| !code.ends_with('}')) {
            found.push((name, end + 1));
        }
    }
    found
}

#[test]
fn no_file_and_no_function_is_too_long() {
    let rule = format!("{FILE} lines, functions {FUNCTION}");
    assert!(read("CONTRIBUTING.md").contains(&rule), "CONTRIBUTING.md says: {rule}");
    let sources = every_source();
    assert!(sources.len() > 500, "only {} files found", sources.len());
    let mut long = Vec::new();
    let mut counted = 0;
    for (path, text) in &sources {
        let lines = text.lines().count();
        if lines > FILE {
            long.push(format!("{path}: {lines} lines"));
        }
        let functions = functions(text);
        counted += functions.len();
        let too_long = functions.iter().filter(|(_, lines)| *lines > FUNCTION);
        long.extend(too_long.map(|(name, lines)| format!("{path}: fn {name}: {lines} lines")));
    }
    assert!(counted > 5000, "only {counted} functions found: is the code formatted otherwise by now?");
    assert!(long.is_empty(), "look for the second thing in them: {long:#?}");
}

#[test]
fn functions_are_counted_from_their_name_to_their_brace() {
    let text = "impl A {\n    pub(super) const fn one() -> u8 {\n        1\n    }\n\n    fn two(&self);\n\n    fn three() {}\n}\n";
    assert_eq!(functions(text), [("one".to_owned(), 3)]);
    let long = format!("async fn long(\n    a: u8,\n) {{\n{}}}\n", "    a;\n".repeat(FUNCTION));
    assert_eq!(functions(&long), [("long".to_owned(), FUNCTION + 4)]);
}
