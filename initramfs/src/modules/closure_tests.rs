use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::modules::modinfo::ModInfo;
use crate::modules::{ModuleRules, ModuleRulesError, Tables};

fn tree(modules: &[(&str, &[&str])], builtin: &[&str]) -> ModuleTree {
    let made = modules.iter().map(|(path, depends)| {
        let info = ModInfo { depends: depends.iter().map(|d| (*d).to_owned()).collect(), ..ModInfo::default() };
        (path.to_string(), info)
    });
    ModuleTree::from_parts("6.1-test", made.collect(), builtin)
}

fn names(closure: &Closure<'_>) -> Vec<String> {
    closure.modules.iter().map(|m| m.name.clone()).collect()
}

#[test]
fn dependencies_come_along_and_builtins_do_not() {
    let tree = tree(
        &[("kernel/fs/ext4.ko", &["jbd2", "crc16"]), ("kernel/fs/jbd2.ko", &["crc16"]), ("kernel/lib/x.ko", &[])],
        &["kernel/lib/crc16.ko"],
    );
    let closure = Closure::of(&tree, ["ext4"], Arch::X86_64).unwrap();
    assert_eq!(names(&closure), ["ext4", "jbd2"]);
    assert_eq!(closure.dependencies("ext4"), ["jbd2"]);
}

#[test]
fn a_missing_dependency_names_both() {
    let tree = tree(&[("kernel/fs/ext4.ko", &["jbd2"])], &[]);
    let error = Closure::of(&tree, ["ext4"], Arch::X86_64).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("jbd2") && text.contains("ext4 depends on it") && text.contains("6.1-test"), "{text}");
}

#[test]
fn a_missing_needed_module_names_the_rule() {
    let tree = tree(&[("kernel/fs/ext4.ko", &[])], &["kernel/fs/xfs.ko"]);
    let rules = ModuleRules::parse("need ext4\nneed xfs\nneed dm-mod\n", "site.list").unwrap();
    let error = rules.select(&tree).unwrap_err();
    assert_eq!(
        error,
        ModuleRulesError::Missing { name: "dm_mod".into(), by: "site.list:3".into(), release: "6.1-test".into() }
    );
}

#[test]
fn drop_spares_what_others_depend_on() {
    let tree = tree(&[("kernel/md/raid.ko", &["xor"]), ("kernel/md/xor.ko", &[]), ("kernel/md/faulty.ko", &[])], &[]);
    let rules = ModuleRules::parse("all md/*\ndrop md/faulty\ndrop xor\n", "t").unwrap();
    let chosen = rules.select(&tree).unwrap();
    assert_eq!(chosen.keys().collect::<Vec<_>>(), ["raid"]);
    let closure = Closure::of(&tree, chosen.keys().map(String::as_str), Arch::X86_64).unwrap();
    assert_eq!(names(&closure), ["raid", "xor"]);
}

#[test]
fn soft_dependencies_are_found_by_alias_and_may_be_missing() {
    let soft = ModInfo { softdeps: vec!["pre: crypto-crc32c gone".into()], ..ModInfo::default() };
    let crc = ModInfo { aliases: vec!["crypto-crc32c".into()], ..ModInfo::default() };
    let tree = ModuleTree::from_parts(
        "6.1-test",
        vec![("kernel/fs/btrfs.ko".into(), soft), ("kernel/crypto/crc32c_generic.ko".into(), crc)],
        &[],
    );
    let closure = Closure::of(&tree, ["btrfs"], Arch::X86_64).unwrap();
    assert_eq!(names(&closure), ["crc32c_generic", "btrfs"]);
    let tables = Tables::of(&closure, ".zst");
    assert_eq!(tables.dep, "kernel/crypto/crc32c_generic.ko.zst:\nkernel/fs/btrfs.ko.zst:\n");
    assert!(tables.alias.ends_with("alias crypto-crc32c crc32c_generic\n"), "{}", tables.alias);
    assert!(tables.softdep.ends_with("softdep btrfs pre: crypto-crc32c gone\n"), "{}", tables.softdep);
}

#[test]
fn a_cycle_is_an_error() {
    let tree = tree(&[("kernel/a.ko", &["b"]), ("kernel/b.ko", &["c"]), ("kernel/c.ko", &["b"])], &[]);
    let error = Closure::of(&tree, ["a"], Arch::X86_64).unwrap_err();
    assert!(matches!(error, ClosureError::Cycle { .. }), "{error}");
}

#[test]
fn another_architecture_is_refused() {
    let tree = tree(&[("kernel/a.ko", &[])], &[]);
    let error = Closure::of(&tree, ["a"], Arch::Aarch64).unwrap_err();
    assert_eq!(error.to_string(), "module a is built for x86_64, the kernel for aarch64");
}

proptest! {
    /// For any acyclic dependency graph, the list can be loaded backwards and is complete.
    #[test]
    fn load_order_is_topological(edges in prop::collection::vec((0usize..30, 0usize..30), 0..120)) {
        let edges: BTreeSet<(usize, usize)> = edges.into_iter().filter(|(a, b)| a < b).collect();
        let modules = (0..30).map(|n| {
            let depends = edges.iter().filter(|(a, _)| *a == n).map(|(_, b)| format!("m{b}")).collect();
            (format!("kernel/m{n}.ko"), ModInfo { depends, ..ModInfo::default() })
        });
        let tree = ModuleTree::from_parts("t", modules.collect(), &[]);
        let closure = Closure::of(&tree, ["m0", "m1"], Arch::X86_64).unwrap();
        for module in &closure.modules {
            let order = closure.dependencies(&module.name);
            let mut loaded: BTreeSet<&str> = BTreeSet::new();
            for name in order.iter().rev().chain([&module.name.as_str()]) {
                for dependency in &tree.modules[*name].info.depends {
                    prop_assert!(loaded.contains(dependency.as_str()), "{name} before {dependency}");
                }
                loaded.insert(name);
            }
        }
    }
}

/// `--tools raid` would be useless without them. Other file names in the directory must not select any of these.
#[test]
fn the_standard_rules_take_every_level_of_arrays() {
    let levels = ["raid0", "raid1", "raid10", "raid456", "md_mod", "dm_mod"];
    let paths = levels.map(|level| format!("kernel/drivers/md/{}.ko", level.replace('_', "-")));
    let mut modules: Vec<(&str, &[&str])> = paths.iter().map(|path| (path.as_str(), &[] as &[&str])).collect();
    modules.push(("kernel/drivers/md/faulty.ko", &[]));
    let needed = ["nvme", "ahci", "sd_mod", "ext4"].map(|name| format!("kernel/x/{name}.ko"));
    modules.extend(needed.iter().map(|path| (path.as_str(), &[] as &[&str])));
    let chosen = ModuleRules::standard().unwrap().select(&tree(&modules, &[])).unwrap();
    for level in levels {
        assert!(chosen.contains_key(level), "{level}: {chosen:?}");
    }
    assert!(!chosen.contains_key("faulty"));
}
