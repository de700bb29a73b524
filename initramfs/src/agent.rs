//! Checks the program that becomes /init.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use object::Object as _;
use object::elf::{DT_NEEDED, DT_NULL, PT_INTERP};
use object::read::elf::{Dyn as _, ElfFile64, FileHeader as _, ProgramHeader as _};

use crate::arch::Arch;

/// A program that can be /init.
#[derive(Debug, Clone)]
pub struct Agent {
    /// The file's bytes.
    pub data: Vec<u8>,
    /// The architecture it is for.
    pub arch: Arch,
}

/// Why a program cannot be /init.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The file could not be read.
    #[error("cannot read the agent {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// Scripts, archives, 32-bit programs.
    #[error("the agent {} is not a 64-bit ELF program", path.display())]
    NotElf { path: PathBuf, source: Option<object::Error> },
    /// An ELF file of another kind: object file, core dump.
    #[error("the agent {} is an ELF file, but not a program", path.display())]
    NotAProgram { path: PathBuf },
    /// Not a supported architecture ([`Arch`]).
    #[error("the agent {} is built for {found:?}, which is not supported", path.display())]
    UnknownArch { path: PathBuf, found: object::Architecture },
    /// Another architecture than the kernel's.
    #[error("the agent {} is built for {found}, the kernel for {expected}", path.display())]
    WrongArch { path: PathBuf, found: Arch, expected: Arch },
    /// It needs a dynamic loader, which the ramdisk does not have.
    #[error("the agent {} is dynamically linked (it needs {wants}); the ramdisk has no libraries: build it with -C target-feature=+crt-static", path.display())]
    Dynamic { path: PathBuf, wants: String },
}

impl Agent {
    /// Reads and checks the program at `path`.
    pub fn load(path: &Path) -> Result<Agent, AgentError> {
        let data = fs::read(path).map_err(|source| AgentError::Read { path: path.to_owned(), source })?;
        Agent::check(data, path)
    }

    /// Checks a program's bytes; `path` names it in errors.
    pub fn check(data: Vec<u8>, path: &Path) -> Result<Agent, AgentError> {
        let not_elf = |source| AgentError::NotElf { path: path.to_owned(), source };
        let elf = ElfFile64::<object::Endianness>::parse(&*data).map_err(|e| not_elf(Some(e)))?;
        let found = elf.architecture();
        let arch = Arch::from_object(found).ok_or(AgentError::UnknownArch { path: path.to_owned(), found })?;
        if !matches!(elf.kind(), object::ObjectKind::Executable | object::ObjectKind::Dynamic) {
            return Err(AgentError::NotAProgram { path: path.to_owned() });
        }
        if elf.elf_header().e_entry(elf.endian()).eq(&0) {
            return Err(AgentError::NotAProgram { path: path.to_owned() });
        }
        if let Some(wants) = dynamic_wants(&elf).map_err(|e| not_elf(Some(e)))? {
            return Err(AgentError::Dynamic { path: path.to_owned(), wants });
        }
        Ok(Agent { data, arch })
    }

    /// Fails unless the agent runs on the kernel's architecture.
    pub fn require_arch(&self, expected: Arch, path: &Path) -> Result<(), AgentError> {
        if self.arch == expected {
            return Ok(());
        }
        Err(AgentError::WrongArch { path: path.to_owned(), found: self.arch, expected })
    }
}

/// The loader (PT_INTERP) and libraries (DT_NEEDED) that the program needs; `None` for a static one. Read from the
/// program headers, because section headers may be stripped.
fn dynamic_wants(elf: &ElfFile64<'_, object::Endianness>) -> object::Result<Option<String>> {
    let endian = elf.endian();
    let mut wants: Vec<String> = Vec::new();
    let mut needed = 0usize;
    for segment in elf.elf_program_headers() {
        if segment.p_type(endian) == PT_INTERP {
            let interpreter = segment.interpreter(endian, elf.data())?.unwrap_or_default();
            wants.push(String::from_utf8_lossy(interpreter).into_owned());
        }
        for entry in segment.dynamic(endian, elf.data())?.unwrap_or_default() {
            match entry.d_tag(endian) {
                DT_NULL => break,
                DT_NEEDED => needed += 1,
                _ => {}
            }
        }
    }
    if needed > 0 {
        let names: Vec<_> = elf.import_libraries()?.filter_map(|l| l.ok()).collect();
        wants.extend(names.iter().map(|l| String::from_utf8_lossy(l.name()).into_owned()));
        if names.is_empty() {
            wants.push(format!("{needed} shared libraries"));
        }
    }
    Ok((!wants.is_empty()).then(|| wants.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(data: Vec<u8>) -> String {
        Agent::check(data, Path::new("a.out")).unwrap_err().to_string()
    }

    #[test]
    fn scripts_and_short_files_are_refused() {
        assert_eq!(refused(b"#!/bin/sh\nexit 0\n".to_vec()), "the agent a.out is not a 64-bit ELF program");
        assert_eq!(refused(Vec::new()), "the agent a.out is not a 64-bit ELF program");
        assert_eq!(refused(b"\x7fELF\x02\x01\x01".to_vec()), "the agent a.out is not a 64-bit ELF program");
    }

    /// The test binary itself is linked statically, like the agent; the system's shell is not.
    #[test]
    fn static_is_taken_and_dynamic_is_refused() {
        if cfg!(target_feature = "crt-static") {
            let me = std::env::current_exe().unwrap();
            let agent = Agent::load(&me).unwrap();
            agent.require_arch(agent.arch, &me).unwrap();
            let other = if agent.arch == Arch::X86_64 { Arch::Aarch64 } else { Arch::X86_64 };
            let text = agent.require_arch(other, Path::new("a.out")).unwrap_err().to_string();
            assert_eq!(text, format!("the agent a.out is built for {}, the kernel for {other}", agent.arch));
        }
        let text = refused(fs::read("/bin/sh").unwrap());
        assert!(text.contains("dynamically linked") && text.contains("ld-linux") && text.contains("libc.so"), "{text}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Agent::load(Path::new("/nonexistent/burin")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the agent /nonexistent/burin");
    }
}
