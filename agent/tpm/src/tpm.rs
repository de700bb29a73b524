//! Commands and responses (part 3).

use crate::bytes::{Reader, Writer};
use crate::credential::Challenge;
use crate::error::TpmError;
use crate::pcr::{PcrSelection, PcrValues, SHA256};
use crate::public::{Public, padded};
use crate::session::{Auth, area};
use crate::{ENDORSEMENT, Signed};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use zeroize::Zeroizing;

const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;
const NULL: u16 = 0x0010;
const RH_NULL: u32 = 0x4000_0007;
const OWNER: u32 = 0x4000_0001;
/// A policy session, TPM_SE.
const POLICY: u8 = 1;
/// Every TPM returns this many bytes of an index at once.
const NV_PIECE: u16 = 512;
/// Limit for an index; certificates are smaller.
const NV_MOST: u16 = 8192;

/// TPM_RC_YIELDED, TPM_RC_TESTING, TPM_RC_RETRY: the TPM is busy, and the command must be sent again.
const YIELDED: u32 = 0x908;
const TESTING: u32 = 0x90a;
const RETRY: u32 = 0x922;
/// Five seconds in total.
const RETRIES: u32 = 100;
const AGAIN: Duration = Duration::from_millis(50);

/// A connection to a TPM: sends a command, and returns the response.
pub trait Transport {
    fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>>;
}

impl<F: FnMut(&[u8]) -> io::Result<Vec<u8>>> Transport for F {
    fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self(command)
    }
}

/// An object in the TPM's working memory. With the kernel's resource manager (`/dev/tpmrm0`) it is flushed when the
/// device is closed, otherwise by [`Tpm::flush`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    pub handle: u32,
    pub public: Public,
}

/// An object as stored outside of the TPM, wrapped by its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// TPM2B_PRIVATE without its size.
    pub private: Vec<u8>,
    pub public: Public,
}

impl Created {
    /// TPM2B_PRIVATE and TPM2B_PUBLIC, one after the other, ready for loading.
    pub fn to_bytes(&self) -> Vec<u8> {
        Writer::default().sized(&self.private).sized(&self.public.to_bytes()).0
    }
}

#[derive(Debug)]
pub struct Tpm<T> {
    transport: T,
}

/// A command before its header is added.
struct Command<'a> {
    name: &'static str,
    code: u32,
    handles: &'a [u32],
    auths: &'a [Auth],
    parameters: Vec<u8>,
    /// Number of handles at the start of the response.
    returned: usize,
}

/// A response's handle and parameters.
struct Answer {
    name: &'static str,
    handle: u32,
    parameters: Zeroizing<Vec<u8>>,
}

impl Answer {
    fn read<V>(&self, read: impl FnOnce(&mut Reader<'_>) -> Option<V>) -> Result<V, TpmError> {
        read(&mut Reader(&self.parameters)).ok_or(TpmError::Answer { command: self.name })
    }
}

impl<T: Transport> Tpm<T> {
    pub fn new(transport: T) -> Self {
        Self { transport }
    }

    fn run(&mut self, command: Command<'_>) -> Result<Answer, TpmError> {
        let Command { name, code, handles, auths, parameters, returned } = command;
        let mut body = Writer::default();
        for handle in handles {
            body = body.u32(*handle);
        }
        if !auths.is_empty() {
            body = body.raw(&area(auths));
        }
        let tag = if auths.is_empty() { NO_SESSIONS } else { SESSIONS };
        let length = u32::try_from(10 + body.0.len() + parameters.len()).unwrap_or(u32::MAX);
        let bytes = Writer::default().u16(tag).u32(length).u32(code).raw(&body.0).raw(&parameters).0;
        let (bytes, _parameters) = (Zeroizing::new(bytes), Zeroizing::new(parameters));
        let mut left = RETRIES;
        loop {
            let answer = self.transport.exchange(&bytes);
            let answer = Zeroizing::new(answer.map_err(|source| TpmError::Transport { command: name, source })?);
            match parse(name, &answer, returned) {
                Err(TpmError::Refused { response: YIELDED | TESTING | RETRY, .. }) if left > 0 => left -= 1,
                answer => return answer,
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// Starts a TPM that no firmware has started, as in tests.
    pub fn startup(&mut self) -> Result<(), TpmError> {
        let clear = Writer::default().u16(0).0;
        let command =
            Command { name: "TPM2_Startup", code: 0x144, handles: &[], auths: &[], parameters: clear, returned: 0 };
        self.run(command).map(drop)
    }

    /// As many random bytes as requested, up to the limit of one response.
    pub fn random(&mut self, count: u16) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let parameters = Writer::default().u16(count).0;
        let command =
            Command { name: "TPM2_GetRandom", code: 0x17b, handles: &[], auths: &[], parameters, returned: 0 };
        self.run(command)?.read(|reader| reader.sized().map(|bytes| Zeroizing::new(bytes.to_vec())))
    }

    /// Reads registers of the SHA-256 bank. Registers that the TPM does not have in this bank are missing from the
    /// result.
    pub fn pcr_read(&mut self, selection: PcrSelection) -> Result<PcrValues, TpmError> {
        let (mut values, mut left) = (BTreeMap::new(), selection);
        // A response contains at most eight.
        while !left.is_empty() {
            let parameters = left.to_bytes();
            let command =
                Command { name: "TPM2_PCR_Read", code: 0x17e, handles: &[], auths: &[], parameters, returned: 0 };
            let answer = self.run(command)?;
            let (read, digests) = answer.read(|reader| {
                let (_counter, read) = (reader.u32()?, PcrSelection::read(reader)?);
                let count = reader.u32()?;
                let digests = (0..count.min(8)).map(|_| reader.sized()?.try_into().ok());
                Some((read, digests.collect::<Option<Vec<[u8; 32]>>>()?))
            })?;
            let rest = left.without(read);
            // No progress: the same response would be repeated forever.
            if digests.is_empty() || rest == left {
                break;
            }
            values.extend(read.numbers().zip(digests));
            left = rest;
        }
        Ok(PcrValues(values))
    }

    /// Extends `digest` into a register of the SHA-256 bank.
    pub fn pcr_extend(&mut self, number: u8, digest: &[u8; 32]) -> Result<(), TpmError> {
        let parameters = Writer::default().u32(1).u16(SHA256).raw(digest).0;
        let (handles, auths) = (&[u32::from(number)][..], &[Auth::Empty][..]);
        let command = Command { name: "TPM2_PCR_Extend", code: 0x182, handles, auths, parameters, returned: 0 };
        self.run(command).map(drop)
    }

    /// Creates a primary key: the same hierarchy and template give the same key every time.
    pub fn create_primary(&mut self, hierarchy: u32, template: &Public) -> Result<Loaded, TpmError> {
        // No password and no data; no outside data, no registers.
        let parameters = Writer::default().sized(&[0, 0, 0, 0]).sized(&template.to_bytes()).sized(&[]).u32(0).0;
        let (handles, auths) = (&[hierarchy][..], &[Auth::Empty][..]);
        let command = Command { name: "TPM2_CreatePrimary", code: 0x131, handles, auths, parameters, returned: 1 };
        let answer = self.run(command)?;
        let public = answer.read(|reader| Public::parse(reader.sized()?))?;
        Ok(Loaded { handle: answer.handle, public })
    }

    /// Creates an object below `parent`, which has no password. `data` is the data to seal, if the object is not a key.
    pub fn create(&mut self, parent: u32, template: &Public, data: &[u8]) -> Result<Created, TpmError> {
        // Allocated at its final size, so that growing leaves no copy behind.
        let mut sensitive = Zeroizing::new(Vec::with_capacity(data.len() + 4));
        sensitive.extend_from_slice(&Writer::default().sized(&[]).u16(u16::try_from(data.len()).unwrap_or(u16::MAX)).0);
        sensitive.extend_from_slice(data);
        let parameters = Writer::default().sized(&sensitive).sized(&template.to_bytes()).sized(&[]).u32(0).0;
        let (handles, auths) = (&[parent][..], &[Auth::Empty][..]);
        let command = Command { name: "TPM2_Create", code: 0x153, handles, auths, parameters, returned: 0 };
        self.run(command)?.read(|reader| {
            let private = reader.sized()?.to_vec();
            Some(Created { private, public: Public::parse(reader.sized()?)? })
        })
    }

    pub fn load(&mut self, parent: u32, object: &Created) -> Result<Loaded, TpmError> {
        let parameters = object.to_bytes();
        let (handles, auths) = (&[parent][..], &[Auth::Empty][..]);
        let command = Command { name: "TPM2_Load", code: 0x157, handles, auths, parameters, returned: 1 };
        let answer = self.run(command)?;
        Ok(Loaded { handle: answer.handle, public: object.public.clone() })
    }

    /// Returns the data passed to [`Tpm::create`].
    pub fn unseal(&mut self, object: u32, auth: Auth) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let (handles, auths, parameters) = (&[object][..], &[auth][..], Vec::new());
        let command = Command { name: "TPM2_Unseal", code: 0x15e, handles, auths, parameters, returned: 0 };
        self.run(command)?.read(|reader| reader.sized().map(|bytes| Zeroizing::new(bytes.to_vec())))
    }

    /// The public area of a key that is loaded or persistent.
    pub fn read_public(&mut self, handle: u32) -> Result<Public, TpmError> {
        let (handles, parameters) = (&[handle][..], Vec::new());
        let command = Command { name: "TPM2_ReadPublic", code: 0x173, handles, auths: &[], parameters, returned: 0 };
        self.run(command)?.read(|reader| Public::parse(reader.sized()?))
    }

    /// Removes an object or a session from the TPM's working memory.
    pub fn flush(&mut self, handle: u32) -> Result<(), TpmError> {
        let parameters = Writer::default().u32(handle).0;
        let (handles, auths) = (&[][..], &[][..]);
        let command = Command { name: "TPM2_FlushContext", code: 0x165, handles, auths, parameters, returned: 0 };
        self.run(command).map(drop)
    }

    /// Starts a policy session, neither bound nor salted: its responses are not encrypted on the bus to the TPM.
    pub fn policy_session(&mut self) -> Result<u32, TpmError> {
        let nonce = self.random(16)?;
        let parameters = Writer::default().sized(&nonce).sized(&[]).u8(POLICY).u16(NULL).u16(SHA256).0;
        let (handles, auths) = (&[RH_NULL, RH_NULL][..], &[][..]);
        let command = Command { name: "TPM2_StartAuthSession", code: 0x176, handles, auths, parameters, returned: 1 };
        self.run(command).map(|answer| answer.handle)
    }

    /// Binds the session to the current values of the registers.
    pub fn policy_pcr(&mut self, session: u32, selection: PcrSelection) -> Result<(), TpmError> {
        let parameters = Writer::default().sized(&[]).raw(&selection.to_bytes()).0;
        let (handles, auths) = (&[session][..], &[][..]);
        let command = Command { name: "TPM2_PolicyPCR", code: 0x17f, handles, auths, parameters, returned: 0 };
        self.run(command).map(drop)
    }

    /// Proves the password of `authority`, which is empty, in the session. Endorsement keys require this.
    pub fn policy_secret(&mut self, session: u32, authority: u32) -> Result<(), TpmError> {
        let parameters = Writer::default().sized(&[]).sized(&[]).sized(&[]).u32(0).0;
        let (handles, auths) = (&[authority, session][..], &[Auth::Empty][..]);
        let command = Command { name: "TPM2_PolicySecret", code: 0x151, handles, auths, parameters, returned: 0 };
        self.run(command).map(drop)
    }

    /// The policy digest of a session so far.
    pub fn policy_digest(&mut self, session: u32) -> Result<Vec<u8>, TpmError> {
        let (handles, parameters) = (&[session][..], Vec::new());
        let command =
            Command { name: "TPM2_PolicyGetDigest", code: 0x189, handles, auths: &[], parameters, returned: 0 };
        self.run(command)?.read(|reader| reader.sized().map(<[u8]>::to_vec))
    }

    /// Quotes the registers: signs them, together with `nonce` (at most 32 bytes), with an attestation key.
    pub fn quote(&mut self, key: u32, nonce: &[u8], selection: &PcrSelection) -> Result<Signed, TpmError> {
        let parameters = Writer::default().sized(nonce).u16(NULL).raw(&selection.to_bytes()).0;
        let (handles, auths) = (&[key][..], &[Auth::Empty][..]);
        let command = Command { name: "TPM2_Quote", code: 0x158, handles, auths, parameters, returned: 0 };
        self.run(command)?
            .read(|reader| Some(Signed { attest: reader.sized()?.to_vec(), signature: reader.0.to_vec() }))
    }

    /// Opens a challenge that was made for the holder of the key `endorsement`, and only for `key`.
    pub fn activate_credential(
        &mut self,
        key: u32,
        endorsement: u32,
        challenge: &Challenge,
    ) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let session = self.policy_session()?;
        let activated = self.policy_secret(session, ENDORSEMENT).and_then(|()| {
            let parameters = Writer::default().sized(&challenge.credential).sized(&challenge.secret).0;
            let (handles, auths) = (&[key, endorsement][..], &[Auth::Empty, Auth::Policy(session)][..]);
            let name = "TPM2_ActivateCredential";
            let answer = self.run(Command { name, code: 0x147, handles, auths, parameters, returned: 0 })?;
            answer.read(|reader| reader.sized().map(|bytes| Zeroizing::new(bytes.to_vec())))
        });
        // If this fails, the response is still valid.
        let _ = self.flush(session);
        activated
    }

    /// The shared secret of a P-256 key and the other side's point (65 bytes, uncompressed): its x coordinate.
    pub fn ecdh(&mut self, key: u32, point: &[u8], auth: Auth) -> Result<Zeroizing<[u8; 32]>, TpmError> {
        let name = "TPM2_ECDH_ZGen";
        let (x, y) = point.get(1..33).zip(point.get(33..65)).ok_or(TpmError::Answer { command: name })?;
        let point = Writer::default().sized(x).sized(y).0;
        let parameters = Writer::default().sized(&point).0;
        let (handles, auths) = (&[key][..], &[auth][..]);
        self.run(Command { name, code: 0x154, handles, auths, parameters, returned: 0 })?.read(|reader| {
            let mut point = Reader(reader.sized()?);
            padded(point.sized()?).map(Zeroizing::new)
        })
    }

    /// The contents of an index that is readable by everybody, or by the owner without a password. `None` if there is
    /// no such index.
    pub fn nv_read(&mut self, index: u32) -> Result<Option<Vec<u8>>, TpmError> {
        let (handles, parameters) = (&[index][..], Vec::new());
        let name = "TPM2_NV_ReadPublic";
        let answer = self.run(Command { name, code: 0x169, handles, auths: &[], parameters, returned: 0 });
        let answer = match answer {
            // TPM_RC_HANDLE for the first handle.
            Err(TpmError::Refused { response: 0x18b, .. }) => return Ok(None),
            answer => answer?,
        };
        let size = answer.read(|reader| {
            let mut public = Reader(reader.sized()?);
            let (_index, _names, _attributes, _policy) = (public.u32()?, public.u16()?, public.u32()?, public.sized()?);
            public.u16()
        })?;
        let by_index = self.nv_data(index, index, size);
        by_index.or_else(|_| self.nv_data(OWNER, index, size)).map(Some)
    }

    fn nv_data(&mut self, authority: u32, index: u32, size: u16) -> Result<Vec<u8>, TpmError> {
        let (mut data, size) = (Vec::new(), size.min(NV_MOST));
        while data.len() < usize::from(size) {
            let at = u16::try_from(data.len()).unwrap_or(size);
            let parameters = Writer::default().u16((size - at).min(NV_PIECE)).u16(at).0;
            let (handles, auths) = (&[authority, index][..], &[Auth::Empty][..]);
            let command = Command { name: "TPM2_NV_Read", code: 0x14e, handles, auths, parameters, returned: 0 };
            let piece = self.run(command)?.read(|reader| reader.sized().map(<[u8]>::to_vec))?;
            if piece.is_empty() {
                return Err(TpmError::Answer { command: "TPM2_NV_Read" });
            }
            data.extend(piece);
        }
        data.truncate(usize::from(size));
        Ok(data)
    }
}

fn parse(name: &'static str, bytes: &[u8], returned: usize) -> Result<Answer, TpmError> {
    let malformed = || TpmError::Answer { command: name };
    let mut reader = Reader(bytes);
    let header = (|| Some((reader.u16()?, reader.u32()?, reader.u32()?)))();
    let (tag, length, response) = header.ok_or_else(malformed)?;
    if response != 0 {
        return Err(TpmError::Refused { command: name, response });
    }
    if usize::try_from(length).ok() != Some(bytes.len()) {
        return Err(malformed());
    }
    let handle = if returned == 0 { Some(0) } else { reader.u32() }.ok_or_else(malformed)?;
    let parameters = if tag == SESSIONS {
        let size = reader.u32().and_then(|size| usize::try_from(size).ok());
        size.and_then(|size| reader.take(size)).ok_or_else(malformed)?
    } else {
        reader.0
    };
    Ok(Answer { name, handle, parameters: Zeroizing::new(parameters.to_vec()) })
}

#[cfg(test)]
#[path = "tpm_tests.rs"]
mod tests;
