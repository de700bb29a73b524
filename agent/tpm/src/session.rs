//! Authorization of commands (part 1, section 19.4): the empty password, or a policy session.

use crate::bytes::Writer;

const TPM_RS_PW: u32 = 0x4000_0009;
/// The session remains open after the command.
const CONTINUE: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// The empty password.
    Empty,
    /// The handle of a policy session.
    Policy(u32),
}

impl Auth {
    fn to_bytes(self) -> Vec<u8> {
        let (handle, attributes) = match self {
            Self::Empty => (TPM_RS_PW, 0),
            Self::Policy(handle) => (handle, CONTINUE),
        };
        // No nonce, attributes, no password.
        Writer::default().u32(handle).sized(&[]).u8(attributes).sized(&[]).0
    }
}

/// The authorization area.
pub(crate) fn area(auths: &[Auth]) -> Vec<u8> {
    let all = auths.iter().map(|auth| auth.to_bytes()).collect::<Vec<_>>().concat();
    Writer::default().u32(u32::try_from(all.len()).unwrap_or_default()).raw(&all).0
}
