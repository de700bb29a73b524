//! `burin.conf` on the boot medium: words as on the kernel command line, for all machines or for one.
//!
//! ```text
//! # Comments begin a line.
//! burin.controller=https://10.0.0.1:8443
//! burin.ca=ca.pem
//!
//! [serial=Q3QM12]
//! ip=10.0.0.21::10.0.0.254:255.255.255.0:node21:52-54-00-00-00-01:none:10.0.0.2
//! burin.order=orders/node21.json
//! ```
//!
//! A section applies to the machine named in its header: `serial=`, `uuid=` or `mac=`. Words before the first section
//! apply to all. Later words override earlier ones, and the kernel command line overrides all of them.

use super::cmdline::{Word, fold, words};

/// Words whose value may name a file on the medium.
const FILES: [&str; 2] = ["burin.order", "burin.ca"];

/// The names by which a section may refer to this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Of system, board and chassis.
    pub serials: Vec<String>,
    pub uuid: Option<String>,
    pub macs: Vec<String>,
}

/// The parameters for one machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    /// One word per line, in command line syntax.
    pub text: String,
    /// Files on the medium that words refer to, relative to its root.
    pub files: Vec<String>,
    /// Readable warnings with line numbers.
    pub warnings: Vec<String>,
}

/// Whether any section refers to a MAC: then NICs must be present before the file can be read.
pub fn asks_for_macs(text: &str) -> bool {
    text.lines().any(|line| head(line).is_some_and(|(key, _)| key == "mac"))
}

/// Selects what applies to the machine with these names. Files that words name are expected below `files`, where the
/// caller puts them.
pub fn read(text: &str, names: &Names, files: &str) -> Parameters {
    let mut parameters = Parameters::default();
    let mut holds = true;
    for (number, line) in text.lines().enumerate() {
        // Some editors write a byte order mark at the beginning.
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with('[') {
            let fits = head(line).and_then(|(key, value)| names.fit(key, value));
            if fits.is_none() {
                let warning = format!(
                    "burin.conf, line {}: {line} is no section: write [serial=...], [uuid=...] or [mac=...]",
                    number + 1
                );
                parameters.warnings.push(warning);
            }
            holds = fits.unwrap_or(false);
            continue;
        }
        if holds {
            words(line).into_iter().for_each(|word| parameters.take(word, files));
        }
    }
    parameters
}

impl Names {
    /// `None` if the kind of name is unknown.
    fn fit(&self, key: &str, value: &str) -> Option<bool> {
        let equal = |other: &String| other.trim().eq_ignore_ascii_case(value);
        let mac = |text: &str| text.to_ascii_lowercase().replace('-', ":");
        match key {
            "serial" => Some(self.serials.iter().any(equal)),
            "uuid" => Some(self.uuid.iter().any(equal)),
            "mac" => Some(self.macs.iter().any(|other| mac(other) == mac(value))),
            _ => None,
        }
    }
}

impl Parameters {
    fn take(&mut self, word: Word, files: &str) {
        let Word { key, value } = word;
        let value =
            value.map(|value| match FILES.contains(&fold(&key).as_str()).then(|| on_medium(&value)).flatten() {
                Some(path) => {
                    self.files.push(path.clone());
                    format!("{files}/{path}")
                }
                None => value,
            });
        match value {
            Some(value) => self.text += &format!("{key}=\"{value}\"\n"),
            None => self.text += &format!("{key}\n"),
        }
    }
}

/// A path on the medium, rather than a URL, a fingerprint or a path in the ramdisk.
fn on_medium(value: &str) -> Option<String> {
    let strange = value.starts_with('/') || value.contains(':') || value.is_empty();
    let parts: Vec<&str> = value.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    (!strange && !parts.is_empty() && !parts.contains(&"..")).then(|| parts.join("/"))
}

/// `[key=value]`.
fn head(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.trim().strip_prefix('[')?.strip_suffix(']')?.split_once('=')?;
    Some((key.trim(), value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "\u{feff}# for all\r\nburin.controller=http://c:1 burin.attr.site=\"north hall\"\n\
        burin.ca=ca.pem\n; not this\n\n[serial=S1]\nburin.order=orders/./s1.json\nip=10.0.0.1::10.0.0.254:24::eth0:none\n\
        [ mac=52-54-00-00-00-0A ]\nburin.order=/order.json\n[uuid=4C4C]\nburin.settle=5\nquiet\n[rack=7]\nburin.settle=9\n";

    fn read_as(names: Names) -> Parameters {
        read(TEXT, &names, "/m")
    }

    #[test]
    fn a_machine_gets_what_is_for_all_and_what_is_for_it() {
        let all = "burin.controller=\"http://c:1\"\nburin.attr.site=\"north hall\"\nburin.ca=\"/m/ca.pem\"\n";
        let nobody = read_as(Names::default());
        assert_eq!((nobody.text.as_str(), nobody.files), (all, vec!["ca.pem".to_owned()]));
        assert_eq!(nobody.warnings.len(), 1, "{:?}", nobody.warnings);
        assert!(nobody.warnings[0].contains("line 14: [rack=7]"), "{:?}", nobody.warnings);

        let serial = read_as(Names { serials: vec!["x".into(), " s1 ".into()], ..Names::default() });
        assert!(
            serial.text.ends_with("burin.order=\"/m/orders/s1.json\"\nip=\"10.0.0.1::10.0.0.254:24::eth0:none\"\n"),
            "{}",
            serial.text
        );
        assert_eq!(serial.files, ["ca.pem", "orders/s1.json"]);
        let mac = read_as(Names { macs: vec!["52:54:00:00:00:0a".into()], ..Names::default() });
        assert!(mac.text.ends_with("burin.order=\"/order.json\"\n"), "a path in the ramdisk stays: {}", mac.text);
        let uuid = read_as(Names { uuid: Some("4c4c".into()), ..Names::default() });
        assert!(uuid.text.ends_with("burin.settle=\"5\"\nquiet\n"), "{}", uuid.text);
        assert!(asks_for_macs(TEXT) && !asks_for_macs("[serial=mac=1]"));
    }

    #[test]
    fn the_words_come_out_as_they_went_in() {
        let parameters = read_as(Names::default());
        let site = words(&parameters.text).into_iter().find(|word| word.key == "burin.attr.site").unwrap();
        assert_eq!(site.value.as_deref(), Some("north hall"));
    }

    #[test]
    fn no_path_leaves_the_medium() {
        for (value, path) in [
            ("a.json", Some("a.json")),
            ("x//y.json", Some("x/y.json")),
            ("../etc/passwd", None),
            ("a/../../b", None),
            ("/order.json", None),
            ("http://h/o.json", None),
            ("sha256:00", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(on_medium(value).as_deref(), path, "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,400}", serial in "[a-z]{0,3}") {
            let names = Names { serials: vec![serial], ..Names::default() };
            let parameters = read(&text, &names, "/m");
            prop_assert!(parameters.files.iter().all(|file| !file.starts_with('/') && !file.split('/').any(|part| part == "..")));
            asks_for_macs(&text);
        }
    }
}
