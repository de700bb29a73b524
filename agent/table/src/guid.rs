//! Partition type GUIDs by the names of the Discoverable Partitions Specification, and GUIDs that a re-run makes again.

use sha2::{Digest, Sha256};
use uuid::{Uuid, uuid};

pub const UNUSED: Uuid = Uuid::nil();
pub const ESP: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
pub const BIOS_BOOT: Uuid = uuid!("21686148-6449-6e6f-744e-656564454649");
pub const LINUX_GENERIC: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");

/// Name, GUID. Names without an architecture where `root` and `usr` stand for the machine's own.
const TYPES: &[(&str, Uuid)] = &[
    ("esp", ESP),
    ("xbootldr", uuid!("bc13c2ff-59e6-4262-a352-b275fd6f7172")),
    ("bios-boot", BIOS_BOOT),
    ("root-x86", uuid!("44479540-f297-41b2-9af7-d131d5f0458a")),
    ("root-x86-64", uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")),
    ("root-arm", uuid!("69dad710-2ce4-4e3c-b16c-21a1d49abed3")),
    ("root-arm64", uuid!("b921b045-1df0-41c3-af44-4c6f280d3fae")),
    ("root-riscv64", uuid!("72ec70a6-cf74-40e6-bd49-4bda08e8f224")),
    ("root-ppc64-le", uuid!("c31c45e6-3f39-412e-80fb-4809c4980599")),
    ("root-s390x", uuid!("5eead9a9-fe09-4a1e-a1d7-520d00531306")),
    ("usr-x86-64", uuid!("8484680c-9521-48c6-9c11-b0720656f69e")),
    ("usr-arm64", uuid!("b0e01050-ee5f-4390-949a-9101b17104e9")),
    ("home", uuid!("933ac7e1-2eb4-4f13-b844-0e14e2aef915")),
    ("srv", uuid!("3b8f8425-20e0-4f3b-907f-1a25a76f98e8")),
    ("var", uuid!("4d21b016-b534-45c2-a9fb-5c16e091fd2d")),
    ("tmp", uuid!("7ec6f557-3bc5-4aca-b293-16ef5df639d1")),
    ("swap", uuid!("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f")),
    ("linux-generic", LINUX_GENERIC),
    ("raid", uuid!("a19d880f-05fc-4d3b-a006-743f0f84911e")),
    ("lvm", uuid!("e6d6d379-f507-44c2-a23c-238f2a3df928")),
    ("luks", uuid!("ca7d7ccb-63ed-4c53-861c-1742536059cc")),
    ("microsoft-basic-data", uuid!("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7")),
];

/// A machine's architecture, as far as partition types and boot loaders care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    X86_64,
    Arm64,
}

impl Arch {
    /// Of the running binary, hence of the machine it installs.
    pub fn native() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::X86_64 }
    }

    /// GPT type of this architecture's root filesystem.
    pub fn root_type(self) -> Uuid {
        match self {
            Self::X86_64 => uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"),
            Self::Arm64 => uuid!("b921b045-1df0-41c3-af44-4c6f280d3fae"),
        }
    }
}

/// The type that `name` means: a Discoverable Partitions name (`esp`, `root-x86-64`, `swap`, ...), `root` or `usr` for
/// `arch`'s own, or a GUID.
pub fn partition_type(name: &str, arch: Arch) -> Option<Uuid> {
    let own = match (name, arch) {
        ("root", Arch::X86_64) => "root-x86-64",
        ("root", Arch::Arm64) => "root-arm64",
        ("usr", Arch::X86_64) => "usr-x86-64",
        ("usr", Arch::Arm64) => "usr-arm64",
        _ => name,
    };
    let known = TYPES.iter().find(|(known, _)| *known == own).map(|&(_, guid)| guid);
    known.or_else(|| Uuid::try_parse(name).ok().filter(|guid| *guid != UNUSED))
}

/// Name of a type GUID, for people.
pub fn type_name(guid: Uuid) -> Option<&'static str> {
    TYPES.iter().find(|&&(_, known)| known == guid).map(|&(name, _)| name)
}

/// A GUID made from its inputs (version 8): the same order, attempt and disk give the same one, so that a step that was
/// killed and runs again finds its own work.
pub fn derived(parts: &[&str]) -> Uuid {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
