//! Names that first cannot be resolved, and then can: a name server of our own, in a network and with an
//! /etc/resolv.conf that nobody else sees. It uses a root directory of its own, but no mount namespace: that would copy
//! the mounts of other tests, whose disks would then stay busy.

use crate::support::*;
use burin::calls::ControllerError;
use burin::dialect::native::Next;
use burin::error::Coded;
use std::net::UdpSocket;
use std::process::Command;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// Tells the test inside where its root directory is.
const ROOT: &str = "BURIN_TEST_ROOT";

#[test]
fn dns_fails_and_then_heals() {
    if !program::is_root() {
        return burin_skip::skip!("namespaces are root's");
    }
    // Not in /tmp, where device files may be forbidden.
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (etc, dev) = (root.path().join("etc"), root.path().join("dev"));
    std::fs::create_dir(&etc).unwrap();
    std::fs::create_dir(&dev).unwrap();
    assert!(Command::new("cp").args(["-a", "/dev/random", "/dev/urandom"]).arg(dev).status().unwrap().success());
    std::fs::write(etc.join("resolv.conf"), "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n").unwrap();
    std::fs::write(etc.join("nsswitch.conf"), "hosts: files dns\n").unwrap();
    let mut inside = Command::new("unshare");
    inside.args(["--net", "--"]).arg(std::env::current_exe().unwrap());
    inside.args(["--exact", "protocol::dns::inside_of_a_namespace", "--ignored", "--nocapture"]);
    let output = inside.env(ROOT, root.path()).env("TMPDIR", "/").output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

/// The name server's reaction to a query.
const REFUSE: u8 = 0;
const UNKNOWN: u8 = 1;
const SILENT: u8 = 2;
const ANSWER: u8 = 3;

#[test]
#[ignore = "the other test of this file starts it in a network and a root directory of its own"]
fn inside_of_a_namespace() {
    let root = std::env::var_os(ROOT).unwrap();
    assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
    std::os::unix::fs::chroot(root).unwrap();
    std::env::set_current_dir("/").unwrap();
    let (mood, asked) = serve();

    let bench = Bench::new(|_| {});
    bench.controller().put_order("default", order("o1")).unwrap();
    let port = bench.controller().address().port();
    let mut agent = Agent::new(&format!("http://controller.burin.test:{port}"), &bench.state(), "boot-1");
    let codes = Arc::new(Mutex::new(Vec::new()));
    let (seen, turn) = (codes.clone(), mood.clone());
    agent.options.notify = Arc::new(move |waiting| {
        seen.lock().unwrap().push(waiting.error.code());
        assert!(matches!(waiting.error, ControllerError::Name { .. }), "{:?}", waiting.error);
        // Each kind of failure once, then success.
        turn.fetch_add(1, Ordering::SeqCst);
        std::ops::ControlFlow::Continue(())
    });
    let session = agent.connect();
    assert_eq!(*codes.lock().unwrap(), ["controller.dns"; 3]);
    assert_eq!(mood.load(Ordering::SeqCst), ANSWER);
    assert!(asked.load(Ordering::SeqCst) >= 4);
    let Next::Order(offer) = session.next_order(PATIENCE).unwrap() else { panic!() };
    session.grant("o1", offer.attempt, "sha256:00").unwrap();
    agent.emitter.emit(finished("write"));
    session.post_receipt(&receipt_for("o1", offer.attempt, "boot-1"), PATIENCE).unwrap();
    assert_eq!(bench.stages(), ["write"]);
    assert_eq!(bench.view().receipts.len(), 1);
}

/// RFC 1035 in a few lines: one question, and 127.0.0.1 in reply to A queries.
fn serve() -> (Arc<AtomicU8>, Arc<AtomicU32>) {
    let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
    let (mood, asked) = (Arc::new(AtomicU8::new(REFUSE)), Arc::new(AtomicU32::new(0)));
    let (now, count) = (mood.clone(), asked.clone());
    std::thread::spawn(move || {
        let mut packet = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut packet) {
            count.fetch_add(1, Ordering::SeqCst);
            let Some(end) = packet[12..length].iter().position(|byte| *byte == 0).map(|zero| 12 + zero + 5) else {
                continue;
            };
            let wants_a = packet[end - 4..end - 2] == [0, 1];
            let (code, answers) = match now.load(Ordering::SeqCst) {
                REFUSE => (2, 0),
                UNKNOWN => (3, 0),
                SILENT => continue,
                _ => (0, u8::from(wants_a)),
            };
            let mut reply = packet[..2].to_vec();
            reply.extend([0x81, 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0]);
            reply.extend(&packet[12..end]);
            if answers == 1 {
                reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
            }
            let _ = socket.send_to(&reply, peer);
        }
    });
    (mood, asked)
}
