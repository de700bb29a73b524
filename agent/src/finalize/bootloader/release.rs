//! Reads a system's name from os-release(5).

use super::System;

/// A larger file is not an os-release.
const LIMIT: u64 = 64 << 10;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Lower case, for file names: `debian`.
    pub id: String,
    /// For display: `Debian GNU/Linux 12 (bookworm)`.
    pub name: String,
}

pub fn read(system: System<'_>) -> Release {
    let texts =
        ["etc/os-release", "usr/lib/os-release"].into_iter().filter_map(|path| system.tree.read(path, LIMIT).ok());
    let text = texts.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).next().unwrap_or_default();
    parse(&text)
}

fn parse(text: &str) -> Release {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
        let plain = line.trim().trim_matches(['"', '\'']).replace(char::is_control, " ");
        (!plain.is_empty()).then_some(plain)
    };
    let id = value("ID").filter(|id| id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)));
    Release {
        id: id.unwrap_or_else(|| "linux".to_owned()),
        name: value("PRETTY_NAME").or_else(|| value("NAME")).unwrap_or_else(|| "Linux".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_quotes_and_strange_ones_are_not_taken() {
        let found = parse("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=x\nVERSION_ID=\"12\"\nID=debian\n");
        assert_eq!(found, Release { id: "debian".into(), name: "Debian GNU/Linux 12 (bookworm)".into() });
        assert_eq!(parse("ID=../x\n"), Release { id: "linux".into(), name: "Linux".into() });
    }
}
