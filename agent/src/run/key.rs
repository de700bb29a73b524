//! The machine's key: made at boot, kept for the agent processes of that boot, and sent in hello. A site with keys in
//! the TPM would make it here.

use burin_sign::{KeyError, SecretKey};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use zeroize::Zeroizing;

/// The key that an earlier agent process of this boot left in `state`, or a new one.
pub fn machine_key(state: &Path) -> Result<SecretKey, KeyError> {
    let path = state.join("machine.key");
    if let Ok(kept) = std::fs::read(&path).map(Zeroizing::new)
        && let Ok(key) = SecretKey::from_pkcs8(&kept)
    {
        return Ok(key);
    }
    let (key, pkcs8) = SecretKey::generate()?;
    if let Err(error) = keep(&path, &pkcs8) {
        log::warn!("the machine's key cannot be kept for the next agent: {error}");
    }
    Ok(key)
}

fn keep(path: &Path, pkcs8: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    // Written atomically: a controller recognises this boot by its key.
    let new = path.with_extension("new");
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?.write_all(pkcs8)?;
    std::fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn one_boot_has_one_key() {
        let state = tempfile::tempdir().unwrap();
        let place = state.path().join("run/burin");
        let first = machine_key(&place).unwrap().public();
        assert_eq!(machine_key(&place).unwrap().public(), first);
        let mode = std::fs::metadata(place.join("machine.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(place.join("machine.key"), "torn").unwrap();
        assert_ne!(machine_key(&place).unwrap().public(), first);
    }
}
