//! Commands and responses of TPM 2.0 (TCG Library Specification, part 3), as bytes: big-endian, lists behind their counts.

/// TPM_ST_NO_SESSIONS and TPM_ST_SESSIONS.
const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;
/// TPM_RS_PW: an authorisation by a password, which is empty here.
const PASSWORD: u32 = 0x4000_0009;
pub const SHA256: u16 = 0x000b;
/// TPM_ALG_NULL.
pub const NULL: u16 = 0x0010;
/// Bytes of a selection: 24 PCRs.
const SELECT: u8 = 3;

/// A response that is none, or says that the command failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("its answer is cut off")]
    Short,
    /// TPM_RC.
    #[error("it answers with the code {0:#x}")]
    Code(u32),
}

/// Bytes on their way to the TPM.
#[derive(Debug, Default)]
pub struct Out(Vec<u8>);

impl Out {
    pub fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A TPM2B: what it holds behind its length.
    pub fn sized(self, bytes: &[u8]) -> Self {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.u16(length).bytes(bytes)
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// A selection of SHA-256 PCRs (TPML_PCR_SELECTION).
pub fn selection(pcrs: &[u32]) -> Vec<u8> {
    let mut bits = [0u8; SELECT as usize];
    for pcr in pcrs {
        if let Some(byte) = bits.get_mut((pcr / 8) as usize) {
            *byte |= 1 << (pcr % 8);
        }
    }
    Out::default().u32(1).u16(SHA256).u8(SELECT).bytes(&bits).into_bytes()
}

/// A command. `session` authorises the first handle; without one there is no authorisation.
pub fn command(code: u32, handles: &[u32], session: Option<u32>, parameters: &[u8]) -> Vec<u8> {
    let mut body = Out::default();
    for handle in handles {
        body = body.u32(*handle);
    }
    if let Some(session) = session {
        // Handle, no nonce, attributes, no HMAC: both a password that is empty and a policy want nothing more.
        let authorisation = Out::default().u32(session).u16(0).u8(u8::from(session != PASSWORD)).u16(0).into_bytes();
        body = body.u32(u32::try_from(authorisation.len()).unwrap_or(0)).bytes(&authorisation);
    }
    let body = body.bytes(parameters).into_bytes();
    let length = u32::try_from(body.len() + 10).unwrap_or(u32::MAX);
    let tag = if session.is_some() { SESSIONS } else { NO_SESSIONS };
    Out::default().u16(tag).u32(length).u32(code).bytes(&body).into_bytes()
}

/// The same, authorised by the password that is empty.
pub fn authorised(code: u32, handle: u32, parameters: &[u8]) -> Vec<u8> {
    command(code, &[handle], Some(PASSWORD), parameters)
}

/// Bytes of a response.
#[derive(Debug, Clone, Copy)]
pub struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    /// Behind the header, which says that all went well.
    pub fn response(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut header = Self(bytes);
        let (_tag, _length, code) = (header.u16()?, header.u32()?, header.u32()?);
        if code == 0 { Ok(header) } else { Err(WireError::Code(code)) }
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(WireError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn u8(&mut self) -> Result<u8, WireError> {
        self.take(1)?.first().copied().ok_or(WireError::Short)
    }

    pub fn u16(&mut self) -> Result<u16, WireError> {
        Ok(u16::from_be_bytes(self.take(2)?.try_into().map_err(|_| WireError::Short)?))
    }

    pub fn u32(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into().map_err(|_| WireError::Short)?))
    }

    /// What a TPM2B holds.
    pub fn sized(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_as_the_specification_has_them() {
        // TPM2_FlushContext of a handle.
        assert_eq!(command(0x165, &[0x8000_0001], None, &[]), [0x80, 1, 0, 0, 0, 14, 0, 0, 1, 0x65, 0x80, 0, 0, 1]);
        let unseal = command(0x15e, &[0x8000_0001], Some(0x0300_0000), &[]);
        assert_eq!(unseal[10..], [0x80, 0, 0, 1, 0, 0, 0, 9, 3, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(selection(&[7, 11]), [0, 0, 0, 1, 0, 0x0b, 3, 0x80, 0x08, 0]);
        assert_eq!(selection(&[99]), selection(&[]));
    }

    #[test]
    fn answers_that_fail_or_end_early_are_errors() {
        assert_eq!(In::response(&[0x80, 1, 0, 0, 0, 10, 0, 0, 9, 0x9d]).unwrap_err(), WireError::Code(0x99d));
        assert_eq!(In::response(&[0x80, 1, 0]).unwrap_err(), WireError::Short);
        let mut good = In::response(&[0x80, 1, 0, 0, 0, 14, 0, 0, 0, 0, 0, 2, 5, 6]).unwrap();
        assert_eq!(good.sized().unwrap(), [5, 6]);
        assert_eq!(good.u8(), Err(WireError::Short));
    }
}
