//! Boot loader configurations: an iPXE script and a GRUB fragment.

/// File names and words in the scripts.
#[derive(Debug, Clone, Copy)]
pub struct BootFiles<'a> {
    /// File name of the kernel, relative to the script.
    pub kernel: &'a str,
    /// File name of the ramdisk, relative to the script.
    pub initrd: &'a str,
    /// Kernel command line without BOOTIF and initrd.
    pub cmdline: &'a str,
    /// A title for display: `burin 0.1.0, Linux 6.1.0-9-amd64`.
    pub title: &'a str,
}

/// An iPXE script for BIOS and UEFI. File names are relative, so it works wherever it is served from.
///
/// `initrd=` tells a kernel started by UEFI which of iPXE's files is the ramdisk; BIOS kernels ignore it. `netX` is the
/// card that iPXE booted from.
pub fn ipxe(boot: &BootFiles<'_>) -> String {
    let BootFiles { kernel, initrd, cmdline, title } = boot;
    format!(
        "#!ipxe\n\
         # {title}\n\
         # Served beside {kernel} and {initrd}. Words of your own: set burin-args before you chain here.\n\
         kernel {kernel} initrd={initrd} {cmdline} BOOTIF=01-${{netX/mac:hexhyp}} ${{burin-args}} || goto failed\n\
         initrd --name {initrd} {initrd} || goto failed\n\
         boot || goto failed\n\
         :failed\n\
         echo burin could not be started: ${{errno}}\n\
         prompt --timeout 30000 Press a key for the iPXE shell, or wait to go on booting && shell ||\n\
         exit 1\n"
    )
}

/// A GRUB menu entry, for netboot (`$net_default_mac`) or from a disk with the same files.
pub fn grub(boot: &BootFiles<'_>) -> String {
    let BootFiles { kernel, initrd, cmdline, title } = boot;
    format!(
        "# {title}\n\
         # Source this from grub.cfg; set burin_dir to the directory that holds the files, with its device where needed.\n\
         if [ -z \"$burin_dir\" ]; then set burin_dir=\"$prefix\"; fi\n\
         if [ -n \"$net_default_mac\" ]; then\n\
         \x20   insmod regexp\n\
         \x20   regexp --set=1:m1 --set=2:m2 --set=3:m3 --set=4:m4 --set=5:m5 --set=6:m6 \\\n\
         \x20       '^(..):(..):(..):(..):(..):(..)$' \"$net_default_mac\"\n\
         \x20   set burin_bootif=\"BOOTIF=01-$m1-$m2-$m3-$m4-$m5-$m6\"\n\
         fi\n\
         export burin_dir burin_bootif\n\
         menuentry '{title}' --id burin {{\n\
         \x20   linux \"$burin_dir/{kernel}\" {cmdline} $burin_bootif\n\
         \x20   initrd \"$burin_dir/{initrd}\"\n\
         }}\n",
        title = title.replace('\'', ""),
        cmdline = grub_words(cmdline),
    )
}

/// Words for a GRUB script, with its special characters escaped, so that a URL with `&` or `;` stays one word.
pub fn grub_words(cmdline: &str) -> String {
    let special = |c: char| matches!(c, '$' | ';' | '&' | '|' | '<' | '>' | '{' | '}' | '\'' | '"' | '\\' | '#');
    cmdline.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: BootFiles<'static> = BootFiles {
        kernel: "vmlinuz",
        initrd: "initramfs.cpio.zst",
        cmdline: "console=tty0 burin.controller=https://h/?a=1&b=2",
        title: "burin 1, Linux 6.1",
    };

    #[test]
    fn ipxe_names_the_ramdisk_for_uefi_and_the_card() {
        let script = ipxe(&BOOT);
        assert!(script.starts_with("#!ipxe\n"));
        let kernel = script.lines().find(|l| l.starts_with("kernel ")).unwrap();
        assert!(kernel.contains(" initrd=initramfs.cpio.zst "), "{kernel}");
        assert!(kernel.contains(" BOOTIF=01-${netX/mac:hexhyp} "), "{kernel}");
        assert!(script.contains("\ninitrd --name initramfs.cpio.zst initramfs.cpio.zst "), "{script}");
    }

    #[test]
    fn grub_escapes_what_its_shell_would_eat() {
        let text = grub(&BOOT);
        assert!(text.contains("burin.controller=https://h/?a=1\\&b=2 $burin_bootif\n"), "{text}");
        assert!(text.contains("    initrd \"$burin_dir/initramfs.cpio.zst\"\n"), "{text}");
    }
}
