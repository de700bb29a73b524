//! Modules, their parameters and blacklists from the kernel command line, in the syntax of modprobe and
//! systemd-modules-load.

use super::canonical;
use crate::config::{Word, words};
use std::collections::{HashMap, HashSet};

#[derive(Debug, Default, PartialEq, Eq)]
pub struct ModuleOptions {
    parameters: HashMap<String, String>,
    refused: HashSet<String>,
    wanted: Vec<String>,
}

impl ModuleOptions {
    /// `MODULE.PARAMETER[=VALUE]`, `modprobe.blacklist=A,B`, and `modules_load=A,B` or `rd.modules_load=A,B`.
    pub fn parse(cmdline: &str) -> Self {
        let mut options = Self::default();
        for word in words(cmdline) {
            let folded = word.folded();
            let Word { key, value } = word;
            if matches!(folded.as_str(), "modules_load" | "rd.modules_load") {
                let names = value.iter().flat_map(|list| list.split(',')).filter(|name| !name.is_empty());
                options.wanted.extend(names.map(str::to_owned));
                continue;
            }
            let Some((module, parameter)) = key.split_once('.') else { continue };
            if (module, parameter) == ("modprobe", "blacklist") {
                options.refused.extend(value.iter().flat_map(|list| list.split(',')).map(canonical));
                continue;
            }
            let word = match value {
                // The kernel splits parameters at white space and supports double quotes.
                Some(value) if value.contains(char::is_whitespace) => format!("{parameter}=\"{value}\""),
                Some(value) => format!("{parameter}={value}"),
                None => parameter.to_owned(),
            };
            let all = options.parameters.entry(canonical(module)).or_default();
            if !all.is_empty() {
                all.push(' ');
            }
            all.push_str(&word);
        }
        options
    }

    pub fn parameters(&self, module: &str) -> &str {
        self.parameters.get(module).map_or("", String::as_str)
    }

    /// Modules to load although no device requests them, in the given order.
    pub fn wanted(&self) -> &[String] {
        &self.wanted
    }

    /// Whether a module must not be loaded on behalf of a device or a list.
    pub fn refuses(&self, module: &str) -> bool {
        self.refused.contains(module)
    }
}
