//! Orders with images made and pushed by Debian's skopeo, umoci and buildah to Debian's registry.

use crate::support::orders::{IMAGE, holds_image, image, image_order, order, tree_order};
use crate::support::{Loop, MIB, apply_on, machine, paths, run, skipped};
use burin::finalize::mount::{Access, Mounted};
use burin::protocol::Control;
use burin_skip::skip;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// bcrypt of `hunter2`, as htpasswd files have it.
const PASSWORD: &str = "user:$2b$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.";

struct Registry {
    process: Child,
    host: String,
}

impl Registry {
    /// It wants a password.
    fn start(dir: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let host = format!("127.0.0.1:{port}");
        fs::write(dir.join("htpasswd"), PASSWORD).expect("writes");
        let at = dir.display();
        let configuration = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {at}/kept}}}}\n\
             http: {{addr: \"{host}\"}}\nauth: {{htpasswd: {{realm: here, path: {at}/htpasswd}}}}\n"
        );
        let file = dir.join("registry.yml");
        fs::write(&file, configuration).expect("writes");
        let log = fs::File::create(dir.join("registry.log")).expect("a log");
        let mut command = Command::new("docker-registry");
        let process = command.arg("serve").arg(file).stdout(log.try_clone().expect("a log")).stderr(log).spawn();
        let (process, began) = (process.expect("starts"), Instant::now());
        while TcpStream::connect(&host).is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "the registry does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { process, host }
    }

    /// Returns the reference.
    fn push(&self, layout: &str, name: &str) -> String {
        let to = format!("docker://{}/{name}", self.host);
        run("skopeo", &["copy", "--dest-tls-verify=false", "--dest-creds", "user:hunter2", layout, &to]);
        format!("oci+http://{}/{name}", self.host)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn with_password(mut value: Value) -> Value {
    for image in value["images"].as_object_mut().expect("images").values_mut() {
        image["transfer"] = json!({ "credentials": { "basic": { "user": "user", "password": "hunter2" } } });
    }
    value
}

/// A layout of one file, as oras makes it: nothing in Debian does.
fn artefact(dir: &Path, bytes: &[u8]) -> String {
    let blobs = dir.join("artefact/blobs/sha256");
    fs::create_dir_all(&blobs).expect("directories");
    let blob = |kind: &str, bytes: &[u8]| {
        let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(blobs.join(&hex), bytes).expect("writes");
        json!({ "mediaType": kind, "digest": format!("sha256:{hex}"), "size": bytes.len() })
    };
    let config = blob("application/vnd.example.disk.config.v1+json", b"{}");
    let mut layer = blob("application/vnd.example.disk.raw", bytes);
    layer["annotations"] = json!({ "org.opencontainers.image.title": "disk.raw" });
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer] });
    let mut entry = blob(kind, manifest.to_string().as_bytes());
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": "one" });
    let index = json!({ "schemaVersion": 2, "manifests": [entry] });
    fs::write(dir.join("artefact/index.json"), index.to_string()).expect("writes");
    fs::write(dir.join("artefact/oci-layout"), "{\"imageLayoutVersion\": \"1.0.0\"}").expect("writes");
    format!("oci:{}:one", dir.join("artefact").display())
}

fn have(programs: &[&str]) -> bool {
    let missing =
        programs.iter().find(|program| run_quietly("sh", &["-c", &format!("command -v {program}")]).is_none());
    if let Some(program) = missing {
        skip!("{program} is not installed");
    }
    missing.is_none()
}

fn run_quietly(program: &str, arguments: &[&str]) -> Option<()> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then_some(())
}

fn applies(disk: &Loop, value: Value) {
    let inventory = machine(&[disk.described("S1")]);
    let applied = apply_on(&order(&with_password(value)), &inventory, &paths(disk), &|| Control::Continue);
    applied.1.unwrap_or_else(|failure| panic!("{failure:?}"));
}

#[test]
fn disks_that_debians_programs_push_are_written() {
    if skipped() || !have(&["docker-registry", "skopeo", "buildah"]) {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let (registry, bytes) = (Registry::start(dir.path()), image(&Loop::new(IMAGE, 512)));
    let plain = registry.push(&artefact(dir.path(), &bytes), "disks/plain:1");
    // A container disk, by buildah.
    let at = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    fs::create_dir(at("content")).expect("a directory");
    fs::write(at("raw"), &bytes).expect("writes");
    run("qemu-img", &["convert", "-c", "-O", "qcow2", &at("raw"), &format!("{}/disk.qcow2", at("content"))]);
    let kept = ["--root", &at("storage"), "--runroot", &at("run"), "--storage-driver", "vfs"];
    let buildah = |arguments: &[&str]| run("buildah", &[&kept[..], arguments].concat());
    let container = buildah(&["from", "scratch"]);
    buildah(&["copy", container.trim(), &at("content"), "/disk/"]);
    buildah(&["commit", container.trim(), &format!("oci:{}:one", at("built"))]);
    let contained = registry.push(&format!("oci:{}:one", at("built")), "disks/contained:1");
    for reference in [plain, contained] {
        let disk = Loop::new(192 * MIB, 512);
        applies(&disk, image_order(&reference, &bytes));
        holds_image(&disk);
    }
}

#[test]
fn a_root_filesystem_in_layers_is_unpacked() {
    if skipped() || !have(&["docker-registry", "skopeo", "umoci"]) {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let registry = Registry::start(dir.path());
    let at = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("directories");
        fs::write(path, text).expect("writes");
    };
    for (path, text) in
        [("etc/os-release", "ID=tree\n"), ("srv/data/noise", "n"), ("d/old", "1"), ("d/sub/old", "1"), ("gone", "1")]
    {
        write(&format!("lower/{path}"), text);
    }
    write("upper/new", "2");
    let tag = format!("{}:one", at("layout"));
    run("umoci", &["init", "--layout", &at("layout")]);
    run("umoci", &["new", "--image", &tag]);
    run("umoci", &["insert", "--image", &tag, &at("lower"), "/"]);
    run("umoci", &["insert", "--image", &tag, "--whiteout", "/gone"]);
    run("umoci", &["insert", "--image", &tag, "--opaque", &at("upper"), "/d"]);
    let reference = registry.push(&format!("oci:{tag}"), "trees/one:1");
    let mut value = tree_order(&reference, b"");
    value["images"]["tree"].as_object_mut().expect("an image").remove("digest");
    let disk = Loop::new(192 * MIB, 512);
    applies(&disk, value);
    let root = Mounted::mount(&disk.partition(2), "ext4", Access::ReadOnly, &paths(&disk).mounts).expect("mounts");
    let names = |path: &str| {
        let mut names: Vec<_> =
            fs::read_dir(root.path().join(path)).expect(path).map(|entry| entry.expect(path).file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names("d"), ["new"]);
    assert!(!names("").iter().any(|name| name == "gone" || name.to_string_lossy().starts_with(".wh.")));
    assert_eq!(fs::read(root.path().join("etc/os-release")).expect("reads"), b"ID=tree\n");
    root.unmount().expect("unmounts");
}
