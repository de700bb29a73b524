//! Boot loader specification, type 1 entries (uapi-group.org, "Boot Loader Specification", section "Type #1").

use super::entry::KexecEntry;
use std::cmp::Ordering;

/// An entry file and what it is sorted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    pub entry: KexecEntry,
    sort_key: String,
    version: String,
    file: String,
}

/// Pure; `None` if the file names no Linux kernel.
pub(super) fn parse(file: &str, text: &str) -> Option<Described> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let fields: Vec<(&str, &str)> =
        lines.filter_map(|line| line.split_once(char::is_whitespace)).map(|(key, value)| (key, value.trim())).collect();
    let all = |key: &'static str| fields.iter().filter(move |(name, _)| *name == key).map(|(_, value)| *value);
    let first = |key| all(key).next().unwrap_or_default().to_owned();
    let kernel = all("linux").next()?;
    let options: Vec<&str> = all("options").collect();
    let initrds = all("initrd").flat_map(str::split_whitespace);
    let entry = KexecEntry::new(kernel, initrds, &options.join(" "));
    Some(Described { entry, sort_key: first("sort-key"), version: first("version"), file: file.to_owned() })
}

/// The entry that a boot loader would show first: entries with a sort key before those without, by that key; then the
/// newest version; then the file name.
pub(super) fn best(entries: Vec<Described>) -> Option<KexecEntry> {
    let order = |a: &Described, b: &Described| {
        let keyed = a.sort_key.is_empty().cmp(&b.sort_key.is_empty()).then_with(|| a.sort_key.cmp(&b.sort_key));
        keyed.then_with(|| natural(&b.version, &a.version)).then_with(|| natural(&b.file, &a.file))
    };
    entries.into_iter().min_by(order).map(|described| described.entry)
}

/// Digits are compared as numbers: 6.9 comes before 6.10.
fn natural(a: &str, b: &str) -> Ordering {
    let split = |text: &str| -> Vec<(u64, String)> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, after) = rest.split_at(digits);
            let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let (word, after) = after.split_at(letters);
            parts.push((number.parse().unwrap_or(0), word.to_owned()));
            rest = after;
        }
        parts
    };
    split(a).cmp(&split(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_the_newest_entry_leads() {
        let text = |version: &str| {
            format!(
                "# made by a package\ntitle  Fedora\nversion {version}\nlinux /vmlinuz-{version}\n\
                 initrd /initramfs-{version}.img $tuned_initrd\noptions root=UUID=1 ro $tuned_params\noptions quiet\n"
            )
        };
        let entries = ["6.9.7-200", "6.10.1-1", "6.10.0-9"].map(|version| parse("x.conf", &text(version)).unwrap());
        let entry = best(entries.to_vec()).unwrap();
        assert_eq!(entry.kernel, "/vmlinuz-6.10.1-1");
        assert_eq!(entry.initrds, ["/initramfs-6.10.1-1.img"]);
        assert_eq!(entry.options, "root=UUID=1 ro quiet");
    }

    #[test]
    fn a_sort_key_comes_first_and_efi_programs_are_not_kernels() {
        let keyed = parse("a.conf", "sort-key debian\nversion 1\nlinux /old\n").unwrap();
        let plain = parse("b.conf", "version 9\nlinux /new\n").unwrap();
        assert_eq!(best(vec![plain, keyed]).unwrap().kernel, "/old");
        assert_eq!(parse("w.conf", "title Windows\nefi /EFI/Microsoft/bootmgfw.efi\n"), None);
        assert_eq!(best(vec![]), None);
        assert_eq!(natural("99999999999999999999.1", "0.2"), Ordering::Less, "what is no number counts as zero");
    }
}
