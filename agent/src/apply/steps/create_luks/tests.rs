use super::*;
use crate::protocol::Secret;
use crate::protocol::plan::PlannedPbkdf;
use serde_json::{Value, json};

fn step() -> CreateLuks {
    CreateLuks {
        name: "crypt".to_owned(),
        on: Device::Raid { name: "md".to_owned() },
        uuid: "u-u".to_owned(),
        cipher: "aes-xts-plain64".to_owned(),
        key_bits: 512,
        sector_size: 4096,
        offset: 16 << 20,
        size: 1 << 30,
        pbkdf: PlannedPbkdf { memory: 64 << 20, iterations: 4, threads: 4 },
        keys: Vec::new(),
    }
}

fn header(over: Value) -> Header {
    let mut metadata = json!({
        "keyslots": {
            "0": { "key_size": 64, "kdf": { "type": "argon2id", "memory": 65536 } },
            "1": { "key_size": 64, "kdf": { "type": "pbkdf2" } }
        },
        "tokens": { "0": { "type": "systemd-recovery", "keyslots": ["1"] } },
        "segments": { "0": { "type": "crypt", "offset": "16777216", "size": "dynamic",
                             "encryption": "aes-xts-plain64", "sector_size": 4096 } }
    });
    metadata.as_object_mut().unwrap().extend(over.as_object().cloned().unwrap());
    Header { uuid: "U-U".to_owned(), sequence: 4, metadata: serde_json::from_value(metadata).unwrap() }
}

#[test]
fn headers_are_held_against_the_plan() {
    let key = |is_random, token| Key { secret: Secret::new("x"), is_random, token, escrow: None, sealed: None };
    let keys = [key(false, None), key(true, Some("systemd-recovery"))];
    let slots = compare(&step(), &header(json!({})), &keys).unwrap();
    assert_eq!((slots[0].memory, slots[1].token), (Some(64 << 20), Some("systemd-recovery")));
    let segment = |key: &str, value: Value| {
        let mut segments = json!({ "0": { "type": "crypt", "offset": "16777216", "size": "dynamic",
                                          "encryption": "aes-xts-plain64", "sector_size": 4096 } });
        segments["0"][key] = value;
        json!({ "segments": segments })
    };
    for over in [
        segment("encryption", json!("cipher_null-ecb")),
        segment("sector_size", json!(512)),
        segment("offset", json!("32768")),
        json!({ "segments": {} }),
        json!({ "tokens": {} }),
        json!({ "keyslots": { "0": { "key_size": 64, "kdf": { "type": "argon2id", "memory": 65536 } } } }),
        json!({ "keyslots": { "0": { "key_size": 64, "kdf": { "type": "pbkdf2" } }, "1": { "key_size": 64, "kdf": { "type": "pbkdf2" } } } }),
        json!({ "keyslots": { "0": { "key_size": 32, "kdf": { "type": "argon2id", "memory": 65536 } }, "1": { "key_size": 64, "kdf": { "type": "pbkdf2" } } } }),
    ] {
        compare(&step(), &header(over.clone()), &keys).expect_err(&over.to_string());
    }
}
