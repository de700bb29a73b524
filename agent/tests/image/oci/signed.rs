//! cosign's signatures, made with openssl.

use super::{fails, run, writes};
use crate::support::*;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

struct Signer {
    dir: PathBuf,
    name: &'static str,
}

impl Signer {
    fn new(dir: &Path, name: &'static str, curve: &str) -> Self {
        let signer = Self { dir: dir.to_owned(), name };
        let (key, public) = (signer.path("key"), signer.path("pub"));
        openssl(&["ecparam", "-name", curve, "-genkey", "-noout", "-out", &key]);
        openssl(&["ec", "-in", &key, "-pubout", "-out", &public]);
        signer
    }

    fn path(&self, kind: &str) -> String {
        self.dir.join(format!("{}.{kind}", self.name)).to_str().unwrap().to_owned()
    }

    /// Base64 of a signature in DER.
    fn sign(&self, bytes: &[u8]) -> String {
        let (from, to) = (self.path("bytes"), self.path("sig"));
        fs::write(&from, bytes).unwrap();
        openssl(&["dgst", "-sha256", "-sign", &self.path("key"), "-out", &to, &from]);
        BASE64_STANDARD.encode(fs::read(to).unwrap())
    }
}

fn openssl(args: &[&str]) {
    let done = Command::new("openssl").args(args).output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

fn payload(digest: &str) -> Vec<u8> {
    let image = json!({"docker-manifest-digest": digest});
    let critical =
        json!({"identity": {"docker-reference": "r/x"}, "image": image, "type": "cosign container image signature"});
    json!({"critical": critical, "optional": null}).to_string().into_bytes()
}

/// As `cosign sign --key` did for years.
fn simple(registry: &Registry, digest: &str, payload: &[u8], signature: &str) {
    let mut layer = registry.blob("application/vnd.dev.cosign.simplesigning.v1+json", payload.to_vec());
    layer["annotations"] = json!({"dev.cosignproject.cosign/signature": signature});
    let config = registry.blob(CONFIG, b"{}".to_vec());
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
    registry.manifest(&format!("{}.sig", digest.replace(':', "-")), &manifest);
}

fn statement(digest: &str, predicate: &str) -> Vec<u8> {
    let (_, hex) = digest.split_once(':').unwrap();
    let subject = json!([{"digest": {"sha256": hex}}]);
    json!({"_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": predicate, "predicate": {}})
        .to_string()
        .into_bytes()
}

/// As newer ones do: a bundle that refers to the image. Returns the index of who refers to it.
fn bundle(registry: &Registry, statement: &[u8], signer: &Signer) -> Vec<u8> {
    let kind = "application/vnd.in-toto+json";
    let encoded = [format!("DSSEv1 {} {kind} {} ", kind.len(), statement.len()).as_bytes(), statement].concat();
    let envelope = json!({"payload": BASE64_STANDARD.encode(statement), "payloadType": kind, "signatures": [{"sig": signer.sign(&encoded)}]});
    let of = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let bundle =
        json!({"mediaType": of, "verificationMaterial": {"publicKey": {"hint": "x"}}, "dsseEnvelope": envelope});
    let layer = registry.blob(of, bundle.to_string().into_bytes());
    let config = registry.blob(EMPTY, b"{}".to_vec());
    let manifest =
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": of, "config": config, "layers": [layer]});
    let mut entry = registry.manifest("bundle", &manifest);
    entry["artifactType"] = Value::from(of);
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).to_string().into_bytes()
}

const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

#[test]
fn the_old_form_and_the_new_one_are_right_by_their_key_only() {
    let dir = tempfile::tempdir().unwrap();
    if !have("openssl") {
        return;
    }
    let (mine, other) = (Signer::new(dir.path(), "mine", "prime256v1"), Signer::new(dir.path(), "other", "prime256v1"));
    let (image, registry) = (image(2 * MIB), Registry::new());
    let digest = registry.artefact("one", &[("disk", image.clone())])["digest"].as_str().unwrap().to_owned();
    let another = registry.artefact("another", &[("disk", noise(2 * MIB, 3))])["digest"].as_str().unwrap().to_owned();
    let (name, key) = (registry.name("one"), mine.path("pub"));
    let trust = ["--cosign", key.as_str()];
    fails(dir.path(), &name, &trust, "image.signature_missing");
    let good = payload(&digest);
    simple(&registry, &digest, &good, &mine.sign(&good));
    writes(dir.path(), &name, &trust, &image);
    fails(dir.path(), &name, &["--cosign", &other.path("pub")], "image.signature_invalid");
    // A good signature of something else: another image, another kind of payload, one byte more.
    let copied = payload(&another);
    let odd = String::from_utf8(good.clone())
        .unwrap()
        .replace("cosign container image signature", "atomic container signature");
    let longer = [&good[..], b" "].concat();
    for (signed, shown) in [(&copied, &copied), (&odd.clone().into_bytes(), &odd.into_bytes()), (&good, &longer)] {
        simple(&registry, &digest, shown, &mine.sign(signed));
        fails(dir.path(), &name, &trust, "image.signature_invalid");
    }
    simple(&registry, &digest, &good, "junk");
    fails(dir.path(), &name, &trust, "image.signature_invalid");
    // The tag moved to an image that nobody signed.
    fails(dir.path(), &registry.name("another"), &trust, "image.signature_missing");

    let referrers = format!("referrers/{digest}");
    let fallback = format!("manifests/{}", digest.replace(':', "-"));
    for at in [&referrers, &fallback] {
        registry.put(at, INDEX, bundle(&registry, &statement(&digest, SIGN), &mine));
        writes(dir.path(), &name, &trust, &image);
        let wrong = [
            bundle(&registry, &statement(&digest, SIGN), &other),
            bundle(&registry, &statement(&another, SIGN), &mine),
            bundle(&registry, &statement(&digest, "https://spdx.dev/Document"), &mine),
        ];
        for index in wrong {
            registry.put(at, INDEX, index);
            fails(dir.path(), &name, &trust, "image.signature_invalid");
        }
        // A registry that knows no referrers says so.
        registry.remove(at);
    }
}

#[test]
fn a_signature_of_the_index_covers_what_it_leads_to() {
    let dir = tempfile::tempdir().unwrap();
    if !have("openssl") {
        return;
    }
    let mine = Signer::new(dir.path(), "mine", "prime256v1");
    let (image, registry, key) = (image(2 * MIB), Registry::new(), mine.path("pub"));
    let mut entry = registry.artefact("one", &[("disk", image.clone())]);
    entry["platform"] = json!({"os": "linux", "architecture": architecture()});
    let index = registry.manifest("index", &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}));
    let digest = index["digest"].as_str().unwrap();
    let good = payload(digest);
    simple(&registry, digest, &good, &mine.sign(&good));
    writes(dir.path(), &registry.name("index"), &["--cosign", &key], &image);
    fails(dir.path(), &registry.name("one"), &["--cosign", &key], "image.signature_missing");
}

#[test]
fn keys_of_other_kinds_are_told() {
    let dir = tempfile::tempdir().unwrap();
    if !have("openssl") {
        return;
    }
    let registry = Registry::new();
    registry.artefact("one", &[("disk", image(2 * MIB))]);
    let larger = Signer::new(dir.path(), "larger", "secp384r1").path("pub");
    for key in
        [larger.as_str(), "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3", "-----BEGIN PUBLIC KEY-----"]
    {
        fails(dir.path(), &registry.name("one"), &["--cosign", key], "image.signature_key");
    }
    // Each has its own flag and its own images.
    let good = Signer::new(dir.path(), "good", "prime256v1").path("pub");
    fails(dir.path(), "http://127.0.0.1:1/x", &["--cosign", &good], "image.unsupported");
    fails(dir.path(), &registry.name("one"), &["--minisign", &good], "image.unsupported");
    assert_eq!(run(dir.path(), &registry.name("one"), &["--minisign", "x", "--cosign", "y"]).status.code(), Some(2));
}
