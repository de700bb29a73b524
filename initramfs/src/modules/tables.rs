//! The index files beside the modules that a loader reads, in the formats that kmod documents (modules.dep(5)) and
//! depmod writes.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::modules::closure::Closure;

/// Contents of the index files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// `path: dependency paths`; dependencies are loaded from the last to the first.
    pub dep: String,
    /// `alias PATTERN NAME`, with patterns as in the modules: dashes are not replaced by underscores.
    pub alias: String,
    /// `softdep NAME pre: ... post: ...`.
    pub softdep: String,
}

impl Tables {
    /// Describes `closure`; `suffix` follows `.ko` in the ramdisk's file names.
    pub fn of(closure: &Closure<'_>, suffix: &str) -> Tables {
        let paths: HashMap<&str, &str> = closure.modules.iter().map(|m| (m.name.as_str(), m.path.as_str())).collect();
        let mut tables = Tables {
            dep: String::new(),
            alias: "# Aliases extracted from modules themselves.\n".to_owned(),
            softdep: "# Soft dependencies extracted from modules themselves.\n".to_owned(),
        };
        for module in &closure.modules {
            let _ = write!(tables.dep, "{}{suffix}:", module.path);
            for path in closure.dependencies(&module.name).iter().filter_map(|n| paths.get(n)) {
                let _ = write!(tables.dep, " {path}{suffix}");
            }
            tables.dep.push('\n');
            for alias in &module.info.aliases {
                let _ = writeln!(tables.alias, "alias {alias} {}", module.name);
            }
            for softdep in &module.info.softdeps {
                let _ = writeln!(tables.softdep, "softdep {} {softdep}", module.name);
            }
        }
        tables
    }
}
