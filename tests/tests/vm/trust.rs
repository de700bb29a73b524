//! The whole chain, from a signed kernel to a signed receipt, with each link broken in turn. On demand: scripts/test
//! --trust.

use burin_tests::deploy::{Link, Locked, Parts, Word, built};
use burin_tests::vm::Slot;
use std::path::PathBuf;

fn scene(broken: Option<Link>) {
    let (netboot, image) = match built() {
        Ok(built) => built,
        Err(reason) => return burin_skip::skip!("{reason}"),
    };
    let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let (Some(agent), Some(modules)) = (path("BURIN_AGENT"), path("BURIN_MODULES")) else {
        return burin_skip::skip!("BURIN_AGENT and BURIN_MODULES are not set; scripts/test sets them");
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let tell = |text: &str| println!("{text}");
    let locked = Locked::build(dir.path(), &Parts { agent, modules, netboot, image }, broken, &tell).unwrap();
    let hear = |word: Word<'_>| match word {
        Word::Note(text) => println!("{text}"),
        Word::Attested => println!("attested"),
        Word::Event(event) => println!("{}", event.kind),
        Word::Receipt(receipt) => println!("{:?}", receipt.problem),
    };
    let seen = locked.run(&hear).unwrap();
    println!("{}", seen.console);
    let proven = locked.prove(&seen).unwrap();
    assert!(!proven.is_empty());
    assert_eq!(seen.sign.is_some(), broken.is_some());
}

#[test]
#[ignore = "on demand: scripts/test --trust"]
fn everything_is_demanded_and_everything_is_right() {
    scene(None);
}

#[test]
#[ignore = "on demand: scripts/test --trust"]
fn a_kernel_signed_by_somebody_else_does_not_boot() {
    scene(Some(Link::Kernel));
}

#[test]
#[ignore = "on demand: scripts/test --trust"]
fn another_ramdisk_gets_no_token() {
    scene(Some(Link::Ramdisk));
}

#[test]
#[ignore = "on demand: scripts/test --trust"]
fn another_machine_gets_no_token() {
    scene(Some(Link::Machine));
}

#[test]
#[ignore = "on demand: scripts/test --trust"]
fn an_order_by_somebody_else_of_another_boot_or_too_late_writes_nothing() {
    [Link::Order, Link::Boot, Link::Time].into_iter().for_each(|link| scene(Some(link)));
}

#[test]
#[ignore = "on demand: scripts/test --trust"]
fn a_secret_of_another_machine_or_an_unproven_image_writes_nothing() {
    [Link::Sealed, Link::Image].into_iter().for_each(|link| scene(Some(link)));
}

#[test]
#[ignore = "on demand: scripts/test --trust"]
fn an_order_that_erases_less_than_the_ramdisk_wants_writes_nothing() {
    scene(Some(Link::Erase));
}
