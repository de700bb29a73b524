//! Text that devices, images and servers supply, on its way to a terminal. Anybody can have written a model, a label or a
//! name of a file; what people see of it moves no cursor, begins no line and turns no text around.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
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
    let mut copied = serde_json::to_value(value)?;
    clean(&mut copied);
    serde_json::from_value(copied)
}

fn clean(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(harmless) = line(text) {
                *text = harmless;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(fields) => {
            let cleaned = std::mem::take(fields).into_iter().map(|(name, mut field)| {
                clean(&mut field);
                (line(&name).into_owned(), field)
            });
            *fields = cleaned.collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
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
