//! `burin agent` when it cannot start: exit status 73 and the code on standard error. Errors that need an order are
//! tested in a virtual machine (vm/faults.rs), because an agent on this host would configure its network and see its
//! disks.

use crate::support::program::agent;
use std::process::Command;

fn refused(cmdline: &str, code: &str) {
    let Some(agent) = agent() else { return };
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("proc")).unwrap();
    std::fs::write(root.path().join("proc/cmdline"), cmdline).unwrap();
    let output = Command::new(agent).args(["agent", "--root"]).arg(root.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(73), "{text}");
    assert!(text.contains(&format!("[{code}]")), "{text}");
}

#[test]
fn without_a_controller_and_an_order_there_is_nothing_to_do() {
    refused("console=ttyS0 quiet\n", "config.nothing_to_do");
}

#[test]
fn a_controller_that_is_no_url_is_refused() {
    refused("burin.controller=ftp://controller\n", "config.url");
}
