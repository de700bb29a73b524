//! Names of vendors, devices and classes, for PCI and USB.

use crate::parse::ids::Names;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

pub const PCI: &[u8] = include_bytes!("../../data/pci.ids.zst");
pub const USB: &[u8] = include_bytes!("../../data/usb.ids.zst");

/// Looks names up in `file`, or in the embedded database where there is none.
pub fn fill(names: &mut Names, file: Option<&Path>, embedded: &[u8]) {
    if names.is_empty() {
        return;
    }
    if let Some(path) = file {
        match File::open(path).and_then(|f| names.fill(BufReader::new(f))) {
            Ok(()) => return,
            Err(error) => log::warn!("{}: {error}; the built-in names are used", path.display()),
        }
    }
    if let Ok(decoder) = zstd::Decoder::with_buffer(embedded) {
        // Names are an ornament: a damaged database costs no section.
        let _ = names.fill(BufReader::new(decoder));
    }
}
