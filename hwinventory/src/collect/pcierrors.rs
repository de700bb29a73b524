//! Reads PCIe error counters (Advanced Error Reporting, `aer_dev_*`), and the index and label of onboard devices.

use crate::model::{PciDevice, PciErrors};
use crate::source::Reader;
use std::collections::BTreeMap;

/// Reads what is in the directory, which is listed once: most functions have none of it.
pub fn collect(reader: &Reader, directory: &str, device: &mut PciDevice) {
    let files = reader.source().list(directory).unwrap_or_default();
    let text = |name: &str| {
        files.iter().any(|f| f == name).then(|| reader.quiet_text(&format!("{directory}/{name}"))).flatten()
    };
    device.acpi_index = text("acpi_index").and_then(|t| t.parse().ok());
    device.onboard_index = device.acpi_index.or_else(|| text("index").and_then(|t| t.parse().ok()));
    device.onboard_label = text("label");
    let (correctable, non_fatal, fatal) =
        (text("aer_dev_correctable"), text("aer_dev_nonfatal"), text("aer_dev_fatal"));
    if correctable.is_some() || non_fatal.is_some() || fatal.is_some() {
        let mut errors = PciErrors::default();
        errors.correctable = counts(correctable.as_deref(), &mut errors.kinds);
        errors.non_fatal = counts(non_fatal.as_deref(), &mut errors.kinds);
        errors.fatal = counts(fatal.as_deref(), &mut errors.kinds);
        device.errors = Some(errors);
    }
}

/// `BadTLP 3` and so on, with the total at the end; the total.
fn counts(text: Option<&str>, kinds: &mut BTreeMap<String, u64>) -> u64 {
    let mut sum = 0u64;
    let mut total = None;
    for (name, count) in text.unwrap_or_default().lines().filter_map(|l| l.trim().rsplit_once(' ')) {
        let Ok(count) = count.parse::<u64>() else { continue };
        if name.starts_with("TOTAL_") {
            total = Some(count);
        } else if count > 0 {
            sum = sum.saturating_add(count);
            let known = kinds.entry(name.trim().to_owned()).or_insert(0);
            *known = known.saturating_add(count);
        }
    }
    total.unwrap_or(sum)
}

#[cfg(test)]
mod tests {
    use super::counts;
    use std::collections::BTreeMap;

    #[test]
    fn counters() {
        let mut kinds = BTreeMap::new();
        assert_eq!(counts(Some("RxErr 2\nBadTLP 0\nRollover 1\nTOTAL_ERR_COR 3\n"), &mut kinds), 3);
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [("Rollover".to_owned(), 1), ("RxErr".to_owned(), 2)]);
        assert_eq!(counts(Some("RxErr 2\n"), &mut BTreeMap::new()), 2);
        assert_eq!(counts(None, &mut BTreeMap::new()), 0);
    }
}
