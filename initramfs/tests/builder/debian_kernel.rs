//! The builder with a real kernel: the Debian package named by BURIN_KERNEL_PACKAGE (a name or a .deb file; by default
//! apt's standard kernel). Skipped without apt or network.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use object::{Object as _, ObjectSection as _};

use burin_initramfs::arch::Arch;
use burin_initramfs::modules::{Closure, ModuleRules, ModuleTree, Tables, read_plain};
use burin_initramfs::options::{ExtraFile, KernelSource, Options, Stub};
use burin_initramfs::{INITRAMFS, KERNEL, MANIFEST, NOTICE, UKI, build, codec, debian};

/// An unpacked kernel package, fetched once into a cache that outlives the tests.
fn kernel() -> Option<&'static debian::UnpackedKernel> {
    static KERNEL: OnceLock<Option<debian::UnpackedKernel>> = OnceLock::new();
    KERNEL
        .get_or_init(|| {
            let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
            let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?.join("burin");
            let name = std::env::var("BURIN_KERNEL_PACKAGE").unwrap_or_else(|_| "linux-image-amd64".to_owned());
            let deb = match name.ends_with(".deb") {
                true => debian::open_deb(Path::new(&name)),
                false => debian::fetch_kernel(&name, &cache, &mut |_| ()),
            };
            match deb.and_then(|deb| debian::unpack_kernel(&deb, &cache)) {
                Ok(unpacked) => Some(unpacked),
                Err(error) => {
                    burin_skip::skip!("{error}");
                    None
                }
            }
        })
        .as_ref()
}

fn tree(unpacked: &debian::UnpackedKernel) -> ModuleTree {
    ModuleTree::load(&unpacked.modules, None).unwrap()
}

/// Whether a program can be started.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        burin_skip::skip!("{program} is not installed");
    }
    found
}

/// The modules of a closure with kmod's files in a temporary directory, indexed by depmod.
fn depmod(tree: &ModuleTree, closure: &Closure<'_>) -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("lib/modules").join(&tree.release);
    for module in &closure.modules {
        let to = dir.join(&module.path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, read_plain(&module.source).unwrap()).unwrap();
    }
    for name in ["modules.builtin", "modules.order", "modules.builtin.modinfo"] {
        fs::copy(tree.root.join(name), dir.join(name)).unwrap();
    }
    let status = Command::new("depmod").arg("-b").arg(root.path()).arg(&tree.release).status().unwrap();
    assert!(status.success());
    (root, dir)
}

/// Path to dependencies, as in modules.dep.
fn dependencies(text: &str) -> BTreeMap<&str, Vec<&str>> {
    let lines = text.lines().filter_map(|l| l.split_once(':'));
    lines.map(|(path, rest)| (path, rest.split_whitespace().collect())).collect()
}

fn lines(text: &str) -> BTreeSet<&str> {
    text.lines().filter(|l| !l.starts_with('#')).collect()
}

/// depmod finds dependencies by symbols, the builder from the modules' metadata: both give the same result.
#[test]
fn tables_are_those_of_depmod() {
    let Some(unpacked) = kernel() else { return };
    if !has("depmod") || !has("modprobe") {
        return;
    }
    let tree = tree(unpacked);
    let chosen = ModuleRules::standard().unwrap().select(&tree).unwrap();
    let closure = Closure::of(&tree, chosen.keys().map(String::as_str), Arch::X86_64).unwrap();
    assert!(closure.modules.len() > 300, "only {} modules", closure.modules.len());
    let tables = Tables::of(&closure, "");
    let (root, dir) = depmod(&tree, &closure);

    let theirs_text = fs::read_to_string(dir.join("modules.dep")).unwrap();
    let (ours, theirs) = (dependencies(&tables.dep), dependencies(&theirs_text));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (path, list) in &ours {
        let sets: [BTreeSet<&str>; 2] = [list.iter().copied().collect(), theirs[path].iter().copied().collect()];
        assert_eq!(sets[0], sets[1], "{path}");
        // Loaded from the last to the first, each comes after its dependencies.
        for (n, dependency) in list.iter().enumerate() {
            assert!(ours[dependency].iter().all(|d| list[n..].contains(d)), "{path}: {dependency} stands too late");
        }
    }
    for (name, text) in [("modules.alias", &tables.alias), ("modules.softdep", &tables.softdep)] {
        let theirs = fs::read_to_string(dir.join(name)).unwrap();
        let differing: Vec<&str> = lines(text).symmetric_difference(&lines(&theirs)).copied().collect();
        assert!(differing.is_empty(), "{name}: {differing:?}");
    }

    // modprobe would load the same modules, each after its dependencies.
    for name in ["mlx5_core", "ext4", "btrfs", "megaraid_sas", "nvme", "dm_crypt", "raid456"] {
        let output = Command::new("modprobe")
            .args(["--show-depends", "-C", "/dev/null", "-S", &tree.release, "-d"])
            .arg(root.path())
            .arg(name)
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}");
        let text = String::from_utf8(output.stdout).unwrap();
        let loaded: Vec<&str> = text
            .lines()
            .filter_map(|l| l.split_once("lib/modules/")?.1.split_once('/'))
            .map(|(_, p)| p.trim())
            .collect();
        let path = closure.modules.iter().find(|m| m.name == name).map(|m| m.path.as_str()).unwrap();
        assert_eq!(loaded.last(), Some(&path), "{text}");
        for dependency in &ours[path] {
            assert!(loaded.contains(dependency), "{name}: modprobe does not load {dependency}");
        }
    }
}

/// Options for a small ramdisk. The test binary, which is static like the agent, stands in for it.
fn small(dir: &Path, unpacked: &debian::UnpackedKernel, modules: &Path) -> Options {
    let list = dir.join("small.list");
    fs::write(&list, "need ext4\nneed virtio_net\nwant nonesuch\n").unwrap();
    let kernel = KernelSource::Files { kernel: unpacked.kernel.clone(), modules: modules.to_owned() };
    Options {
        kernel,
        module_list: Some(list),
        ca_bundle: None,
        stub: None,
        level: 3,
        cmdline: vec!["burin.controller=http://10.0.2.2:1".to_owned()],
        ..Options::new(std::env::current_exe().unwrap(), dir.join("out"), dir.join("cache"))
    }
}

/// Names in the ramdisk, as listed by cpio.
fn listing(initramfs: &Path) -> BTreeSet<String> {
    let plain = codec::decompress(fs::read(initramfs).unwrap()).unwrap();
    let mut cpio =
        Command::new("cpio").args(["-t", "--quiet"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = cpio.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || stdin.write_all(&plain).unwrap());
    let output = cpio.wait_with_output().unwrap();
    feeder.join().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn same_input_gives_same_bytes() {
    let Some(unpacked) = kernel() else { return };
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for dir in &dirs {
        build(&small(dir.path(), unpacked, &unpacked.modules), &mut |_| ()).unwrap();
    }
    for entry in fs::read_dir(dirs[0].path().join("out")).unwrap() {
        let name = entry.unwrap().file_name();
        let [a, b] = [0, 1].map(|n: usize| fs::read(dirs[n].path().join("out").join(&name)).unwrap());
        assert!(a == b, "{name:?} differs");
    }
    // Again with a warm cache.
    let before = fs::read(dirs[0].path().join("out").join(INITRAMFS)).unwrap();
    build(&small(dirs[0].path(), unpacked, &unpacked.modules), &mut |_| ()).unwrap();
    assert!(before == fs::read(dirs[0].path().join("out").join(INITRAMFS)).unwrap());
}

#[test]
fn the_output_holds_what_the_contract_says() {
    let Some(unpacked) = kernel() else { return };
    if !has("cpio") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let extra = dir.path().join("extra");
    fs::create_dir_all(extra.join("sub")).unwrap();
    fs::write(extra.join("sub/file"), "x").unwrap();
    let order = dir.path().join("order.json");
    fs::write(&order, "{}").unwrap();
    let mut options = small(dir.path(), unpacked, &unpacked.modules);
    options.files = vec![ExtraFile { source: extra, destination: "/srv/extra".into() }];
    options.order = Some(order);
    options.embedded_cmdline = vec!["burin.log=debug".into()];
    let stub = Path::new("/usr/lib/systemd/boot/efi/linuxx64.efi.stub").is_file();
    if stub {
        options.stub = Some(Stub::Standard);
    } else {
        burin_skip::skip!("in part: systemd-boot-efi is not installed");
    }
    let manifest = build(&options, &mut |_| ()).unwrap();

    let release = &manifest.kernel_release;
    let names = listing(&options.output.join(INITRAMFS));
    let modules = ["modules.dep", "modules.alias", "modules.softdep", "modules.builtin", "kernel/fs/ext4/ext4.ko.zst"];
    let mut expected: Vec<String> = modules.iter().map(|m| format!("lib/modules/{release}/{m}")).collect();
    expected.extend(
        ["init", "dev/console", "dev/null", "proc", "sys", "run", "tmp", "lib/firmware", "usr/share/doc/burin/NOTICE"]
            .map(str::to_owned),
    );
    expected.extend(["etc/burin/order.json", "etc/burin/cmdline", "srv/extra/sub/file"].map(str::to_owned));
    for name in &expected {
        assert!(names.contains(name), "{name} is not in {names:?}");
    }
    assert_eq!(names.len(), manifest.ramdisk.entries);

    let json: serde_json::Value = serde_json::from_slice(&fs::read(options.output.join(MANIFEST)).unwrap()).unwrap();
    assert_eq!(json["schema_version"], 1);
    for file in json["files"].as_array().unwrap() {
        let size = fs::metadata(options.output.join(file["name"].as_str().unwrap())).unwrap().len();
        assert_eq!(file["size"], size);
    }
    assert_eq!(fs::read(options.output.join(KERNEL)).unwrap(), fs::read(&unpacked.kernel).unwrap());
    assert!(fs::read_to_string(options.output.join(NOTICE)).unwrap().contains(release.as_str()));
    if stub {
        let image = fs::read(options.output.join(UKI)).unwrap();
        let pe = object::read::pe::PeFile64::parse(&*image).unwrap();
        let section = |name: &str| pe.section_by_name(name).unwrap().data().unwrap();
        assert!(section(".linux") == fs::read(&unpacked.kernel).unwrap());
        assert!(section(".initrd") == fs::read(options.output.join(INITRAMFS)).unwrap());
        assert_eq!(section(".uname"), release.as_bytes());
        assert_eq!(section(".cmdline"), manifest.cmdline.as_bytes());
        assert!(manifest.cmdline.ends_with(" burin.controller=http://10.0.2.2:1"), "{}", manifest.cmdline);
    }
    assert!(manifest.modules.iter().any(|m| m.name == "jbd2" && m.rule.is_none()));
    assert!(manifest.modules.iter().any(|m| m.name == "ext4" && m.rule.as_deref() == Some("need ext4")));
}

/// Modules packed by another distribution make no difference.
#[test]
fn compressed_modules_are_taken_too() {
    let Some(unpacked) = kernel() else { return };
    let tree = tree(unpacked);
    let dir = tempfile::tempdir().unwrap();
    let modules = dir.path().join("modules").join(&tree.release);
    let closure = Closure::of(&tree, ["ext4", "virtio_net"], Arch::X86_64).unwrap();
    for (n, module) in closure.modules.iter().enumerate() {
        let plain = read_plain(&module.source).unwrap();
        let (suffix, packed) = match n % 3 {
            0 => (".zst", codec::zstd_small(&plain, 1).unwrap()),
            1 => (".xz", pipe("xz", &plain)),
            _ => (".gz", pipe("gzip", &plain)),
        };
        let to = modules.join(format!("{}{suffix}", module.path));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, packed).unwrap();
    }
    for name in ["modules.builtin", "modules.order", "modules.builtin.modinfo"] {
        fs::copy(tree.root.join(name), modules.join(name)).unwrap();
    }
    let manifest = build(&small(dir.path(), unpacked, &dir.path().join("modules")), &mut |_| ()).unwrap();
    let plain = tempfile::tempdir().unwrap();
    let expected = build(&small(plain.path(), unpacked, &unpacked.modules), &mut |_| ()).unwrap();
    assert_eq!(manifest.modules, expected.modules);
    assert_eq!(manifest.files, expected.files);

    // With one module missing, the build names it and the module that needs it.
    fs::remove_file(find(&modules, "jbd2.ko")).unwrap();
    let error = build(&small(dir.path(), unpacked, &modules), &mut |_| ()).unwrap_err();
    let text = format!("{}: {}", error, std::error::Error::source(&error).unwrap());
    assert!(text.contains("module jbd2 is missing: ext4 depends on it"), "{text}");
}

fn pipe(program: &str, data: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program).arg("-1").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, data) = (child.stdin.take().unwrap(), data.to_vec());
    let feeder = std::thread::spawn(move || stdin.write_all(&data).unwrap());
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    output.stdout
}

fn find(dir: &Path, start: &str) -> PathBuf {
    let mut queue = vec![dir.to_owned()];
    while let Some(next) = queue.pop() {
        for entry in fs::read_dir(next).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                queue.push(entry.path());
            } else if entry.file_name().to_string_lossy().starts_with(start) {
                return entry.path();
            }
        }
    }
    panic!("{start} not found");
}

/// A failed build leaves the results of an earlier one untouched.
#[test]
fn a_dynamic_agent_changes_nothing() {
    let Some(unpacked) = kernel() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut options = small(dir.path(), unpacked, &unpacked.modules);
    build(&options, &mut |_| ()).unwrap();
    let before = fs::read(options.output.join(MANIFEST)).unwrap();
    options.agent = PathBuf::from("/bin/sh");
    let error = build(&options, &mut |_| ()).unwrap_err();
    let text = std::error::Error::source(&error).unwrap().to_string();
    assert!(text.contains("/bin/sh is dynamically linked"), "{text}");
    assert_eq!(before, fs::read(options.output.join(MANIFEST)).unwrap());
}
