//! Root device hints and `skip_block_devices`: Ironic's rules for choosing disks (ironic-python-agent's
//! `device_hints.py`, oslo.utils' `specs_matcher`), applied to the disks as Ironic's inspection describes them.

use serde_json::{Map, Value};

const GIB: u64 = 1 << 30;

/// Hints that are compared as text, ignoring letter case.
const TEXTS: [&str; 9] =
    ["model", "vendor", "serial", "wwn", "wwn_with_extension", "wwn_vendor_extension", "hctl", "by_path", "tran"];
const OPERATORS: [&str; 13] =
    ["<all-in>", "<range-in>", "<in>", "<or>", "s==", "s!=", "s>=", "s<=", "==", "!=", ">=", "<=", "="];
const SHORT: [&str; 4] = ["s<", "s>", "<", ">"];

/// A rule that cannot be parsed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the root device hint {key}: {why}")]
pub struct HintError {
    pub key: String,
    pub why: String,
}

/// All of these must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Hints(Map<String, Value>);

impl Hints {
    /// `None` if there are none.
    pub fn read(value: &Value) -> Result<Option<Self>, HintError> {
        let Some(map) = value.as_object().filter(|map| !map.is_empty()) else { return Ok(None) };
        for (key, hint) in map {
            let known = TEXTS.contains(&key.as_str()) || ["size", "rotational", "name"].contains(&key.as_str());
            let fail = |why: &str| Err(HintError { key: key.clone(), why: why.to_owned() });
            if !known {
                return fail("there is no such hint");
            }
            let text = text(hint);
            if text.trim().is_empty() {
                return fail("it is empty");
            }
            if key == "rotational" && flag(&text).is_none() {
                return fail("it is neither true nor false");
            }
            if key == "size" && !sizes_are_numbers(&text) {
                return fail("a size is a whole number of GiB");
            }
        }
        Ok(Some(Self(map.clone())))
    }

    /// As Ironic's user wrote them.
    pub fn text(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    /// Why this disk (an element of the inventory's `disks`) does not match, if it does not.
    pub fn misfit(&self, disk: &Value) -> Option<String> {
        self.0.iter().find_map(|(key, hint)| {
            let wanted = text(hint);
            let fits = match key.as_str() {
                "rotational" => disk["rotational"].as_bool() == flag(&wanted),
                "size" => numeric(&wanted, disk["size"].as_u64().unwrap_or(0) / GIB),
                "name" => ["name", "by_path"].iter().any(|field| textual(&wanted, &text(&disk[*field]))),
                key => match &disk[key] {
                    Value::Null => false,
                    found => textual(&wanted, &text(found)),
                },
            };
            if fits {
                return None;
            }
            let found = match key.as_str() {
                "size" => format!("{} GiB", disk["size"].as_u64().unwrap_or(0) / GIB),
                key if disk[key].is_null() => "not known".to_owned(),
                key => text(&disk[key]),
            };
            Some(format!("{key} is {found}, wanted {wanted}"))
        })
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// oslo.utils' `bool_from_string`, strictly.
fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "on" | "y" | "yes" => Some(true),
        "0" | "f" | "false" | "off" | "n" | "no" => Some(false),
        _ => None,
    }
}

/// Operator and rest; no operator unless the text starts with one, followed by a blank.
fn operator(text: &str) -> (Option<&'static str>, &str) {
    let found = OPERATORS.iter().chain(&SHORT).find_map(|operator| {
        let rest = text.strip_prefix(operator)?;
        rest.starts_with(char::is_whitespace).then_some((Some(*operator), rest.trim()))
    });
    found.unwrap_or((None, text.trim()))
}

/// The alternatives of `<or> A <or> B`, or the words of `<all-in> <in> A <in> B`.
fn several<'a>(rest: &'a str, mark: &str) -> Vec<&'a str> {
    rest.split(mark).map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn textual(wanted: &str, found: &str) -> bool {
    let (wanted, found) = (wanted.to_lowercase(), found.to_lowercase());
    let (operator, rest) = operator(&wanted);
    match operator {
        None | Some("s==") => found == rest,
        Some("s!=") => found != rest,
        Some("s<") => found.as_str() < rest,
        Some("s<=") => found.as_str() <= rest,
        Some("s>") => found.as_str() > rest,
        Some("s>=") => found.as_str() >= rest,
        Some("<in>") => found.contains(rest),
        Some("<all-in>") => several(rest, "<in>").iter().all(|part| found.contains(part)),
        Some("<or>") => several(rest, "<or>").contains(&found.as_str()),
        // The other operators are numeric.
        Some(_) => match found.parse() {
            Ok(number) => numeric(&wanted, number),
            Err(_) => false,
        },
    }
}

fn numeric(wanted: &str, found: u64) -> bool {
    let (operator, rest) = operator(wanted);
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let compared = |holds: fn(u64, u64) -> bool| number(rest).is_some_and(|wanted| holds(found, wanted));
    match operator {
        None | Some("==" | "s==") => compared(|found, wanted| found == wanted),
        // "equal to or greater than", for historical reasons.
        Some("=" | ">=") => compared(|found, wanted| found >= wanted),
        Some("!=" | "s!=") => compared(|found, wanted| found != wanted),
        Some("<=") => compared(|found, wanted| found <= wanted),
        Some("<") => compared(|found, wanted| found < wanted),
        Some(">") => compared(|found, wanted| found > wanted),
        Some("<or>") => several(rest, "<or>").into_iter().filter_map(number).any(|wanted| found == wanted),
        Some("<in>") => found.to_string().contains(rest),
        Some("<range-in>") => in_range(rest, found),
        Some(_) => textual(wanted, &found.to_string()),
    }
}

/// `[ 10 20 ]` includes the ends, `( 10 20 )` excludes them.
fn in_range(text: &str, found: u64) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [open, low, high, close] = words.as_slice() else { return false };
    let (Ok(low), Ok(high)) = (low.parse::<u64>(), high.parse::<u64>()) else { return false };
    let above = if *open == "[" { found >= low } else { found > low };
    let below = if *close == "]" { found <= high } else { found < high };
    above && below
}

/// Whether everything but operators and brackets is numeric.
fn sizes_are_numbers(text: &str) -> bool {
    let word = |word: &&str| !OPERATORS.contains(word) && !SHORT.contains(word) && !["[", "]", "(", ")"].contains(word);
    let mut words = text.split_whitespace().filter(word).peekable();
    words.peek().is_some() && words.all(|word| word.parse::<u64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn fits(hints: Value) -> bool {
        let disk = json!({"name": "/dev/sda", "model": "Samsung MZ7L3", "serial": "S1", "size": 500_107_862_016u64,
            "rotational": false, "wwn": "0x5002538f", "hctl": "0:0:1:0", "vendor": null,
            "by_path": "/dev/disk/by-path/pci-0000:00:17.0-ata-1", "tran": "sata"});
        Hints::read(&hints).unwrap().unwrap().misfit(&disk).is_none()
    }

    #[test]
    fn every_operator_means_what_ironic_means() {
        // 500107862016 bytes are 465 GiB.
        for (hint, wanted) in [
            ("465", true),
            ("== 465", true),
            ("= 400", true),
            (">= 466", false),
            ("> 464", true),
            ("< 465", false),
            ("<= 465", true),
            ("!= 465", false),
            ("<or> 100 <or> 465", true),
            ("<or> 100 <or> 200", false),
            ("<range-in> [ 465 500 ]", true),
            ("<range-in> ( 465 500 ]", false),
            ("s== 465", true),
        ] {
            assert_eq!(fits(json!({"size": hint})), wanted, "{hint}");
        }
        assert!(fits(json!({"size": 465})), "a number too");
        for (hint, wanted) in [
            ("samsung mz7l3", true),
            ("s== SAMSUNG MZ7L3", true),
            ("s!= Samsung MZ7L3", false),
            ("<in> mz7", true),
            ("<in> intel", false),
            ("<all-in> <in> sam <in> l3", true),
            ("<all-in> <in> sam <in> l4", false),
            ("<or> intel <or> samsung mz7l3", true),
            ("s> Samsung", true),
            ("s< Samsung", false),
        ] {
            assert_eq!(fits(json!({"model": hint})), wanted, "{hint}");
        }
        assert!(fits(json!({"rotational": "no", "hctl": "0:0:1:0", "wwn": "0x5002538F"})));
        assert!(!fits(json!({"rotational": true})));
        assert!(fits(json!({"name": "/dev/sda"})));
        assert!(fits(json!({"name": "/dev/disk/by-path/pci-0000:00:17.0-ata-1"})));
        assert!(!fits(json!({"vendor": "s!= x"})), "what is not known fits nothing");
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for hints in
            [json!({"colour": "red"}), json!({"size": "big"}), json!({"rotational": "x"}), json!({"model": ""})]
        {
            assert!(Hints::read(&hints).is_err(), "{hints}");
        }
        assert_eq!(Hints::read(&json!({})), Ok(None));
        assert_eq!(Hints::read(&Value::Null), Ok(None));
    }

    proptest! {
        #[test]
        fn no_hint_panics(key in "(size|model|name|rotational)", hint in "[<>=!a-z0-9 \\[\\]()\u{e4}-]{0,30}") {
            if let Ok(Some(hints)) = Hints::read(&json!({key: hint})) {
                let _ = hints.misfit(&json!({"size": 5, "model": "a"}));
            }
        }
    }
}
