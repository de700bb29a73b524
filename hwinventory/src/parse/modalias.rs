//! `modules.alias` of kmod: patterns of modaliases, and the modules that take them.

/// The modules whose patterns match, each once, in the order of the file.
pub fn modules(aliases: &str, modalias: &str) -> Vec<String> {
    let bus = modalias.split(':').next().unwrap_or_default();
    let mut found: Vec<String> = Vec::new();
    for line in aliases.lines() {
        let Some((pattern, module)) = line.strip_prefix("alias ").and_then(|l| l.trim_end().rsplit_once(' ')) else {
            continue;
        };
        // Patterns that are for any bus are for none in particular.
        if pattern.starts_with(bus) && matches(pattern.as_bytes(), modalias.as_bytes()) {
            let module = module.trim().to_owned();
            if !found.contains(&module) {
                found.push(module);
            }
        }
    }
    found
}

/// fnmatch(3) as far as modaliases go: `*`, `?` and sets of characters. Takes time in proportion to the product of the
/// lengths, whatever the pattern.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the last star stood, and what of the text it has swallowed.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            Some(b'?') => Some(p + 1),
            Some(b'[') => set(pattern, p, text[t]),
            Some(&byte) => (byte == text[t]).then_some(p + 1),
            None => None,
        };
        match (step, star) {
            (Some(next), _) => (p, t) = (next, t + 1),
            (None, Some((at, swallowed))) => {
                star = Some((at, swallowed + 1));
                (p, t) = (at + 1, swallowed + 1);
            }
            (None, None) => return false,
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|&b| b == b'*'))
}

/// Behind the set, if the byte is in it: `[0-9a-f]`.
fn set(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    let length = pattern.get(at + 1..)?.iter().position(|&b| b == b']')?;
    let members = pattern.get(at + 1..at + 1 + length)?;
    let mut index = 0;
    let mut hit = false;
    while let Some(&low) = members.get(index) {
        let range = (members.get(index + 1) == Some(&b'-')).then(|| members.get(index + 2)).flatten();
        let high = range.copied().unwrap_or(low);
        hit |= (low..=high).contains(&byte);
        index += if range.is_some() { 3 } else { 1 };
    }
    hit.then_some(at + length + 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALIASES: &str = "# Aliases extracted from modules themselves.\n\
        alias pci:v00008086d00001533sv*sd*bc*sc*i* igb\n\
        alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci\n\
        alias pci:v*d*sv*sd*bc01sc08i02* nvme\n\
        alias usb:v0BDAp8152d*dc*dsc*dp*ic[0-9a-f]*isc*ip*in* r8152\n\
        alias usb:v0BDAp8152d*dc*dsc*dp*ic*isc*ip*in* r8152\n";

    #[test]
    fn modules_by_pattern() {
        assert_eq!(modules(ALIASES, "pci:v00008086d00001533sv000015D9sd00001533bc02sc00i00"), ["igb"]);
        assert_eq!(modules(ALIASES, "pci:v0000144Dd0000A808sv0000144Dsd0000A801bc01sc08i02"), ["nvme"]);
        assert_eq!(modules(ALIASES, "usb:v0BDAp8152d3000dc00dsc00dp00icffisc00ip00in00"), ["r8152"]);
        assert!(modules(ALIASES, "pci:v00001000d00000097sv00001000sd00003090bc01sc07i00").is_empty());
    }

    #[test]
    fn sets_and_stars() {
        for (pattern, text, is) in [
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXbY", false),
            ("[0-3]x", "2x", true),
            ("[0-3]x", "4x", false),
            ("[0-3", "0", false),
            ("?", "", false),
            ("*", "", true),
            ("**", "a", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), is, "{pattern} {text}");
        }
    }

    /// A pattern of many stars must not take for ever.
    #[test]
    fn stars_are_cheap() {
        assert!(!matches("a*".repeat(200).as_bytes(), "a".repeat(150).as_bytes()));
    }

    proptest! {
        #[test]
        fn nothing_panics(aliases in "(alias [a-z:*\\[\\]?-]{0,20} [a-z]{0,5}\n){0,4}", modalias in "[a-z:*\\[\\]?-]{0,20}") {
            modules(&aliases, &modalias);
        }

        #[test]
        fn a_text_matches_itself_and_a_star(text in "[a-z0-9:]{0,30}") {
            prop_assert!(matches(text.as_bytes(), text.as_bytes()));
            prop_assert!(matches(b"*", text.as_bytes()));
        }
    }
}
