//! GPT partition types by the names of the Discoverable Partitions Specification (UAPI.2).

/// Architectures by `uname -m`, with the types of their root and usr partitions.
const BY_ARCHITECTURE: &[(&[&str], &str, &str)] = &[
    (&["x86_64", "amd64"], "4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "8484680c-9521-48c6-9c11-b0720656f69e"),
    (&["aarch64", "arm64"], "b921b045-1df0-41c3-af44-4c6f280d3fae", "b0e01050-ee5f-4390-949a-9101b17104e9"),
    (&["riscv64"], "72ec70a6-cf74-40e6-bd49-4bda08e8f224", "beaec34b-8442-439b-a40b-984381ed097d"),
];

const COMMON: &[(&str, &str)] = &[
    ("esp", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
    ("xbootldr", "bc13c2ff-59e6-4262-a352-b275fd6f7172"),
    ("swap", "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"),
    ("home", "933ac7e1-2eb4-4f13-b844-0e14e2aef915"),
    ("srv", "3b8f8425-20e0-4f3b-907f-1a25a76f98e8"),
    ("var", "4d21b016-b534-45c2-a9fb-5c16e091fd2d"),
    ("tmp", "7ec6f557-3bc5-4aca-b293-16ef5df639d1"),
    ("linux", "0fc63daf-8483-4772-8e79-3d69d8477de4"),
    ("raid", "a19d880f-05fc-4d3b-a006-743f0f84911e"),
    ("lvm", "e6d6d379-f507-44c2-a23c-238f2a3df928"),
    ("luks", "ca7d7ccb-63ed-4c53-861c-1742536059cc"),
    ("bios-boot", "21686148-6449-6e6f-744e-656564454649"),
];

/// Whether a name, or a GUID, is a type at all.
pub fn is_known(name: &str) -> bool {
    matches!(name, "root" | "usr") || COMMON.iter().any(|(known, _)| *known == name) || is_guid(name)
}

/// Every name.
pub fn names() -> impl Iterator<Item = &'static str> {
    ["root", "usr"].into_iter().chain(COMMON.iter().map(|(name, _)| *name))
}

/// The type GUID in lower case. `None`: not a type, or one that this architecture has no GUID for.
pub fn guid(name: &str, architecture: Option<&str>) -> Option<String> {
    if is_guid(name) {
        return Some(name.to_ascii_lowercase());
    }
    if let Some((_, guid)) = COMMON.iter().find(|(known, _)| *known == name) {
        return Some((*guid).to_owned());
    }
    let row = BY_ARCHITECTURE.iter().find(|(names, _, _)| architecture.is_some_and(|a| names.contains(&a)));
    match (name, row) {
        ("root", Some((_, root, _))) => Some((*root).to_owned()),
        ("usr", Some((_, _, usr))) => Some((*usr).to_owned()),
        _ => None,
    }
}

/// `8-4-4-4-12` hexadecimal digits.
pub fn is_guid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}
