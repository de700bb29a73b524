use super::*;
use serde_json::json;

const SIZE: usize = 16 << 10;

fn header(offset: u64, magic: &[u8], json: &str) -> Vec<u8> {
    let mut bytes = vec![0u8; SIZE];
    let mut put = |offset: usize, value: &[u8]| bytes[offset..offset + value.len()].copy_from_slice(value);
    put(0, magic);
    put(6, &2u16.to_be_bytes());
    put(8, &(SIZE as u64).to_be_bytes());
    put(16, &3u64.to_be_bytes());
    put(72, b"sha256");
    put(104, &[magic[0]; 64]);
    put(168, b"0f8fad5b-d9cb-869f-a165-70867728950e");
    put(256, &offset.to_be_bytes());
    put(BINARY, json.as_bytes());
    let sum = Sha256::digest(&bytes);
    bytes[448..480].copy_from_slice(&sum);
    bytes
}

fn volume() -> Vec<u8> {
    let json = json!({
        "keyslots": { "0": { "type": "luks2", "key_size": 64, "kdf": { "type": "argon2id", "time": 4, "memory": 65536, "cpus": 4, "salt": "x" } } },
        "tokens": { "0": { "type": "systemd-recovery", "keyslots": ["1"] } },
        "segments": { "0": { "type": "crypt", "offset": "16777216", "size": "dynamic", "iv_tweak": "0",
                             "encryption": "aes-xts-plain64", "sector_size": 4096 } },
        "digests": {}, "config": { "json_size": "12288" }
    });
    let json = json.to_string();
    [header(0, FIRST, &json), header(SIZE as u64, SECOND, &json)].concat()
}

fn looked_at(bytes: &[u8]) -> Result<Header, LuksError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    read(file.path())
}

#[test]
fn a_volume_says_how_it_is_opened() {
    let found = looked_at(&volume()).unwrap();
    assert_eq!((found.uuid.as_str(), found.sequence), ("0f8fad5b-d9cb-869f-a165-70867728950e", 3));
    let segment = &found.metadata.segments["0"];
    assert_eq!((segment.encryption.as_str(), segment.sector_size), ("aes-xts-plain64", 4096));
    assert_eq!(found.metadata.keyslots["0"].kdf.memory, Some(65536));
    assert_eq!(found.metadata.tokens["0"].keyslots, ["1"]);
}

#[test]
fn damage_of_either_copy_is_told() {
    let good = volume();
    for (at, first) in [(0, true), (20, true), (5000, true), (SIZE, false), (SIZE + 20, false), (SIZE + 5000, false)] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let LuksError::Unsound { copy, .. } = looked_at(&bad).unwrap_err() else { panic!("byte {at}") };
        assert_eq!(copy == "the first", first, "byte {at}");
    }
    for length in [0, 4096, SIZE, SIZE + 100] {
        looked_at(&good[..length]).unwrap_err();
    }
    // Two valid headers of different volumes.
    let mut other = good.clone();
    other[SIZE..].copy_from_slice(&header(SIZE as u64, SECOND, "{}"));
    assert!(looked_at(&other).unwrap_err().to_string().contains("something else"));
}

#[test]
fn a_volume_of_this_hosts_cryptsetup_is_read() {
    if !Path::new("/usr/sbin/cryptsetup").exists() {
        return burin_skip::skip!("no cryptsetup here");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(32 << 20).unwrap();
    let fast = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--sector-size", "4096"];
    let mut child = std::process::Command::new("/usr/sbin/cryptsetup")
        .args(["luksFormat", "--type", "luks2", "--batch-mode", "--key-file", "-"])
        .args(fast)
        .arg(file.path())
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"hunter2").unwrap();
    assert!(child.wait().unwrap().success());
    let found = read(file.path()).unwrap();
    assert_eq!(found.metadata.keyslots["0"].kdf.kind, "pbkdf2");
    assert_eq!(found.metadata.segments["0"].sector_size, 4096);
}

proptest::proptest! {
    #[test]
    fn junk_never_panics(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
        let _ = parse(&bytes, 0, FIRST);
        if bytes.len() > 16 {
            bytes[..16].copy_from_slice(b"LUKS\xba\xbe\x00\x02\x00\x00\x00\x00\x00\x00\x40\x00");
        }
        let _ = parse(&bytes, 0, FIRST);
    }
}
