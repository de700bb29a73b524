//! The shipped agent: it needs nothing from the system, and still resolves names and knows whom to trust.

use crate::support::program::{Child, agent, is_root, run};
use burin_tests::controller::{Controller, Options};
use burin_tests::deploy::{Image, Pki};
use nix::sched::{CloneFlags, unshare};
use std::path::Path;
use std::process::{Command, Stdio};

const HOST: &str = "images.burin.test";

#[test]
fn it_asks_for_no_loader_and_no_library() {
    let Some(agent) = agent() else { return };
    // The builder refuses PT_INTERP and DT_NEEDED; the same check must find them in dynamic programs.
    burin_initramfs::agent::Agent::load(&agent).unwrap();
    let shell = std::fs::canonicalize("/bin/sh").unwrap();
    assert!(burin_initramfs::agent::Agent::load(&shell).is_err(), "the check finds nothing in {}", shell.display());
}

#[test]
fn it_resolves_names_and_speaks_tls_in_an_empty_root() {
    let Some(agent) = agent() else { return };
    if !is_root() {
        return burin_skip::skip!("chroot and network namespaces are root's");
    }
    // A network namespace belongs to the thread and its children: parallel tests keep theirs.
    std::thread::spawn(move || in_an_empty_root(&agent)).join().unwrap();
}

fn in_an_empty_root(agent: &Path) {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    run(Command::new("ip").args(["link", "set", "lo", "up"]));
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let etc = root.join("etc/ssl/certs");
    std::fs::create_dir_all(&etc).unwrap();
    let pki = Pki::new(HOST).unwrap();
    std::fs::copy(agent, root.join("burin")).unwrap();
    std::fs::write(root.join("etc/resolv.conf"), "nameserver 127.0.0.53\n").unwrap();
    std::fs::write(etc.join("ca-certificates.crt"), &pki.ca).unwrap();

    let images = dir.path().join("images");
    std::fs::create_dir_all(&images).unwrap();
    let image = Image::small(&images, "small.raw.zst", 64 << 20).unwrap();
    let mut options = Options::new(&dir.path().join("controller"));
    options.images = Some(images);
    options.tls = Some(pki.server.clone());
    let controller = Controller::start(options).unwrap();
    let _dns = Child::spawn(
        Command::new("/usr/sbin/dnsmasq")
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root"])
            .args(["--pid-file=", "--bind-interfaces", "--listen-address=127.0.0.53"])
            .arg(format!("--address=/{HOST}/127.0.0.1")),
    );

    let target = root.join("disk.raw");
    let write = |host: &str| {
        std::fs::write(&target, vec![0xa5; 80 << 20]).unwrap();
        let url = format!("https://{host}:{}/images/{}", controller.address().port(), image.file);
        Command::new("chroot")
            .arg(&root)
            .args(["/burin", "write", &url, "/disk.raw", "--file", "--json", "--content-sha256", &image.content])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let output = write(HOST);
    assert!(output.status.success(), "{output:?}");
    let written = std::fs::read(&target).unwrap();
    let wanted = zstd::decode_all(std::fs::File::open(image.dir.join(&image.file)).unwrap()).unwrap();
    assert!(written[..wanted.len()] == wanted[..], "the bytes are others");

    // The same server by an address that its certificate does not name.
    let mut impatient = Command::new("chroot");
    let url = format!("https://127.0.0.1:{}/images/{}", controller.address().port(), image.file);
    impatient.arg(&root).args(["/burin", "write", &url, "/disk.raw", "--file", "--json", "--patience", "0"]);
    let output = impatient.env_clear().env("PATH", "/usr/sbin:/usr/bin").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "a certificate of another name was believed: {output:?}");
}
