//! What dmidecode prints of a table, structure by structure.

use std::collections::BTreeMap;

/// Fields with words of SMBIOS 3.6 and later, which the dmidecode of Debian 12 (3.4) does not know: sockets from LGA1700
/// on, LoongArch and later families, HBM3, CAMM.
const NEWER: &[&str] = &["Upgrade", "Family", "Type", "Form Factor"];

/// One structure as dmidecode prints it: `Name: value`, and for a list its lines joined.
#[derive(Debug)]
pub struct Printed {
    pub context: String,
    pub fields: BTreeMap<String, String>,
}

/// The structures of one type, in the order of the table.
pub fn printed(context: &str, text: &str, kind: u8) -> Vec<Printed> {
    let marker = format!("DMI type {kind},");
    let blocks = text.split("\n\n").filter(|block| block.contains(&marker));
    blocks
        .map(|block| {
            let mut fields: BTreeMap<String, String> = BTreeMap::new();
            let mut last = String::new();
            for line in block.lines().filter_map(|l| l.strip_prefix('\t')) {
                if let Some(item) = line.strip_prefix('\t') {
                    let list = fields.entry(last.clone()).or_default();
                    list.push_str(if list.is_empty() { "" } else { "\n" });
                    list.push_str(item.trim());
                    // Records of type 42 are indented, and name their fields.
                    if let Some((name, value)) = item.split_once(": ") {
                        fields.entry(name.trim().to_owned()).or_insert_with(|| value.trim().to_owned());
                    }
                } else if let Some((name, value)) = line.split_once(':') {
                    last = name.trim().to_owned();
                    fields.insert(last.clone(), value.trim().to_owned());
                }
            }
            Printed {
                context: format!("{context} type {kind} {}", fields.values().next().cloned().unwrap_or_default()),
                fields,
            }
        })
        .collect()
}

impl Printed {
    /// `None` where dmidecode says that there is nothing, or nothing that the specification knows.
    pub fn get(&self, name: &str) -> Option<&str> {
        const NOTHING: &[&str] = &[
            "",
            "Not Specified",
            "Unknown",
            "None",
            "Not Present",
            "Not Settable",
            "Not Provided",
            "Unspecified",
            "<OUT OF SPEC>",
            "Out Of Spec",
            "<BAD INDEX>",
        ];
        self.fields.get(name).map(|v| v.trim()).filter(|v| !NOTHING.contains(v))
    }

    /// The same, or left out because it is a placeholder.
    pub fn text(&self, name: &str, ours: Option<&str>) {
        match (ours, self.get(name)) {
            (None, Some(text)) => {
                assert!(hwinventory::fuzz::is_placeholder(text), "{} {name}: {text:?} was left out", self.context);
            }
            // Words that the specification has got since.
            (Some(_), None) if self.fields.get(name).is_some_and(|v| v.ends_with("<OUT OF SPEC>")) => {
                assert!(NEWER.contains(&name), "{} {name}: {ours:?} is unknown to dmidecode", self.context);
            }
            (ours, theirs) => assert_eq!(ours, theirs, "{} {name}", self.context),
        }
    }

    pub fn number(&self, name: &str, unit: &str, factor: u64, ours: Option<u64>) {
        let theirs = self.get(name).and_then(|v| v.strip_suffix(unit)?.trim().parse::<u64>().ok());
        assert_eq!(ours, theirs.map(|n| n * factor).filter(|&n| n != 0), "{} {name}", self.context);
    }

    /// `32 MB`
    pub fn size(&self, name: &str, ours: Option<u64>) {
        let theirs = self.get(name).and_then(|v| {
            let (number, unit) = v.split_once(' ')?;
            let shift = ["bytes", "kB", "MB", "GB", "TB"].iter().position(|u| *u == unit)? * 10;
            Some(number.parse::<u64>().ok()? << shift).filter(|&n| n != 0)
        });
        assert_eq!(ours, theirs, "{} {name}", self.context);
    }
}

pub fn volts(text: &str) -> Option<u64> {
    let volts: f64 = text.strip_suffix(" V")?.parse().ok()?;
    Some((volts * 1000.0).round() as u64)
}
