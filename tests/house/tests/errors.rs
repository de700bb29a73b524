//! Every error code in the source is in docs/errors.md, with the state of the disk.

use burin_house::{code, literals, read, sources};
use std::collections::{BTreeMap, BTreeSet};

/// Dotted, lower case, words separated by underscores.
fn is_code(text: &str) -> bool {
    let word =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    text.contains('.') && text.split('.').all(word)
}

/// Codes by the file that says them: what `fn code` answers, what the API refuses with, and problems and warnings made by
/// hand.
fn said() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (path, text) in sources("agent") {
        let mut add = |text: &str| {
            for literal in literals(text) {
                // Format strings and messages have blanks or braces.
                if literal.contains('.') && literal.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
                    found.insert(literal, path.clone());
                }
            }
        };
        for body in text.split("fn code(&self)").skip(1) {
            let open = body.find('{').unwrap_or_default();
            let mut depth = 0usize;
            let end = body[open..].find(|c| {
                depth = match c {
                    '{' => depth + 1,
                    '}' => depth - 1,
                    _ => depth,
                };
                depth == 0
            });
            add(&body[open..open + end.unwrap_or_default()]);
        }
        for start in ["refusal(", "code: \"", "code: String::from(\"", "Problem::new(\""] {
            for rest in text.split(start).skip(1) {
                let quoted = if start.ends_with('"') { format!("\"{rest}") } else { rest.to_owned() };
                let first = quoted.split('"').nth(1).unwrap_or_default();
                let near = quoted.find('"').is_some_and(|at| at < 20);
                if near {
                    add(&format!("\"{first}\""));
                }
            }
        }
    }
    found
}

#[test]
fn every_code_is_in_the_table() {
    let document = read("docs/errors.md");
    let listed: BTreeSet<String> = code(&document).into_iter().collect();
    let said = said();
    assert!(said.len() > 100, "only {} codes found: has the way to say them changed?", said.len());
    let missing: Vec<_> = said.iter().filter(|(code, _)| !listed.contains(*code)).collect();
    assert!(missing.is_empty(), "not in docs/errors.md: {missing:#?}");
}

#[test]
fn words_of_codes_are_separated_by_underscores() {
    let wrong: Vec<_> = said().into_iter().filter(|(code, _)| !is_code(code)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let document = read("docs/errors.md");
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    let wrong: Vec<String> =
        rows.filter_map(|row| code(row).into_iter().next()).filter(|code| code.contains('-')).collect();
    assert!(wrong.is_empty(), "docs/errors.md: {wrong:?}");
}

#[test]
fn every_code_of_the_table_is_said_by_something() {
    let mut all = String::new();
    for folder in ["agent", "tests/src", "hwinventory"] {
        sources(folder).into_iter().for_each(|(_, text)| all.push_str(&text));
    }
    let document = read("docs/errors.md");
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    let codes = rows.filter_map(|row| code(row).into_iter().next()).filter(|code| code.contains('.'));
    let stale: Vec<String> = codes.filter(|code| !all.contains(&format!("\"{code}\""))).collect();
    assert!(stale.is_empty(), "in docs/errors.md, and nothing says them: {stale:?}");
}

/// In words above each table, and for each code in its last column, in words that are explained.
#[test]
fn every_table_and_every_code_says_what_is_on_the_disk() {
    let document = read("docs/errors.md");
    let words: BTreeSet<String> = explained(&document);
    assert!(words.len() >= 4, "docs/errors.md, \"{WORDS}\": {words:?}");
    let mut rows = 0;
    for section in document.split("\n## ").skip(1).filter(|section| section.contains("\n| code")) {
        let title = section.lines().next().unwrap_or_default();
        let before = section.split("\n| code").next().unwrap_or_default();
        assert!(before.contains("State of the disk:"), "docs/errors.md, \"{title}\": say in which state the disk is");
        for line in section.lines().filter(|line| line.starts_with("| code")) {
            assert!(
                line.ends_with("| disk |"),
                "docs/errors.md, \"{title}\": the last column says what is on the disk"
            );
        }
        for line in section.lines().filter(|line| line.starts_with("| `")) {
            let said = line.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default().trim();
            assert!(said.split(" or ").all(|word| words.contains(word)), "docs/errors.md: {line}");
            rows += 1;
        }
    }
    assert!(rows > 250, "only {rows} rows found: has the form of the tables changed?");
}

const WORDS: &str = "State of the disk";

/// The words of that section.
fn explained(document: &str) -> BTreeSet<String> {
    let section = document.split("\n## ").find(|section| section.starts_with(WORDS)).unwrap_or_default();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| ")?.split('|').next());
    cells.map(|cell| cell.trim().to_owned()).filter(|cell| !cell.contains(" or ") && cell != "word").collect()
}
