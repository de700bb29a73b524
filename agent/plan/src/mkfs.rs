//! A table of the mkfs options that an order may give. Options that can name another device or a file, or that make no
//! filesystem at all, are not in it; neither are those for which the order has a key.

use burin_protocol::order::FsType;

/// The argument of an option.
#[derive(Debug, Clone, Copy)]
enum Takes {
    Nothing,
    /// A number, with a unit or a fraction.
    Number,
    /// One of these.
    Word(&'static [&'static str]),
    /// Names separated by commas, each with an optional `^`.
    Features,
    /// `key` or `key=value`, separated by commas, with these keys.
    Keys(&'static [&'static str]),
}

struct Allowed {
    names: &'static [&'static str],
    takes: Takes,
}

const fn row(names: &'static [&'static str], takes: Takes) -> Allowed {
    Allowed { names, takes }
}

/// mke2fs(8).
const EXT4: &[Allowed] = &[
    row(&["-b"], Takes::Number),
    row(&["-C"], Takes::Number),
    row(&["-e"], Takes::Word(&["continue", "remount-ro", "panic"])),
    row(
        &["-E"],
        Takes::Keys(&[
            "discard",
            "encoding",
            "encoding_flags",
            "hash_seed",
            "lazy_itable_init",
            "lazy_journal_init",
            "mmp_update_interval",
            "nodiscard",
            "no_copy_xattrs",
            "num_backup_sb",
            "orphan_file_size",
            "packed_meta_blocks",
            "quotatype",
            "resize",
            "root_owner",
            "root_perms",
            "stride",
            "stripe-width",
            "stripe_width",
        ]),
    ),
    row(&["-g"], Takes::Number),
    row(&["-G"], Takes::Number),
    row(&["-i"], Takes::Number),
    row(&["-I"], Takes::Number),
    row(&["-j"], Takes::Nothing),
    row(&["-J"], Takes::Keys(&["size", "fast_commit_size", "location"])),
    row(&["-m"], Takes::Number),
    row(&["-N"], Takes::Number),
    row(&["-O"], Takes::Features),
    row(&["-T"], Takes::Features),
];

/// mkfs.xfs(8). No realtime section, and no file or log on another device.
const XFS: &[Allowed] = &[
    row(&["-b"], Takes::Keys(&["size"])),
    row(
        &["-d"],
        Takes::Keys(&[
            "agcount",
            "agsize",
            "concurrency",
            "cowextsize",
            "extszinherit",
            "daxinherit",
            "noalign",
            "su",
            "sunit",
            "sw",
            "swidth",
        ]),
    ),
    row(
        &["-i"],
        Takes::Keys(&["align", "attr", "exchange", "maxpct", "nrext64", "perblock", "projid32bit", "size", "sparse"]),
    ),
    row(&["-K"], Takes::Nothing),
    row(&["-l"], Takes::Keys(&["concurrency", "internal", "lazy-count", "size", "su", "sunit", "version"])),
    row(&["-m"], Takes::Keys(&["autofsck", "bigtime", "crc", "finobt", "inobtcount", "metadir", "reflink", "rmapbt"])),
    row(&["-n"], Takes::Keys(&["ftype", "parent", "size", "version"])),
    row(&["-s"], Takes::Keys(&["size"])),
];

/// mkfs.btrfs(8), on one device: profiles that need more are not listed.
const BTRFS: &[Allowed] = &[
    row(&["--csum", "--checksum"], Takes::Word(&["crc32c", "xxhash", "sha256", "blake2"])),
    row(&["-d", "--data"], Takes::Word(&["single", "dup", "SINGLE", "DUP"])),
    row(&["-K", "--nodiscard"], Takes::Nothing),
    row(&["-m", "--metadata"], Takes::Word(&["single", "dup", "SINGLE", "DUP"])),
    row(&["-M", "--mixed"], Takes::Nothing),
    row(&["-n", "--nodesize"], Takes::Number),
    row(&["-O", "--features"], Takes::Features),
    row(&["-R", "--runtime-features"], Takes::Features),
    row(&["-s", "--sectorsize"], Takes::Number),
];

/// mkfs.fat(8).
const VFAT: &[Allowed] = &[
    row(&["-a"], Takes::Nothing),
    row(&["-D"], Takes::Number),
    row(&["-f"], Takes::Number),
    row(&["-F"], Takes::Word(&["12", "16", "32"])),
    row(&["-g"], Takes::Word(&["255/63", "64/32", "16/63"])),
    row(&["-h"], Takes::Number),
    row(&["-M"], Takes::Number),
    row(&["-r"], Takes::Number),
    row(&["-R"], Takes::Number),
    row(&["-s"], Takes::Number),
    row(&["-S"], Takes::Number),
    row(&["--codepage"], Takes::Number),
];

/// mkswap(8).
const SWAP: &[Allowed] = &[
    row(&["-e", "--endianness"], Takes::Word(&["native", "little", "big"])),
    row(&["-p", "--pagesize"], Takes::Number),
];

fn allowed(kind: FsType) -> &'static [Allowed] {
    match kind {
        FsType::Ext4 => EXT4,
        FsType::Xfs => XFS,
        FsType::Btrfs => BTRFS,
        FsType::Vfat => VFAT,
        FsType::Swap => SWAP,
    }
}

/// What is wrong with the options of a filesystem, and the index of the faulty one.
pub fn check(kind: FsType, options: &[String]) -> Result<(), (usize, String)> {
    let mut rest = options.iter().enumerate();
    while let Some((index, option)) = rest.next() {
        let (row, name, attached) = find(kind, option).ok_or_else(|| (index, unknown(kind, option)))?;
        let value = match (row.takes, attached) {
            (Takes::Nothing, None) => continue,
            (Takes::Nothing, Some(_)) => return Err((index, format!("`{name}` takes no value"))),
            (_, Some(value)) => value,
            (_, None) => {
                rest.next().map(|(_, value)| value.as_str()).ok_or((index, format!("`{name}` wants a value")))?
            }
        };
        fits(row.takes, value).map_err(|message| (index, format!("`{name} {value}`: {message}")))?;
    }
    Ok(())
}

/// The row of an option, its name, and its value if attached: `-m1`, `--csum=xxhash`.
fn find(kind: FsType, option: &str) -> Option<(&'static Allowed, &'static str, Option<&str>)> {
    for row in allowed(kind) {
        for &name in row.names {
            let Some(attached) = option.strip_prefix(name) else { continue };
            if attached.is_empty() {
                return Some((row, name, None));
            }
            match attached.strip_prefix('=') {
                Some(value) if name.starts_with("--") => return Some((row, name, Some(value))),
                None if !name.starts_with("--") => return Some((row, name, Some(attached))),
                _ => {}
            }
        }
    }
    None
}

fn fits(takes: Takes, value: &str) -> Result<(), String> {
    let safe = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '^'))
    };
    match takes {
        Takes::Nothing => Ok(()),
        Takes::Number => {
            let right = value.starts_with(|c: char| c.is_ascii_digit())
                && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
            if right { Ok(()) } else { Err("expected a number".to_owned()) }
        }
        Takes::Word(words) => {
            if words.contains(&value) {
                Ok(())
            } else {
                Err(format!("expected one of {}", words.join(", ")))
            }
        }
        Takes::Features => {
            if value.split(',').all(safe) {
                Ok(())
            } else {
                Err("expected names separated by commas".to_owned())
            }
        }
        Takes::Keys(keys) => value.split(',').try_for_each(|pair| {
            let (key, value) = pair.split_once('=').map_or((pair, None), |(key, value)| (key, Some(value)));
            if !keys.contains(&key) {
                return Err(format!("`{key}` is none of {}", keys.join(", ")));
            }
            if value.is_none_or(safe) { Ok(()) } else { Err(format!("a value of `{key}` that is not allowed")) }
        }),
    }
}

fn unknown(kind: FsType, option: &str) -> String {
    let names: Vec<&str> = allowed(kind).iter().flat_map(|row| row.names).copied().collect();
    format!("`{option}` is none of the options that are allowed here: {}", names.join(", "))
}

/// Mount options that name another device or file, or do something other than mounting the new filesystem.
const MOUNT_WORDS: [&str; 15] = [
    "bind",
    "device",
    "journal_dev",
    "journal_path",
    "jdev",
    "logdev",
    "loop",
    "move",
    "offset",
    "rbind",
    "remount",
    "rtdev",
    "sizelimit",
    "subvolrootid",
    "usebackuproot",
];

/// Whether a mount option concerns the filesystem alone.
pub fn is_mount_option(option: &str) -> bool {
    let key = option.split_once('=').map_or(option, |(key, _)| key);
    let clean = !option.is_empty() && !option.chars().any(|c| c.is_whitespace() || c.is_control() || c == ',');
    // Options that systemd reads from fstab may name units of the installed system; a subvolume is a path inside the
    // filesystem.
    let may_have_path = key.starts_with("x-") || key == "subvol";
    clean && !MOUNT_WORDS.contains(&key) && (may_have_path || !option.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: FsType, words: &str) -> Result<(), (usize, String)> {
        super::check(kind, &words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_people_use_is_allowed() {
        for (kind, words) in [
            (FsType::Ext4, ""),
            (
                FsType::Ext4,
                "-m 1 -O ^64bit,metadata_csum -E lazy_itable_init=0,stride=16,root_owner=0:0 -i16384 -J size=64",
            ),
            (FsType::Ext4, "-m 0.5 -b 4096 -T largefile -e remount-ro"),
            (FsType::Xfs, "-m reflink=1,bigtime=1 -i size=512 -d su=64k,sw=4 -l size=64m,version=2 -K -s size=4096"),
            (FsType::Btrfs, "-m dup -d single --csum xxhash --features=no-holes,free-space-tree -n 16k"),
            (FsType::Vfat, "-F 32 -s 1"),
            (FsType::Swap, "--pagesize 4096"),
        ] {
            assert_eq!(check(kind, words), Ok(()), "{words}");
        }
    }

    #[test]
    fn other_devices_files_and_dry_runs_are_refused() {
        for (kind, words) in [
            (FsType::Btrfs, "/dev/sdb"),
            (FsType::Btrfs, "-d raid0 /dev/sdb"),
            (FsType::Btrfs, "-d single /dev/sdb"),
            (FsType::Btrfs, "--rootdir /"),
            (FsType::Btrfs, "-r/"),
            (FsType::Xfs, "-l logdev=/dev/sdb"),
            (FsType::Xfs, "-l size=64m,logdev=/dev/sdb,size=1m"),
            (FsType::Xfs, "-r rtdev=/dev/sdb"),
            (FsType::Xfs, "-d name=/dev/sdb"),
            (FsType::Xfs, "-d file,name=x"),
            (FsType::Xfs, "-p /etc/proto"),
            (FsType::Xfs, "-c options=/x"),
            (FsType::Xfs, "-N"),
            (FsType::Ext4, "-J device=/dev/sdb"),
            (FsType::Ext4, "-J device=LABEL=x"),
            (FsType::Ext4, "-d /"),
            (FsType::Ext4, "-d/"),
            (FsType::Ext4, "-l /bad"),
            (FsType::Ext4, "-z /undo"),
            (FsType::Ext4, "-n"),
            (FsType::Ext4, "-E offset=4096"),
            (FsType::Ext4, "-E stride=/dev/sdb"),
            (FsType::Ext4, "-U clear"),
            (FsType::Ext4, "-qn"),
            (FsType::Ext4, "-- /dev/sdb"),
            (FsType::Ext4, "-m"),
            (FsType::Vfat, "-C /file 1000"),
            (FsType::Vfat, "-m /message"),
            (FsType::Vfat, "-l /bad"),
            (FsType::Swap, "--file /swap"),
            (FsType::Swap, "/dev/sdb"),
            (FsType::Swap, "-o 4096"),
        ] {
            assert!(check(kind, words).is_err(), "{words}");
        }
    }

    #[test]
    fn mount_options_stay_with_the_filesystem() {
        for option in ["noatime", "compress=zstd:3", "subvol=/@", "umask=0077", "x-systemd.device-timeout=5s", "nofail"]
        {
            assert!(is_mount_option(option), "{option}");
        }
        for option in
            ["device=/dev/sdb", "logdev=/dev/sdb", "loop", "bind", "journal_path=/dev/sdb", "a,b", "a b", "", "x=/y"]
        {
            assert!(!is_mount_option(option), "{option}");
        }
    }
}
