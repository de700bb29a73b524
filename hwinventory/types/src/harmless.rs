//! Text that devices, images and servers supply, on its way to a terminal. Anybody can have written a model, a label or a
//! name of a file; what people see of it moves no cursor, begins no line and turns no text around.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;

/// One line: control characters, line breaks among them, and those that turn the direction of text around, as `\u{1b}`.
pub fn line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let escaped = |character: char| -> String {
        if is_harmful(character) { character.escape_default().to_string() } else { character.to_string() }
    };
    Cow::Owned(text.chars().map(escaped).collect())
}

/// A copy with each text in it made [`line`], keys of maps too: for what is put together to a page afterwards, where a line
/// break of the page's own looks like one of a disk's.
pub fn copy<T: Serialize + DeserializeOwned>(value: &T) -> serde_json::Result<T> {
    // By way of the document's text: reading types from it is code that every program has which reads a document, and there
    // is a megabyte of it for an inventory.
    serde_json::from_slice(lines(&serde_json::to_string(value)?).as_bytes())
}

/// A JSON document, as serde_json writes it, with each text in it made [`line`].
fn lines(document: &str) -> String {
    let mut harmless = String::with_capacity(document.len());
    let mut characters = document.chars();
    while let Some(character) = characters.next() {
        let meant = match character {
            '\\' => match characters.next() {
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('u') => {
                    let digits: String = characters.by_ref().take(4).collect();
                    let meant = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                    let Some(meant) = meant.filter(|meant| is_harmful(*meant)) else {
                        harmless.extend(["\\u", digits.as_str()]);
                        continue;
                    };
                    meant
                }
                // A quotation mark, or a backslash.
                other => {
                    harmless.push('\\');
                    harmless.extend(other);
                    continue;
                }
            },
            // JSON escapes control characters below U+0020, and serde_json breaks no lines of its own.
            other => other,
        };
        if is_harmful(meant) {
            harmless.push('\\');
            harmless.extend(meant.escape_default());
        } else {
            harmless.push(meant);
        }
    }
    harmless
}

/// JSON that says the same. JSON escapes what is below U+0020 by itself, and leaves the other control characters as they are.
pub fn json(text: &str) -> Cow<'_, str> {
    let is_left = |character: char| !character.is_ascii_control() && is_harmful(character) || character == '\u{7f}';
    if !text.chars().any(is_left) {
        return Cow::Borrowed(text);
    }
    let escaped = |character: char| -> String {
        // None of them lies beyond the first plane.
        if is_left(character) { format!("\\u{:04x}", u32::from(character)) } else { character.to_string() }
    };
    Cow::Owned(text.chars().map(escaped).collect())
}

fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use std::collections::BTreeMap;

    #[test]
    fn nothing_from_a_disk_moves_the_cursor_or_begins_a_line() {
        for (text, wanted) in [
            ("label \u{1b}[2J\u{1b}[H", r"label \u{1b}[2J\u{1b}[H"),
            ("a\nERROR forged", r"a\nERROR forged"),
            ("\r\t\0\u{7f}\u{9b}", r"\r\t\u{0}\u{7f}\u{9b}"),
            ("abc\u{202e}def\u{61c}", r"abc\u{202e}def\u{61c}"),
            ("Straße \u{1f4bf} ünïcode", "Straße \u{1f4bf} ünïcode"),
        ] {
            assert_eq!(line(text), wanted);
        }
    }

    #[test]
    fn copies_are_harmless_all_through() {
        let value = BTreeMap::from([("a\u{1b}".to_owned(), vec![Some("b\n".to_owned()), None])]);
        let copied = copy(&value).unwrap();
        assert_eq!(copied, BTreeMap::from([(r"a\u{1b}".to_owned(), vec![Some(r"b\n".to_owned()), None])]));
    }

    proptest! {
        #[test]
        fn a_copy_is_the_same_text_by_text(text in "[\\\\\"nu{}0-9a-f\u{0}-\u{20}\u{7f}-\u{a0}\u{200e}\u{202e}é\u{1f4bf}]{0,20}") {
            let value = BTreeMap::from([(text.clone(), Value::from(text.clone()))]);
            let wanted = line(&text).into_owned();
            prop_assert_eq!(copy(&value).unwrap(), BTreeMap::from([(wanted.clone(), Value::from(wanted))]));
        }
    }

    #[test]
    fn json_says_the_same_without_a_control_character() {
        let value = serde_json::json!({ "a\u{9b}2J": ["\u{1b}[H \u{7f} \u{202e} ü \n"] });
        for text in [value.to_string(), format!("{value:#}")] {
            let harmless = json(&text);
            assert!(harmless.chars().all(|character| character == '\n' || !is_harmful(character)), "{harmless}");
            assert_eq!(serde_json::from_str::<Value>(&harmless).unwrap(), value);
        }
        assert!(matches!(json("{}"), Cow::Borrowed(_)));
    }
}
