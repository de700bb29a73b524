//! Reads the SMBIOS table.

use crate::parse::smbios::Table;
use crate::source::Reader;

/// Hands the machine's SMBIOS table to `decode`.
pub fn with_table<T>(reader: &Reader, decode: impl FnOnce(&Table<'_>) -> T) -> Option<T> {
    let entry_point = reader.bytes("/sys/firmware/dmi/tables/smbios_entry_point");
    let table = reader.bytes("/sys/firmware/dmi/tables/DMI")?;
    Some(decode(&Table::parse(entry_point.as_deref(), &table)))
}
