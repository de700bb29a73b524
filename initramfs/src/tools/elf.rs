//! The libraries that a program or library needs, from its ELF headers.

use std::path::Path;

use object::Object as _;
use object::elf::PT_INTERP;
use object::read::elf::{ElfFile64, ProgramHeader as _};

use super::ToolError;
use crate::arch::Arch;

/// What a program or library needs to run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Absolute path.
    pub loader: Option<String>,
    /// Sonames.
    pub libraries: Vec<String>,
}

impl Wants {
    pub fn read(data: &[u8], path: &Path, arch: Arch) -> Result<Wants, ToolError> {
        let not_elf = |source| ToolError::NotElf { path: path.to_owned(), source };
        let elf = ElfFile64::<object::Endianness>::parse(data).map_err(not_elf)?;
        if Arch::from_object(elf.architecture()) != Some(arch) {
            return Err(ToolError::Arch { path: path.to_owned(), expected: arch });
        }
        let endian = elf.endian();
        let mut wants = Wants::default();
        for segment in elf.elf_program_headers() {
            if segment.p_type(endian) == PT_INTERP {
                let loader = segment.interpreter(endian, elf.data()).map_err(not_elf)?.unwrap_or_default();
                wants.loader = Some(String::from_utf8_lossy(loader).into_owned());
            }
        }
        for library in elf.import_libraries().map_err(not_elf)? {
            wants.libraries.push(String::from_utf8_lossy(library.map_err(not_elf)?.name()).into_owned());
        }
        Ok(wants)
    }
}
