//! `*` and `?` over text, without regard to letter case. No other character is special.

/// Whether all of `text` matches `pattern`. Usually linear, at worst pattern length times text length: it keeps one
/// point to backtrack to instead of recursing.
pub fn fits(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().map(|c| c.to_ascii_lowercase()).collect();
    let text: Vec<char> = text.chars().map(|c| c.to_ascii_lowercase()).collect();
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while let Some(&c) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == c => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    p = star + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text) in
            [("MZ*", "mzql2960"), ("*", ""), ("", ""), ("a?c", "abc"), ("*b*b", "abcb"), ("**x", "x"), ("[a]", "[a]")]
        {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("MZ", "MZ1"), ("?", ""), ("a*b", "abc"), ("", "x"), ("[a]", "a"), ("*?b", "b")] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }
}
