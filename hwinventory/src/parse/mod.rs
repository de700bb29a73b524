//! Pure parsers: bytes or text in, values out. None of them panics, whatever the input.

mod armcpu;
pub mod bytes;
pub mod cmdline;
pub mod cpuinfo;
pub mod cpulist;
pub mod mounts;
pub mod names;
pub mod scsi;
pub mod smbios;
pub mod uefi;
