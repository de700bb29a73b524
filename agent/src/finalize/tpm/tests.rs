use super::*;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A software TPM, accessed like a real one.
struct Software {
    child: Child,
    stream: UnixStream,
    _dir: tempfile::TempDir,
}

impl Software {
    fn start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let (server, control) = (dir.path().join("tpm"), dir.path().join("ctrl"));
        let child = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear", "--tpmstate"])
            .arg(format!("dir={}", dir.path().display()))
            .args(["--server", &format!("type=unixio,path={}", server.display())])
            .args(["--ctrl", &format!("type=unixio,path={}", control.display())])
            .stderr(std::process::Stdio::null())
            .spawn()
            .ok()?;
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if let Ok(stream) = UnixStream::connect(&server) {
                return Some(Self { child, stream, _dir: dir });
            }
            assert!(Instant::now() < until, "swtpm does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn extend(&mut self, pcr: u8, digest: [u8; 32]) {
        Tpm::new(&mut *self).pcr_extend(pcr, &digest).unwrap();
    }
}

impl Transport for &mut Software {
    fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.stream.write_all(command)?;
        let mut answer = vec![0; 4096];
        let length = self.stream.read(&mut answer)?;
        answer.truncate(length);
        Ok(answer)
    }
}

impl Drop for Software {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SECRET: [u8; 32] = *b"the key of a volume, 32 bytes...";

#[test]
fn what_is_sealed_comes_back_with_the_same_pcrs_alone() {
    let Some(mut tpm) = Software::start() else { return burin_skip::skip!("no swtpm here") };
    tpm.extend(7, [1; 32]);
    let sealed = seal(&mut tpm, &[7, 2, 7], &SECRET).unwrap();
    assert_eq!(sealed.pcrs, [2, 7]);
    for _ in 0..5 {
        // Nothing is left loaded: a TPM has only three slots.
        assert_eq!(unseal(&mut tpm, &sealed).unwrap().as_slice(), SECRET);
    }
    let mut damaged = sealed.clone();
    damaged.object.private[40] ^= 1;
    unseal(&mut tpm, &damaged).unwrap_err();
    tpm.extend(11, [3; 32]);
    unseal(&mut tpm, &sealed).unwrap();
    tpm.extend(7, [2; 32]);
    let error = unseal(&mut tpm, &sealed).unwrap_err();
    assert_eq!(error.code(), "tpm.other_state");
    assert!(matches!(seal(&mut tpm, &[99], &SECRET), Err(SealingError::NoPcr { .. })));
    let Some(mut other) = Software::start() else { return };
    other.extend(7, [1; 32]);
    unseal(&mut other, &sealed).unwrap_err();
}

#[test]
fn the_token_is_systemds_and_holds_no_secret() {
    let object = Created { private: vec![0xa, 0xb], public: systemd_data(&[0xab; 32]) };
    let sealed = Sealed { pcrs: vec![7], object, policy: [0xab; 32] };
    let token = sealed.token(2);
    assert_eq!(token["type"], "systemd-tpm2");
    assert_eq!((&token["keyslots"], &token["tpm2-pcrs"]), (&json!(["2"]), &json!([7])));
    assert_eq!(token["tpm2-policy-hash"], "ab".repeat(32));
    let blob = STANDARD.decode(token["tpm2-blob"].as_str().unwrap()).unwrap();
    // Both parts with their lengths: TPM_ALG_KEYEDHASH, TPM_ALG_SHA256, attributes, the policy, no scheme, no name.
    assert_eq!(blob[..14], [0, 2, 0xa, 0xb, 0, 46, 0, 8, 0, 0x0b, 0, 0, 0, 0x12]);
    assert_eq!(passphrase(&SECRET).len(), 44);
}

/// SHA-256 over zeros, the command code, the selection and the digest of a zero PCR 7 (TPM 2.0 Part 3, PolicyPCR).
#[test]
fn a_policy_is_known_before_it_is_met() {
    let known = "8b5682d81b29435d08d79278150611dc7e5923b2fefcce684a09577b40130a8b";
    let policy = |pcr| policy_pcr(&PcrValues([(pcr, [0; 32])].into()));
    assert_eq!(crate::protocol::hex(policy(7)), known);
    assert_ne!(policy(7), policy(8));
}

/// Returns any given answer.
struct Junk(Vec<u8>);

impl Transport for Junk {
    fn exchange(&mut self, _: &[u8]) -> io::Result<Vec<u8>> {
        Ok(self.0.clone())
    }
}

proptest::proptest! {
    #[test]
    fn junk_never_panics(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), good in proptest::bool::ANY) {
        if good && bytes.len() > 10 {
            bytes[6..10].copy_from_slice(&[0; 4]);
        }
        let _ = seal(Junk(bytes), &[7], &SECRET);
    }
}
