//! How collectors read: a source, with parsing helpers, and a list of what could not be read.

use super::{Query, Source};
use crate::model::{Problem, Status};
use std::cell::RefCell;
use std::io;
use std::sync::Arc;

/// Reads for one section or device and remembers what could not be read. Absence is not a problem.
pub struct Reader {
    source: Arc<dyn Source>,
    problems: RefCell<Vec<Problem>>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("problems", &self.problems).finish_non_exhaustive()
    }
}

impl Reader {
    pub fn new(source: Arc<dyn Source>) -> Reader {
        Reader { source, problems: RefCell::default() }
    }

    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    pub fn problems(&self) -> Vec<Problem> {
        self.problems.borrow().clone()
    }

    pub fn problem(&self, what: &str, status: Status, message: impl Into<String>) {
        let problem = Problem { what: what.to_owned(), status, message: message.into() };
        let mut problems = self.problems.borrow_mut();
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }

    fn note<T>(&self, what: &str, result: io::Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let status = Status::of(&error);
                if status != Status::Absent {
                    self.problem(what, status, error.to_string());
                }
                None
            }
        }
    }

    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        self.note(path, self.source.read(path))
    }

    /// Text without surrounding white space; `None` when empty. A value of sysfs is one line: what else stands in it, such as
    /// the line feed in the middle of a name that some firmware has, is a space.
    pub fn text(&self, path: &str) -> Option<String> {
        self.bytes(path).and_then(|bytes| tidy(path, bytes))
    }

    /// Like [`Reader::text`], for attributes that answer with an error as a matter of course.
    pub fn quiet_text(&self, path: &str) -> Option<String> {
        self.source.read(path).ok().and_then(|bytes| tidy(path, bytes))
    }

    pub fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    pub fn quiet_number(&self, path: &str) -> Option<u64> {
        self.quiet_text(path)?.parse().ok()
    }

    /// `0` and `1`, as sysfs writes them.
    pub fn flag(&self, path: &str) -> Option<bool> {
        self.number(path).map(|n| n != 0)
    }

    pub fn list(&self, path: &str) -> Vec<String> {
        self.note(path, self.source.list(path)).unwrap_or_default()
    }

    pub fn try_list(&self, path: &str) -> Option<Vec<String>> {
        self.note(path, self.source.list(path))
    }

    pub fn has_directory(&self, path: &str) -> bool {
        self.source.list(path).is_ok()
    }

    pub fn query(&self, query: &Query) -> Option<Vec<u8>> {
        self.note(&query.key(), self.source.query(query))
    }

    /// For questions that many devices answer with "I do not know that".
    pub fn quiet_query(&self, query: &Query) -> io::Result<Vec<u8>> {
        self.source.query(query)
    }

    /// Where the link `directory/name` leads, `directory` being free of links. Something that is no link leads to
    /// itself.
    pub fn follow(&self, directory: &str, name: &str) -> Option<String> {
        let path = format!("{directory}/{name}");
        match self.source.link(&path) {
            Ok(target) => Some(resolve(directory, &target)),
            Err(_) => self.has_directory(&path).then_some(path),
        }
    }

    /// The last component of a link's target: how sysfs names drivers, subsystems and groups.
    pub fn link_name(&self, path: &str) -> Option<String> {
        let target = self.source.link(path).ok()?;
        target.rsplit('/').next().map(str::to_owned)
    }
}

fn tidy(path: &str, bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    let plain = || text.bytes().all(|b| (b' '..=b'~').contains(&b));
    if text.is_empty() || plain() || is_document(path) {
        return Some(text.to_owned()).filter(|text| !text.is_empty());
    }
    // NUL stands between the strings of a device tree's property.
    Some(text.chars().map(|c| if c.is_control() && c != '\0' { ' ' } else { c }).collect())
}

/// Files of many lines: those of procfs, and the few of sysfs.
fn is_document(path: &str) -> bool {
    const NAMES: &[&str] = &["uevent", "resource", "meminfo", "numastat", "vmstat"];
    !path.starts_with("/sys/")
        || path.rsplit('/').next().is_some_and(|name| NAMES.contains(&name) || name.starts_with("aer_"))
}

/// `target` as seen from `directory`, without `.` and `..`.
fn resolve(directory: &str, target: &str) -> String {
    let joined = if target.starts_with('/') { target.to_owned() } else { format!("{directory}/{target}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn links_resolve_without_leaving_the_root() {
        assert_eq!(resolve("/sys/block", "../devices/pci0/sda"), "/sys/devices/pci0/sda");
        assert_eq!(resolve("/sys/block", "/dev/./x"), "/dev/x");
        assert_eq!(resolve("/sys", "../../../etc"), "/etc");
    }
}
