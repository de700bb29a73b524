//! The inventory as a page that a person reads.

mod attached;
mod devices;
mod machine;
mod platform;

use crate::model::{Inventory, Section, Status, harmless};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;

/// Text with one paragraph a section; `colour` adds ANSI escapes.
pub fn render(inventory: &Inventory, colour: bool) -> String {
    let inventory = &*harmless(inventory);
    let mut page = Page { text: String::new(), colour };
    machine::system(inventory, &mut page);
    machine::cpu_and_memory(inventory, &mut page);
    devices::disks(inventory, &mut page);
    devices::volumes(inventory, &mut page);
    devices::nics(inventory, &mut page);
    platform::platform(inventory, &mut page);
    attached::attached(inventory, &mut page);
    platform::findings(inventory, &mut page);
    platform::unread(inventory, &mut page);
    page.text
}

/// Nothing that a device supplies does anything to the terminal. One that cannot be copied is shown as it is: there is none,
/// but no page at all would be worse.
pub(crate) fn harmless<T: Clone + Serialize + DeserializeOwned>(value: &T) -> Cow<'_, T> {
    harmless::copy(value).map_or(Cow::Borrowed(value), Cow::Owned)
}

struct Page {
    text: String,
    colour: bool,
}

impl Page {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn head<T: Default>(&mut self, title: &str, section: &Section<T>) {
        let title = self.paint("1;36", title);
        let note = match section.status {
            Status::Ok => String::new(),
            Status::Absent | Status::Partial => self.paint("2", &format!("  ({})", section.status.word())),
            status => self.paint("31", &format!("  ({})", status.word())),
        };
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(&format!("{title}{note}\n"));
    }

    fn line(&mut self, label: &str, value: impl AsRef<str>) {
        let value = value.as_ref().trim();
        if !value.is_empty() {
            let label = self.paint("2", &format!("{label:<12}"));
            self.text.push_str(&format!("  {label} {value}\n"));
        }
    }

    fn title(&mut self, title: &str) {
        let title = self.paint("1;36", title);
        self.text.push_str(&format!("\n{title}\n"));
    }

    /// A table with the names of its columns above, when there is anything in it. Columns that are empty are left out.
    fn listing(&mut self, names: &[&str], mut rows: Vec<Vec<Cell>>) {
        if rows.is_empty() {
            return;
        }
        rows.insert(0, names.iter().map(|name| painted(name, "2")).collect());
        let filled = |at: usize| rows.iter().skip(1).any(|row| row.get(at).is_some_and(|cell| !cell.text.is_empty()));
        let keep: Vec<bool> = (0..names.len()).map(filled).collect();
        for row in &mut rows {
            let mut at = 0;
            row.retain(|_| {
                at += 1;
                keep.get(at - 1).copied().unwrap_or(false)
            });
        }
        self.table(&rows);
    }

    /// Columns as wide as their widest cell.
    fn table(&mut self, rows: &[Vec<Cell>]) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width =
            |at: usize| rows.iter().filter_map(|r| r.get(at)).map(|c| c.text.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in rows {
            let mut line = String::from(" ");
            for (cell, width) in row.iter().zip(&widths) {
                let text = format!("{:<width$}", cell.text, width = *width);
                line.push(' ');
                line.push_str(&if cell.colour.is_empty() { text } else { self.paint(cell.colour, &text) });
            }
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
    }
}

struct Cell {
    text: String,
    colour: &'static str,
}

fn plain(text: impl AsRef<str>) -> Cell {
    painted(text, "")
}

fn painted(text: impl AsRef<str>, colour: &'static str) -> Cell {
    Cell { text: text.as_ref().to_owned(), colour }
}

fn words(parts: &[Option<&str>]) -> String {
    parts.iter().flatten().copied().collect::<Vec<_>>().join(" ")
}

/// In the unit that people say: `512 B`, `16.0 GiB`.
pub fn bytes(n: u64) -> String {
    scaled(n, 1024, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"])
}

/// As disks are sold: `960 GB`.
pub fn decimal(n: u64) -> String {
    scaled(n, 1000, &["B", "kB", "MB", "GB", "TB", "PB"])
}

fn bits(n: u64) -> String {
    scaled(n, 1000, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"])
}

fn scaled(n: u64, step: u64, units: &[&str]) -> String {
    let mut unit = 0;
    let mut divisor = 1u64;
    while n / divisor >= step && unit + 1 < units.len() {
        divisor = divisor.saturating_mul(step);
        unit += 1;
    }
    let (whole, tenths) = (n / divisor, (u128::from(n % divisor) * 10 / u128::from(divisor)) as u64);
    let unit = units.get(unit).copied().unwrap_or_default();
    if tenths == 0 { format!("{whole} {unit}") } else { format!("{whole}.{tenths} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Disk, Problem};

    #[test]
    fn sizes() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(16 << 30), "16 GiB");
        assert_eq!(decimal(960_197_124_096), "960.1 GB");
        assert_eq!(bits(25_000_000_000), "25 Gbit/s");
        assert_eq!(bytes(u64::MAX), "16383.9 PiB");
    }

    #[test]
    fn a_device_cannot_write_on_the_terminal() {
        let mut inventory = Inventory::default();
        inventory.disks.data.push(Disk {
            name: "sda".into(),
            model: Some("evil\x1b[2J\nFindings\u{9b}\u{202e}".into()),
            ..Disk::default()
        });
        inventory.system.data.manufacturer = Some("a\x07b".into());
        let text = render(&inventory, false);
        assert!(text.lines().all(|line| !line.contains(char::is_control) && !line.contains('\u{202e}')), "{text:?}");
        assert!(text.lines().all(|line| !line.starts_with("Findings")), "{text}");
        assert!(render(&inventory, true).contains("\x1b[1m"));
    }

    #[test]
    fn what_was_not_read_is_said() {
        let mut inventory = Inventory::default();
        inventory.system.status = Status::Denied;
        let problem =
            |what: &str| Problem { what: what.into(), status: Status::Denied, message: "Permission denied".into() };
        inventory.system.problems = vec![problem("/sys/firmware/dmi/tables/DMI")];
        inventory.disks.data.push(Disk {
            name: "sda".into(),
            problems: vec![problem("signatures_sda")],
            ..Disk::default()
        });
        let text = render(&inventory, false);
        assert!(text.contains("Not read"), "{text}");
        for line in ["system denied /sys/firmware/dmi/tables/DMI Permission denied", "sda    denied signatures_sda"] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
        assert!(!render(&Inventory::default(), false).contains("Not read"));
    }

    #[test]
    fn empty_columns_take_no_room() {
        let mut page = Page { text: String::new(), colour: false };
        page.listing(&["A", "B", "C"], vec![vec![plain("1"), plain(""), plain("3")]]);
        assert_eq!(page.text, "  A C\n  1 3\n");
        page.listing(&["A"], vec![]);
        assert_eq!(page.text, "  A C\n  1 3\n");
    }
}
