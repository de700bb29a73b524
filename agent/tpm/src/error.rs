use burin_protocol::error::Coded;
use std::io;

/// Why a TPM command failed.
#[derive(Debug, thiserror::Error)]
pub enum TpmError {
    #[error("cannot communicate with the TPM for {command}")]
    Transport { command: &'static str, source: io::Error },
    #[error("the TPM refused {command}: {response:#05x}")]
    Refused { command: &'static str, response: u32 },
    #[error("the TPM's answer to {command} is not as specified")]
    Answer { command: &'static str },
}

/// Part 2, section 6.6: bits 0 to 5 of errors that concern a handle, a session or a parameter.
const FORMAT_ONE: u32 = 0x80;
const AUTH_FAIL: u32 = 0x8e;
const BAD_AUTH: u32 = 0xa2;
const POLICY_FAIL: u32 = 0x9d;
/// TPM_RC_LOCKOUT.
const LOCKOUT: u32 = 0x921;

impl TpmError {
    /// The error without the number of the handle, session or parameter that it concerns.
    fn kind(&self) -> Option<u32> {
        match self {
            Self::Refused { response, .. } if response & FORMAT_ONE != 0 => Some(response & 0xbf),
            Self::Refused { response, .. } => Some(*response),
            _ => None,
        }
    }

    /// The registers differ from those to which the object is bound.
    pub fn is_other_state(&self) -> bool {
        self.kind() == Some(POLICY_FAIL)
    }

    /// A password is set where there usually is none.
    pub fn wants_password(&self) -> bool {
        matches!(self.kind(), Some(AUTH_FAIL | BAD_AUTH))
    }
}

impl Coded for TpmError {
    fn code(&self) -> &'static str {
        match self {
            Self::Transport { .. } => "tpm.transport",
            Self::Refused { .. } if self.is_other_state() => "tpm.other_state",
            Self::Refused { .. } => "tpm.refused",
            Self::Answer { .. } => "tpm.answer",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Transport { .. } => "check that the TPM is enabled in the firmware's setup",
            Self::Refused { .. } if self.is_other_state() => {
                "seal it again for this state: firmware, boot loader, kernel, ramdisk or command line have changed"
            }
            Self::Refused { .. } if self.wants_password() => {
                "clear the TPM in the firmware's setup: its hierarchy has a password"
            }
            Self::Refused { response: LOCKOUT, .. } => {
                "wait some hours: the TPM is locked after wrong passwords and unlocks by itself"
            }
            Self::Refused { .. } | Self::Answer { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_response_code_is_about_does_not_hide_what_it_says() {
        let refused = |response| TpmError::Refused { command: "TPM2_Unseal", response };
        // TPM_RC_POLICY_FAIL of session 1; TPM_RC_AUTH_FAIL of session 1, TPM_RC_BAD_AUTH of session 2.
        assert_eq!(refused(0x99d).code(), "tpm.other_state");
        assert!(refused(0x98e).wants_password() && refused(0xaa2).wants_password());
        assert_eq!(refused(0x1c4).code(), "tpm.refused");
        assert!(refused(LOCKOUT).hint().unwrap().contains("locked"));
    }
}
