//! GPT partition types by the names of the Discoverable Partitions Specification (UAPI.2), which orders use.

use super::head::Purpose;
use uuid::{Uuid, uuid};

pub const ESP: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
pub const BIOS_BOOT: Uuid = uuid!("21686148-6449-6e6f-744e-656564454649");
pub const LINUX: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");
pub const SWAP: Uuid = uuid!("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f");
pub const XBOOTLDR: Uuid = uuid!("bc13c2ff-59e6-4262-a352-b275fd6f7172");

/// What one architecture calls its own.
struct Architecture {
    /// As `uname -m` and distributions have it.
    names: &'static [&'static str],
    root: Uuid,
    usr: Uuid,
}

const ARCHITECTURES: &[Architecture] = &[
    Architecture {
        names: &["x86_64", "amd64"],
        root: uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"),
        usr: uuid!("8484680c-9521-48c6-9c11-b0720656f69e"),
    },
    Architecture {
        names: &["aarch64", "arm64"],
        root: uuid!("b921b045-1df0-41c3-af44-4c6f280d3fae"),
        usr: uuid!("b0e01050-ee5f-4390-949a-9101b17104e9"),
    },
    Architecture {
        names: &["riscv64"],
        root: uuid!("72ec70a6-cf74-40e6-bd49-4bda08e8f224"),
        usr: uuid!("beaec34b-8442-439b-a40b-984381ed097d"),
    },
];

const COMMON: &[(&str, Uuid)] = &[
    ("esp", ESP),
    ("xbootldr", XBOOTLDR),
    ("swap", SWAP),
    ("home", uuid!("933ac7e1-2eb4-4f13-b844-0e14e2aef915")),
    ("srv", uuid!("3b8f8425-20e0-4f3b-907f-1a25a76f98e8")),
    ("var", uuid!("4d21b016-b534-45c2-a9fb-5c16e091fd2d")),
    ("tmp", uuid!("7ec6f557-3bc5-4aca-b293-16ef5df639d1")),
    ("linux", LINUX),
    ("raid", uuid!("a19d880f-05fc-4d3b-a006-743f0f84911e")),
    ("lvm", uuid!("e6d6d379-f507-44c2-a23c-238f2a3df928")),
    ("luks", uuid!("ca7d7ccb-63ed-4c53-861c-1742536059cc")),
    ("bios-boot", BIOS_BOOT),
];

/// PReP boot, ChromeOS kernel, Microsoft reserved: nothing of a Linux system is in them.
const OTHERS_LOADERS: [Uuid; 3] = [
    uuid!("9e1a2d38-c612-4316-aa26-8b49521e5a8b"),
    uuid!("fe3a2a5d-4f32-41a7-b725-accc3285a309"),
    uuid!("e3c9e316-0b5c-4db8-817d-f92df00215ae"),
];

/// Whether a name, or a GUID, is a type at all.
pub fn is_known(name: &str) -> bool {
    matches!(name, "root" | "usr") || COMMON.iter().any(|(known, _)| *known == name) || is_guid(name)
}

/// Every name.
pub fn names() -> impl Iterator<Item = &'static str> {
    ["root", "usr"].into_iter().chain(COMMON.iter().map(|(name, _)| *name))
}

/// The type that a name, or a GUID, means. `None`: not a type, or one that this architecture has no GUID for, or the nil
/// GUID, which stands for an unused entry.
pub fn guid(name: &str, architecture: Option<&str>) -> Option<Uuid> {
    if is_guid(name) {
        return Uuid::try_parse(name).ok();
    }
    if let Some((_, guid)) = COMMON.iter().find(|(known, _)| *known == name) {
        return Some(*guid);
    }
    let own = ARCHITECTURES.iter().find(|one| architecture.is_some_and(|name| one.names.contains(&name)))?;
    match name {
        "root" => Some(own.root),
        "usr" => Some(own.usr),
        _ => None,
    }
}

/// The name of a type, for people. Root and usr have one name for every architecture.
pub fn name(guid: Uuid) -> Option<&'static str> {
    let common = COMMON.iter().find(|(_, known)| *known == guid).map(|(name, _)| *name);
    let usr = ARCHITECTURES.iter().any(|one| one.usr == guid).then_some("usr");
    common.or_else(|| is_root(guid).then_some("root")).or(usr)
}

/// The root filesystem of any architecture.
pub fn is_root(guid: Uuid) -> bool {
    ARCHITECTURES.iter().any(|one| one.root == guid)
}

/// What a partition of this type is for.
pub fn purpose(guid: Uuid) -> Purpose {
    match name(guid) {
        Some("esp") => Purpose::Esp,
        Some("bios-boot" | "xbootldr") => Purpose::BootLoader,
        Some("swap") => Purpose::Swap,
        Some("root") => Purpose::Root,
        Some("raid" | "lvm" | "luks") => Purpose::Member,
        _ if OTHERS_LOADERS.contains(&guid) => Purpose::BootLoader,
        _ => Purpose::Other,
    }
}

/// `8-4-4-4-12` hexadecimal digits that are not all zero.
pub fn is_guid(text: &str) -> bool {
    text.len() == 36 && Uuid::try_parse(text).is_ok_and(|guid| !guid.is_nil())
}
