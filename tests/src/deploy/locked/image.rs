//! The signed kernel image of the scene, its signing keys, and a USB stick to boot it from.

use super::{DeployError, MIB, Parts, Site, failed};
use burin_initramfs::options::{ExtraFile, KernelSource};
use burin_initramfs::{Manifest, Options};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

const ENROLLED: &str = "/usr/share/ovmf/PkKek-1-snakeoil";

fn run(program: &str, args: &[&str]) -> Result<(), DeployError> {
    let output = Command::new(program).args(args).output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(format!("{program}: {}", String::from_utf8_lossy(&output.stderr))))
}

/// The key of [`super::VARIABLES`], without its password, and its certificate.
pub fn enrolled_key(dir: &Path) -> Result<(PathBuf, PathBuf), DeployError> {
    let key = dir.join("enrolled.key");
    let from = format!("{ENROLLED}.key");
    run("openssl", &["rsa", "-in", &from, "-passin", "pass:snakeoil", "-out", &key.display().to_string()])?;
    Ok((key, PathBuf::from(format!("{ENROLLED}.pem"))))
}

/// A key that no firmware knows.
pub fn foreign_key(dir: &Path) -> Result<(PathBuf, PathBuf), DeployError> {
    let (key, certificate) = (dir.join("foreign.key"), dir.join("foreign.pem"));
    let (to, of) = (key.display().to_string(), certificate.display().to_string());
    let args = ["req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=nobody"];
    run("openssl", &[&args[..], &["-keyout", &to, "-out", &of]].concat())?;
    Ok((key, certificate))
}

/// As `burin-initramfs build --sign --cert --policy --ca --controller` does it.
pub fn build(
    output: &Path,
    parts: &Parts,
    site: &Site,
    key: &(PathBuf, PathBuf),
    more: &[(&str, &str)],
) -> Result<Manifest, DeployError> {
    std::fs::create_dir_all(output).map_err(failed)?;
    let put = |name: &str, text: &str| {
        let path = output.join(name);
        std::fs::write(&path, text).map(|()| path).map_err(failed)
    };
    let policy = json!({
        "version": "policy/v1", "require_https": true, "no_api": true, "boot": "lockdown",
        "orders": { "keys": [site.owner.to_string()], "this_boot": true },
        "images": { "require": "digest" }, "least_erase": "secure-erase",
    });
    let policy = put("policy.json", &policy.to_string())?;
    let ca = put("ca.pem", &site.ca)?;
    let cache = std::env::var_os("BURIN_CACHE").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        Some(home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?.join("burin"))
    });
    let cache = cache.ok_or_else(|| failed("neither BURIN_CACHE nor HOME is set"))?;
    let mut options = Options::new(&parts.agent, output, cache.join("builder"));
    options.kernel = KernelSource::Files { kernel: parts.netboot.kernel(), modules: parts.modules.clone() };
    (options.policy, options.ca, options.sign) = (Some(policy), Some(ca), Some(key.clone()));
    options.cmdline = vec![format!("burin.controller={}", site.url)];
    options.embedded_cmdline = vec![format!("burin.token={}", site.join)];
    options.level = 3;
    for (path, text) in more {
        let source = put("more", text)?;
        options.files.push(ExtraFile { source, destination: format!("/{path}") });
    }
    burin_initramfs::build(&options, &mut |_| {}).map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        failed(format!("{error}: {cause}"))
    })
}

/// A stick that the firmware starts the image from.
pub fn boot_medium(dir: &Path, image: &Path) -> Result<PathBuf, DeployError> {
    let path = dir.join("medium.raw");
    let size = std::fs::metadata(image).map_err(failed)?.len();
    let file = std::fs::File::create(&path).map_err(failed)?;
    file.set_len((size + 64 * MIB).next_multiple_of(MIB)).map_err(failed)?;
    let (at, image) = (path.display().to_string(), image.display().to_string());
    run("/usr/sbin/mkfs.vfat", &["-F", "32", "-n", "BURIN", &at])?;
    run("mmd", &["-i", &at, "::EFI", "::EFI/BOOT"])?;
    run("mcopy", &["-i", &at, &image, "::EFI/BOOT/BOOTX64.EFI"])?;
    Ok(path)
}
