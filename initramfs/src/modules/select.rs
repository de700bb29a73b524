//! The rules that select the ramdisk's modules, and their application to a kernel. Format: data/modules.list.

use std::collections::BTreeMap;

use crate::modules::glob;
use crate::modules::modinfo::module_name;
use crate::modules::tree::ModuleTree;

/// The rules included in burin, as text.
pub const STANDARD_RULES: &str = include_str!("../../data/modules.list");

/// An ordered list of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleRules(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    All(String),
    Need { name: String, by: String },
    Want(String),
    Drop(String),
}

/// An error in a rules file, or a kernel that does not satisfy it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ModuleRulesError {
    /// A line that is not a rule.
    #[error("{file}:{line}: expected `all`, `need`, `want` or `drop` and one pattern or name, found `{text}`")]
    Syntax { file: String, line: usize, text: String },
    /// A required module that the kernel has neither as a file nor built in.
    #[error("module {name} is missing: {by} needs it, and kernel {release} has it neither as a file nor built in")]
    Missing { name: String, by: String, release: String },
}

impl ModuleRules {
    /// The rules included in burin.
    pub fn standard() -> Result<ModuleRules, ModuleRulesError> {
        ModuleRules::parse(STANDARD_RULES, "the standard module list")
    }

    /// Parses a rules file; `file` names it in errors.
    pub fn parse(text: &str, file: &str) -> Result<ModuleRules, ModuleRulesError> {
        let mut rules = Vec::new();
        for (n, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let words: Vec<&str> = line.split_whitespace().collect();
            let rule = match words[..] {
                [] => continue,
                ["all", pattern] => Rule::All(pattern.to_owned()),
                ["need", name] => Rule::Need { name: name.to_owned(), by: format!("{file}:{}", n + 1) },
                ["want", name] => Rule::Want(name.to_owned()),
                ["drop", pattern] => Rule::Drop(pattern.to_owned()),
                _ => {
                    return Err(ModuleRulesError::Syntax { file: file.to_owned(), line: n + 1, text: line.to_owned() });
                }
            };
            rules.push(rule);
        }
        Ok(ModuleRules(rules))
    }

    /// Adds a rule that fails the build if the kernel does not have `name`; `by` says who requires it.
    pub fn need(&mut self, name: &str, by: &str) {
        self.0.push(Rule::Need { name: name.to_owned(), by: by.to_owned() });
    }

    /// Removes what matches, unless something else depends on it.
    pub fn drop_matching(&mut self, pattern: &str) {
        self.0.push(Rule::Drop(pattern.to_owned()));
    }

    /// Names of the modules chosen from `tree`, without dependencies, each with the rule that chose it.
    pub fn select(&self, tree: &ModuleTree) -> Result<BTreeMap<String, String>, ModuleRulesError> {
        let mut chosen = BTreeMap::new();
        for rule in &self.0 {
            match rule {
                Rule::All(pattern) => {
                    for name in matching(tree, pattern) {
                        chosen.entry(name).or_insert_with(|| format!("all {pattern}"));
                    }
                }
                Rule::Drop(pattern) => chosen.retain(|name, _| !matching_one(tree, name, pattern)),
                Rule::Want(name) => {
                    if let Some(module) = tree.get(name) {
                        chosen.entry(module.name.clone()).or_insert_with(|| format!("want {name}"));
                    }
                }
                Rule::Need { name, by } => match tree.get(name) {
                    Some(module) => {
                        chosen.insert(module.name.clone(), format!("need {name}"));
                    }
                    None if tree.is_builtin(name) => {}
                    None => {
                        return Err(ModuleRulesError::Missing {
                            name: module_name(name),
                            by: by.clone(),
                            release: tree.release.clone(),
                        });
                    }
                },
            }
        }
        Ok(chosen)
    }
}

fn matching<'a>(tree: &'a ModuleTree, pattern: &'a str) -> impl Iterator<Item = String> + 'a {
    tree.modules.values().filter(move |m| glob::matches(pattern, pattern_path(&m.path))).map(|m| m.name.clone())
}

fn matching_one(tree: &ModuleTree, name: &str, pattern: &str) -> bool {
    tree.modules.get(name).is_some_and(|m| glob::matches(pattern, pattern_path(&m.path)) || pattern == m.name)
}

/// `kernel/fs/ext4/ext4.ko` to `fs/ext4/ext4`. Modules outside of kernel/ (updates, extra) keep their directory.
fn pattern_path(path: &str) -> &str {
    let path = path.strip_prefix("kernel/").unwrap_or(path);
    path.strip_suffix(".ko").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_list_parses() {
        ModuleRules::standard().unwrap();
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = ModuleRules::parse("# fine\nall a/*\nneed\n", "my.list").unwrap_err();
        assert_eq!(error, ModuleRulesError::Syntax { file: "my.list".into(), line: 3, text: "need".into() });
    }

    #[test]
    fn pattern_paths_have_no_frame() {
        assert_eq!(pattern_path("kernel/fs/ext4/ext4.ko"), "fs/ext4/ext4");
        assert_eq!(pattern_path("updates/dkms/x.ko"), "updates/dkms/x");
    }
}
