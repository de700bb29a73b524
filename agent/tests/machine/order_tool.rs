//! `burin order` with openssl and minisign: each accepts the keys and signatures of the others.

use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn burin(directory: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_burin")).current_dir(directory).args(args).output().unwrap()
}

fn succeeds(output: Output) -> Vec<u8> {
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

fn fails(output: &Output, code: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains(&format!("[{code}]")), "{output:?}");
}

fn shell(directory: &Path, program: &str, args: &[&str]) {
    let output = Command::new(program).current_dir(directory).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
}

fn order(directory: &Path) {
    let order = json!({
        "version": "order/v1", "id": "web-17",
        "valid": {"machines": ["Q3QM12"], "not_after": "2026-11-22T10:00:00Z"},
        "images": {"i": {"urls": ["https://h/i"]}}, "layouts": [{"name": "l", "disks": {"root": {"image": "i"}}}],
    });
    fs::write(directory.join("order.json"), format!("{order:#}\n")).unwrap();
}

#[test]
fn a_key_of_our_own_signs_and_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    order(at);
    fs::write(at.join("key.pub"), succeeds(burin(at, &["order", "keygen", "key.pem"]))).unwrap();
    fails(&burin(at, &["order", "keygen", "key.pem"]), "sign.file");
    succeeds(burin(at, &["order", "sign", "order.json", "--key", "key.pem", "--output", "signed.json"]));
    let said = succeeds(burin(at, &["order", "verify", "signed.json", "--key", "key.pub"]));
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("order web-17") && said.contains("Q3QM12"), "{said}");
    // The order comes out as it went in, byte by byte.
    let payload = succeeds(burin(at, &["order", "verify", "signed.json", "--key", "key.pub", "--payload"]));
    assert_eq!(payload, fs::read(at.join("order.json")).unwrap());

    fs::write(at.join("other.pub"), succeeds(burin(at, &["order", "keygen", "other.pem"]))).unwrap();
    fails(&burin(at, &["order", "verify", "signed.json", "--key", "other.pub"]), "sign.signature");
    fails(&burin(at, &["order", "verify", "order.json", "--key", "key.pub"]), "sign.not_an_envelope");
    fails(&burin(at, &["order", "sign", "order.json", "--key", "key.pub"]), "sign.secret_key");
    fs::write(at.join("bad.json"), r#"{"version": "order/v1", "id": "x", "layouts": []}"#).unwrap();
    fails(&burin(at, &["order", "sign", "bad.json", "--key", "key.pem"]), "order.invalid");
    // Both signatures, for policies that change keys.
    succeeds(burin(
        at,
        &["order", "sign", "order.json", "--key", "key.pem", "--key", "other.pem", "--output", "two.json"],
    ));
    for key in ["key.pub", "other.pub"] {
        succeeds(burin(at, &["order", "verify", "two.json", "--key", key]));
    }
}

#[test]
fn openssl_makes_keys_and_signatures_too() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    order(at);
    shell(at, "openssl", &["genpkey", "-algorithm", "ed25519", "-out", "key.pem"]);
    shell(at, "openssl", &["pkey", "-in", "key.pem", "-pubout", "-out", "key.pub"]);
    // Its key, our signature.
    succeeds(burin(at, &["order", "sign", "order.json", "--key", "key.pem", "--output", "signed.json"]));
    succeeds(burin(at, &["order", "verify", "signed.json", "--key", "key.pub"]));
    // Its key and its signature.
    fs::write(at.join("message"), succeeds(burin(at, &["order", "message", "order.json"]))).unwrap();
    shell(at, "openssl", &["pkeyutl", "-sign", "-rawin", "-inkey", "key.pem", "-in", "message", "-out", "signature"]);
    let attach =
        ["order", "attach", "order.json", "--signature", "signature", "--key", "key.pub", "--output", "attached.json"];
    succeeds(burin(at, &attach));
    assert_eq!(fs::read(at.join("attached.json")).unwrap(), fs::read(at.join("signed.json")).unwrap());
    // Our key, its verification.
    fs::write(at.join("ours.pub"), succeeds(burin(at, &["order", "keygen", "ours.pem"]))).unwrap();
    shell(at, "openssl", &["pkeyutl", "-sign", "-rawin", "-inkey", "ours.pem", "-in", "message", "-out", "signature"]);
    let verify =
        ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "ours.pub", "-in", "message", "-sigfile", "signature"];
    shell(at, "openssl", &verify);
    // A signature of something else is not attached.
    fails(&burin(at, &attach), "sign.signature");
}

#[test]
fn minisign_makes_keys_and_signatures_too() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    order(at);
    shell(at, "minisign", &["-G", "-W", "-p", "key.pub", "-s", "key.sec"]);
    fs::write(at.join("message"), succeeds(burin(at, &["order", "message", "order.json"]))).unwrap();
    shell(at, "minisign", &["-S", "-l", "-s", "key.sec", "-m", "message", "-x", "message.minisig"]);
    let attach = [
        "order",
        "attach",
        "order.json",
        "--signature",
        "message.minisig",
        "--key",
        "key.pub",
        "--output",
        "signed.json",
    ];
    succeeds(burin(at, &attach));
    succeeds(burin(at, &["order", "verify", "signed.json", "--key", "key.pub"]));
    // A prehashed signature is of another message.
    shell(at, "minisign", &["-S", "-s", "key.sec", "-m", "message", "-x", "message.minisig"]);
    fails(&burin(at, &attach), "sign.not_a_signature");
}

/// A hello whose sealing key is a point of P-256 that nobody has a TPM for: 65 bytes, as openssl makes it.
fn hello(directory: &Path) {
    shell(directory, "openssl", &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ec.pem"]);
    shell(directory, "openssl", &["ec", "-in", "ec.pem", "-pubout", "-outform", "DER", "-out", "ec.der"]);
    let info = fs::read(directory.join("ec.der")).unwrap();
    let point = &info[info.len() - 64..];
    let mut key = burin_tpm::sealing_key(&[0; 32]);
    key.shape = burin_tpm::Shape::P256 {
        symmetric: None,
        scheme: burin_tpm::Scheme::Null,
        x: point[..32].to_vec(),
        y: point[32..].to_vec(),
    };
    let key = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, key.to_bytes());
    let attestation = json!({"challenge": "", "quote": "", "signature": "", "registers": {}, "sealing_key": key});
    let hello = json!({
        "version": "hello/v1", "identity": {}, "boot_id": "b", "instance": "i", "agent_version": "0",
        "attestation": attestation,
    });
    fs::write(directory.join("hello.json"), hello.to_string()).unwrap();
}

#[test]
fn what_is_sealed_can_be_signed_and_is_not_readable_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    order(at);
    hello(at);
    let text = fs::read_to_string(at.join("order.json")).unwrap();
    let mut plain: serde_json::Value = serde_json::from_str(&text).unwrap();
    plain["attributes"] = json!({"password": "s3cret", "rack": 7});
    fs::write(at.join("order.json"), plain.to_string()).unwrap();
    let seal = |place: &str| {
        burin(at, &["order", "seal", "order.json", "--hello", "hello.json", "--at", place, "--output", "sealed.json"])
    };
    fails(&seal("/attributes/none"), "seal.place");
    fails(&seal("/attributes/rack"), "seal.place");
    succeeds(seal("/attributes/password"));
    let sealed = fs::read_to_string(at.join("sealed.json")).unwrap();
    assert!(sealed.contains("burin-sealed/v1:") && !sealed.contains("s3cret"), "{sealed}");
    succeeds(burin(at, &["order", "keygen", "key.pem"]));
    succeeds(burin(at, &["order", "sign", "sealed.json", "--key", "key.pem", "--output", "signed.json"]));
    fs::copy(at.join("sealed.json"), at.join("order.json")).unwrap();
    fails(&seal("/attributes/password"), "seal.place");
    fs::write(at.join("hello.json"), r#"{"version": "hello/v1"}"#).unwrap();
    fails(&seal("/attributes/password"), "seal.hello");
}
