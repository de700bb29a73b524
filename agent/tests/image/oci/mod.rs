//! Images in registries: their detection, and attacks by a registry or somebody on the network.

mod auth;
mod signed;

use crate::support::*;
use burin::error::Coded;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Output;

/// `burin write SOURCE` to a file of 12 MiB, with nothing of the environment that would know passwords.
fn run(dir: &Path, source: &str, more: &[&str]) -> Output {
    let target = dirty_file(dir, 12 * MIB);
    let mut command = burin("write");
    command.args([source, "--file", "--json", "--patience", "2"]).arg(target).args(more);
    for name in ["HOME", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "REGISTRY_AUTH_FILE"] {
        command.env(name, dir);
    }
    command.env_remove("REGISTRY_AUTH_FILE").output().unwrap()
}

/// `receipt`, or the code of the error.
fn code(output: &Output) -> String {
    let last = lines(output).pop().unwrap_or_else(|| panic!("{output:?}"));
    last["data"]["code"].as_str().or(last["event"].as_str()).unwrap().to_owned()
}

#[track_caller]
fn writes(dir: &Path, source: &str, more: &[&str], image: &[u8]) -> Value {
    let output = run(dir, source, more);
    assert_eq!(code(&output), "receipt", "{source}: {output:?}");
    assert_written(&fs::read(dir.join("target")).unwrap(), image);
    lines(&output).pop().unwrap()["data"].clone()
}

/// Nothing that boots is there, and if nothing was written the target is as it was.
#[track_caller]
fn fails(dir: &Path, source: &str, more: &[&str], wanted: &str) -> String {
    let output = run(dir, source, more);
    assert_eq!((code(&output).as_str(), output.status.code()), (wanted, Some(1)), "{source}: {output:?}");
    let left = fs::read(dir.join("target")).unwrap();
    assert!(left == dirt(left.len()) || left[..MIB].iter().all(|byte| *byte == 0), "{source}: something boots");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn qcow2(dir: &Path, image: &[u8]) -> Vec<u8> {
    let (raw, packed) = (dir.join("raw"), dir.join("packed.qcow2"));
    fs::write(&raw, image).unwrap();
    let made =
        std::process::Command::new("qemu-img").args(["convert", "-c", "-O", "qcow2"]).args([&raw, &packed]).status();
    assert!(made.unwrap().success());
    fs::read(packed).unwrap()
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o440);
        archive.append_data(&mut header, path, *bytes).unwrap();
    }
    archive.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn artefacts_are_disks_in_any_form() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(9 * MIB);
    let registry = Registry::new();
    let forms = [("raw", image.clone()), ("zst", zstd::bulk::compress(&image, 1).unwrap()), ("gz", gzip(&image))];
    for (tag, bytes) in forms {
        let digest = registry.artefact(tag, &[("disk", bytes)])["digest"].as_str().unwrap().to_owned();
        let receipt = writes(dir.path(), &registry.name(tag), &[], &image);
        // What was fetched, whatever the tag says tomorrow.
        assert_eq!(receipt["url"], format!("{}@{digest}", registry.name(tag)));
        writes(
            dir.path(),
            &format!("oci+http://{}/team/image@{digest}", registry.host),
            &["--connections", "3"],
            &image,
        );
    }
    if have("qemu-img") {
        registry.artefact("qcow2", &[("disk.qcow2", qcow2(dir.path(), &image))]);
        writes(dir.path(), &registry.name("qcow2"), &[], &image);
    }
    // Broken off and resumed; the digest of the whole still counts.
    registry.cut(&[100, 4 * MIB, 0]);
    writes(dir.path(), &registry.name("raw"), &[], &image);
    assert!(registry.requests().iter().any(|head| head.to_lowercase().contains("\r\nrange: bytes=")));
}

#[test]
fn one_of_several_files_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (image, registry) = (image(2 * MIB), Registry::new());
    registry.artefact("two", &[("notes.txt", b"words".to_vec()), ("disk.raw", image.clone())]);
    let text = fails(dir.path(), &registry.name("two"), &[], "image.oci_choice");
    assert!(text.contains("notes.txt, disk.raw"), "{text}");
    writes(dir.path(), &format!("{}#disk.raw", registry.name("two")), &[], &image);
    fails(dir.path(), &format!("{}#other", registry.name("two")), &[], "image.oci_choice");
}

#[test]
fn container_disks_are_taken_out_of_their_layer() {
    let dir = tempfile::tempdir().unwrap();
    let (image, registry) = (image(9 * MIB), Registry::new());
    let plain = tar(&[("etc/passwd", b"x"), ("disk/vm.img", &image), ("disk.img", b"no disk")]);
    registry.container("raw", &[(LAYER, plain.clone(), &plain)]);
    let receipt = writes(dir.path(), &registry.name("raw"), &[], &image);
    assert!(receipt["url"].as_str().unwrap().ends_with("layer 1 of 1, disk/vm.img"), "{receipt}");
    let packed = gzip(&plain);
    let above = tar(&[("etc/other", b"y")]);
    let gzipped = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    registry.container(
        "layers",
        &[(LAYER, above.clone(), &above), (gzipped, packed, &plain), (LAYER, above.clone(), &above)],
    );
    writes(dir.path(), &registry.name("layers"), &[], &image);
    if have("qemu-img") {
        let plain = tar(&[("./disk/", b""), ("./disk/vm.qcow2", &qcow2(dir.path(), &image))]);
        registry.container("qcow2", &[(gzipped, gzip(&plain), &plain)]);
        writes(dir.path(), &registry.name("qcow2"), &[], &image);
    }
    registry.container("none", &[(LAYER, above.clone(), &above)]);
    fails(dir.path(), &registry.name("none"), &[], "image.oci_kind");
    // The layer goes on behind the disk, and is another one there.
    let mut other = tar(&[("disk/vm.img", &image), ("etc/passwd", b"root")]);
    let layer = registry.container("swapped", &[(LAYER, other.clone(), &other)]);
    let at = other.len() - 1100;
    other[at] ^= 1;
    let manifest = fetched(&registry, layer["digest"].as_str().unwrap());
    let digest = manifest["layers"][0]["digest"].as_str().unwrap();
    registry.put(&format!("blobs/{digest}"), LAYER, other.clone());
    fails(dir.path(), &registry.name("swapped"), &[], "image.digest_mismatch");
    registry.put(&format!("blobs/{digest}"), LAYER, other[..5 * MIB].to_vec());
    fails(dir.path(), &registry.name("swapped"), &[], "image.corrupt");
}

fn fetched(registry: &Registry, digest: &str) -> Value {
    let url = format!("http://{}/v2/team/image/manifests/{digest}", registry.host);
    let mut reply = agent().get(url).header("accept", format!("{MANIFEST}, {INDEX}")).call().unwrap();
    serde_json::from_str(&reply.body_mut().read_to_string().unwrap()).unwrap()
}

#[test]
fn an_index_is_searched_for_this_machine() {
    let dir = tempfile::tempdir().unwrap();
    let (image, registry) = (image(2 * MIB), Registry::new());
    let entry = |tag: &str, bytes: &[u8], platform: Value| {
        let mut entry = registry.artefact(tag, &[("disk", bytes.to_vec())]);
        entry["platform"] = platform;
        entry
    };
    let other = entry("other", &noise(2 * MIB, 9), json!({"os": "linux", "architecture": "mips"}));
    let mine = entry("mine", &image, json!({"os": "linux", "architecture": architecture()}));
    let index = |entries: &[&Value]| json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    let inner = registry.manifest("both", &index(&[&other, &mine]));
    writes(dir.path(), &registry.name("both"), &[], &image);
    registry.manifest("nested", &index(&[&inner]));
    writes(dir.path(), &registry.name("nested"), &[], &image);
    registry.manifest("others", &index(&[&other, &other]));
    let text = fails(dir.path(), &registry.name("others"), &[], "image.oci_platform");
    assert!(text.contains("linux/mips"), "{text}");
    let mut innermost = inner;
    for _ in 0..6 {
        innermost = registry.manifest("deep", &index(&[&innermost]));
    }
    fails(dir.path(), &registry.name("deep"), &[], "image.corrupt");
}

#[test]
fn what_is_not_what_its_digest_says_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (image, registry) = (image(2 * MIB), Registry::new());
    let right = registry.artefact("right", &[("disk", image.clone())]);
    let wrong = registry.artefact("wrong", &[("disk", noise(2 * MIB, 7))]);
    let digest = right["digest"].as_str().unwrap();
    let pinned = format!("oci+http://{}/team/image:right@{digest}", registry.host);
    writes(dir.path(), &pinned, &[], &image);
    // Another manifest under the digest, and then another one that an index leads to.
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [right]});
    registry.manifest("index", &index);
    let manifest = fetched(&registry, wrong["digest"].as_str().unwrap());
    registry.put(&format!("manifests/{digest}"), MANIFEST, manifest.to_string().into_bytes());
    for source in [pinned.as_str(), &registry.name("index")] {
        let text = fails(dir.path(), source, &[], "image.digest_mismatch");
        assert!(text.contains("the manifest has"), "{text}");
    }
    // Another blob, of the same length.
    let blob = manifest["layers"][0]["digest"].as_str().unwrap();
    registry.put(&format!("blobs/{blob}"), "x", image.clone());
    fails(dir.path(), &registry.name("wrong"), &[], "image.digest_mismatch");
    // What the order says of the download holds too.
    fails(dir.path(), &registry.name("right"), &["--sha256", &"0".repeat(64)], "image.digest_mismatch");
    // Documents that are none, and without end.
    registry.put("manifests/junk", MANIFEST, b"<html>".to_vec());
    registry.put("manifests/large", MANIFEST, vec![b' '; 5 * MIB]);
    fails(dir.path(), &registry.name("junk"), &[], "image.corrupt");
    fails(dir.path(), &registry.name("large"), &[], "image.corrupt");
    fails(dir.path(), &registry.name("missing"), &[], "image.not_found");
    for reference in ["oci://host", "oci://host/x", "oci://u:p@host/x:1", "oci+http://host/x:1?y"] {
        fails(dir.path(), reference, &[], "image.oci_reference");
    }
}

#[test]
fn another_registry_steps_in() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(9 * MIB);
    let (first, second) = (Registry::new(), Registry::new());
    second.artefact("one", &[("disk", image.clone())]);
    writes(dir.path(), &first.name("one"), &["--mirror", &second.name("one")], &image);
    first.artefact("one", &[("disk", image.clone())]);
    first.cut(&[3 * MIB, 0, 0]);
    writes(dir.path(), &first.name("one"), &["--mirror", &second.name("one")], &image);
    // A mirror whose tag is another image has no blob of the first one's.
    let other = Registry::new();
    other.artefact("one", &[("disk", noise(9 * MIB, 2))]);
    first.cut(&[3 * MIB, 0, 0]);
    writes(dir.path(), &first.name("one"), &["--mirror", &other.name("one")], &image);
    fails(dir.path(), &first.name("one"), &["--mirror", "http://127.0.0.1:1/x"], "image.oci_reference");
    let digest = format!("{}@sha256:{}", second.name("one"), "0".repeat(64));
    fails(dir.path(), &first.name("one"), &["--mirror", &digest], "image.oci_reference");
}

#[test]
fn tls_is_what_a_reference_means() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(2 * MIB);
    let (registry, pem) = Registry::tls();
    let ca = dir.path().join("ca.pem");
    fs::write(&ca, pem).unwrap();
    registry.artefact("one", &[("disk", image.clone())]);
    let source = format!("oci://{}/team/image:one", registry.host);
    writes(dir.path(), &source, &["--ca", ca.to_str().unwrap()], &image);
    fails(dir.path(), &source, &[], "image.unreachable");
    // Not even for this machine itself is it left out.
    let plain = Registry::new();
    plain.artefact("one", &[("disk", image)]);
    fails(dir.path(), &plain.name("one").replace("oci+http", "oci"), &[], "image.unreachable");
    assert_eq!(plain.requests(), Vec::<String>::new());
}

#[test]
fn a_root_filesystem_is_no_disk_and_sums_are_not_for_registries() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let root = tar(&[("etc/hostname", b"x")]);
    registry.container("root", &[(LAYER, root.clone(), &root)]);
    fails(dir.path(), &registry.name("root"), &[], "image.oci_kind");
    fails(dir.path(), &registry.name("root"), &["--sha256sums", "http://127.0.0.1:1/x"], "image.unsupported");
    let error = burin::image::oci::Reference::parse("oci://host/x").unwrap_err();
    assert!(error.hint().unwrap().contains("@sha256:HEX"));
}
