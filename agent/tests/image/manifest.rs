//! `burin image pack`, and the protection that a manifest gives: every way in which somebody who controls the server
//! could deliver other bytes than the publisher's.

use crate::support::{self, *};
use minisign::KeyPair;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

struct Key {
    secret: PathBuf,
    public: String,
}

fn key(dir: &Path, name: &str) -> Key {
    let KeyPair { pk, sk } = KeyPair::generate_unencrypted_keypair().unwrap();
    let secret = dir.join(name);
    fs::write(&secret, sk.to_box(None).unwrap().into_string()).unwrap();
    Key { secret, public: pk.to_base64() }
}

fn pack(image: &Path, name: &str, version: &str, into: &Path, more: &[&str]) -> Output {
    let mut command = support::burin("image");
    command.args(["pack", "--json", "--name", name, "--version", version, "-o"]).arg(into).arg(image).args(more);
    command.output().unwrap()
}

fn packed(image: &[u8], name: &str, version: &str, into: &Path, more: &[&str]) {
    let source = into.with_extension("raw");
    fs::write(&source, image).unwrap();
    let output = pack(&source, name, version, into, more);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

fn write(manifest: &Path, target: &Path, more: &[&str]) -> Output {
    let mut command = support::burin("write");
    command.args(["--file", "--json", "--manifest"]).arg(manifest).args(more).arg(target).output().unwrap()
}

fn code(output: &Output) -> Value {
    assert_ne!(output.status.code(), Some(0));
    lines(output).last().map(|line| line["data"]["code"].clone()).unwrap_or_default()
}

fn all(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    found.sort();
    found
}

#[test]
fn the_same_image_gives_the_same_files_in_whatever_form_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = gpt_image(5 * MIB, 512);
    let (raw, gz) = (dir.path().join("x.raw"), dir.path().join("x.raw.gz"));
    fs::write(&raw, &bytes).unwrap();
    fs::write(&gz, tool(dir.path(), &["gzip", "-c"], &bytes)).unwrap();
    let folders = ["a", "b"].map(|name| dir.path().join(name));
    for (source, folder) in [&raw, &gz].into_iter().zip(&folders) {
        let output = pack(source, "debian", "13.1", folder, &[]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(printed["content"]["digest"], sha256(&bytes));
        assert_eq!((&printed["sector_size"], &printed["least_disk"]), (&512.into(), &bytes.len().into()));
    }
    assert_eq!(all(&folders[0]), all(&folders[1]));
    let names: Vec<String> = all(&folders[0]).into_iter().map(|(name, _)| name).collect();
    let wanted = ["debian-13.1.SHA256SUMS", "debian-13.1.caibx", "debian-13.1.json", "debian-13.1.raw.zst"];
    assert_eq!(names, wanted);
    let index = burin::image::Caibx::parse(&fs::read(folders[0].join("debian-13.1.caibx")).unwrap(), "x").unwrap();
    assert_eq!(index.length, bytes.len() as u64);
}

#[test]
fn what_was_published_is_written_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let (mine, other) = (key(dir.path(), "mine"), key(dir.path(), "other"));
    let folder = dir.path().join("published");
    let (bytes, old) = (image(5 * MIB), noise(5 * MIB, 7));
    let sign = ["--sign", mine.secret.to_str().unwrap()];
    packed(&bytes, "debian", "13.1", &folder, &sign);
    packed(&old, "debian", "12.9", &folder, &sign);
    packed(&old, "desktop", "14", &folder, &sign);
    let at = |name: &str| folder.join(name);
    let manifest = at("debian-13.1.json");
    let target = dirty_file(dir.path(), 8 * MIB);
    let before = fs::read(&target).unwrap();
    let wanted = ["--minisign", mine.public.as_str(), "--name", "debian", "--least-version", "13"];
    let untouched = |output: Output, wanted: &str| {
        assert_eq!(code(&output), wanted, "{output:?}");
        assert_eq!(fs::read(&target).unwrap(), before, "{wanted}: nothing may be written");
    };
    untouched(write(&at("debian-12.9.json"), &target, &wanted), "image.manifest_old");
    untouched(write(&at("desktop-14.json"), &target, &wanted), "image.manifest_name");
    let others = ["--minisign", other.public.as_str(), "--name", "debian"];
    untouched(write(&manifest, &target, &others), "image.signature_other_key");
    assert_eq!(write(&manifest, &target, &wanted[..2]).status.code(), Some(2), "a key without a name");

    // A changed manifest, an older one under the newer's name, and one without its signature.
    let (good, signature) = (fs::read(&manifest).unwrap(), fs::read(at("debian-13.1.json.minisig")).unwrap());
    fs::write(&manifest, String::from_utf8_lossy(&good).replace("13.1\"", "13.2\"")).unwrap();
    untouched(write(&manifest, &target, &wanted), "image.signature_invalid");
    fs::copy(at("debian-12.9.json"), &manifest).unwrap();
    fs::copy(at("debian-12.9.json.minisig"), at("debian-13.1.json.minisig")).unwrap();
    untouched(write(&manifest, &target, &wanted), "image.manifest_old");
    fs::remove_file(at("debian-13.1.json.minisig")).unwrap();
    untouched(write(&manifest, &target, &wanted), "image.signature_missing");
    fs::write(&manifest, &good).unwrap();
    fs::write(at("debian-13.1.json.minisig"), &signature).unwrap();

    // Another index, and another image, under the right names.
    let index = fs::read(at("debian-13.1.caibx")).unwrap();
    fs::copy(at("debian-12.9.caibx"), at("debian-13.1.caibx")).unwrap();
    untouched(write(&manifest, &target, &wanted), "image.digest_mismatch");
    fs::write(at("debian-13.1.caibx"), index).unwrap();
    let wire = fs::read(at("debian-13.1.raw.zst")).unwrap();
    fs::copy(at("debian-12.9.raw.zst"), at("debian-13.1.raw.zst")).unwrap();
    assert_eq!(code(&write(&manifest, &target, &wanted)), "image.digest_mismatch");
    assert_unbootable(&target);
    fs::write(at("debian-13.1.raw.zst"), wire).unwrap();

    let output = write(&manifest, &target, &wanted);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_written(&fs::read(&target).unwrap(), &bytes);
    // Once more: nearly all of it is there, and by its index that is found.
    let output = write(&manifest, &target, &wanted);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(lines(&output).last().unwrap()["data"]["delta"]["used"], true, "{output:?}");
}

#[test]
fn keys_with_a_password_and_names_that_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("x.raw");
    fs::write(&source, image(MIB)).unwrap();
    let KeyPair { sk, .. } = KeyPair::generate_encrypted_keypair(Some("hunter2".to_owned())).unwrap();
    let secret = dir.path().join("locked");
    fs::write(&secret, sk.to_box(None).unwrap().into_string()).unwrap();
    let (right, wrong) = (dir.path().join("right"), dir.path().join("wrong"));
    fs::write(&right, "hunter2\n").unwrap();
    fs::write(&wrong, "hunter3\n").unwrap();
    let problem = |output: &Output| -> Value {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["problem"]["code"].clone()
    };
    let signed = |password: &Path| {
        let more = ["--sign", secret.to_str().unwrap(), "--key-password-file", password.to_str().unwrap()];
        pack(&source, "debian", "1", &dir.path().join("out"), &more)
    };
    assert_eq!(problem(&signed(&wrong)), "pack.key");
    assert!(!dir.path().join("out").exists(), "a wrong password is told before any work");
    let output = signed(&right);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(dir.path().join("out/debian-1.json.minisig").exists());
    for name in ["../x", "a/b", "", "a b"] {
        assert_eq!(problem(&pack(&source, name, "1", dir.path(), &[])), "pack.name", "{name:?}");
    }
    fs::write(&source, b"KDMV and what follows, a disk of a virtual machine").unwrap();
    assert_eq!(problem(&pack(&source, "a", "1", dir.path(), &[])), "image.unsupported");
    assert_eq!(problem(&pack(&dir.path().join("absent"), "a", "1", dir.path(), &[])), "image.not_found");
}
