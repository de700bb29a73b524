//! An unmodified Ironic drives the agent: inspection, cleaning, a refusal, a deployment with a config drive.

use crate::support::host::has_loops;
use std::process::Command;

#[test]
fn a_real_ironic_inspects_cleans_refuses_and_deploys() {
    if !has_loops() {
        return;
    }
    let Some(venv) = std::env::var_os("BURIN_IRONIC") else {
        burin_skip::skip!("BURIN_IRONIC is not set; scripts/test sets it");
        return;
    };
    let drive = concat!(env!("CARGO_MANIFEST_DIR"), "/ironic/drive.py");
    let mut python = Command::new("python3");
    python.arg("-B").arg(drive).arg(venv).arg(env!("CARGO_BIN_EXE_host-agent")).arg("--short");
    let output = python.output().expect("python3");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
