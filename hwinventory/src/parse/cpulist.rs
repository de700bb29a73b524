//! The kernel's lists of numbers: `0-3,8,10-11`.

use std::collections::BTreeSet;

/// More CPUs than any kernel is built for.
const LIMIT: u32 = 1 << 16;

/// Broken parts are skipped.
pub fn parse(text: &str) -> BTreeSet<u32> {
    let mut set = BTreeSet::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.trim().parse::<u32>(), last.trim().parse::<u32>()) {
            set.extend(first..=last.min(LIMIT));
        }
    }
    set
}

/// A mask of hexadecimal words, the highest first: `00000000,0000000f`.
pub fn parse_mask(text: &str) -> BTreeSet<u32> {
    let digits = text.trim().bytes().rev().filter(|b| *b != b',').take(LIMIT as usize / 4);
    let mut set = BTreeSet::new();
    for (digit, position) in digits.zip(0u32..) {
        let Some(bits) = char::from(digit).to_digit(16) else { return BTreeSet::new() };
        set.extend((0..4).filter(|bit| bits >> bit & 1 != 0).map(|bit| position * 4 + bit));
    }
    set
}

pub fn format(set: &BTreeSet<u32>) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &n in set {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(n) => *last = n,
            _ => ranges.push((n, n)),
        }
    }
    let parts: Vec<String> =
        ranges.iter().map(|&(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") }).collect();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for text in ["0", "0-3", "0-3,8,10-11", ""] {
            assert_eq!(format(&parse(text)), text);
        }
        assert_eq!(format(&parse_mask("1,0000000f\n")), "0-3,32");
        assert_eq!(format(&parse_mask("x")), "");
        assert_eq!(format(&parse("3,1,2,x,9-7,5-")), "1-3");
    }
}
