//! Every threat in docs/security.md has a test, and every test that is named there exists.

use burin_house::{code, every_source, read};
use std::collections::BTreeMap;

/// The cells of the lines of a table that has this first line, without its head.
fn table(document: &str, head: &str) -> Vec<Vec<String>> {
    let lines = document.lines().skip_while(|line| *line != head).skip(2);
    let lines = lines.take_while(|line| line.starts_with("| "));
    lines.map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// Tests by the letter before them: `T `one` `two`, P `three``.
fn named(cell: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut letter = String::new();
    for (at, part) in cell.split('`').enumerate() {
        match at % 2 {
            0 => {
                let said = part.trim_matches([',', ' ']);
                if !said.is_empty() {
                    letter = said.to_owned();
                }
            }
            _ => found.push((letter.clone(), part.to_owned())),
        }
    }
    found
}

/// Whether the text has a test of this name: its attribute is a few lines above.
fn has_test(text: &str, name: &str) -> bool {
    let needle = format!("fn {name}(");
    text.match_indices(&needle).any(|(at, _)| {
        let line = text.get(..at).and_then(|before| before.rfind('\n')).unwrap_or_default();
        let above = text.get(..line).unwrap_or_default().split('\n').rev().take(3);
        above.map(str::trim).take_while(|line| !line.is_empty()).any(|line| line == "#[test]")
    })
}

#[test]
fn every_threat_has_a_test_that_is_there() {
    let document = read("docs/security.md");
    let letters: BTreeMap<String, String> = table(&document, "| letter | tests |")
        .into_iter()
        .map(|cells| (cells[0].clone(), code(&cells[1]).remove(0)))
        .collect();
    let sources = every_source();
    let threats = table(&document, "| threat | what stops it | test | what is left |");
    assert!(threats.len() > 25, "only {} threats found: has the form of the table changed?", threats.len());
    let mut used = Vec::new();
    for cells in &threats {
        let tests = named(&cells[2]);
        assert!(!tests.is_empty(), "no test: {}", cells[0]);
        for (letter, name) in tests {
            let place = letters.get(&letter).unwrap_or_else(|| panic!("{letter:?} is no letter of the list: {name}"));
            let mut texts = sources.iter().filter(|(path, _)| path.starts_with(place.as_str()));
            assert!(texts.any(|(_, text)| has_test(text, &name)), "{place} has no test {name}: {}", cells[0]);
            used.push(letter);
        }
    }
    let unused: Vec<&String> = letters.keys().filter(|letter| !used.contains(letter)).collect();
    assert!(unused.is_empty(), "letters that no threat uses: {unused:?}");
}

#[test]
fn a_name_alone_is_no_test() {
    assert!(has_test("#[test]\nfn one() {}", "one"));
    assert!(has_test("#[test]\n#[ignore = \"on demand\"]\nfn one() {}", "one"));
    assert!(!has_test("fn one() {}", "one") && !has_test("#[test]\nfn one_more() {}", "one"));
    assert!(!has_test("#[test]\nfn other() {}\n\nfn one() {}", "one"), "a helper below a test");
    let pair = |letter: &str, name: &str| (letter.to_owned(), name.to_owned());
    assert_eq!(named("T `a` `b`, P `c`"), [pair("T", "a"), pair("T", "b"), pair("P", "c")]);
}
