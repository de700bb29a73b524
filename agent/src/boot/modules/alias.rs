//! Looks up `modules.alias`: tens of thousands of patterns, a few hundred lookups.

use super::glob;
use std::collections::{BTreeSet, HashMap};

/// Patterns grouped by their literal prefix. Only groups whose prefix matches are searched, so a PCI device is compared
/// with a handful of patterns instead of twenty thousand.
#[derive(Debug, Default)]
pub struct Aliases {
    groups: HashMap<Vec<u8>, Vec<(String, String)>>,
    lengths: BTreeSet<usize>,
}

impl Aliases {
    /// Lines of `alias PATTERN MODULE`; anything else is skipped.
    pub fn parse(text: &str) -> Self {
        let mut aliases = Self::default();
        for line in text.lines() {
            let mut fields = line.split_ascii_whitespace();
            if let (Some("alias"), Some(pattern), Some(module)) = (fields.next(), fields.next(), fields.next()) {
                aliases.insert(pattern, module);
            }
        }
        aliases
    }

    fn insert(&mut self, pattern: &str, module: &str) {
        let prefix = glob::literal_prefix(pattern.as_bytes());
        self.lengths.insert(prefix.len());
        self.groups.entry(prefix.to_vec()).or_default().push((pattern.to_owned(), module.to_owned()));
    }

    /// The modules whose patterns match, without duplicates.
    pub fn lookup(&self, modalias: &str) -> Vec<&str> {
        let text = modalias.as_bytes();
        let mut found = Vec::new();
        for prefix in self.lengths.iter().map_while(|&length| text.get(..length)) {
            for (pattern, module) in self.groups.get(prefix).into_iter().flatten() {
                if !found.contains(&module.as_str()) && glob::matches(pattern.as_bytes(), text) {
                    found.push(module.as_str());
                }
            }
        }
        found
    }

    pub fn len(&self) -> usize {
        self.groups.values().map(Vec::len).sum()
    }
}
