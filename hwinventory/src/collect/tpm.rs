//! Trusted Platform Modules: version, PCR banks, and the endorsement keys that they are known by.

use crate::model::{EndorsementKey, Status, Tpm, TpmBank};
use crate::parse::bytes::hex;
use crate::parse::{der, tpm};
use crate::source::{Query, Reader};
use sha2::{Digest, Sha256};

pub fn collect(reader: &Reader, publish: &dyn Fn(Vec<Tpm>)) -> Option<Vec<Tpm>> {
    let base = "/sys/class/tpm";
    let names = reader.try_list(base)?;
    let mut found: Vec<Tpm> = Vec::new();
    for name in names {
        let Some(directory) = reader.follow(base, &name) else { continue };
        let device = reader.follow(&directory, "device");
        let major = reader.text(&format!("{directory}/tpm_version_major"));
        let mut tpm = Tpm {
            version: match major.as_deref() {
                Some("1") => Some("1.2".to_owned()),
                Some("2") => Some("2.0".to_owned()),
                _ => major,
            },
            driver: device.and_then(|d| reader.link_name(&format!("{d}/driver"))),
            banks: banks(reader, &directory),
            event_log: super::firmtables::event_log(reader, &name),
            name,
            ..Tpm::default()
        };
        let publish = |tpm: &Tpm| publish(found.iter().chain([tpm]).cloned().collect());
        publish(&tpm);
        if tpm.version.as_deref() == Some("2.0") {
            ask(reader, &mut tpm, &publish);
        }
        found.push(tpm);
    }
    (!found.is_empty()).then_some(found)
}

fn banks(reader: &Reader, directory: &str) -> Vec<TpmBank> {
    let names = reader.list(directory);
    let mut banks: Vec<TpmBank> = names
        .iter()
        .filter_map(|n| n.strip_prefix("pcr-"))
        .map(|algorithm| {
            let pcr = |n: u32| reader.quiet_text(&format!("{directory}/pcr-{algorithm}/{n}"));
            TpmBank {
                algorithm: algorithm.to_owned(),
                pcrs: (0..24).map_while(pcr).map(|t| t.to_ascii_lowercase()).collect(),
            }
        })
        .collect();
    banks.sort_by(|a, b| a.algorithm.cmp(&b.algorithm));
    banks
}

/// Indexes of endorsement key certificates (TCG EK Credential Profile 2.2.1.4 and 2.2.1.5).
const CERTIFICATES: &[u32] = &[
    0x01c0_0002,
    0x01c0_000a,
    0x01c0_0012,
    0x01c0_0014,
    0x01c0_0016,
    0x01c0_0018,
    0x01c0_001a,
    0x01c0_001c,
    0x01c0_001e,
];

/// The keys that every TPM can have: name, nonce and template in non-volatile storage, usual persistent handle
/// (TCG TPM v2.0 Provisioning Guidance 7.8). ECC comes first: it is derived in no time, RSA may take many seconds.
const KEYS: &[(&str, u32, u32, u32)] =
    &[("ecc-p256", 0x01c0_000b, 0x01c0_000c, 0x8101_0002), ("rsa-2048", 0x01c0_0003, 0x01c0_0004, 0x8101_0001)];

fn ask(reader: &Reader, found: &mut Tpm, publish: &dyn Fn(&Tpm)) {
    let device = format!("/dev/{}", found.name.replace("tpm", "tpmrm"));
    let ask = |command: Vec<u8>| reader.quiet_query(&Query::Tpm { device: device.clone(), command }).ok();
    if let Some((manufacturer, firmware)) = ask(tpm::get_properties()).and_then(|r| tpm::properties(&r)) {
        (found.manufacturer, found.firmware) = (manufacturer, firmware);
        publish(found);
    }
    let Some(indexes) = ask(tpm::get_handles(0x01c0_0000)).map(|r| tpm::handles(&r)) else { return };
    for index in CERTIFICATES.iter().filter(|i| indexes.contains(i)) {
        if let Some(key) = stored(&ask, *index).as_deref().and_then(certified) {
            found.ek_certificate_sha256 = found.ek_certificate_sha256.take().or(key.certificate_sha256.clone());
            found.endorsement_keys.push(key);
            publish(found);
        }
    }
    let persistent = ask(tpm::get_handles(0x8101_0000)).map(|r| tpm::handles(&r)).unwrap_or_default();
    for (name, nonce, template, handle) in KEYS {
        if found.endorsement_keys.iter().any(|k| k.algorithm == *name) {
            continue;
        }
        let kept = persistent.contains(handle).then(|| ask(tpm::read_public(*handle))).flatten();
        if let Some(key) = kept.as_deref().and_then(tpm::read_key)
            && der::algorithm(&key).as_deref() == Some(*name)
        {
            found.endorsement_keys.push(endorsement_key(&key, "persistent"));
        } else {
            let stored = |index: &u32| indexes.contains(index).then(|| stored(&ask, *index)).flatten();
            let template = stored(template)
                .unwrap_or_else(|| tpm::ek_template(*name == "ecc-p256", &stored(nonce).unwrap_or_default()));
            let Some(response) = ask(tpm::create_primary(&template)) else { continue };
            if tpm::wants_password(&response) {
                reader.problem(&found.name, Status::Denied, "the endorsement hierarchy has a password");
                break;
            }
            found.endorsement_keys.extend(tpm::created_key(&response).map(|key| endorsement_key(&key, "derived")));
        }
        publish(found);
    }
}

fn endorsement_key(key: &[u8], source: &str) -> EndorsementKey {
    EndorsementKey {
        algorithm: der::algorithm(key).unwrap_or_else(|| "unknown".to_owned()),
        source: source.to_owned(),
        public_sha256: Some(hex(&Sha256::digest(key))),
        certificate_sha256: None,
    }
}

fn certified(stored: &[u8]) -> Option<EndorsementKey> {
    let certificate = der::certificate(stored)?;
    let sha256 = Some(hex(&Sha256::digest(certificate)));
    let key = der::public_key(certificate).map(|key| endorsement_key(key, "certificate"));
    let unknown = || EndorsementKey {
        algorithm: "unknown".to_owned(),
        source: "certificate".to_owned(),
        ..EndorsementKey::default()
    };
    Some(EndorsementKey { certificate_sha256: sha256, ..key.unwrap_or_else(unknown) })
}

/// The contents of an index. Some may be read with its own empty password, some with the owner's.
fn stored(ask: &dyn Fn(Vec<u8>) -> Option<Vec<u8>>, index: u32) -> Option<Vec<u8>> {
    // What every TPM can return at once.
    const CHUNK: u16 = 512;
    let size = ask(tpm::nv_read_public(index)).and_then(|r| tpm::nv_size(&r))?;
    let mut bytes = Vec::new();
    let mut by_owner = false;
    while bytes.len() < usize::from(size) {
        let offset = bytes.len() as u16;
        let response = ask(tpm::nv_read(index, by_owner, (size - offset).min(CHUNK), offset))?;
        match tpm::nv_data(&response) {
            Some(data) if !data.is_empty() => bytes.extend_from_slice(data),
            _ if !by_owner && bytes.is_empty() => by_owner = true,
            _ => return None,
        }
    }
    Some(bytes)
}
