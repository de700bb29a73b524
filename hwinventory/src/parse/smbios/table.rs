//! Splits an SMBIOS table into structures, with bounds-checked access to their fields and strings.

use crate::parse::bytes::{ascii, le16, le32, le64, slice, u8_at};
use crate::parse::names::real;

/// The structures of a table, with the version its entry point claims.
#[derive(Debug, Clone, Default)]
pub struct Table<'a> {
    pub version: (u8, u8),
    pub structures: Vec<Structure<'a>>,
}

/// One structure: a formatted area and its strings (DSP0134 6.1).
#[derive(Debug, Clone)]
pub struct Structure<'a> {
    pub kind: u8,
    /// The formatted area, its header included.
    formatted: &'a [u8],
    strings: Vec<&'a [u8]>,
}

impl<'a> Table<'a> {
    /// Reads `tables/smbios_entry_point` and `tables/DMI`. A broken structure ends the table: what stands before it is
    /// kept.
    pub fn parse(entry_point: Option<&[u8]>, table: &'a [u8]) -> Table<'a> {
        let version = entry_point.and_then(version).unwrap_or((2, 0));
        let mut structures = Vec::new();
        let mut rest = table;
        while let Some((structure, next)) = Structure::parse(rest) {
            let last = structure.kind == 127;
            structures.push(structure);
            rest = next;
            if last {
                break;
            }
        }
        Table { version, structures }
    }

    /// A file as `dmidecode --dump-bin` writes it: the entry point, then the table at the offset it names.
    pub fn parse_dump(dump: &'a [u8]) -> Option<Table<'a>> {
        Some(Table::parse(Some(dump), dump.get(Table::dump_offset(dump)?..)?))
    }

    pub fn dump_offset(dump: &[u8]) -> Option<usize> {
        match dump.get(..5)? {
            b"_SM3_" => usize::try_from(le64(dump, 0x10)?).ok(),
            [b'_', b'S', b'M', b'_', _] => usize::try_from(le32(dump, 0x18)?).ok(),
            _ => None,
        }
    }

    pub fn of(&self, kind: u8) -> impl Iterator<Item = &Structure<'a>> {
        self.structures.iter().filter(move |s| s.kind == kind)
    }

    pub fn at_least(&self, major: u8, minor: u8) -> bool {
        self.version >= (major, minor)
    }
}

/// Overwrites the contents of structures of some types, and leaves the table as long as it was.
pub fn blank(table: &mut [u8], wanted: impl Fn(u8) -> bool) {
    let mut at = 0;
    while let (Some(kind), Some(length)) = (u8_at(table, at), u8_at(table, at + 1)) {
        let strings = at + usize::from(length);
        let Some(end) = table.get(strings..).and_then(|rest| rest.windows(2).position(|w| w == [0, 0])) else { return };
        if length < 4 {
            return;
        }
        if wanted(kind) {
            table.get_mut(at + 4..strings).unwrap_or_default().fill(0);
            for byte in table.get_mut(strings..strings + end).unwrap_or_default().iter_mut().filter(|b| **b != 0) {
                *byte = b'x';
            }
        }
        at = strings + end + 2;
    }
}

fn version(entry_point: &[u8]) -> Option<(u8, u8)> {
    if entry_point.starts_with(b"_SM3_") {
        Some((u8_at(entry_point, 7)?, u8_at(entry_point, 8)?))
    } else if entry_point.starts_with(b"_SM_") {
        Some((u8_at(entry_point, 6)?, u8_at(entry_point, 7)?))
    } else {
        None
    }
}

impl<'a> Structure<'a> {
    fn parse(bytes: &'a [u8]) -> Option<(Structure<'a>, &'a [u8])> {
        let kind = u8_at(bytes, 0)?;
        let length = usize::from(u8_at(bytes, 1)?);
        le16(bytes, 2)?;
        // A length below the header's own makes everything after it meaningless.
        if length < 4 {
            return None;
        }
        let formatted = slice(bytes, 0, length)?;
        let mut rest = bytes.get(length..)?;
        let mut strings = Vec::new();
        if rest.starts_with(&[0, 0]) {
            return Some((Structure { kind, formatted, strings }, rest.get(2..)?));
        }
        loop {
            let Some(end) = rest.iter().position(|&b| b == 0) else {
                // The table is cut off inside the strings: the formatted area is still good.
                return Some((Structure { kind, formatted, strings }, &[]));
            };
            if end == 0 {
                return Some((Structure { kind, formatted, strings }, rest.get(1..)?));
            }
            strings.push(rest.get(..end)?);
            rest = rest.get(end + 1..)?;
        }
    }

    pub fn byte(&self, at: usize) -> Option<u8> {
        u8_at(self.formatted, at)
    }

    pub fn word(&self, at: usize) -> Option<u16> {
        le16(self.formatted, at)
    }

    pub fn dword(&self, at: usize) -> Option<u32> {
        le32(self.formatted, at)
    }

    pub fn qword(&self, at: usize) -> Option<u64> {
        le64(self.formatted, at)
    }

    pub fn bytes(&self, at: usize, length: usize) -> Option<&'a [u8]> {
        slice(self.formatted, at, length)
    }

    /// The string whose number stands at `at`, as it is.
    pub fn raw_string(&self, at: usize) -> Option<String> {
        let number = usize::from(self.byte(at)?);
        ascii(self.strings.get(number.checked_sub(1)?)?)
    }

    /// The string whose number stands at `at`, unless it is a placeholder.
    pub fn string(&self, at: usize) -> Option<String> {
        real(self.raw_string(at))
    }

    /// All strings, for the types that are nothing but strings.
    pub fn strings(&self) -> impl Iterator<Item = String> {
        self.strings.iter().filter_map(|s| ascii(s))
    }
}
