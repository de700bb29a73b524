use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::{self, Read, Write};

/// `TPM2_CC_GetCapability`, `TPM2_CC_NV_ReadPublic`, `TPM2_CC_NV_Read`, `TPM2_CC_PCR_Read`.
const READS: &[u32] = &[0x17a, 0x169, 0x14e, 0x17e];

/// Sends a TPM 2.0 command that only reads, and returns the whole response.
pub fn command(device: &str, command: &[u8]) -> io::Result<Vec<u8>> {
    let code = command.get(6..10).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
    if !code.is_some_and(|c| READS.contains(&c)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut file = File::from(open(device, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?);
    file.write_all(command)?;
    let mut response = vec![0u8; 4096];
    let length = file.read(&mut response)?;
    response.truncate(length);
    Ok(response)
}
