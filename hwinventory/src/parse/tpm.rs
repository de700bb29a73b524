//! TPM 2.0 commands and responses (TCG TPM Library part 3). Everything is big-endian.

use super::bytes::{ascii, be16, be32, slice};

/// `TPM2_GetCapability` of the fixed properties.
pub fn get_properties() -> Vec<u8> {
    [
        &[0x80u8, 0x01][..],
        &22u32.to_be_bytes(),
        &0x17au32.to_be_bytes(),
        &6u32.to_be_bytes(),
        &0x100u32.to_be_bytes(),
        &32u32.to_be_bytes(),
    ]
    .concat()
}

/// `TPM2_NV_ReadPublic`.
pub fn nv_read_public(index: u32) -> Vec<u8> {
    [&[0x80u8, 0x01][..], &14u32.to_be_bytes(), &0x169u32.to_be_bytes(), &index.to_be_bytes()].concat()
}

/// `TPM2_NV_Read`, authorised by the index itself with an empty password.
pub fn nv_read(index: u32, size: u16, offset: u16) -> Vec<u8> {
    let mut command = vec![0x80, 0x02];
    command.extend(35u32.to_be_bytes());
    command.extend(0x14eu32.to_be_bytes());
    command.extend(index.to_be_bytes());
    command.extend(index.to_be_bytes());
    // A password session: TPM_RS_PW, no nonce, no attributes, no password.
    command.extend(9u32.to_be_bytes());
    command.extend(0x4000_0009u32.to_be_bytes());
    command.extend([0, 0, 0, 0, 0]);
    command.extend(size.to_be_bytes());
    command.extend(offset.to_be_bytes());
    command
}

/// The response's parameters, when its code is success.
fn parameters(response: &[u8]) -> Option<&[u8]> {
    (be32(response, 6)? == 0).then(|| response.get(10..)).flatten()
}

/// Manufacturer and firmware version.
pub fn properties(response: &[u8]) -> Option<(Option<String>, Option<String>)> {
    let body = parameters(response)?;
    let count = be32(body, 5)?.min(256) as usize;
    let mut manufacturer = None;
    let (mut high, mut low) = (None, None);
    for at in (0..count).map(|i| 9 + i * 8) {
        let (Some(property), Some(value)) = (be32(body, at), be32(body, at + 4)) else { break };
        match property {
            0x105 => manufacturer = ascii(&value.to_be_bytes()),
            0x10b => high = Some(value),
            0x10c => low = Some(value),
            _ => {}
        }
    }
    let firmware = high.map(|h| {
        let low = low.unwrap_or(0);
        format!("{}.{}.{}.{}", h >> 16, h & 0xffff, low >> 16, low & 0xffff)
    });
    Some((manufacturer, firmware))
}

/// Size of an index, from `TPM2_NV_ReadPublic`.
pub fn nv_size(response: &[u8]) -> Option<u16> {
    let public = parameters(response)?;
    // Size of the structure, index, name algorithm, attributes, policy with its size, size of the data.
    let policy = usize::from(be16(public, 12)?);
    be16(public, 14 + policy)
}

pub fn nv_data(response: &[u8]) -> Option<&[u8]> {
    let body = parameters(response)?;
    slice(body, 6, usize::from(be16(body, 4)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_say_their_length() {
        for command in [get_properties(), nv_read_public(0x01c0_0002), nv_read(0x01c0_0002, 512, 0)] {
            assert_eq!(be32(&command, 2), Some(command.len() as u32));
        }
    }

    #[test]
    fn fixed_properties() {
        let mut response = vec![0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        response.extend([0, 0, 0, 0, 6, 0, 0, 0, 2]);
        response.extend([0, 0, 1, 5]);
        response.extend(b"IBM\0");
        response.extend([0, 0, 1, 0x0b, 0x20, 0x19, 0x10, 0x23]);
        assert_eq!(properties(&response), Some((Some("IBM".into()), Some("8217.4131.0.0".into()))));
        assert_eq!(properties(&[0; 10]), None);
    }
}
