//! A kernel to start, as a boot loader's configuration describes it.

/// A kernel to start; paths are relative to the filesystem with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KexecEntry {
    pub kernel: String,
    pub initrds: Vec<String>,
    /// The kernel command line.
    pub options: String,
}

impl KexecEntry {
    /// Paths and words from a configuration file. A boot loader's variables are not known here: words with one are left
    /// out.
    pub(super) fn new<'a>(kernel: &str, initrds: impl IntoIterator<Item = &'a str>, options: &str) -> Self {
        let known: Vec<&str> = options.split_whitespace().filter(|word| !word.contains('$')).collect();
        let initrds = initrds.into_iter().map(path).filter(|path| !path.contains('$'));
        Self { kernel: path(kernel), initrds: initrds.collect(), options: known.join(" ") }
    }

    /// Without a root the kernel would panic, with nobody there to see it.
    pub(super) fn has_root(&self) -> bool {
        let root =
            |word: &str| ["root=", "rootflags=subvol", "rd.", "cryptdevice="].iter().any(|key| word.starts_with(key));
        self.options.split_whitespace().any(root)
    }
}

/// GRUB may put a device before a path: `($root)/boot/vmlinuz`.
fn path(text: &str) -> String {
    let bare = match text.strip_prefix('(') {
        Some(rest) => rest.split_once(')').map_or(text, |(_, path)| path),
        None => text,
    };
    bare.trim_matches(['"', '\'']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_variables_are_not_of_this_world() {
        let entry = KexecEntry::new("($root)/boot/vmlinuz", ["/a", "$extra"], "root=UUID=x ro $tuned ${more} quiet");
        assert_eq!((entry.kernel.as_str(), entry.options.as_str()), ("/boot/vmlinuz", "root=UUID=x ro quiet"));
        assert_eq!(entry.initrds, ["/a"]);
        assert!(entry.has_root() && !KexecEntry::new("/k", [], "quiet").has_root());
    }
}
