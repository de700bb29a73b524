//! Makes the image of a root filesystem bootable. It is already set up to boot elsewhere, so its own files stay
//! unchanged. Files that it has for the ESP are copied there; if there are none, the boot loader from its packages is
//! installed as for a tree.

use super::{BootError, BootFile, Installation, System, default_name, kernels, prepare, suffix};
use crate::finalize::root::Root;
use crate::protocol::order::Bootloader;

/// Where distributions mount the ESP.
const PLACES: [&str; 3] = ["/boot/efi", "/efi", "/boot"];
/// An ESP has a few dozen files; with more, the directory is something else.
const MOST_FILES: usize = 2000;
const DEEPEST: usize = 8;
/// A longer file is not an fstab.
const FSTAB_LIMIT: u64 = 1 << 20;

/// The directory of the image with files for the ESP.
pub fn image_esp(tree: &Root) -> Result<Option<&'static str>, BootError> {
    for place in PLACES {
        let path = format!("{}/EFI", place.trim_start_matches('/'));
        match tree.list(&path) {
            Ok(names) if !names.is_empty() => return Ok(Some(place)),
            Ok(_) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => {}
            Err(source) => return Err(BootError::Io { path, source }),
        }
    }
    Ok(None)
}

/// The files to write, so that firmware boots the image.
pub fn of_image(system: System<'_>) -> Result<Installation, BootError> {
    let own = match system.esp {
        Some(esp) => below(system, esp.trim_start_matches('/'))?,
        None => Vec::new(),
    };
    let packaged = prepare(system, Bootloader::Auto);
    if !own.iter().any(|file| is_loader(system, file)) {
        let mut made = packaged?;
        made.tree = missing(system, made.tree)?;
        return Ok(made);
    }
    let (mut esp, mut tree, mut bootloader, mut kernel) = (Vec::new(), Vec::new(), Bootloader::Auto, None);
    if let Ok(made) = packaged {
        // GRUB from the image's own ESP may lack the lines that lead to its configuration.
        let taken = |file: &BootFile| own.iter().any(|other| other.path().eq_ignore_ascii_case(&file.path()));
        let leads = made.esp.iter().filter(|file| matches!(file.from, super::Source::Text(_)) && !taken(file));
        esp.extend(leads.cloned());
        tree = missing(system, made.tree)?;
        (bootloader, kernel) = (made.bootloader, Some(made.kernel));
    }
    let kernel = kernel.or_else(|| Some(kernels::find(system).ok()?.first()?.version.clone()));
    // The files that firmware starts come last.
    let (loaders, others): (Vec<BootFile>, Vec<BootFile>) = own.into_iter().partition(|file| is_loader(system, file));
    esp.extend(others);
    esp.extend(loaders);
    Ok(Installation { bootloader, kernel: kernel.unwrap_or_default(), esp, tree })
}

/// The image's own configuration stays.
fn missing(system: System<'_>, files: Vec<BootFile>) -> Result<Vec<BootFile>, BootError> {
    let mut missing = Vec::new();
    for file in files {
        if !system.has(&file.path())? {
            missing.push(file);
        }
    }
    Ok(missing)
}

fn is_loader(system: System<'_>, file: &BootFile) -> bool {
    let suffix = suffix(system.arch);
    let known = [
        default_name(system.arch),
        format!("shim{suffix}.efi"),
        format!("grub{suffix}.efi"),
        format!("systemd-boot{suffix}.efi"),
    ];
    file.directory.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("EFI/"))
        && known.iter().any(|name| name.eq_ignore_ascii_case(&file.name))
}

/// Everything in the directories meant for the ESP. Kernels in /boot are not for the ESP: there, only `EFI` and
/// `loader` count.
fn below(system: System<'_>, place: &str) -> Result<Vec<BootFile>, BootError> {
    let mut files = Vec::new();
    let mut todo: Vec<(String, usize)> = match place {
        "boot" => vec![("EFI".to_owned(), 1), ("loader".to_owned(), 1)],
        _ => vec![(String::new(), 0)],
    };
    while let Some((directory, depth)) = todo.pop() {
        for name in system.list(&join(place, &directory))? {
            let path = join(&directory, &name);
            let whole = join(place, &path);
            let is_file = system.tree.open_file(&whole).is_ok();
            if is_file && !directory.is_empty() {
                files.push(BootFile::copy(&directory, &name, &whole));
            } else if !is_file && depth < DEEPEST {
                todo.push((path, depth + 1));
            }
            if files.len() > MOST_FILES || todo.len() > MOST_FILES {
                let source = std::io::Error::other("there is too much for an EFI system partition");
                return Err(BootError::Io { path: place.to_owned(), source });
            }
        }
    }
    files.sort_by_key(BootFile::path);
    Ok(files)
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}").trim_end_matches('/').to_owned() }
}

/// The image's fstab with a line for the ESP, because boot loader updates look there. `None` if nothing needs to be
/// added.
pub fn fstab_with_esp(system: System<'_>, uuid: &str) -> Result<Option<String>, BootError> {
    let place = "/boot/efi";
    let path = "etc/fstab";
    if !system.has(path)? {
        return Ok(None);
    }
    let io = |source| BootError::Io { path: path.to_owned(), source };
    let bytes = system.tree.read(path, FSTAB_LIMIT).map_err(io)?;
    // Everything else in it stays as it is.
    let Ok(mut text) = String::from_utf8(bytes) else { return Ok(None) };
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    if lines.filter_map(|line| line.split_whitespace().nth(1)).any(|at| PLACES.iter().take(2).any(|esp| *esp == at)) {
        return Ok(None);
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text += &format!("UUID={uuid} {place} vfat umask=0077,nofail 0 2\n");
    Ok(Some(text))
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
