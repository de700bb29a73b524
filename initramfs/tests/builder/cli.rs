//! The program's exit status and terminal output.

use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_burin-initramfs")).args(args).output().unwrap()
}

#[test]
fn a_dynamic_agent_is_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let output = run(&["build", "--agent", "/bin/sh", "--output", out.to_str().unwrap(), "--cache", "/nonexistent"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("error: the agent cannot be /init: the agent /bin/sh is dynamically linked"), "{text}");
    assert!(!out.exists());
}

#[test]
fn wrong_usage_is_told_from_failure() {
    for args in [
        &["build"][..],
        &["build", "--agent", "a", "--output", "o", "--kernel", "k"],
        &["build", "--agent", "a", "--output", "o", "--controller", "10.0.0.1"],
        &["build", "--agent", "a", "--output", "o", "--file", "relative"],
        &["build", "--agent", "a", "--output", "o", "--level", "99"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_bad_date_is_refused() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_burin-initramfs"));
    let output =
        command.args(["build", "--agent", "a", "--output", "o"]).env("SOURCE_DATE_EPOCH", "today").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "error: SOURCE_DATE_EPOCH=`today` is no time in seconds\n");
}

#[test]
fn the_module_list_is_printed_as_it_can_be_read() {
    let output = run(&["module-list"]);
    let text = String::from_utf8(output.stdout).unwrap();
    burin_initramfs::modules::ModuleRules::parse(&text, "stdout").unwrap();
    assert!(text.contains("need ext4"));
}

#[test]
fn help_has_examples() {
    let text = String::from_utf8(run(&["build", "--help"]).stdout).unwrap();
    assert!(text.contains("Examples:") && text.contains("--kernel-package linux-image-cloud-amd64"), "{text}");
}
