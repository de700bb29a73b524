//! The chosen modules with all their dependencies, in an order in which they can be loaded.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use crate::arch::Arch;
use crate::modules::modinfo::module_name;
use crate::modules::tree::{Module, ModuleTree};

/// A complete set of modules: each hard dependency is in it or built into the kernel.
#[derive(Debug)]
pub struct Closure<'a> {
    /// In the kernel build's order.
    pub modules: Vec<&'a Module>,
    /// Names of each module's direct hard dependencies that are files, not built in.
    depends: HashMap<&'a str, Vec<&'a str>>,
    /// Position in a load order: dependencies precede their users.
    position: HashMap<&'a str, usize>,
}

/// Why a set of modules cannot be completed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ClosureError {
    /// A dependency that the kernel has neither as a file nor built in.
    #[error(
        "module {name} is missing: {wanted_by} depends on it, and kernel {release} has it neither as a file nor built in"
    )]
    Missing { name: String, wanted_by: String, release: String },
    /// Modules that depend on each other can never be loaded.
    #[error("module {name} depends on itself by way of {}", path.join(" -> "))]
    Cycle { name: String, path: Vec<String> },
    /// A module for another architecture than the kernel's.
    #[error("module {name} is built for {found}, the kernel for {expected}")]
    Arch { name: String, found: Arch, expected: Arch },
}

impl<'a> Closure<'a> {
    /// Completes `chosen` (names of modules in `tree`). Soft and weak dependencies are added if the kernel has them.
    pub fn of<'n>(
        tree: &'a ModuleTree,
        chosen: impl IntoIterator<Item = &'n str>,
        arch: Arch,
    ) -> Result<Self, ClosureError> {
        let mut names: BTreeSet<&str> = BTreeSet::new();
        let mut depends: HashMap<&str, Vec<&str>> = HashMap::new();
        let mut queue: VecDeque<&Module> = chosen.into_iter().filter_map(|n| tree.get(n)).collect();
        while let Some(module) = queue.pop_front() {
            if !names.insert(&module.name) {
                continue;
            }
            if module.arch != arch {
                return Err(ClosureError::Arch { name: module.name.clone(), found: module.arch, expected: arch });
            }
            let mut direct = Vec::new();
            for name in &module.info.depends {
                match tree.get(name) {
                    Some(dependency) => {
                        direct.push(dependency.name.as_str());
                        queue.push_back(dependency);
                    }
                    None if tree.is_builtin(name) => {}
                    None => {
                        return Err(ClosureError::Missing {
                            name: module_name(name),
                            wanted_by: module.name.clone(),
                            release: tree.release.clone(),
                        });
                    }
                }
            }
            depends.insert(&module.name, direct);
            for soft in module.info.soft_targets() {
                queue.extend(tree.resolve_soft(soft));
            }
        }
        let mut modules: Vec<&Module> = names.iter().filter_map(|n| tree.modules.get(*n)).collect();
        modules.sort_by_cached_key(|m| tree.sort_key(m));
        let position = load_order(&modules, &depends)?;
        Ok(Closure { modules, depends, position })
    }

    /// All direct and indirect hard dependencies of `name`, each before its own dependencies: they can be loaded from
    /// the last to the first.
    pub fn dependencies(&self, name: &str) -> Vec<&'a str> {
        let mut seen: HashSet<&str> = HashSet::new();
        let mut stack: Vec<&str> = self.depends.get(name).cloned().unwrap_or_default();
        while let Some(next) = stack.pop() {
            if seen.insert(next) {
                stack.extend(self.depends.get(next).into_iter().flatten());
            }
        }
        let mut all: Vec<&str> = seen.into_iter().collect();
        all.sort_by_key(|n| std::cmp::Reverse(self.position.get(n)));
        all
    }

    /// Firmware files that the modules may request, each with those modules.
    pub fn firmware(&self) -> BTreeMap<&'a str, Vec<&'a str>> {
        let mut wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for module in &self.modules {
            for file in &module.info.firmware {
                wanted.entry(file).or_default().push(&module.name);
            }
        }
        wanted
    }
}

enum Visit<'a> {
    Enter(&'a str),
    Leave(&'a str),
}

/// Depth-first, dependencies first.
fn load_order<'a>(
    modules: &[&'a Module],
    depends: &HashMap<&'a str, Vec<&'a str>>,
) -> Result<HashMap<&'a str, usize>, ClosureError> {
    let mut position = HashMap::new();
    for module in modules {
        let mut path: Vec<&str> = Vec::new();
        let mut stack = vec![Visit::Enter(module.name.as_str())];
        while let Some(visit) = stack.pop() {
            match visit {
                Visit::Enter(name) if position.contains_key(name) => {}
                Visit::Enter(name) if path.contains(&name) => {
                    return Err(ClosureError::Cycle {
                        name: name.to_owned(),
                        path: path.iter().map(|n| (*n).to_owned()).collect(),
                    });
                }
                Visit::Enter(name) => {
                    path.push(name);
                    stack.push(Visit::Leave(name));
                    stack.extend(depends.get(name).into_iter().flatten().map(|n| Visit::Enter(n)));
                }
                Visit::Leave(name) => {
                    path.pop();
                    let next = position.len();
                    position.insert(name, next);
                }
            }
        }
    }
    Ok(position)
}

#[cfg(test)]
#[path = "closure_tests.rs"]
mod tests;
