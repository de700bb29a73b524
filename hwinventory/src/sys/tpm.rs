//! Sends TPM 2.0 commands that change nothing.

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::{self, Read, Write};

/// `TPM2_GetCapability`, `TPM2_NV_ReadPublic`, `TPM2_NV_Read`, `TPM2_PCR_Read`, `TPM2_ReadPublic`.
const READS: &[u32] = &[0x17a, 0x169, 0x14e, 0x17e, 0x173];
/// `TPM2_CreatePrimary` makes a key in the TPM's working memory and keeps nothing. Behind the kernel's resource manager
/// that memory is given back when the device is closed.
const CREATE_PRIMARY: u32 = 0x131;
const ENDORSEMENT: u32 = 0x4000_000b;

fn only_reads(device: &str, command: &[u8]) -> bool {
    let word = |at: usize| command.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
    match word(6) {
        Some(CREATE_PRIMARY) => device.starts_with("/dev/tpmrm") && word(10) == Some(ENDORSEMENT),
        Some(code) => READS.contains(&code),
        None => false,
    }
}

/// Sends a TPM 2.0 command that leaves nothing behind, and returns the whole response.
pub fn command(device: &str, command: &[u8]) -> io::Result<Vec<u8>> {
    if !only_reads(device, command) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut file = File::from(open(device, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?);
    file.write_all(command)?;
    let mut response = vec![0u8; 4096];
    let length = file.read(&mut response)?;
    response.truncate(length);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::only_reads;
    use crate::parse::tpm;

    #[test]
    fn nothing_that_lasts_is_let_through() {
        let primary = tpm::create_primary(&tpm::ek_template(true, &[]));
        assert!(only_reads("/dev/tpmrm0", &primary));
        assert!(!only_reads("/dev/tpm0", &primary), "nobody would give the memory back");
        let mut elsewhere = primary;
        elsewhere[13] = 0x01;
        assert!(!only_reads("/dev/tpmrm0", &elsewhere), "another hierarchy");
        let mut clear = tpm::get_properties();
        clear[6..10].copy_from_slice(&0x126u32.to_be_bytes());
        assert!(!only_reads("/dev/tpmrm0", &clear), "TPM2_Clear");
        assert!(!only_reads("/dev/tpmrm0", &[0; 5]));
    }
}
