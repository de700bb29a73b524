use super::*;

fn native() -> Arch {
    if cfg!(target_arch = "aarch64") { Arch::Aarch64 } else { Arch::X86_64 }
}

#[test]
fn names_are_those_of_the_table() {
    assert_eq!("btrfs".parse(), Ok(Tool::Btrfs));
    let error = "ntfs".parse::<Tool>().unwrap_err();
    assert!(error.contains("`ntfs`") && error.contains("ext4, xfs"), "{error}");
}

#[test]
fn a_missing_program_names_its_package() {
    let root = tempfile::tempdir().unwrap();
    let error = collect(&[Tool::Vfat], &mut RootTools::new(root.path(), native()), native()).unwrap_err();
    assert!(error.to_string().ends_with("install the Debian package dosfstools"), "{error}");
}

#[test]
fn a_script_and_another_architecture_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("usr/sbin");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("mdadm"), "#!/bin/sh\n").unwrap();
    assert!(matches!(
        collect(&[Tool::Raid], &mut RootTools::new(root.path(), native()), native()),
        Err(ToolError::NotElf { .. })
    ));
    fs::copy(std::env::current_exe().unwrap(), directory.join("mdadm")).unwrap();
    let other = if native() == Arch::X86_64 { Arch::Aarch64 } else { Arch::X86_64 };
    assert!(matches!(
        collect(&[Tool::Raid], &mut RootTools::new(root.path(), native()), other),
        Err(ToolError::Arch { .. })
    ));
}

#[test]
fn links_of_an_unpacked_package_stay_inside() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir_all(root.join("lib/x86_64-linux-gnu")).unwrap();
    fs::create_dir_all(root.join("lib64")).unwrap();
    fs::write(root.join("lib/x86_64-linux-gnu/ld.so"), "loader").unwrap();
    let link = |target: &str, at: &str| std::os::unix::fs::symlink(target, root.join(at)).unwrap();
    link("/lib/x86_64-linux-gnu/ld.so", "lib64/ld-linux.so.2");
    link("../../../lib/x86_64-linux-gnu/ld.so", "lib64/relative");
    link("/etc/passwd", "lib64/host");
    link("circle", "lib64/circle");
    let real = root.join("lib/x86_64-linux-gnu/ld.so");
    assert_eq!(inside(root, Path::new("lib64/ld-linux.so.2")), Some(real.clone()));
    assert_eq!(inside(root, Path::new("lib64/relative")), Some(real));
    assert_eq!(inside(root, Path::new("lib64/host")), Some(root.join("etc/passwd")));
    assert_eq!(inside(root, Path::new("lib64/circle")), None);
    assert_eq!(first_file(root, &["lib64/host".to_owned()]), None);
}

/// Unpacks the collected files and starts each program with nothing else available.
fn run_alone(tools: &[Tool], taken: &[Taken]) {
    let root = tempfile::tempdir().unwrap();
    for one in taken {
        let to = root.path().join(one.path.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(&to, &one.data).unwrap();
        fs::set_permissions(&to, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    for tool in tools {
        let (_, program, _) = tool.row();
        let mut command = std::process::Command::new("chroot");
        let version = if *tool == Tool::Vfat { "--help" } else { "-V" };
        let output = command.arg(root.path()).arg(format!("/usr/sbin/{program}")).arg(version).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        if said.contains("cannot change root") {
            burin_skip::skip!("{said}");
            return;
        }
        assert!(!said.contains("shared libraries") && output.status.code() != Some(127), "{program}: {said}");
        println!("{program}: {}", said.lines().next().unwrap_or_default());
    }
}

/// The closure is complete if the program runs with nothing else.
#[test]
fn what_this_host_has_runs_alone() {
    let mut host = RootTools::new(Path::new("/"), native());
    let there: Vec<Tool> =
        Tool::all().into_iter().filter(|tool| collect(&[*tool], &mut host, native()).is_ok()).collect();
    if there.is_empty() {
        burin_skip::skip!("this host has none of the programs");
        return;
    }
    run_alone(&there, &collect(&there, &mut host, native()).unwrap());
}

#[test]
fn what_packages_hold_runs_alone_and_is_the_same_again() {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let Some(cache) = cache.map(|cache| cache.join("burin")) else { return burin_skip::skip!("no cache directory") };
    let all = Tool::all();
    let take = |tools: &[Tool]| collect(tools, &mut Packages::new(&cache, native(), &mut |_| ()), native());
    let taken = match take(&all) {
        Ok(taken) => taken,
        // No apt, no lists, no network.
        Err(error @ ToolError::Debian(_)) => {
            return burin_skip::skip!("{error}: {:?}", std::error::Error::source(&error));
        }
        Err(error) => panic!("{error}"),
    };
    for one in take(&[Tool::Raid]).unwrap() {
        assert!(taken.contains(&one), "{} is another one now", one.path);
    }
    assert!(taken.iter().all(|one| one.package.is_some()));
    for path in ["/usr/sbin/mdadm", "/usr/sbin/mkfs.ext4"] {
        assert!(taken.iter().any(|one| one.path == path), "{path}");
    }
    run_alone(&all, &taken);
}
