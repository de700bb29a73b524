//! A logger that wraps the others: each message becomes one line without control sequences, because names, labels,
//! models and serial numbers come from disks and may contain anything.

use hwinventory::model::harmless;
use log::{Log, Metadata, Record};
use std::borrow::Cow;

/// Passes harmless text on and escapes the rest.
pub struct OneLine(pub Box<dyn Log>);

impl Log for OneLine {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        match harmless::line(&text) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

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
