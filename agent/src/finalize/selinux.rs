//! The SELinux label of a path, by the file contexts of its own system (file_contexts(5), selabel_file(5)). No policy
//! is loaded here: entries are looked up as setfiles does, so that no relabelling is needed at first boot.

use super::root::Root;
use regex_lite::Regex;

/// A larger file is not a file_contexts.
const LIMIT: u64 = 16 << 20;

/// The file types of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileType {
    Regular,
    Directory,
}

/// The entries of one policy.
#[derive(Debug, Default)]
pub struct Contexts {
    rows: Vec<Row>,
    /// Paths that are looked up under another name: from, to.
    aliases: Vec<(String, String)>,
}

#[derive(Debug)]
struct Row {
    pattern: String,
    /// The common prefix of all matching paths.
    stem: String,
    /// Without any wildcard: such entries take precedence.
    exact: bool,
    only: Option<char>,
    context: String,
}

impl Contexts {
    /// Those of the system's policy; `None` if it has none.
    pub fn of(root: &Root) -> Option<Self> {
        let text = |path: &str| root.read(path, LIMIT).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let config = text("etc/selinux/config")?;
        let policy =
            config.lines().filter_map(|line| line.trim().strip_prefix("SELINUXTYPE=")).next_back()?.trim().to_owned();
        if policy.is_empty() || policy.contains('/') {
            return None;
        }
        let base = format!("etc/selinux/{policy}/contexts/files/file_contexts");
        let mut contexts = Self::default();
        contexts.add(&text(&base)?);
        for more in ["homedirs", "local"] {
            contexts.add(&text(&format!("{base}.{more}")).unwrap_or_default());
        }
        for aliases in ["subs_dist", "subs"] {
            contexts.add_aliases(&text(&format!("{base}.{aliases}")).unwrap_or_default());
        }
        Some(contexts)
    }

    fn add(&mut self, text: &str) {
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let mut fields = line.split_whitespace();
            let (Some(pattern), Some(second)) = (fields.next(), fields.next()) else { continue };
            let (only, context) = match (second.strip_prefix('-'), fields.next()) {
                (Some(letter), Some(context)) => (letter.chars().next(), context),
                _ => (None, second),
            };
            let (stem, exact) = stem(pattern);
            self.rows.push(Row { pattern: pattern.to_owned(), stem, exact, only, context: context.to_owned() });
        }
    }

    fn add_aliases(&mut self, text: &str) {
        let pairs = text.lines().filter_map(|line| {
            let mut fields = line.split_whitespace();
            let from = fields.next().filter(|from| !from.starts_with('#'))?;
            Some((from.to_owned(), fields.next()?.to_owned()))
        });
        self.aliases.extend(pairs);
    }

    /// The label of an absolute path; `None` if no entry matches, or the matching one says that it has none.
    pub fn label(&self, path: &str, file_type: FileType) -> Option<&str> {
        let path = self.under_its_name(path);
        let letter = match file_type {
            FileType::Regular => '-',
            FileType::Directory => 'd',
        };
        let fits = |row: &&Row| {
            row.only.is_none_or(|only| only == letter)
                && match row.exact {
                    true => row.stem == path,
                    false => path.starts_with(&row.stem) && matches(&row.pattern, &path),
                }
        };
        // The last match counts; exact ones take precedence.
        let rows = || self.rows.iter().rev();
        let found = rows().filter(|row| row.exact).find(fits).or_else(|| rows().filter(|row| !row.exact).find(fits));
        found.map(|row| row.context.as_str()).filter(|context| *context != "<<none>>")
    }

    fn under_its_name(&self, path: &str) -> String {
        let rest = |from: &str| path.strip_prefix(from).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let found = self.aliases.iter().find_map(|(from, to)| Some((to, rest(from)?)));
        found.map_or_else(|| path.to_owned(), |(to, rest)| format!("{}{rest}", if to == "/" { "" } else { to }))
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|pattern| pattern.is_match(path))
}

/// The literal prefix of a pattern, and whether it is the whole pattern.
fn stem(pattern: &str) -> (String, bool) {
    let (mut stem, mut characters) = (String::new(), pattern.chars().peekable());
    while let Some(character) = characters.next() {
        let literal = match character {
            '\\' => match characters.next() {
                // A class such as \d.
                Some(escaped) if escaped.is_ascii_alphanumeric() => return (stem, false),
                Some(escaped) => escaped,
                None => return (stem, false),
            },
            // It belongs to one branch only, possibly the other one.
            '|' => return (String::new(), false),
            '.' | '^' | '$' | '?' | '*' | '+' | '[' | ']' | '(' | ')' | '{' | '}' => {
                let alternatives = pattern.contains('|') && !pattern.contains('(');
                return (if alternatives { String::new() } else { stem }, false);
            }
            other => other,
        };
        if matches!(characters.peek(), Some('?' | '*' | '{')) {
            return (stem, false);
        }
        stem.push(literal);
    }
    (stem, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contexts() -> Contexts {
        let mut contexts = Contexts::default();
        contexts.add(
            "# comment\n/.*\tsystem_u:object_r:default_t:s0\n/etc/.*  system_u:object_r:etc_t:s0\n\
             /etc/shadow.* -- system_u:object_r:shadow_t:s0\n/etc/ssh/ssh_host.*_key -- system_u:object_r:sshd_key_t:s0\n\
             /etc/passwd\\.lock system_u:object_r:passwd_t:s0\n/proc -d <<none>>\n/home/[^/]+/\\.ssh(/.*)? u:object_r:ssh_home_t:s0\n\
             /usr/lib(64)?/x system_u:object_r:lib_t:s0\n/etc/hosts system_u:object_r:net_conf_t:s0\n/etc/h.* system_u:object_r:other_t:s0\n",
        );
        contexts.add_aliases("/var/home /home\n/lib /usr/lib\n");
        contexts
    }

    #[test]
    fn the_last_row_that_fits_counts_and_exact_ones_go_first() {
        let contexts = contexts();
        let label = |path| contexts.label(path, FileType::Regular).map(|label| label.split(':').nth(2).unwrap());
        assert_eq!(label("/etc/app.conf"), Some("etc_t"));
        assert_eq!(label("/etc/shadow-"), Some("shadow_t"));
        assert_eq!(contexts.label("/etc/shadow", FileType::Directory), Some("system_u:object_r:etc_t:s0"));
        assert_eq!(label("/etc/ssh/ssh_host_rsa_key"), Some("sshd_key_t"));
        assert_eq!(label("/etc/passwd.lock"), Some("passwd_t"));
        assert_eq!(label("/etc/hosts"), Some("net_conf_t"));
        assert_eq!(label("/etc/hostname"), Some("other_t"));
        assert_eq!(label("/var/home/core/.ssh/authorized_keys"), Some("ssh_home_t"));
        assert_eq!(label("/lib/x"), Some("lib_t"));
        assert_eq!(label("/opt/x"), Some("default_t"));
        assert_eq!(contexts.label("/proc", FileType::Directory), None);
    }

    proptest! {
        #[test]
        fn junk_never_panics(text in any::<String>(), path in any::<String>()) {
            let mut contexts = Contexts::default();
            contexts.add(&text);
            contexts.add_aliases(&text);
            contexts.label(&path, FileType::Regular);
        }
    }
}
