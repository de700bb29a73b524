//! `modules.dep`, `modules.softdep`, `modules.builtin` and `modules.alias` of one kernel, in memory.

use super::{Aliases, canonical};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Position of a module in its [`ModuleIndex`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleId(usize);

#[derive(Debug, Default)]
struct Module {
    name: String,
    /// Below the module directory.
    path: PathBuf,
    depends: Vec<ModuleId>,
    /// Names, because softdeps may name aliases or modules that this ramdisk does not contain.
    before: Vec<String>,
    after: Vec<String>,
}

#[derive(Debug, Default)]
pub struct ModuleIndex {
    directory: PathBuf,
    modules: Vec<Module>,
    by_name: HashMap<String, ModuleId>,
    builtin: HashSet<String>,
    aliases: Aliases,
}

/// The text of each index file; empty if missing.
#[derive(Debug, Default, Clone, Copy)]
pub struct IndexTexts<'a> {
    pub dep: &'a str,
    pub softdep: &'a str,
    pub builtin: &'a str,
    pub alias: &'a str,
}

impl ModuleIndex {
    /// Reads the index files below `directory` (`/lib/modules/RELEASE`). Only `modules.dep` must exist.
    pub fn load(directory: &Path) -> std::io::Result<Self> {
        let read = |name| match std::fs::read_to_string(directory.join(name)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            other => other,
        };
        let dep = std::fs::read_to_string(directory.join("modules.dep"))?;
        let (softdep, builtin, alias) = (read("modules.softdep")?, read("modules.builtin")?, read("modules.alias")?);
        Ok(Self::parse(directory, IndexTexts { dep: &dep, softdep: &softdep, builtin: &builtin, alias: &alias }))
    }

    pub fn parse(directory: &Path, texts: IndexTexts<'_>) -> Self {
        let mut index =
            Self { directory: directory.to_owned(), aliases: Aliases::parse(texts.alias), ..Self::default() };
        let lines = || texts.dep.lines().filter_map(|line| line.split_once(':'));
        for (path, _) in lines() {
            index.add(path.trim());
        }
        for (path, depends) in lines() {
            let depends =
                depends.split_ascii_whitespace().filter_map(|path| index.find(&name_of(path)).map(|(id, _)| id));
            let depends = depends.collect();
            if let Some(module) = index.by_name.get(&name_of(path)).and_then(|id| index.modules.get_mut(id.0)) {
                module.depends = depends;
            }
        }
        index.builtin = texts.builtin.lines().map(name_of).collect();
        for line in texts.softdep.lines() {
            index.add_softdep(line);
        }
        index
    }

    fn add(&mut self, path: &str) {
        let name = name_of(path);
        if !name.is_empty() && !self.by_name.contains_key(&name) {
            self.by_name.insert(name.clone(), ModuleId(self.modules.len()));
            self.modules.push(Module { name, path: PathBuf::from(path), ..Module::default() });
        }
    }

    /// `softdep NAME pre: A B post: C`.
    fn add_softdep(&mut self, line: &str) {
        let mut fields = line.split_ascii_whitespace();
        let (Some("softdep"), Some(name)) = (fields.next(), fields.next()) else { return };
        let id = self.by_name.get(&canonical(name)).copied();
        let Some(module) = id.and_then(|id| self.modules.get_mut(id.0)) else { return };
        let mut pre = true;
        for field in fields {
            match field {
                "pre:" => pre = true,
                "post:" => pre = false,
                name if pre => module.before.push(name.to_owned()),
                name => module.after.push(name.to_owned()),
            }
        }
    }

    fn find(&self, name: &str) -> Option<(ModuleId, &Module)> {
        let id = *self.by_name.get(name)?;
        Some((id, self.modules.get(id.0)?))
    }

    /// The modules for a module name or an alias (`fs-xfs`, a modalias); empty if there are none, or if it is built in.
    pub fn resolve(&self, request: &str) -> Vec<ModuleId> {
        let name = canonical(request);
        if let Some((id, _)) = self.find(&name) {
            return vec![id];
        }
        if self.builtin.contains(&name) {
            return Vec::new();
        }
        self.aliases.lookup(request).into_iter().filter_map(|name| Some(self.find(&canonical(name))?.0)).collect()
    }

    /// True when a module of this name is part of the kernel image.
    pub fn is_builtin(&self, name: &str) -> bool {
        self.builtin.contains(&canonical(name))
    }

    /// The modules to insert for `id`, in order: soft and hard dependencies first, then the module, then its
    /// post-dependencies. Cycles among soft dependencies are broken where they close.
    pub fn plan(&self, id: ModuleId) -> Vec<ModuleId> {
        let mut plan = Vec::new();
        self.visit(id, &mut HashSet::new(), &mut plan);
        plan
    }

    fn visit(&self, id: ModuleId, seen: &mut HashSet<ModuleId>, plan: &mut Vec<ModuleId>) {
        let Some(module) = self.modules.get(id.0) else { return };
        if !seen.insert(id) {
            return;
        }
        for name in &module.before {
            self.resolve(name).into_iter().for_each(|id| self.visit(id, seen, plan));
        }
        // depmod lists the deepest dependency last.
        for &depend in module.depends.iter().rev() {
            self.visit(depend, seen, plan);
        }
        plan.push(id);
        for name in &module.after {
            self.resolve(name).into_iter().for_each(|id| self.visit(id, seen, plan));
        }
    }

    pub fn name(&self, id: ModuleId) -> &str {
        self.modules.get(id.0).map_or("", |module| module.name.as_str())
    }

    pub fn path(&self, id: ModuleId) -> PathBuf {
        self.directory.join(self.relative(id))
    }

    /// Below the module directory: `kernel/drivers/...`.
    pub fn relative(&self, id: ModuleId) -> &Path {
        self.modules.get(id.0).map_or(Path::new(""), |module| &module.path)
    }

    pub fn len(&self) -> usize {
        self.modules.len()
    }

    pub fn alias_count(&self) -> usize {
        self.aliases.len()
    }
}

/// `kernel/fs/xfs/xfs.ko.zst` -> `xfs`.
fn name_of(path: &str) -> String {
    let file = path.trim().rsplit('/').next().unwrap_or_default();
    canonical(file.split('.').next().unwrap_or_default())
}
