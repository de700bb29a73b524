//! The build itself: kernel, modules, ramdisk, unified image, scripts, notice and manifest, in this order.

mod error;
mod output;

pub use error::BuildError;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::agent::Agent;
use crate::arch::Arch;
use crate::authenticode::{self, Signer};
use crate::codec;
use crate::cpio::Archive;
use crate::debian::{self, Package};
use crate::digest::{megabytes, sha256};
use crate::kernel::Kernel;
use crate::manifest::{
    BootProgram, Builder, FileDigest, FirmwareEntry, Manifest, OutputFile, RamdiskSummary, SCHEMA_VERSION, ToolEntry,
};
use crate::modules::{Closure, Hardware, ModuleRules, ModuleTree};
use crate::netboot::{self, BootFiles};
use crate::notice::{self, Carried};
use crate::options::{KernelSource, Options, Stub};
use crate::pack::{self, PackedModule};
use crate::parallel;
use crate::ramdisk;
use crate::sbom;
use crate::tools::{self, Taken, ToolError};
use crate::uki;

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

/// Increased when signed images of earlier versions must no longer boot: firmware and shim revoke by it.
const SBAT_GENERATION: u32 = 1;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Kernel and modules on this host.
struct KernelFiles {
    kernel: PathBuf,
    modules: PathBuf,
    package: Option<Package>,
}

/// The inputs of a build, all of them read and checked.
struct Inputs {
    crates: String,
    signer: Option<Signer>,
    agent: Agent,
    files: KernelFiles,
    kernel: Kernel,
    tree: ModuleTree,
}

/// The kernel modules that go into the ramdisk.
struct ChosenModules<'a> {
    /// The chosen modules, with the rule that chose each.
    chosen: BTreeMap<String, String>,
    /// The chosen modules with their dependencies.
    closure: Closure<'a>,
    packed: Vec<PackedModule>,
}

/// The finished ramdisk.
struct FilledRamdisk {
    compressed: Vec<u8>,
    summary: RamdiskSummary,
    notice: String,
    firmware_wanted: Vec<FirmwareEntry>,
}

/// Builds everything that `options` describe and writes it to the output directory. `say` receives progress, line by
/// line.
pub fn build(options: &Options, say: &mut dyn FnMut(&str)) -> Result<Manifest, BuildError> {
    let inputs = load(options, say)?;
    let Inputs { agent, kernel, tree, crates, .. } = &inputs;
    let modules = choose_modules(options, tree, kernel.arch, say)?;
    let tools = collect_tools(options, kernel.arch, say).map_err(BuildError::Tools)?;
    let mut others = other_packages(options, kernel.arch);
    if !tools.is_empty() {
        let size = tools.iter().map(|one| one.data.len() as u64).sum();
        say(&format!("tools: {} files, {}", tools.len(), megabytes(size)));
        others.extend(tools::packages(&tools));
    }
    let ramdisk = fill_ramdisk(options, &inputs, &modules, &tools, &others)?;
    say(&format!(
        "ramdisk: {} entries, {}, compressed {}",
        ramdisk.summary.entries,
        megabytes(ramdisk.summary.unpacked_size),
        megabytes(ramdisk.compressed.len() as u64)
    ));

    let cmdline = cmdline(options, kernel.arch);
    let title = format!("burin {VERSION}, Linux {}", tree.release);
    let mut outputs: Vec<(&str, Vec<u8>)> = Vec::new();
    let mut programs = Vec::new();
    if let Some(stub) = &options.stub {
        let image = unified_image(stub, &inputs, &ramdisk.compressed, &cmdline, &title)?;
        let signed = if inputs.signer.is_some() { "signed, " } else { "" };
        say(&format!("unified kernel image: {signed}{}", megabytes(image.len() as u64)));
        programs = vec![program(UKI, &image)?, program(KERNEL, &kernel.data)?];
        let image = match &inputs.signer {
            Some(signer) => authenticode::sign(image, signer).map_err(BuildError::Sign)?,
            None => image,
        };
        outputs.push((UKI, image));
    }
    let packages: Vec<Package> =
        inputs.files.package.iter().cloned().chain(others.iter().filter_map(|(package, _)| package.clone())).collect();
    let sbom = sbom::document(&sbom::Parts {
        version: VERSION,
        agent: &sha256(&agent.data),
        ramdisk: (INITRAMFS, &sha256(&ramdisk.compressed)),
        kernel: (KERNEL, &sha256(&kernel.data)),
        release: &tree.release,
        packages: &packages,
        crates,
        libraries: notice::LIBRARIES,
    });
    let boot = BootFiles { kernel: KERNEL, initrd: INITRAMFS, cmdline: &cmdline, title: &title };
    outputs.push((SBOM, format!("{sbom:#}\n").into_bytes()));
    outputs.push((KERNEL, kernel.data.clone()));
    outputs.push((INITRAMFS, ramdisk.compressed));
    outputs.push((IPXE, netboot::ipxe(&boot).into_bytes()));
    outputs.push((GRUB, netboot::grub(&boot).into_bytes()));
    outputs.push((NOTICE, ramdisk.notice.into_bytes()));
    outputs.sort_by_key(|(name, _)| *name);

    let (name, zstd) = (env!("CARGO_PKG_NAME").to_owned(), codec::zstd_version());
    let manifest = Manifest {
        schema_version: SCHEMA_VERSION,
        builder: Builder { name, version: VERSION.to_owned(), zstd },
        arch: agent.arch,
        kernel_release: tree.release.clone(),
        cmdline,
        files: outputs.iter().map(|(name, data)| output_file(name, data)).collect(),
        agent: FileDigest { size: agent.data.len() as u64, sha256: sha256(&agent.data) },
        ramdisk: ramdisk.summary,
        programs,
        modules: modules.packed.iter().map(|m| m.entry(modules.chosen.get(&m.name))).collect(),
        tools: tools.iter().map(tool_entry).collect(),
        firmware_wanted: ramdisk.firmware_wanted,
        packages,
    };
    output::write_all(options, outputs, &manifest)?;
    Ok(manifest)
}

fn load(options: &Options, say: &mut dyn FnMut(&str)) -> Result<Inputs, BuildError> {
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
    Ok(Inputs { crates, signer, agent, files, kernel, tree })
}

/// Chooses modules by the rules and the given inventories, with their dependencies.
fn choose_modules<'a>(
    options: &Options,
    tree: &'a ModuleTree,
    arch: Arch,
    say: &mut dyn FnMut(&str),
) -> Result<ChosenModules<'a>, BuildError> {
    let mut chosen = rules(options)?.select(tree).map_err(BuildError::Rules)?;
    keep_drivers_for(&options.drivers, tree, &mut chosen)?;
    let closure = Closure::of(tree, chosen.keys().map(String::as_str), arch).map_err(BuildError::Closure)?;
    let packed = pack::pack(&closure, &options.cache.join("modules")).map_err(BuildError::Pack)?;
    let plain_size = packed.iter().map(|m| m.plain_size).sum();
    let packed_size = packed.iter().map(|m| m.data.len() as u64).sum();
    say(&format!(
        "modules: {} chosen, {} more as dependencies; {}, packed {}",
        chosen.len(),
        closure.modules.len() - chosen.len(),
        megabytes(plain_size),
        megabytes(packed_size)
    ));
    Ok(ChosenModules { chosen, closure, packed })
}

/// Agent, modules, firmware, configuration, tools and notice in one compressed cpio.
fn fill_ramdisk(
    options: &Options,
    inputs: &Inputs,
    modules: &ChosenModules<'_>,
    tools: &[Taken],
    others: &[(Option<Package>, String)],
) -> Result<FilledRamdisk, BuildError> {
    let mut archive = Archive::default();
    ramdisk::skeleton(&mut archive, &inputs.agent.data).map_err(BuildError::Ramdisk)?;
    ramdisk::modules(&mut archive, &inputs.tree, &modules.closure, &modules.packed).map_err(BuildError::Ramdisk)?;
    let firmware = ramdisk::firmware(&mut archive, &modules.closure, &options.firmware, options.firmware_all)
        .map_err(BuildError::Ramdisk)?;
    ramdisk::configuration(&mut archive, options).map_err(BuildError::Ramdisk)?;
    ramdisk::tools(&mut archive, tools).map_err(BuildError::Ramdisk)?;
    let notice = notice::text(&Carried {
        kernel_release: &inputs.tree.release,
        kernel_package: inputs.files.package.as_ref(),
        others,
        crates: &inputs.crates,
        libraries: notice::LIBRARIES,
        firmware_files: firmware.files,
    });
    ramdisk::notice(&mut archive, &notice).map_err(BuildError::Ramdisk)?;
    let entries = archive.entries().count();
    let unpacked = archive.to_bytes(options.mtime).map_err(BuildError::Cpio)?;
    // Two copies of the ramdisk in memory are enough.
    drop(archive);
    let threads = u32::try_from(parallel::threads()).unwrap_or(1);
    let compressed = codec::zstd_archive(&unpacked, options.level, threads).map_err(BuildError::Compress)?;
    let summary = RamdiskSummary { entries, unpacked_size: unpacked.len() as u64, mtime: options.mtime };
    Ok(FilledRamdisk { compressed, summary, notice, firmware_wanted: firmware.wanted })
}

/// The unified kernel image, not yet signed.
fn unified_image(
    stub: &Stub,
    inputs: &Inputs,
    ramdisk: &[u8],
    cmdline: &str,
    title: &str,
) -> Result<Vec<u8>, BuildError> {
    let kernel = &inputs.kernel;
    if !kernel.efi {
        return Err(BuildError::NotEfi { path: inputs.files.kernel.clone() });
    }
    let parts = uki::Parts {
        os_release: &format!("ID=burin\nNAME=burin\nVERSION_ID={VERSION}\nPRETTY_NAME=\"{title}\"\n"),
        cmdline,
        uname: &inputs.tree.release,
        kernel: &kernel.data,
        initrd: ramdisk,
        sbat: &format!("burin,{SBAT_GENERATION},burin,burin-initramfs,{VERSION},{}\n", env!("CARGO_PKG_REPOSITORY")),
    };
    let path = stub_path(stub, kernel.arch);
    let stub = fs::read(&path).map_err(|source| BuildError::NoStub { path: path.clone(), source })?;
    uki::build(&stub, &parts, kernel.arch).map_err(|source| BuildError::Uki { stub: path, source })
}

fn program(name: &str, data: &[u8]) -> Result<BootProgram, BuildError> {
    let digest = authenticode::digest(data).map_err(BuildError::Sign)?;
    Ok(BootProgram { name: name.to_owned(), authenticode: burin_protocol::hex(digest) })
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
        Some(root) => tools::collect(&options.tools, &mut tools::RootTools::new(root, arch), arch),
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

fn rules(options: &Options) -> Result<ModuleRules, BuildError> {
    let mut rules = match &options.module_list {
        Some(path) => ModuleRules::parse(&read_text(path)?, &path.display().to_string()),
        None => ModuleRules::standard(),
    }
    .map_err(BuildError::Rules)?;
    options.without_modules.iter().for_each(|pattern| rules.drop_matching(pattern));
    options.modules.iter().for_each(|name| rules.need(name, "--module"));
    Ok(rules)
}

/// Removes drivers for hardware that none of these machines has. Modules requested by name are kept.
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

/// Consoles, then the controller and the user's words: if words contradict each other, the last one applies.
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

/// Packages on this host from which something was taken.
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

fn read_text(path: &Path) -> Result<String, BuildError> {
    fs::read_to_string(path).map_err(|source| BuildError::Read { path: path.to_owned(), source })
}
