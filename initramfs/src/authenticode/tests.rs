use super::*;
use crate::arch::Arch;
use crate::uki;
use std::path::Path;
use std::process::{Command, Output};

fn run(directory: &Path, program: &str, args: &[&str]) -> Output {
    Command::new(program).current_dir(directory).args(args).output().unwrap()
}

/// A key with its certificate, made by openssl.
fn pair(directory: &Path, name: &str) {
    let (key, certificate, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/CN={name}"));
    let args = ["req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", &subject];
    let output = run(directory, "openssl", &[&args[..], &["-keyout", &key, "-out", &certificate]].concat());
    assert!(output.status.success(), "{output:?}");
}

fn program(directory: &Path) -> Option<Vec<u8>> {
    let stub = format!("/usr/lib/systemd/boot/efi/linux{}.efi.stub", Arch::X86_64.efi());
    let Ok(stub) = std::fs::read(&stub) else {
        burin_skip::skip!("{stub} is missing: install systemd-boot-efi");
        return None;
    };
    if Command::new("sbverify").arg("--version").output().is_err() {
        burin_skip::skip!("sbverify is missing: install sbsigntool");
        return None;
    }
    pair(directory, "ours");
    pair(directory, "other");
    // Odd lengths.
    let parts = uki::Parts {
        os_release: "ID=burin\n",
        cmdline: "quiet",
        uname: "6.1",
        kernel: &[7; 5001],
        initrd: &[9; 70_003],
        sbat: "burin,1,burin,burin-initramfs,0,https://burin.dev\n",
    };
    Some(uki::build(&stub, &parts, Arch::X86_64).unwrap())
}

#[test]
fn sbverify_accepts_what_is_signed_and_nothing_that_was_changed() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let Some(image) = program(at) else { return };
    let signer = Signer::load(&at.join("ours.key"), &at.join("ours.pem")).unwrap();
    let signed = sign(image.clone(), &signer).unwrap();
    assert_eq!(digest(&signed).unwrap(), digest(&image).unwrap(), "the signature is no part of it");
    assert_eq!(sign(image, &signer).unwrap(), signed, "the same input gives the same bytes");
    assert_eq!(sign(signed.clone(), &signer).unwrap(), signed, "one signature, not two");
    let verified = |bytes: &[u8], certificate: &str| {
        std::fs::write(at.join("image.efi"), bytes).unwrap();
        run(at, "sbverify", &["--cert", certificate, "image.efi"])
    };
    let output = verified(&signed, "ours.pem");
    assert!(output.status.success(), "{output:?}");
    assert!(!verified(&signed, "other.pem").status.success());
    // A byte of the ramdisk.
    let mut changed = signed.clone();
    let place = changed.len() - 4000;
    changed[place] ^= 1;
    assert!(!verified(&changed, "ours.pem").status.success());
    // Signed by sbsign, it has the same digest; and sbsign can remove our signature.
    std::fs::write(at.join("image.efi"), &signed).unwrap();
    let args = ["--key", "other.key", "--cert", "other.pem", "--output", "theirs.efi", "image.efi"];
    assert!(run(at, "sbsign", &args).status.success());
    let theirs = std::fs::read(at.join("theirs.efi")).unwrap();
    assert_eq!(digest(&theirs).unwrap(), digest(&signed).unwrap());
    // sbsign sets a checksum, which the digest does not cover and firmware ignores.
    let again = sign(theirs, &signer).unwrap();
    assert_eq!((again.len(), digest(&again).unwrap()), (signed.len(), digest(&signed).unwrap()));
    assert!(verified(&again, "ours.pem").status.success());
}

#[test]
fn a_key_and_its_certificate_belong_together() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    pair(at, "ours");
    pair(at, "other");
    let load = |key: &str, certificate: &str| Signer::load(&at.join(key), &at.join(certificate)).unwrap_err();
    assert!(matches!(load("ours.key", "other.pem"), SignerError::OtherKey { .. }));
    assert!(matches!(load("none.key", "ours.pem"), SignerError::Read { .. }));
    assert!(matches!(load("ours.pem", "ours.pem"), SignerError::Key { .. }));
    assert!(matches!(load("ours.key", "ours.key"), SignerError::Certificate { .. }));
    assert!(run(at, "openssl", &["genpkey", "-algorithm", "ed25519", "-out", "ed.key"]).status.success());
    let error = load("ed.key", "ours.pem");
    assert!(error.to_string().contains("sbsigntool"), "{error}");
    // PKCS#1, as older programs write it.
    assert!(run(at, "openssl", &["rsa", "-traditional", "-in", "ours.key", "-out", "old.key"]).status.success());
    Signer::load(&at.join("old.key"), &at.join("ours.pem")).unwrap();
}

#[test]
fn what_is_no_program_has_no_digest() {
    for bytes in [&b""[..], b"MZ", &[0; 4096]] {
        assert!(digest(bytes).is_err());
    }
}

proptest::proptest! {
    #[test]
    fn no_header_panics(patches in proptest::collection::vec((0usize..0x600, proptest::prelude::any::<u8>()), 0..20)) {
        let mut image = crate::uki::tests::stub();
        for (at, byte) in patches {
            image[at] = byte;
        }
        let _ = digest(&image);
    }
}
