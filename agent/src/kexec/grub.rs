//! The first entry of a grub.cfg that starts Linux.

use super::entry::KexecEntry;

/// Pure; `None` if no menu entry has a `linux` line.
pub(super) fn first_entry(text: &str) -> Option<KexecEntry> {
    let mut inside = false;
    let mut kernel: Option<(String, String)> = None;
    let mut initrds: Vec<String> = Vec::new();
    for line in text.lines().map(str::trim) {
        let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match command {
            "menuentry" if kernel.is_some() => break,
            "menuentry" => inside = true,
            "linux" | "linux16" | "linuxefi" if inside && kernel.is_none() => {
                let rest = rest.trim();
                let (path, options) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                kernel = Some((path.to_owned(), options.to_owned()));
            }
            "initrd" | "initrd16" | "initrdefi" if kernel.is_some() => {
                initrds.extend(rest.split_whitespace().map(str::to_owned));
            }
            // The end of the entry that was found.
            "}" if kernel.is_some() => break,
            _ => {}
        }
    }
    let (path, options) = kernel?;
    Some(KexecEntry::new(&path, initrds.iter().map(String::as_str), &options))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = r#"
### BEGIN /etc/grub.d/10_linux ###
function gfxmode { set gfxpayload="${1}" }
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-6b1f' {
	load_video
	insmod ext2
	if [ x$feature_platform_search_hint = xy ]; then
	  search --no-floppy --fs-uuid --set=root 6b1f4c0e
	fi
	echo	'Loading Linux 6.1.0-56-amd64 ...'
	linux	/boot/vmlinuz-6.1.0-56-amd64 root=UUID=6b1f4c0e ro  console=ttyS0,115200
	echo	'Loading initial ramdisk ...'
	initrd	/boot/initrd.img-6.1.0-56-amd64
}
submenu 'Advanced options for Debian GNU/Linux' {
	menuentry 'Debian GNU/Linux, with Linux 6.1.0-1-amd64' {
		linux	/boot/vmlinuz-6.1.0-1-amd64 root=UUID=6b1f4c0e ro single
		initrd	/boot/initrd.img-6.1.0-1-amd64
	}
}
"#;

    #[test]
    fn the_first_entry_is_what_grub_would_start() {
        let entry = first_entry(DEBIAN).unwrap();
        assert_eq!(entry.kernel, "/boot/vmlinuz-6.1.0-56-amd64");
        assert_eq!(entry.initrds, ["/boot/initrd.img-6.1.0-56-amd64"]);
        assert_eq!(entry.options, "root=UUID=6b1f4c0e ro console=ttyS0,115200");
    }

    #[test]
    fn entries_that_start_something_else_are_passed_over() {
        let text = "menuentry 'UEFI Firmware Settings' {\n fwsetup\n}\nmenuentry 'x' {\n linux /k root=/dev/vda1\n initrd /ucode.img /i\n}\n";
        let entry = first_entry(text).unwrap();
        assert_eq!((entry.kernel.as_str(), entry.initrds.len()), ("/k", 2));
        assert_eq!(first_entry("linux /k root=/dev/vda1\n"), None, "outside of any entry");
        assert_eq!(first_entry("# menuentry\nset timeout=1\n"), None);
        assert_eq!(first_entry("menuentry 'x' {\nlinux\n}").map(|entry| entry.kernel), Some(String::new()));
    }
}
