//! fnmatch(3) without flags, over bytes, as kmod matches aliases: `*`, `?`, `[set]`, `\x`.

/// True when the whole of `text` matches `pattern`. Backtracks only to the last `*`, so it is linear in practice and
/// quadratic at worst, whatever the pattern.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to resume if the part after the last star fails: after the star, with one more byte consumed.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match step(pattern, p, text[t]) {
            Step::Star => {
                star = Some((p + 1, t));
                p += 1;
            }
            Step::Match(next) => {
                p = next;
                t += 1;
            }
            Step::Fail => match &mut star {
                Some((after, swallowed)) => {
                    *swallowed += 1;
                    p = *after;
                    t = *swallowed;
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|&byte| byte == b'*'))
}

enum Step {
    Star,
    Match(usize),
    Fail,
}

fn step(pattern: &[u8], p: usize, byte: u8) -> Step {
    match pattern.get(p) {
        None => Step::Fail,
        Some(b'*') => Step::Star,
        Some(b'?') => Step::Match(p + 1),
        Some(b'[') => match set(pattern, p + 1, byte) {
            Some((true, next)) => Step::Match(next),
            Some((false, _)) => Step::Fail,
            // An unclosed bracket is literal.
            None => literal(b'[', p, byte),
        },
        Some(b'\\') => match pattern.get(p + 1) {
            Some(&escaped) => literal(escaped, p + 1, byte),
            None => Step::Fail,
        },
        Some(&other) => literal(other, p, byte),
    }
}

fn literal(expected: u8, p: usize, byte: u8) -> Step {
    if expected == byte { Step::Match(p + 1) } else { Step::Fail }
}

/// Parses a bracket expression whose first byte after `[` is at `start`: whether `byte` is in it, and where it ends.
fn set(pattern: &[u8], start: usize, byte: u8) -> Option<(bool, usize)> {
    let mut p = start;
    let negated = matches!(pattern.get(p), Some(b'!' | b'^'));
    p += usize::from(negated);
    let (mut found, first) = (false, p);
    loop {
        let mut low = *pattern.get(p)?;
        if low == b']' && p > first {
            return Some((found != negated, p + 1));
        }
        if low == b'\\' {
            p += 1;
            low = *pattern.get(p)?;
        }
        p += 1;
        let mut high = low;
        if pattern.get(p) == Some(&b'-') && pattern.get(p + 1).is_some_and(|&next| next != b']') {
            high = *pattern.get(p + 1)?;
            p += 2;
        }
        found |= (low..=high).contains(&byte);
    }
}

/// The bytes before the first special one: every match starts with them.
pub fn literal_prefix(pattern: &[u8]) -> &[u8] {
    let end = pattern.iter().position(|byte| b"*?[\\".contains(byte)).unwrap_or(pattern.len());
    pattern.get(..end).unwrap_or_default()
}
