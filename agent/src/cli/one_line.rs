//! A logger in front of the others: one message is one line, and says nothing to the terminal. Names, labels, models and
//! serial numbers come from disks, and anybody can have written these.

use log::{Log, Metadata, Record};
use std::borrow::Cow;

/// Passes on what is harmless, and the rest escaped.
pub struct OneLine(pub Box<dyn Log>);

impl Log for OneLine {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        match harmless(&text) {
            Cow::Borrowed(_) => self.0.log(record),
            Cow::Owned(text) => self.0.log(
                &Record::builder()
                    .metadata(record.metadata().clone())
                    .module_path(record.module_path())
                    .file(record.file())
                    .line(record.line())
                    .args(format_args!("{text}"))
                    .build(),
            ),
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// Control characters, and those that turn the direction of text around, as `\u{1b}`.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let escaped = |character: char| -> String {
        if is_harmful(character) { character.escape_default().to_string() } else { character.to_string() }
    };
    Cow::Owned(text.chars().map(escaped).collect())
}

fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn nothing_from_a_disk_moves_the_cursor_or_begins_a_line() {
        for (text, wanted) in [
            ("label \u{1b}[2J\u{1b}[H", r"label \u{1b}[2J\u{1b}[H"),
            ("a\nERROR forged", r"a\nERROR forged"),
            ("\r\t\0\u{7f}\u{9b}", r"\r\t\u{0}\u{7f}\u{9b}"),
            ("abc\u{202e}def", r"abc\u{202e}def"),
            ("Straße \u{1f4bf} ünïcode", "Straße \u{1f4bf} ünïcode"),
        ] {
            assert_eq!(harmless(text), wanted);
        }
    }

    struct Kept(Arc<Mutex<Vec<String>>>);

    impl Log for Kept {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &Record<'_>) {
            self.0.lock().unwrap().push(format!("{} {}", record.level(), record.args()));
        }

        fn flush(&self) {}
    }

    #[test]
    fn the_loggers_behind_it_get_one_line() {
        let kept = Arc::default();
        let logger = OneLine(Box::new(Kept(Arc::clone(&kept))));
        let model = "disk\n\u{1b}c";
        logger.log(&Record::builder().level(log::Level::Warn).args(format_args!("{model} is slow")).build());
        assert_eq!(*kept.lock().unwrap(), [r"WARN disk\n\u{1b}c is slow"]);
    }
}
