//! The build itself: kernel, modules, ramdisk, scripts, unified image, notice, manifest, in this order.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::agent::{Agent, AgentError};
use crate::arch::Arch;
use crate::authenticode::{self, PeError, Signer, SignerError};
use crate::codec;
use crate::cpio::{Archive, CpioError};
use crate::debian::{self, DebianError, Package};
use crate::digest::{megabytes, sha256};
use crate::kernel::{Kernel, KernelError};
use crate::manifest::{Builder, Content, Manifest, OutputFile, Program, Ramdisk, SCHEMA_VERSION, ToolEntry};
use crate::modules::{Closure, ClosureError, Hardware, HardwareError, ModuleTree, Rules, RulesError, TreeError};
use crate::netboot::{self, Boot};
use crate::notice::{self, Carried};
use crate::options::{KernelSource, Options, Stub};
use crate::pack::{self, PackError};
use crate::parallel;
use crate::ramdisk::{self, RamdiskError};
use crate::sbom;
use crate::tools::{self, Taken, ToolError};
use crate::uki::{self, UkiError};

/// File names in the output directory.
pub const KERNEL: &str = "vmlinuz";
/// The ramdisk.
pub const INITRAMFS: &str = "initramfs.cpio.zst";
/// The iPXE script.
pub const IPXE: &str = "boot.ipxe";
/// The GRUB fragment.
pub const GRUB: &str = "grub.cfg";
/// The unified kernel image.
pub const UKI: &str = "burin.efi";
/// The notice.
pub const NOTICE: &str = "NOTICE";
/// The manifest.
pub const MANIFEST: &str = "manifest.json";
/// The software bill of materials.
pub const SBOM: &str = "sbom.cdx.json";

/// Rises when what boots by a signature must not boot any more: firmware and shim revoke by it.
const SBAT_GENERATION: u32 = 1;

/// Why a build failed. Nothing in the output directory has been replaced then, unless the error is of writing it.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("the agent cannot be /init")]
    Agent(#[source] AgentError),
    #[error("no kernel package")]
    Debian(#[source] DebianError),
    #[error("the kernel cannot be used")]
    Kernel(#[source] KernelError),
    #[error("the kernel's modules cannot be used")]
    Tree(#[source] TreeError),
    #[error("the modules cannot be chosen")]
    Rules(#[source] RulesError),
    #[error("the modules cannot be chosen by an inventory")]
    Hardware(#[source] HardwareError),
    #[error("the modules cannot be completed")]
    Closure(#[source] ClosureError),
    #[error("the modules cannot be packed")]
    Pack(#[source] PackError),
    #[error("the tools cannot be taken")]
    Tools(#[source] ToolError),
    #[error("the ramdisk cannot be filled")]
    Ramdisk(#[source] RamdiskError),
    #[error("the ramdisk cannot be written")]
    Cpio(#[source] CpioError),
    #[error("the ramdisk cannot be compressed")]
    Compress(#[source] io::Error),
    #[error("the unified kernel image cannot be made from {}", stub.display())]
    Uki { stub: PathBuf, source: UkiError },
    #[error("the unified kernel image cannot be signed")]
    Signer(#[source] SignerError),
    #[error("the unified kernel image cannot be signed")]
    Sign(#[source] PeError),
    #[error("no EFI stub at {}: install the package systemd-boot-efi, or give --stub PATH or --no-uki", path.display())]
    NoStub { path: PathBuf, source: io::Error },
    #[error("the kernel {} is no EFI program, so there can be no unified image; give --no-uki", path.display())]
    NotEfi { path: PathBuf },
    #[error(
        "this builder does not know the agent's crates (cargo could not tell when it was compiled); give --crate-notice FILE"
    )]
    NoCrateList,
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Kernel and modules on this host.
struct KernelFiles {
    kernel: PathBuf,
    modules: PathBuf,
    package: Option<Package>,
}

/// Builds everything that `options` describe and writes it to the output directory. `say` is told, line by line, what
/// goes on.
pub fn build(options: &Options, say: &mut dyn FnMut(&str)) -> Result<Manifest, BuildError> {
    let crates = match &options.crate_notice {
        Some(path) => read_text(path)?,
        None if notice::CRATES.is_empty() => return Err(BuildError::NoCrateList),
        None => notice::CRATES.to_owned(),
    };
    let signer = options.sign.as_ref().map(|(key, certificate)| Signer::load(key, certificate));
    let signer = signer.transpose().map_err(BuildError::Signer)?;
    let agent = Agent::load(&options.agent).map_err(BuildError::Agent)?;
    say(&format!("agent: {}, {}, static", megabytes(agent.data.len() as u64), agent.arch));

    let files = kernel_files(options, agent.arch, say)?;
    let kernel = Kernel::load(&files.kernel).map_err(BuildError::Kernel)?;
    agent.require_arch(kernel.arch, &options.agent).map_err(BuildError::Agent)?;
    let tree = ModuleTree::load(&files.modules, kernel.release.as_deref()).map_err(BuildError::Tree)?;
    kernel.require_release(&tree.release, &files.kernel).map_err(BuildError::Kernel)?;
    say(&format!("kernel: Linux {}, {} modules", tree.release, tree.modules.len()));

    let mut chosen = rules(options)?.select(&tree).map_err(BuildError::Rules)?;
    keep_drivers_for(&options.drivers, &tree, &mut chosen)?;
    let closure = Closure::of(&tree, chosen.keys().map(String::as_str), kernel.arch).map_err(BuildError::Closure)?;
    let packed = pack::pack(&closure, &options.cache.join("modules")).map_err(BuildError::Pack)?;
    let plain_size = packed.iter().map(|m| m.plain_size).sum();
    let packed_size = packed.iter().map(|m| m.data.len() as u64).sum();
    let dependencies = closure.modules.len() - chosen.len();
    say(&format!(
        "modules: {} chosen, {dependencies} more as dependencies; {}, packed {}",
        chosen.len(),
        megabytes(plain_size),
        megabytes(packed_size)
    ));

    let mut archive = Archive::default();
    ramdisk::skeleton(&mut archive, &agent.data).map_err(BuildError::Ramdisk)?;
    ramdisk::modules(&mut archive, &tree, &closure, &packed).map_err(BuildError::Ramdisk)?;
    let firmware = ramdisk::firmware(&mut archive, &closure, &options.firmware, options.firmware_all)
        .map_err(BuildError::Ramdisk)?;
    ramdisk::configuration(&mut archive, options).map_err(BuildError::Ramdisk)?;
    let tools = collect_tools(options, kernel.arch, say).map_err(BuildError::Tools)?;
    ramdisk::tools(&mut archive, &tools).map_err(BuildError::Ramdisk)?;
    let mut others = other_packages(options, kernel.arch);
    if !tools.is_empty() {
        let size = tools.iter().map(|one| one.data.len() as u64).sum();
        say(&format!("tools: {} files, {}", tools.len(), megabytes(size)));
        others.extend(tools::packages(&tools));
    }
    let notice = notice::text(&Carried {
        kernel_release: &tree.release,
        kernel_package: files.package.as_ref(),
        others: &others,
        crates: &crates,
        libraries: notice::LIBRARIES,
        firmware_files: firmware.files,
    });
    ramdisk::notice(&mut archive, &notice).map_err(BuildError::Ramdisk)?;
    let entries = archive.entries().count();
    let unpacked = archive.to_bytes(options.mtime).map_err(BuildError::Cpio)?;
    drop(archive);
    let threads = u32::try_from(parallel::threads()).unwrap_or(1);
    let initramfs = codec::zstd_archive(&unpacked, options.level, threads).map_err(BuildError::Compress)?;
    let unpacked_size = unpacked.len() as u64;
    drop(unpacked);
    say(&format!(
        "ramdisk: {entries} entries, {}, compressed {}",
        megabytes(unpacked_size),
        megabytes(initramfs.len() as u64)
    ));

    let cmdline = cmdline(options, kernel.arch);
    let version = env!("CARGO_PKG_VERSION");
    let title = format!("burin {version}, Linux {}", tree.release);
    let boot = Boot { kernel: KERNEL, initrd: INITRAMFS, cmdline: &cmdline, title: &title };
    let mut outputs: Vec<(&str, Vec<u8>)> = Vec::new();
    let mut programs = Vec::new();
    if let Some(stub) = &options.stub {
        if !kernel.efi {
            return Err(BuildError::NotEfi { path: files.kernel });
        }
        let os_release = format!("ID=burin\nNAME=burin\nVERSION_ID={version}\nPRETTY_NAME=\"{title}\"\n");
        let sbat =
            format!("burin,{SBAT_GENERATION},burin,burin-initramfs,{version},{}\n", env!("CARGO_PKG_REPOSITORY"));
        let parts = uki::Parts {
            os_release: &os_release,
            cmdline: &cmdline,
            uname: &tree.release,
            kernel: &kernel.data,
            initrd: &initramfs,
            sbat: &sbat,
        };
        let path = stub_path(stub, kernel.arch);
        let stub = fs::read(&path).map_err(|source| BuildError::NoStub { path: path.clone(), source })?;
        let image = uki::build(&stub, &parts, kernel.arch).map_err(|source| BuildError::Uki { stub: path, source })?;
        let signed = if signer.is_some() { "signed, " } else { "" };
        say(&format!("unified kernel image: {signed}{}", megabytes(image.len() as u64)));
        for (name, program) in [(UKI, &image), (KERNEL, &kernel.data)] {
            let digest = authenticode::digest(program).map_err(BuildError::Sign)?;
            programs.push(Program { name: name.to_owned(), authenticode: burin_protocol::hex(digest) });
        }
        let image = match &signer {
            Some(signer) => authenticode::sign(image, signer).map_err(BuildError::Sign)?,
            None => image,
        };
        outputs.push((UKI, image));
    }
    let packages: Vec<Package> =
        files.package.iter().cloned().chain(others.iter().filter_map(|(package, _)| package.clone())).collect();
    let sbom = sbom::document(&sbom::Parts {
        version,
        agent: &sha256(&agent.data),
        ramdisk: (INITRAMFS, &sha256(&initramfs)),
        kernel: (KERNEL, &sha256(&kernel.data)),
        release: &tree.release,
        packages: &packages,
        crates: &crates,
        libraries: notice::LIBRARIES,
    });
    outputs.push((SBOM, format!("{sbom:#}\n").into_bytes()));
    outputs.push((KERNEL, kernel.data));
    outputs.push((INITRAMFS, initramfs));
    outputs.push((IPXE, netboot::ipxe(&boot).into_bytes()));
    outputs.push((GRUB, netboot::grub(&boot).into_bytes()));
    outputs.push((NOTICE, notice.into_bytes()));
    outputs.sort_by_key(|(name, _)| *name);

    let manifest = Manifest {
        schema_version: SCHEMA_VERSION,
        builder: Builder {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: version.to_owned(),
            zstd: codec::zstd_version(),
        },
        arch: agent.arch,
        kernel_release: tree.release.clone(),
        cmdline,
        files: outputs.iter().map(|(name, data)| output_file(name, data)).collect(),
        agent: Content { size: agent.data.len() as u64, sha256: sha256(&agent.data) },
        ramdisk: Ramdisk { entries, unpacked_size, mtime: options.mtime },
        programs,
        modules: packed.iter().map(|m| m.entry(chosen.get(&m.name))).collect(),
        tools: tools.iter().map(tool_entry).collect(),
        firmware_wanted: firmware.wanted,
        packages,
    };
    write_all(options, outputs, &manifest)?;
    Ok(manifest)
}

fn kernel_files(options: &Options, arch: Arch, say: &mut dyn FnMut(&str)) -> Result<KernelFiles, BuildError> {
    let deb = match &options.kernel {
        KernelSource::Files { kernel, modules } => {
            return Ok(KernelFiles {
                kernel: kernel.clone(),
                modules: modules.clone(),
                package: debian::owner(kernel),
            });
        }
        KernelSource::Deb(path) => debian::open_deb(path).map_err(BuildError::Debian)?,
        KernelSource::Package(name) => {
            let name = name.clone().unwrap_or_else(|| format!("linux-image-{0}:{0}", arch.debian()));
            debian::fetch_kernel(&name, &options.cache, say).map_err(BuildError::Debian)?
        }
    };
    say(&format!("kernel package: {} {}", deb.package.name, deb.package.version));
    let unpacked = debian::unpack_kernel(&deb, &options.cache).map_err(BuildError::Debian)?;
    Ok(KernelFiles { kernel: unpacked.kernel, modules: unpacked.modules, package: Some(deb.package) })
}

fn collect_tools(options: &Options, arch: Arch, say: &mut dyn FnMut(&str)) -> Result<Vec<Taken>, ToolError> {
    match &options.tools_root {
        Some(root) => tools::collect(&options.tools, &mut tools::Root::new(root, arch), arch),
        None => tools::collect(&options.tools, &mut tools::Packages::new(&options.cache, arch, say), arch),
    }
}

fn tool_entry(one: &Taken) -> ToolEntry {
    ToolEntry {
        path: one.path.clone(),
        size: one.data.len() as u64,
        sha256: sha256(&one.data),
        package: one.package.as_ref().map(|package| package.name.clone()),
    }
}

fn rules(options: &Options) -> Result<Rules, BuildError> {
    let mut rules = match &options.module_list {
        Some(path) => Rules::parse(&read_text(path)?, &path.display().to_string()),
        None => Rules::standard(),
    }
    .map_err(BuildError::Rules)?;
    options.without_modules.iter().for_each(|pattern| rules.drop_matching(pattern));
    options.modules.iter().for_each(|name| rules.need(name, "--module"));
    Ok(rules)
}

/// Takes out drivers of what none of these machines has. What was asked for by name stays.
fn keep_drivers_for(
    inventories: &[PathBuf],
    tree: &ModuleTree,
    chosen: &mut BTreeMap<String, String>,
) -> Result<(), BuildError> {
    if inventories.is_empty() {
        return Ok(());
    }
    let mut hardware = Hardware::default();
    inventories.iter().try_for_each(|path| hardware.add(path)).map_err(BuildError::Hardware)?;
    chosen.retain(|name, why| why.starts_with("need ") || tree.get(name).is_some_and(|module| hardware.wants(module)));
    Ok(())
}

/// Consoles, then the controller and the user's words: of two words that contradict each other the last one holds.
fn cmdline(options: &Options, arch: Arch) -> String {
    let standard = || arch.consoles().iter().map(|c| (*c).to_owned()).collect();
    let mut words: Vec<String> = options.consoles.clone().unwrap_or_else(standard);
    words.extend(options.cmdline.iter().cloned());
    words.join(" ")
}

fn stub_path(stub: &Stub, arch: Arch) -> PathBuf {
    match stub {
        Stub::Path(path) => path.clone(),
        Stub::Standard => PathBuf::from(format!("/usr/lib/systemd/boot/efi/linux{}.efi.stub", arch.efi())),
    }
}

/// Packages of this host that something was taken from.
fn other_packages(options: &Options, arch: Arch) -> Vec<(Option<Package>, String)> {
    let mut others = Vec::new();
    if let Some(bundle) = &options.ca_bundle {
        // The bundle is made by a maintainer script, so no package owns it.
        let package = debian::owner(bundle).or_else(|| debian::installed("ca-certificates"));
        others.push((package, "CA certificates of Mozilla's list, MPL-2.0".to_owned()));
    }
    if let Some(stub) = &options.stub {
        let package = debian::owner(&stub_path(stub, arch));
        others.push((package, format!("EFI stub of systemd in {UKI} (not in the ramdisk), LGPL-2.1-or-later")));
    }
    others
}

fn output_file(name: &str, data: &[u8]) -> OutputFile {
    OutputFile { name: name.to_owned(), size: data.len() as u64, sha256: sha256(data) }
}

/// Each file is whole or not there: written beside its place and renamed. The manifest comes last.
fn write_all(options: &Options, outputs: Vec<(&str, Vec<u8>)>, manifest: &Manifest) -> Result<(), BuildError> {
    let dir = &options.output;
    fs::create_dir_all(dir).map_err(|source| BuildError::Write { path: dir.clone(), source })?;
    if options.stub.is_none() {
        remove_stale(&dir.join(UKI))?;
    }
    for (name, data) in &outputs {
        write_file(&dir.join(name), data)?;
    }
    let mut json = serde_json::to_vec_pretty(manifest)
        .map_err(|e| BuildError::Write { path: dir.join(MANIFEST), source: e.into() })?;
    json.push(b'\n');
    write_file(&dir.join(MANIFEST), &json)
}

/// A unified image of an earlier build would not fit the rest.
fn remove_stale(path: &Path) -> Result<(), BuildError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(BuildError::Write { path: path.to_owned(), source: e }),
        _ => Ok(()),
    }
}

fn write_file(path: &Path, data: &[u8]) -> Result<(), BuildError> {
    let write = || -> io::Result<()> {
        let dir = path.parent().unwrap_or(Path::new("."));
        // Readable by everybody, unlike other temporary files: a web server hands these out.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        let mut file = tempfile::Builder::new().prefix(".burin-").permissions(mode).tempfile_in(dir)?;
        file.write_all(data)?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|source| BuildError::Write { path: path.to_owned(), source })
}

fn read_text(path: &Path) -> Result<String, BuildError> {
    fs::read_to_string(path).map_err(|source| BuildError::Read { path: path.to_owned(), source })
}
