//! Path patterns: `*` and `?` stay inside one directory, `**` crosses directories.

/// Whether the whole of `path` matches `pattern`.
pub fn matches(pattern: &str, path: &str) -> bool {
    matches_bytes(pattern.as_bytes(), path.as_bytes())
}

fn matches_bytes(pattern: &[u8], path: &[u8]) -> bool {
    match pattern {
        [] => path.is_empty(),
        // `**/` also matches no directory at all.
        [b'*', b'*', b'/', rest @ ..] if matches_bytes(rest, path) => true,
        [b'*', b'*', rest @ ..] => (0..=path.len()).any(|n| path.get(n..).is_some_and(|p| matches_bytes(rest, p))),
        [b'*', rest @ ..] => {
            let end = path.iter().position(|b| *b == b'/').unwrap_or(path.len());
            (0..=end).any(|n| path.get(n..).is_some_and(|p| matches_bytes(rest, p)))
        }
        [b'?', rest @ ..] => matches!(path, [b, tail @ ..] if *b != b'/' && matches_bytes(rest, tail)),
        [byte, rest @ ..] => matches!(path, [b, tail @ ..] if b == byte && matches_bytes(rest, tail)),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn one_star_stays_in_its_directory() {
        assert!(matches("drivers/md/*", "drivers/md/raid1"));
        assert!(!matches("drivers/md/*", "drivers/md/bcache/bcache"));
        assert!(matches("drivers/md/dm-*", "drivers/md/dm-mod"));
        assert!(!matches("drivers/md/dm-*", "drivers/md/raid1"));
    }

    #[test]
    fn two_stars_cross_directories() {
        assert!(matches("drivers/net/**", "drivers/net/ethernet/intel/igb/igb"));
        assert!(matches("drivers/**/*_cs", "drivers/net/ethernet/8390/axnet_cs"));
        assert!(matches("drivers/**/x", "drivers/x"));
        assert!(!matches("drivers/net/**", "drivers/network"));
    }

    #[test]
    fn literals_match_whole_paths() {
        assert!(matches("a/b", "a/b"));
        assert!(!matches("a/b", "a/b/c"));
        assert!(matches("a/?", "a/b"));
        assert!(!matches("a?b", "a/b"));
    }
}
